/* internal.h - what engine.c, session.c and decode.c share. */
#ifndef FIMD_ENGINE_INTERNAL_H
#define FIMD_ENGINE_INTERNAL_H

#include <pthread.h>

#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/model.h"

struct engine {
  model *model;
  kernels *kernels;
  forward *forward;
  engine_info info;
  char *note; /* owned; info borrows it */

  pthread_t thread;
  bool thread_started;
  pthread_mutex_t mutex; /* guards the queue and closing */
  pthread_cond_t wake;
  engine_job *first, **last;
  bool closing;
};

/* tokens[0..n-1] is the text the session stands for; the keys and values of the first n_cached
 * are in the cache. n - n_cached is 0 or what the next step computes. */
struct engine_session {
  engine *engine;
  kernels_cache *cache;
  int32_t *tokens; /* [context] owned */
  int32_t *pos;    /* [max_batch] owned scratch */
  int n, n_cached;
  int context;
};

/* Computes tokens[n_cached..upto-1] and, if result is given, the last one's logits. Reads cancel
 * between chunks. */
int engine__session_compute(engine_session *s, int upto, const atomic_bool *cancel,
                            bool want_logits, kernels_result *result);

/* Milliseconds of a steady clock. */
double engine__now_ms(void);

#endif
