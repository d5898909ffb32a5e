/* ignore.h - which paths git's ignore rules take out, and which names are secret whatever the
 * rules say.
 *
 * The rules are a stack of lists: the user's own at the bottom, then the repository's
 * .git/info/exclude, then those of each folder on the way down. The last rule that matches
 * decides, so the top list is asked first. Whoever walks asks about a folder before going into
 * it: what lies in an ignored folder cannot be taken back by a rule further down.
 *
 * Read are .gitignore and, above it, .fimdignore of every folder, .git/info/exclude (that of the
 * main repository for a worktree) and $XDG_CONFIG_HOME/git/ignore or ~/.config/git/ignore. Not
 * read is git's configuration, so neither core.excludesFile nor core.ignoreCase counts; nor is
 * the index: what is tracked although it is ignored counts as ignored. */
#ifndef FIMD_COMPLETION_IGNORE_H
#define FIMD_COMPLETION_IGNORE_H

#include "completion/text.h"

typedef struct completion__ignore_list completion__ignore_list;

/* Zero-initialise. */
typedef struct completion__ignore {
  completion__ignore_list *lists; /* [n] owned */
  size_t n, capacity;
  uint64_t steps; /* of matching done so far; see completion__ignore_spent */
} completion__ignore;

void completion__ignore_free(completion__ignore *g);

/* Puts a list on top: the rules of `text`, one a line, for the paths that begin with the first
 * `base` bytes of those asked about: a folder with its closing '/', 0 for the top. The text is
 * copied. 0, COMPLETION_ENOMEM, or COMPLETION_EINVAL: too large, or a rule too long. */
int completion__ignore_add(completion__ignore *g, size_t base, completion__slice text);
/* Takes lists off until `n` are left. */
void completion__ignore_pop(completion__ignore *g, size_t n);

/* Puts on top what stands in the folder behind `fd`. 0, COMPLETION_ENOMEM, or COMPLETION_EINVAL:
 * there are rules but they cannot be read, so nothing in the folder may be either. As git has
 * it, a rule file that is a link counts as none. */
int completion__ignore_folder(completion__ignore *g, int fd, size_t base);

/* Begins with what holds for all of `root` (absolute, free of links): the user's rules and,
 * where root lies in a repository, the repository's own and those of the folders above root.
 * *above is root's path from the repository's top, "" where it is the top itself or lies in no
 * repository; borrowed from `root`. Paths asked about begin there. *repository: there is one.
 * 0, 1: root itself is ignored, or negative as completion__ignore_folder. */
int completion__ignore_open(completion__ignore *g, const char *root, const char **above,
                            bool *repository);

/* True where the path [len], relative to the top, is ignored; the folders above it must have
 * been asked about before. A path has no closing '/', `folder` says what it is. */
bool completion__ignore_matches(completion__ignore *g, const char *path, size_t len, bool folder);

/* Rules made to be slow have used up the time that all rules together get: from then on
 * everything is ignored. */
bool completion__ignore_spent(const completion__ignore *g);

/* True for a relative path whose name, or the name of a folder above it, is that of keys,
 * passwords or other secrets. A folder's own path ends with '/'. Case does not count. */
bool completion__is_secret(const char *path);

typedef enum completion__read_result {
  COMPLETION__READ = 0,
  COMPLETION__READ_ABSENT, /* none, a link or no regular file */
  COMPLETION__READ_LARGE,  /* longer than most */
  COMPLETION__READ_FAILED,
} completion__read_result;

/* Whether errno says that memory or descriptors have run out: of the moment, and not of the file. */
bool completion__errno_is_short(void);

/* Reads the regular file `name` in the folder behind `fd` into `text`, whose old content goes.
 * Never follows a link at the name's end, never waits. A completion__read_result or
 * COMPLETION_ENOMEM: memory or descriptors. */
int completion__read_file(int fd, const char *name, size_t most, completion__buffer *text);

#endif
