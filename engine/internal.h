/* internal.h - what engine.c, device.c, session.c, decode.c and bench.c share. */
#ifndef FIMD_ENGINE_INTERNAL_H
#define FIMD_ENGINE_INTERNAL_H

#include <pthread.h>

#include "engine/cost.h"
#include "engine/engine.h"
#include "engine/forward.h"
#include "engine/model.h"

#define ENGINE__OUT_MOST 1024 /* rows of logits of one engine_bench_step */

struct engine {
  model *model;

  /* The device (device.c); of the engine thread. kernels and forward are there or not together. */
  engine_options options; /* as resolved; its strings and on_progress are not kept */
  char *backend;          /* owned: the name to open it by */
  kernels *kernels;
  forward *forward;
  forward_size size;      /* what the weights take on the backend */
  engine_session *sessions; /* all there are; their caches go with the device */
  int failed;             /* the status that the device failed with, not dealt with yet; or 0 */
  int file_told;          /* that the model's file is not whole: 1; and why: 2; 0: it is */
  bool restarted;         /* it failed before, and so many steps went well since: */
  int steps_since;
  cost_curve cost;             /* of steps on it */
  char *fall_note;        /* owned: why the CPU has taken over, or NULL */
  int max_rows;           /* of a step on the first backend; the CPU after it takes no more */
  struct {                /* for tests: see engine__fail_* */
    int step_status, step_after;
    int opens;
  } inject;

  /* Read by any thread. */
  engine_info info[2];    /* as opened; and after falling back to the CPU. Written once each */
  _Atomic(const engine_info *) info_now;
  char *notes[2];         /* owned; what info borrows */
  char *descriptions[2];
  atomic_bool loaded, fell_back;
  atomic_int loads, unloads, failures;
  _Atomic(double) load_ms;

  pthread_t thread;
  bool thread_started;
  pthread_mutex_t mutex; /* guards all below */
  pthread_cond_t wake;   /* of CLOCK_MONOTONIC */
  engine_job *first, **last;
  bool closing;
  int unload_after_ms;
};

/* tokens[0..n-1] is the text the session stands for; the keys and values of the first n_cached
 * are in the cache. n - n_cached: 0 or what the next step computes; after the device went, all. */
struct engine_session {
  engine *engine;
  engine_session *next;
  kernels_cache *cache; /* NULL until it is needed, and after the device went */
  int32_t *tokens; /* [context] owned */
  int32_t *pos;    /* [engine's max_rows] owned scratch */
  int n, n_cached;
  int context;
  engine_drafter *drafter; /* owned: made when first asked for; or NULL */
  forward_errand meanwhile; /* the caller's, for the next step */
};


/* ---- the device (device.c) ------------------------------------------------------------- */

/* The first load, by options.backend: "auto" takes the GPU where there is one. */
int engine__device_open(engine *e, const char *backend, char *err, size_t errlen);
/* Frees weights and all sessions' caches. */
void engine__device_close(engine *e);
/* Brings the weights to the device if they are not there: after an unload, or after a failure,
 * which is answered by restarting the device, and the second time by the CPU. */
int engine__device_ready(engine *e);
/* A session's cache, on a device that is ready. */
int engine__device_cache(engine *e, int tokens, kernels_cache **out);
/* forward_step, and a look at what it says about the device. */
int engine__device_step(engine *e, kernels_cache *cache, const kernels_batch *batch,
                        const forward_errand *errand, kernels_result *result);

/* For tests: the step after `after` more ones gives the status; the next `count` times that the
 * backend is opened it fails, the fall back to the CPU not counted. On the engine thread. */
void engine__fail_step(engine *e, int status, int after);
void engine__fail_open(engine *e, int count);

/* ---- sessions -------------------------------------------------------------------------- */

/* Device and cache are there. They may be new, and then n_cached is 0. */
int engine__session_ready(engine_session *s);
/* Computes tokens[n_cached..upto-1] and, if result is given, the last one's logits. Reads cancel
 * between chunks. */
int engine__session_compute(engine_session *s, int upto, const atomic_bool *cancel,
                            bool want_logits, kernels_result *result);

/* Runs the errand that the session was given, if there is one still. */
void engine__session_meanwhile(engine_session *s);

/* Milliseconds of a steady clock. */
double engine__now_ms(void);

#endif
