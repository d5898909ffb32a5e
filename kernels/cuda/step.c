/* step.c - one forward pass: the host's numbers, the launches of the ops, recording and replay.
 *
 * A step of at most CUDA_EXACT tokens that the caller has given a plan is launched as it comes the
 * first time (when it takes memory, too, which must not be recorded), recorded into a graph the
 * second time, and replayed from then on: one launch a step. All that changes between replays
 * (tokens, positions, lengths, the tree) the kernels read from memory; grids are made for the
 * padded sizes that are part of the graph's key. The answer is written to host memory by the last
 * kernel, so the host only looks. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/state.h"

enum { KV_LEAST = 1024, SPINS = 2000 };

static int fail(cuda_backend *c, cudaError_t e) {
  if (e != cudaSuccess && c->error == cudaSuccess) c->error = e;
  return cuda__check(c, e);
}

/* At the end of an op: launches may be early again. */
static int done(cuda_backend *c, int status) {
  c->d.early = true;
  return status;
}

/* ---- beginning ----------------------------------------------------------------------------- */

/* Groups of 8 tokens that n tokens are padded to. */
static int groups_of(int n) {
  if (n > CUDA_EXACT) return (n + CUDA_PAD - 1) / CUDA_PAD * (CUDA_PAD / 8);
  int groups = 1;
  while (groups * 8 < n) groups *= 2;
  return groups;
}

/* Of n tokens' activations for a matrix of so many columns. */
static int layout_of(const cuda_backend *c, int n, int cols) {
  if (n > CUDA_EXACT) return c->prefill_layout;
  return cuda__gemm_layout(&c->d, groups_of(n), cols);
}

/* The rows that grids are made for: one, or whole groups. */
int cuda__padded_rows(int n) { return n <= 1 || n > CUDA_EXACT ? n : groups_of(n) * 8; }

static void put_tree(cuda_step *s, const kernels_batch *b) {
  int words = (b->n + 63) / 64;
  s->tree = b->mask != NULL && b->n > 1;
  for (int i = 0; s->tree && i < b->n; i++) {
    int count = 0;
    for (int j = 0; j < i; j++)
      if (b->mask[i * words + j / 64] >> (j % 64) & 1) s->ancestor[i][count++] = (uint8_t)j;
    s->ancestors[i] = count;
  }
}

static void put_input(cuda_backend *c, const kernels_batch *b) {
  cuda_input *in = c->input;
  in->step.n = b->n;
  in->step.kv_len = b->kv_len;
  in->step.n_out = b->n_out;
  put_tree(&in->step, b);
  memcpy(in->ids, b->ids, (size_t)b->n * sizeof *b->ids);
  memcpy(in->pos, b->pos, (size_t)b->n * sizeof *b->pos);
  if (b->n_out > 0) memcpy(in->out, b->out, (size_t)b->n_out * sizeof *b->out);
  in->number++;
}

static int kv_most(const kernels *k, int most) {
  int bound = KV_LEAST;
  while (bound < most) bound *= 2;
  return bound < k->cache->tokens ? bound : k->cache->tokens;
}

static bool same_key(const graph_key *a, const graph_key *b) {
  return a->plan == b->plan && a->cache == b->cache && a->rows == b->rows &&
         a->out_rows == b->out_rows && a->top_k == b->top_k && a->kv_most == b->kv_most &&
         a->out_all == b->out_all && a->sums == b->sums;
}

static graph_entry *find_graph(cuda_backend *c, const graph_key *key) {
  for (int i = 0; i < c->n_graphs; i++)
    if (same_key(&c->graphs[i].key, key)) return &c->graphs[i];
  return NULL;
}

void cuda__graphs_drop(cuda_backend *c, uint32_t cache) {
  int kept = 0;
  for (int i = 0; i < c->n_graphs; i++) {
    graph_entry *e = &c->graphs[i];
    if (cache != 0 && e->key.cache != cache) {
      c->graphs[kept++] = *e;
      continue;
    }
    if (e->exec) {
      cudaStreamSynchronize(c->d.stream);
      cudaGraphExecDestroy(e->exec);
    }
  }
  c->n_graphs = kept;
}

/* Replays, begins to record, or (until a step has run to its end) neither. 1 if it was replayed. */
static int plan_step(cuda_backend *c, const kernels_batch *b) {
  const cuda_cache *cache = (const cuda_cache *)c->head.cache;
  c->key = (graph_key){b->plan, cache->identity, c->rows, c->out_rows,
                       b->n_out > 0 ? b->top_k : 0, c->kv_most, c->out_all,
                       b->n_out > 0 && b->want_logsumexp};
  graph_entry *e = find_graph(c, &c->key);
  if (!e) {
    if (c->n_graphs == GRAPHS) cuda__graphs_drop(c, 0);
    e = &c->graphs[c->n_graphs++];
    *e = (graph_entry){.key = c->key};
  }
  if (!e->whole) {
    c->launching = true;
    return 0;
  }
  if (e->exec) {
    int rc = fail(c, cudaGraphLaunch(e->exec, c->d.stream));
    return rc ? rc : 1;
  }
  int rc = fail(c, cudaStreamBeginCapture(c->d.stream, cudaStreamCaptureModeThreadLocal));
  if (rc) return rc;
  c->capturing = true;
  c->recording = e;
  return 0;
}

/* Takes the stream out of a recording that comes to nothing. */
static void abandon_recording(cuda_backend *c) {
  cudaGraph_t graph = NULL;
  if (!c->capturing) return;
  c->capturing = false;
  cudaStreamEndCapture(c->d.stream, &graph);
  if (graph) cudaGraphDestroy(graph);
  cudaGetLastError(); /* that it was invalid is known */
}

int cuda__begin(kernels *k) {
  cuda_backend *c = cuda__of(k);
  const kernels_batch *b = &k->batch;
  abandon_recording(c); /* of a step that never came to its end */
  if (c->raw) cuda__staging_free(c); /* the weights are loaded */
  if ((b->mask && b->n > CUDA_EXACT) || b->n_out > CUDA_EXACT) return KERNELS_EINVAL;
  c->error = cudaSuccess;
  c->capturing = c->launching = c->sent = false;
  c->normed_x = c->normed_by = NULL;
  c->d.early = true;
  c->n = b->n;
  c->groups = groups_of(b->n);
  c->layout = layout_of(c, b->n, k->shape.hidden);
  c->out_groups = b->n_out > 0 ? groups_of(b->n_out) : 0;
  c->out_all = b->n_out == b->n && b->n <= CUDA_EXACT; /* ascending, so all in order */
  c->rows = cuda__padded_rows(b->n);
  c->out_rows = cuda__padded_rows(b->n_out);
  c->kv_most = kv_most(k, b->kv_len + c->rows);
  put_input(c, b);
  if (b->plan == 0 || b->n > CUDA_EXACT) return KERNELS_OK;
  return plan_step(c, b);
}

/* ---- the ops --------------------------------------------------------------------------------- */

static cuda_embed numbers_of(const cuda_backend *c) {
  return (cuda_embed){.input = c->input, .ids = c->input->ids, .pos = c->input->pos,
                      .out_rows = c->input->out, .ids_here = c->ids, .pos_here = c->pos,
                      .step = c->step, .number = c->number,
                      .out = c->out, .frequency = c->frequency, .turn = c->turn,
                      .half = c->head.shape.head_dim / 2,
                      .n = c->rows, .n_out = c->out_rows};
}

int cuda__op_embed(kernels *k, const kernels_weight *table, kernels_buffer *x,
                   const kernels_buffer *next) {
  cuda_backend *c = cuda__of(k);
  const cuda_weight *w = (const cuda_weight *)table;
  const cuda_segment *s = &w->segment[0];
  cuda_buffer *to = (cuda_buffer *)x;
  int rc = cuda__buffer_plain(c, to);
  if (rc) return rc;
  c->normed.groups = c->groups;
  c->normed.layout = c->layout;
  c->normed_x = next ? x : NULL;
  c->normed_by = next;
  c->sent = true;
  cuda_embed e = numbers_of(c);
  c->d.early = false; /* of the launch after this: see device.cuh */
  e.w = s->w;
  e.scale = s->scale;
  e.kind = (int)s->kind;
  e.units = w->units;
  e.width = k->shape.hidden;
  e.x = to->plain;
  e.norm = next ? ((const cuda_buffer *)next)->plain : NULL;
  e.normed = c->normed;
  return fail(c, cuda__embed(&c->d, &e));
}

/* The step's numbers, where its ops do not begin with embed (only tests do so). */
static int send_numbers(cuda_backend *c) {
  if (c->sent) return KERNELS_OK;
  c->sent = true;
  cuda_embed e = numbers_of(c);
  int rc = fail(c, cuda__embed(&c->d, &e));
  c->d.early = false;
  return rc;
}

/* x in the form that its norm's op reads, if the op before has not left it so. */
static int prepare(cuda_backend *c, const kernels_buffer *x, const kernels_buffer *norm) {
  int rc = send_numbers(c);
  if (rc || (c->normed_x == x && c->normed_by == norm)) return rc;
  c->normed.groups = c->groups;
  c->normed.layout = c->layout;
  c->normed_x = x;
  c->normed_by = norm;
  return fail(c, cuda__prepare(&c->d, c->step, c->rows,
                               ((const cuda_buffer *)x)->plain, c->head.shape.hidden,
                               ((const cuda_buffer *)norm)->plain, &c->normed));
}

static cuda_gemm gemm_of(const cuda_backend *c, const cuda_weight *w, cuda_op op) {
  return (cuda_gemm){.op = (int)op, .units = w->units, .groups = c->groups, .layout = c->layout,
                     .count = &c->step->n, .step = c->step, .eps = c->head.shape.rms_eps,
                     .ss_stride = c->normed.ss_stride};
}

static void from_normed(cuda_gemm *g, const cuda_backend *c, const cuda_normed *normed) {
  g->b = normed->packed;
  g->inverse = 1 / CUDA_NORMED_SCALE;
  g->ss = normed->ss;
  g->ss_width = c->head.shape.hidden;
  g->ss_tiles = (g->ss_width + CUDA_TILE - 1) / CUDA_TILE;
}

static int run_gemm(cuda_backend *c, const cuda_weight *w, cuda_gemm *g, bool prefill) {
  for (int i = 0; i < w->n_segments; i++) {
    const cuda_segment *s = &w->segment[i];
    g->w = s->w;
    g->scale = s->scale;
    g->kind = (int)s->kind;
    g->tile0 = s->tile0;
    g->tiles = s->tiles;
    int rc = fail(c, prefill ? cuda__gemm_prefill(&c->d, g) : cuda__gemm(&c->d, g));
    if (rc) return rc;
  }
  return KERNELS_OK;
}

int cuda__op_qkv(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
                 const kernels_weight *weight, const kernels_buffer *bias, kernels_buffer *q) {
  cuda_backend *c = cuda__of(k);
  const cuda_cache *cache = (const cuda_cache *)k->cache;
  const cuda_weight *w = (const cuda_weight *)weight;
  cuda_buffer *to = (cuda_buffer *)q;
  int rc = cuda__buffer_plain(c, to);
  if (!rc) rc = prepare(c, x, norm);
  if (rc) return rc;
  cuda_gemm g = gemm_of(c, w, CUDA_OP_QKV);
  from_normed(&g, c, &c->normed);
  g.rows = (int)weight->rows;
  g.bias = bias ? ((const cuda_buffer *)bias)->plain : NULL;
  g.turn = c->turn;
  g.q = to->plain;
  g.keys = cache->data + (size_t)layer * cache->layer;
  g.values = (char *)g.keys + cache->layer / 2;
  g.heads = k->shape.heads;
  g.kv_heads = k->shape.kv_heads;
  g.head_dim = k->shape.head_dim;
  g.slots = cache->head.tokens;
  return done(c, run_gemm(c, w, &g, c->n > CUDA_EXACT));
}

int cuda__op_attend(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a) {
  cuda_backend *c = cuda__of(k);
  const cuda_cache *cache = (const cuda_cache *)k->cache;
  const kernels_shape *s = &k->shape;
  cuda_buffer *to = (cuda_buffer *)a;
  int rc = cuda__buffer_packed(c, to, s->heads * s->head_dim);
  if (!rc) rc = send_numbers(c);
  if (rc) return rc;
  to->rows = c->n;
  to->groups = c->groups;
  to->layout = layout_of(c, c->n, to->width);
  const char *keys = cache->data + (size_t)layer * cache->layer;
  cuda_attend args = {.q = ((const cuda_buffer *)q)->plain, .keys = keys,
                      .values = keys + cache->layer / 2, .heads = s->heads,
                      .kv_heads = s->kv_heads, .head_dim = s->head_dim,
                      .slots = cache->head.tokens, .step = c->step, .n = c->rows,
                      .kv_most = c->kv_most, .packed = to->packed, .groups = c->groups,
                      .layout = to->layout, .partials = c->partials};
  return done(c, fail(c, c->n > CUDA_EXACT ? cuda__attend_prefill(&c->d, &args)
                                           : cuda__attend(&c->d, &args)));
}

int cuda__op_project(kernels *k, const kernels_buffer *y, const kernels_weight *weight,
                     kernels_buffer *x, const kernels_buffer *next) {
  cuda_backend *c = cuda__of(k);
  const cuda_weight *w = (const cuda_weight *)weight;
  cuda_buffer *from = (cuda_buffer *)(uintptr_t)y;
  int rc = send_numbers(c), width = (int)weight->cols, layout = layout_of(c, c->n, width);
  if (!rc && !from->is_packed) {
    rc = cuda__buffer_packed(c, from, width);
    if (!rc)
      rc = fail(c, cuda__pack_rows(&c->d, c->step, c->rows, from->plain, width,
                                   CUDA_INNER_SCALE, from->packed, c->groups, layout));
    from->is_packed = false;
  }
  if (rc) return rc;
  cuda_gemm g = gemm_of(c, w, CUDA_OP_PROJECT);
  g.b = from->packed;
  g.layout = layout;
  g.inverse = 1 / CUDA_INNER_SCALE;
  g.rows = k->shape.hidden;
  g.x = ((cuda_buffer *)x)->plain;
  if (next) {
    g.norm = ((const cuda_buffer *)next)->plain;
    g.packed = c->normed.packed;
    g.ss_out = c->normed.ss;
    g.out_layout = c->layout;
    c->normed.groups = c->groups;
    c->normed.layout = c->layout;
  }
  c->normed_x = next ? x : NULL;
  c->normed_by = next;
  return done(c, run_gemm(c, w, &g, c->n > CUDA_EXACT));
}

int cuda__op_gate_up(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                     const kernels_weight *weight, kernels_buffer *h) {
  cuda_backend *c = cuda__of(k);
  const cuda_weight *w = (const cuda_weight *)weight;
  cuda_buffer *to = (cuda_buffer *)h;
  int rc = cuda__buffer_packed(c, to, k->shape.intermediate);
  if (!rc) rc = prepare(c, x, norm);
  if (rc) return rc;
  to->rows = c->n;
  to->groups = c->groups;
  to->layout = layout_of(c, c->n, k->shape.intermediate);
  cuda_gemm g = gemm_of(c, w, CUDA_OP_GATE_UP);
  from_normed(&g, c, &c->normed);
  g.rows = k->shape.intermediate;
  g.packed = to->packed;
  g.out_layout = to->layout;
  return done(c, run_gemm(c, w, &g, c->n > CUDA_EXACT));
}

int cuda__op_head(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                  const kernels_weight *weight) {
  cuda_backend *c = cuda__of(k);
  const cuda_weight *w = (const cuda_weight *)weight;
  int rc = prepare(c, x, norm);
  if (rc) return rc;
  const cuda_normed *rows = &c->normed;
  if (!c->out_all) {
    rows = &c->out_normed;
    c->out_normed.groups = c->out_groups;
    c->out_normed.layout = layout_of(c, c->out_rows, k->shape.hidden);
    rc = fail(c, cuda__gather(&c->d, c->step, c->out, c->out_rows, k->shape.hidden,
                              &c->normed, rows));
    if (rc) return rc;
  }
  cuda_gemm g = gemm_of(c, w, CUDA_OP_HEAD);
  from_normed(&g, c, rows);
  g.ss_stride = rows->ss_stride;
  g.groups = c->out_groups;
  g.layout = rows->layout;
  g.count = &c->step->n_out;
  g.rows = k->shape.vocab;
  g.logits = c->logits;
  rc = done(c, run_gemm(c, w, &g, false));
  const float2 *sums = k->batch.want_logsumexp ? c->sums : NULL;
  if (!rc && sums)
    rc = fail(c, cuda__sums(&c->d, c->step, c->out_rows, k->shape.vocab, c->logits, c->sums));
  if (rc) return rc;
  return fail(c, cuda__top_k(&c->d, c->step, c->out_rows, k->shape.vocab, k->batch.top_k,
                             c->logits, c->candidates, sums, c->finished, c->number, c->output));
}

/* ---- the end ------------------------------------------------------------------------------- */

static int finish_recording(cuda_backend *c) {
  cudaGraph_t graph = NULL;
  c->capturing = false;
  int rc = fail(c, cudaStreamEndCapture(c->d.stream, &graph));
  if (!rc) rc = fail(c, cudaGraphInstantiate(&c->recording->exec, graph, 0));
  if (graph) cudaGraphDestroy(graph);
  if (!rc) rc = fail(c, cudaGraphLaunch(c->recording->exec, c->d.stream));
  return rc;
}

/* Until the device has written the answer, or has stopped. */
static int wait_for_answer(cuda_backend *c) {
  while (c->output->done != c->input->number) {
    for (int i = 0; i < SPINS && c->output->done != c->input->number; i++) __builtin_ia32_pause();
    if (c->output->done == c->input->number) break;
    cudaError_t e = cudaStreamQuery(c->d.stream);
    if (e == cudaSuccess) /* all is done: the answer is there now or never */
      return c->output->done == c->input->number ? KERNELS_OK : fail(c, cudaErrorUnknown);
    if (e != cudaErrorNotReady) return fail(c, e);
  }
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return KERNELS_OK;
}

static int fetch_logits(cuda_backend *c) {
  size_t row = (size_t)c->head.shape.vocab * sizeof(float);
  if (!c->host_logits) {
    int rc = cuda__status(cudaMallocHost((void **)&c->host_logits,
                                         row * (size_t)c->head.options.max_out));
    if (rc) return rc;
  }
  cudaError_t e = cudaMemcpyAsync(c->host_logits, c->logits, row * (size_t)c->head.batch.n_out,
                                  cudaMemcpyDeviceToHost, c->d.stream);
  if (e == cudaSuccess) e = cudaStreamSynchronize(c->d.stream);
  return fail(c, e);
}

int cuda__end(kernels *k, kernels_result *result) {
  cuda_backend *c = cuda__of(k);
  bool given_up = k->batch.n_out > 0 && result->n_out == 0;
  if (given_up || c->error != cudaSuccess) abandon_recording(c);
  int rc = c->capturing ? finish_recording(c) : KERNELS_OK;
  if (!rc) rc = cuda__status(c->error);
  if (!rc && result->n_out > 0 && k->batch.n <= CUDA_EXACT)
    rc = wait_for_answer(c);
  else if (!rc)
    rc = fail(c, cudaStreamSynchronize(c->d.stream));
  if (!rc && result->n_out > 0 && k->batch.want_logits) rc = fetch_logits(c);
  if (rc) {
    cuda__graphs_drop(c, 0);
    return rc;
  }
  graph_entry *e = c->launching && !given_up ? find_graph(c, &c->key) : NULL;
  if (e) e->whole = true;
  c->launching = false;
  result->top_ids = c->output->ids;
  result->top_logits = c->output->logits;
  result->logits = result->n_out > 0 && k->batch.want_logits ? c->host_logits : NULL;
  result->logsumexp = result->n_out > 0 && k->batch.want_logsumexp ? c->output->logsumexp : NULL;
  return KERNELS_OK;
}

/* By way of pinned memory, which is not written to behind anyone's back. */
static int fetch(cuda_backend *c, int row, int32_t id, size_t n, float *to) {
  const float *from = c->logits + (size_t)row * (size_t)c->head.shape.vocab + (size_t)id;
  cudaError_t e =
      cudaMemcpyAsync(to, from, n * sizeof *from, cudaMemcpyDeviceToHost, c->d.stream);
  if (e == cudaSuccess) e = cudaStreamSynchronize(c->d.stream);
  return cuda__check(c, e);
}

int cuda__logit(kernels *k, int row, int32_t id, float *out) {
  cuda_backend *c = cuda__of(k);
  int rc = fetch(c, row, id, 1, &c->output->logit);
  *out = c->output->logit;
  return rc;
}

int cuda__logits(kernels *k, int row, const float **out) {
  cuda_backend *c = cuda__of(k);
  size_t n = (size_t)k->shape.vocab;
  int rc = KERNELS_OK;
  if (!c->host_row) rc = cuda__status(cudaMallocHost((void **)&c->host_row, n * sizeof(float)));
  if (!rc) rc = fetch(c, row, 0, n, c->host_row);
  *out = c->host_row;
  return rc;
}
