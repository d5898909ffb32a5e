/* walk.h - which files of a workspace folder may be read, and the walk that reads them.
 *
 * What comes out feeds the n-gram pool, so the walk errs on the side of leaving out: nothing
 * that git ignores, nothing secret by name or content, nothing binary, generated or huge, and
 * nothing through a symbolic link, in another repository inside the folder or in a folder whose
 * name begins with a dot. In what comes out, lines with a secret are blank. A file comes out only where its name is that of source code or of text
 * that programmers write. Where the folder lies in no repository its ignore files count all the
 * same, and the usual build folders are left out by name.
 *
 * Safe to call on any thread, and on several at once. */
#ifndef FIMD_COMPLETION_WALK_H
#define FIMD_COMPLETION_WALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "completion/text.h"

/* 0: the default in brackets. */
typedef struct completion__walk_limits {
  size_t file_bytes;  /* [1 MiB]; .json, .xml and the like: 64 KiB at most */
  size_t total_bytes; /* [256 MiB] of all files that come out */
  int files;          /* [100000] that come out */
  int depth;          /* [64] folders below root, at most 256; each takes a file descriptor */
} completion__walk_limits;

/* Files that come out, and names of files and folders that do not, by the first reason found;
 * what is no source, a link or a special file is not counted. */
typedef struct completion__walk_counts {
  int files;
  size_t bytes;
  int ignored;    /* by rule, another repository, or the name of a build or dot folder */
  int secret;     /* by name or content */
  int blanked;    /* of those that come out, with lines taken out (secrets.h) */
  int binary;     /* a NUL, or not UTF-8 */
  int large;      /* too long, too deep, minified or generated */
  int unreadable; /* the file, the folder or its ignore rules */
  bool cut;       /* a total limit ended the walk */
} completion__walk_counts;

/* Calls on_file for every file that may be read, in a stable order: the files of a folder, then
 * the folders in it, each sorted bytewise. `path` is relative to root; `text` [len] is
 * zero-terminated; both are borrowed for the call. A non-zero return ends the walk with that
 * value. `cancel` (may be NULL) is read between files. `limits` and `counts` may be NULL.
 *
 * 0; COMPLETION_EINVAL: root is no folder that can be opened; COMPLETION_ENOMEM: memory or
 * descriptors have run out;
 * COMPLETION_ECANCELLED. The counts are filled whichever it is. */
int completion__walk(const char *root, const completion__walk_limits *limits,
                     const atomic_bool *cancel,
                     int (*on_file)(void *user, const char *path, const char *text, size_t len),
                     void *user, completion__walk_counts *counts);

/* Whether the walk with default limits, totals apart, would come to this one file, which it
 * reads. 1 yes; 0 no, or there is no such file; COMPLETION_EINVAL: no such root, or `path` is
 * absolute or has an empty part, "." or ".."; COMPLETION_ENOMEM. */
int completion__walk_allows(const char *root, const char *path);
/* The same, and where it is yes on_file is called; a non-zero return of its is returned. */
int completion__walk_file(const char *root, const char *path,
                          int (*on_file)(void *user, const char *path, const char *text,
                                         size_t len),
                          void *user);

/* Whether what is open in an editor as `path` may be shown elsewhere: no secret by name, and not
 * ignored. Unlike the files of a walk it need not be there, be source, or be kept out of a folder
 * by that one's name; in another repository inside root that one's rules count too. 1 yes; 0 no;
 * otherwise as completion__walk_allows. A root that is not there has no rules. */
int completion__walk_shares(const char *root, const char *path);

/* True for a text with a private key in it: such a file never comes out. */
bool completion__holds_secret(completion__slice text);

#endif
