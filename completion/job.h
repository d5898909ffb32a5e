/* job.h - the completion object and a request's life, shared by completion.c (front thread)
 * and job.c (engine thread). */
#ifndef FIMD_COMPLETION_JOB_H
#define FIMD_COMPLETION_JOB_H

#include <pthread.h>

#include "completion/opened.h"
#include "completion/recent.h"
#include "completion/reuse.h"
#include "completion/through.h"
#include "completion/workspace.h"

#define COMPLETION__VIEWS_MAX 24 /* documents that a request looks at */
#define COMPLETION__SPECIALS_MAX 9
#define COMPLETION__PROMPT_TOKENS 2048
#define COMPLETION__MAX_TOKENS 64
#define COMPLETION__MAX_LINES 8

struct completion {
  engine *engine;                                      /* borrowed */
  completion__slice special[COMPLETION__SPECIALS_MAX]; /* [n_special] names, borrowed */
  int n_special;

  engine_pool *pool;
  completion__workspace *workspace;
  completion__opened *opened;

  /* Front thread. */
  completion_options options;
  completion__documents documents;
  completion__edits edits;
  uint64_t rules; /* counts what may change which documents are withheld; from 1 */

  /* Both: the requests that are not over. */
  pthread_mutex_t lock;
  pthread_cond_t idle; /* signalled when `active` becomes NULL */
  completion_job *active;

  /* Engine thread. */
  engine_session *session;
  completion__parser *parser;
  completion__reuse reuse;
  completion__settled settled;
  completion__memo memo;
  completion__recent recent;
  struct completion__shown {
    const completion__document *document; /* only compared; NULL: nothing was shown */
    size_t at;                            /* where in its text */
    completion__buffer text;              /* owned */
  } shown; /* the last answer, to be known again where it was accepted */
};

struct completion_job {
  engine_job job; /* first, as the engine gives it back by its address */
  completion *owner;
  completion_job *next, *previous; /* in owner->active */
  atomic_int refs;                 /* the request itself, and its starter where it asked for one */

  completion_options options; /* with defaults filled in */
  completion_mode mode;
  bool automatic;
  bool anew;      /* for measuring: nothing of an answer of before */
  int candidates; /* at least 1 */
  completion__view views[COMPLETION__VIEWS_MAX];
  int n_views;
  completion__document *rest[COMPLETION__VIEWS_MAX]; /* owned references: their syntax goes */
  int n_rest;
  completion__edits edits;
  uint64_t rules; /* the owner's */
  size_t offset; /* of the cursor, in the text as given */
  bool has_selection;
  completion__buffer selected; /* the popup's text */
  completion__buffer replay;   /* for measuring; may be empty */
  size_t selected_start, selected_end;
  void (*on_update)(void *user, const completion_result *partial);
  void (*on_done)(void *user, const completion_result *result);
  void *user;
  double started_ms;
  completion__through through;
};

/* Drops those of views[1..n) that no other document may show, and what was made from them before;
 * returns how many are left. Engine thread. */
int completion__share(completion *c, completion__view *views, int n, uint64_t rules);
/* Brings the pool up to the documents views[n], the first of them in focus. Engine thread. */
void completion__pool_sync(completion *c, const completion__view *views, int n);
/* What engine_post runs. */
void completion__job_run(engine_job *job);
/* Frees a job's fields and itself on the last release. */
void completion__job_unref(completion_job *job);

#endif
