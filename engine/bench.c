/* bench.c - single steps of the engine's own forward pass, for `fimd bench engine`. */
#include "engine/family.h"
#include "engine/internal.h"

int engine_bench_max_batch(const engine *e) { return e->max_rows; }

int engine_bench_exact_rows(const engine *e) {
  return e->kernels != NULL ? kernels_exact_rows(e->kernels) : 0;
}

double engine_bench_copy_bandwidth(const engine *e) {
  return e->kernels != NULL ? kernels_copy_bandwidth(e->kernels) : 0;
}

int engine_bench_step(engine_session *s, int kv_len, int n, int n_out, double *ms) {
  engine *e = s->engine;
  int32_t out[ENGINE__OUT_MOST];
  int rc = engine__session_ready(s);
  if (rc != ENGINE_OK) return rc;
  if (n < 1 || n > kernels_max_batch(e->kernels) || n_out < 0 || n_out > n ||
      n_out > e->options.max_out || n_out > ENGINE__OUT_MOST)
    return ENGINE_EINVAL;
  if (kv_len < 0 || kv_len > s->n_cached || kv_len > s->context - n) return ENGINE_EINVAL;
  for (int i = 0; i < n; i++) {
    uint32_t scattered = (uint32_t)(kv_len + i + 1) * UINT32_C(2654435761);
    s->tokens[kv_len + i] = (int32_t)(scattered % (uint32_t)e->info[0].vocab);
    s->pos[i] = kv_len + i;
  }
  for (int i = 0; i < n_out; i++) out[i] = n - n_out + i;
  kernels_batch batch = {
      .n = n,
      .ids = s->tokens + kv_len,
      .pos = s->pos,
      .kv_len = kv_len,
      .n_out = n_out,
      .out = out,
      .top_k = 1,
  };
  s->n = s->n_cached = 0; /* unless it succeeds */
  double start = engine__now_ms();
  rc = engine__device_step(e, s->cache, &batch, NULL, NULL);
  *ms = engine__now_ms() - start;
  if (rc == ENGINE_OK) s->n = s->n_cached = kv_len + n;
  return rc;
}

engine_bench_cost engine_bench_step_cost(const engine_session *s, int kv_len, int n, int n_out) {
  const engine *e = s->engine;
  const kernels_shape *h = &e->model->shape;
  const forward_size *size = &e->size;
  double q = (double)h->heads * h->head_dim;
  double layer = (double)family_layer_elements(h);
  double attended = (double)n * kv_len + (double)n * (n + 1) / 2;
  engine_bench_cost c = {.bytes = size->layers + (n_out > 0 ? size->head : 0)};
  if (e->kernels != NULL) c.bytes += kernels_cache_bytes(e->kernels, kv_len + n);
  c.flops = 2 * h->layers * (layer * n + 2 * q * attended) + 2.0 * h->vocab * h->hidden * n_out;
  return c;
}
