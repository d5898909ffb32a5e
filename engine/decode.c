/* decode.c - the decode loop: one forward pass a token, until something says stop.
 *
 * The cancel flag is read before every step, so a cancelled request costs at most the step that
 * is under way. */
#include "engine/internal.h"
#include "engine/sampler.h"

static int check_params(const engine_session *s, const engine_generate_params *p) {
  bool bad = s->n < 1 || p->max_tokens < 0 || !(p->temperature >= 0 && p->temperature <= 100) ||
             !(p->top_p >= 0 && p->top_p <= 1);
  return bad ? ENGINE_EINVAL : ENGINE_OK;
}

/* The stop reason that already holds before the next step, or ENGINE_STOP_NONE. */
static engine_stop_reason before_step(const engine_generate_params *p, const atomic_bool *cancel,
                                      int generated) {
  if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
    return ENGINE_STOP_CANCELLED;
  return generated >= p->max_tokens ? ENGINE_STOP_MAX : ENGINE_STOP_NONE;
}

int engine_session_generate(engine_session *s, const engine_generate_params *params,
                            const atomic_bool *cancel,
                            int (*on_tokens)(void *user, const int32_t *ids, int n),
                            void *user, engine_generate_result *result) {
  engine_generate_result r = {0};
  bool sample = params->temperature > 0;
  sampler draw = {0};
  double start = engine__now_ms();
  int rc = check_params(s, params);
  if (rc == ENGINE_OK && sample)
    rc = sampler_init(&draw, s->engine->info[0].vocab, params->temperature, params->top_p,
                      params->seed);
  if (rc == ENGINE_OK && s->n_cached == s->n) s->n_cached--; /* the last token gives the logits */
  while (rc == ENGINE_OK) {
    r.stop = before_step(params, cancel, r.tokens);
    if (r.stop != ENGINE_STOP_NONE) break;
    kernels_result step;
    rc = engine__session_compute(s, s->n, NULL, sample, &step);
    if (rc != ENGINE_OK) break;
    r.steps++;
    int32_t id = sample ? sampler_draw(&draw, step.logits, NULL) : step.top_ids[0];
    if (!params->ignore_stop && engine_token_is_stop(s->engine, id)) {
      r.stop = ENGINE_STOP_TOKEN;
      break;
    }
    if (r.tokens++ == 0) r.first_ms = engine__now_ms() - start;
    if (s->n < s->context) s->tokens[s->n++] = id;
    bool full = s->n_cached == s->n; /* no room for the token's own keys and values */
    if (on_tokens != NULL && on_tokens(user, &id, 1) != 0) {
      r.stop = ENGINE_STOP_CALLER;
      break;
    }
    if (full) {
      r.stop = r.tokens >= params->max_tokens ? ENGINE_STOP_MAX : ENGINE_STOP_CONTEXT;
      break;
    }
  }
  r.total_ms = engine__now_ms() - start;
  sampler_free(&draw);
  if (result != NULL) *result = r;
  return rc;
}
