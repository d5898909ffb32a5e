/* workspace_internal.h - what workspace.c and workspace_find.c share. */
#ifndef FIMD_COMPLETION_WORKSPACE_INTERNAL_H
#define FIMD_COMPLETION_WORKSPACE_INTERNAL_H

#include <pthread.h>

#include "completion/walk.h"
#include "completion/workspace.h"

#define COMPLETION__FILE_BUCKETS 4096

typedef struct completion__file {
  char *path; /* owned, absolute */
  int root;   /* which folder's */
  int64_t id; /* in the pool; 0: not there */
  completion__symbol_file *symbols; /* in the index; NULL: not there */
  bool indexed;  /* its symbols were looked for */
  uint64_t hash; /* of its text */
  int round;     /* the folder's walk that it was last seen in */
  int next_path, next_stem, next_folder; /* in their buckets; -1: none */
} completion__file;

/* A file to read again. */
typedef struct completion__task {
  char *path; /* owned */
  struct completion__task *next;
} completion__task;

#define COMPLETION__TASKS_MAX 8192

struct completion__workspace {
  engine *engine;
  engine_pool *pool;
  pthread_t thread;
  bool started;
  atomic_bool stop;
  completion__parser *parser; /* the thread's */

  pthread_mutex_t lock; /* guards all below */
  pthread_cond_t wake, idle;
  completion__task *first, **last; /* COMPLETION__TASKS_MAX at most */
  int n_tasks;
  bool busy;
  struct root {
    char *path; /* owned */
    atomic_bool gone;
    bool queued;    /* for a walk */
    bool unindexed; /* walked, and its definitions wait */
    bool again;     /* cut short for want of memory or descriptors */
    int round;      /* walks begun */
    completion__walk_counts counts; /* of the last one */
  } **roots; /* [n_roots] owned, each too: the thread holds on to one */
  int n_roots;
  double again_at_ms; /* of completion__now_ms: when those are walked again; 0: there are none */
  double pause_ms, first_pause_ms; /* the next pause; the one after a success, shorter for tests */
  completion__file *files; /* [n_files] owned */
  int n_files, files_capacity;
  int by_path[COMPLETION__FILE_BUCKETS], by_stem[COMPLETION__FILE_BUCKETS], by_folder[COMPLETION__FILE_BUCKETS];
  completion__symbols *symbols;
  char **open; /* [n_open] owned paths */
  int n_open;
  completion_workspace_info info;
};

/* All below: locked. */

/* The number of a file in `files`, by its absolute path; -1: none. */
int completion__file_find(const completion__workspace *w, const char *path);
static inline bool completion__file_is_there(const completion__file *f) {
  return f->id != 0 || f->symbols;
}
/* "a/b/parser.test.c": the folder "b" and the stem "parser"; which bucket a name is in. */
completion__slice completion__file_stem(const char *path);
completion__slice completion__file_folder(const char *path);
unsigned completion__file_bucket(const char *s, size_t len);

#endif
