/* workspace.h - the workspace's files in the n-gram pool and in the definition index: walked, read,
 * tokenized and parsed by one background thread, which begins with the first folder.
 *
 * All functions may be called from any thread. */
#ifndef FIMD_COMPLETION_WORKSPACE_H
#define FIMD_COMPLETION_WORKSPACE_H

#include "completion/completion.h"
#include "completion/symbols.h"

typedef struct completion__workspace completion__workspace;

/* Engine and pool are borrowed until delete. NULL: out of memory. */
completion__workspace *completion__workspace_new(engine *e, engine_pool *pool);
/* Stops the thread. NULL is a no-op. */
void completion__workspace_delete(completion__workspace *w);

/* Folders, as absolute paths without a closing '/'. 0 or COMPLETION_ENOMEM. */
int completion__workspace_add(completion__workspace *w, const char *root);
/* Walks the folder again: files that are as they were cost a look, those that are gone leave. */
int completion__workspace_again(completion__workspace *w, const char *root);
/* Its files leave the pool and the index. */
void completion__workspace_remove(completion__workspace *w, const char *root);

/* The file is open in an editor, whose text counts; or it is not any more, and what is on the disk
 * now is read again. */
void completion__workspace_opened(completion__workspace *w, const char *path);
void completion__workspace_closed(completion__workspace *w, const char *path);

/* The pool's ids of the files that a text names in its import lines, at most max. `own` is the
 * text's own path, which is left out. */
int completion__workspace_imports(completion__workspace *w, completion__slice text,
                                  const char *own, int64_t *ids, int max);

/* How near a file is to the document that names something of it. */
typedef enum completion__nearness {
  COMPLETION__FAR,
  COMPLETION__SAME_FOLDER,
  COMPLETION__IMPORTED,
} completion__nearness;

/* What defines names[n_names] in files that are not open. on_symbol is called under the lock, in no
 * stable order; the symbol is borrowed for the call. */
typedef struct completion__symbols_query {
  completion__slice text; /* of the document, for its imports */
  const char *own;        /* its path; nothing of it is found */
  const completion__slice *names;
  int n_names;
  void (*on_symbol)(void *user, int name, const completion__symbol *s, completion__nearness near,
                    int files);
  void *user;
} completion__symbols_query;
void completion__workspace_symbols(completion__workspace *w, const completion__symbols_query *q);
/* Has the file, which is not open, this signature still? */
bool completion__workspace_has_symbol(completion__workspace *w, const char *path,
                                      completion__slice text);

/* A file was written, made or removed: read again, in the background. */
void completion__workspace_changed(completion__workspace *w, const char *path);

/* Calls on_file for each file in the pool, under the lock, until it returns non-zero: that then. */
int completion__workspace_each(completion__workspace *w,
                               int (*on_file)(void *user, const char *path), void *user);

/* Returns when all folders have been walked. */
void completion__workspace_wait(completion__workspace *w);
completion_workspace_info completion__workspace_get_info(completion__workspace *w);

#endif
