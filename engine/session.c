/* session.c - one KV cache, the tokens in it, and the reuse of what they have in common with
 * the next prompt. */
#include <stdlib.h>
#include <string.h>

#include "engine/draft.h"
#include "engine/internal.h"

int engine_session_new(engine *e, engine_session **out) {
  *out = NULL;
  engine_session *s = calloc(1, sizeof *s);
  if (s == NULL) return ENGINE_ENOMEM;
  s->engine = e;
  s->context = e->info[0].context;
  s->next = e->sessions;
  e->sessions = s;
  s->tokens = malloc((size_t)s->context * sizeof *s->tokens);
  s->pos = malloc((size_t)e->max_rows * sizeof *s->pos);
  int rc = s->tokens == NULL || s->pos == NULL ? ENGINE_ENOMEM : ENGINE_OK;
  /* Where the device is idle, it is not woken for a session that may never be used. */
  if (rc == ENGINE_OK && e->forward != NULL && e->failed == 0) rc = engine__session_ready(s);
  if (rc != ENGINE_OK) {
    engine_session_delete(s);
    return rc;
  }
  *out = s;
  return ENGINE_OK;
}

void engine_session_delete(engine_session *s) {
  if (s == NULL) return;
  for (engine_session **p = &s->engine->sessions; *p != NULL; p = &(*p)->next)
    if (*p == s) {
      *p = s->next;
      break;
    }
  kernels_cache_free(s->engine->kernels, s->cache);
  engine_drafter_delete(s->drafter);
  free(s->tokens);
  free(s->pos);
  free(s);
}

int engine__session_ready(engine_session *s) {
  int rc = engine__device_ready(s->engine);
  if (rc != ENGINE_OK || s->cache != NULL) return rc;
  s->n_cached = 0;
  return engine__device_cache(s->engine, s->context, &s->cache);
}

const int32_t *engine_session_tokens(const engine_session *s, int *n) {
  *n = s->n_cached;
  return s->tokens;
}

void engine_session_meanwhile(engine_session *s, void (*run)(void *user), void *user) {
  s->meanwhile = (forward_errand){.run = run, .user = user};
}

void engine__session_meanwhile(engine_session *s) {
  forward_errand errand = s->meanwhile;
  s->meanwhile = (forward_errand){0};
  if (errand.run != NULL) errand.run(errand.user);
}

static void in_step(void *user) { engine__session_meanwhile(user); }

static void in_last_step(void *user) {
  engine__tell_drafter(user);
  engine__session_meanwhile(user);
}

int engine__session_compute(engine_session *s, int upto, const atomic_bool *cancel,
                            bool want_logits, kernels_result *result) {
  int rc = engine__session_ready(s);
  if (rc != ENGINE_OK) return rc;
  int max = kernels_max_batch(s->engine->kernels);
  while (s->n_cached < upto) {
    if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
      return ENGINE_ECANCELLED;
    int n = upto - s->n_cached < max ? upto - s->n_cached : max;
    int32_t last = n - 1;
    bool end = s->n_cached + n == upto, head = result != NULL && end;
    forward_errand errand = {.run = end ? in_last_step : in_step, .user = s};
    for (int i = 0; i < n; i++) s->pos[i] = s->n_cached + i;
    kernels_batch batch = {
        .n = n,
        .ids = s->tokens + s->n_cached,
        .pos = s->pos,
        .kv_len = s->n_cached,
        .n_out = head ? 1 : 0,
        .out = &last,
        .top_k = 1,
        .want_logits = want_logits,
    };
    rc = engine__device_step(s->engine, s->cache, &batch, &errand, head ? result : NULL);
    if (rc != ENGINE_OK) {
      s->n = s->n_cached = 0; /* what the cache holds is not known any more */
      return rc;
    }
    s->n_cached += n;
  }
  return ENGINE_OK;
}

int engine_session_sync(engine_session *s, const int32_t *tokens, int n,
                        const atomic_bool *cancel, int *computed) {
  if (computed != NULL) *computed = 0;
  if (n < 1) return ENGINE_EINVAL;
  if (n > s->context) return ENGINE_ETOOLONG;
  for (int i = 0; i < n; i++)
    if (tokens[i] < 0 || tokens[i] >= s->engine->info[0].vocab) return ENGINE_EINVAL;
  if (s->engine->forward == NULL && cancel != NULL && atomic_load(cancel))
    return ENGINE_ECANCELLED; /* not worth a load */
  int rc = engine__session_ready(s);
  if (rc != ENGINE_OK) return rc;
  int same = 0, most = s->n_cached < n - 1 ? s->n_cached : n - 1;
  while (same < most && s->tokens[same] == tokens[same]) same++;
  if (computed != NULL) *computed = n - same;
  s->n_cached = same;
  memmove(s->tokens + same, tokens + same, (size_t)(n - same) * sizeof *tokens);
  s->n = n;
  rc = engine__session_compute(s, n - 1, cancel, false, NULL);
  if (rc != ENGINE_OK) s->n = s->n_cached;
  return rc;
}

int engine_session_logits(engine_session *s, float *logits) {
  if (s->n < 1) return ENGINE_EINVAL;
  if (s->n_cached == s->n) s->n_cached--;
  kernels_result r;
  int rc = engine__session_compute(s, s->n, NULL, true, &r);
  if (rc != ENGINE_OK) return rc;
  memcpy(logits, r.logits, (size_t)s->engine->info[0].vocab * sizeof *logits);
  return ENGINE_OK;
}
