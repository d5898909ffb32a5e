/* bench_cuda.c - times forward passes at true shapes over the ops of kernels/, random weights.
 *
 *   bench_cuda [--backend cuda] [--shape 1.5b] [--type BF16] [--context 2048] [--runs 100] [--ops]
 *              [--steps N,N] [--prefill N,N] [--no-prefill] [--tree] [--gap 0]
 *
 * Wall time of a whole step as the engine does it: numbers in, launch, answer back. All layers
 * have the same random matrices in host memory, but each its own on the device. --ops: what each
 * op takes, all layers' of it one after another. --prefill: multiples of 64, in place of 512 and
 * 2,048. --runs: of a step, per figure (the median of them). --steps: of so many tokens alone.
 * --tree: steps of 2 to 128 tokens are trees (row i hangs on row i / 2), as drafts are, and not one
 * row after another. --gap: milliseconds of rest before each step, as between keystrokes: an idle
 * GPU lowers its clocks. */
#include <unistd.h>

#include "tests/bench/timing.h"
#include "tests/kernels/toy.h"

static const struct {
  const char *name;
  int layers, hidden, heads, kv_heads, head_dim, intermediate, vocab;
} sizes[] = {{"mini", 16, 384, 6, 2, 64, 1024, 16384},      {"0.5b", 24, 896, 14, 2, 64, 4864, 151936},
             {"1.5b", 28, 1536, 12, 2, 128, 8960, 151936},  {"3b", 36, 2048, 16, 2, 128, 11008, 151936},
             {"7b", 28, 3584, 28, 4, 128, 18944, 152064},   {"14b", 48, 5120, 40, 8, 128, 13824, 152064},
             {"32b", 64, 5120, 40, 8, 128, 27648, 152064}};

/* Cheap random blocks: one megabyte of them, again and again. */
static kernels_matrix matrix(toy_random *r, kernels_type type, int64_t rows, int64_t cols) {
  kernels_matrix m = {.type = type, .rows = rows, .cols = cols};
  int64_t bytes = kernels_matrix_bytes(&m), block = kernels_type_block_bytes(type);
  int64_t some = (1 << 20) / block * block;
  if (some > bytes) some = bytes;
  char *data = toy_alloc((size_t)bytes);
  kernels_matrix few = toy_matrix(r, type, 1, some / block * kernels_type_block_elements(type));
  const char *from = few.data;
  for (int64_t i = 0; i < bytes; i += some)
    memcpy(data + i, from, (size_t)(bytes - i < some ? bytes - i : some));
  free((void *)(uintptr_t)few.data);
  m.data = data;
  return m;
}

static toy_model big_model(toy_random *r, const kernels_shape *s, kernels_type type) {
  toy_model m = {.shape = *s};
  int q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
  toy_layer l = {.o = matrix(r, type, s->hidden, q), .down = matrix(r, type, s->hidden, s->intermediate)};
  l.qkv[0] = matrix(r, type, q, s->hidden);
  l.qkv[1] = l.qkv[2] = matrix(r, type, kv, s->hidden);
  l.gate_up[0] = l.gate_up[1] = matrix(r, type, s->intermediate, s->hidden);
  l.attn_norm = l.mlp_norm = m.final_norm = toy_floats(r, (size_t)s->hidden, 1, 0.02f);
  l.bias = toy_floats(r, (size_t)(q + 2 * kv), 0, 0.1f);
  m.embedding = matrix(r, type, s->vocab, s->hidden);
  m.layers = toy_alloc((size_t)s->layers * sizeof l);
  for (int i = 0; i < s->layers; i++) m.layers[i] = l;
  return m;
}

enum { MOST = 8192, RUNS = 400 };
static int32_t ids[MOST], pos[MOST], rows[MOST];
static int runs = 100, gap;
static bool trees;

/* The batch's positions, and where trees are wanted its mask. */
static void lay(kernels_batch *b) {
  static uint64_t mask[128 * 2];
  int words = (b->n + 63) / 64;
  bool tree = trees && b->n > 1 && b->n <= 128;
  if (tree) memset(mask, 0, sizeof mask);
  for (int i = 0; i < b->n; i++) {
    pos[i] = b->kv_len + i;
    if (!tree || i == 0) continue;
    int above = i / 2;
    memcpy(mask + i * words, mask + above * words, (size_t)words * sizeof *mask);
    mask[i * words + above / 64] |= UINT64_C(1) << (above % 64);
    pos[i] = pos[above] + 1;
  }
  b->pos = pos;
  b->mask = tree ? mask : NULL;
}

static double time_step(toy_device *d, int n, int kv_len, int n_out) {
  static double ms[RUNS], launch[RUNS];
  for (int i = 0; i < n; i++) rows[i] = n_out == n ? i : n - 1;
  kernels_batch b = {.n = n, .ids = ids, .kv_len = kv_len, .n_out = n_out, .out = rows, .top_k = 1};
  lay(&b);
  kernels_result result;
  int few = n > 128 ? 8 : runs;
  for (int i = -4; i < few; i++) {
    if (gap > 0) usleep((useconds_t)gap * 1000);
    double start = now_ms();
    toy_step(d, &b, &result);
    if (i >= 0) ms[i] = now_ms() - start;
    if (i >= 0 && n == 1) { /* what of it is the host's launch */
      b.plan = 1;
      start = now_ms();
      int rc = kernels_begin(d->k, d->cache, &b);
      launch[i] = now_ms() - start;
      if (rc != 1) fprintf(stderr, "not replayed\n");
      TOY_MUST(kernels_end(d->k, &result));
    }
  }
  if (n == 1) printf("launch %.1f us; ", median(launch, few) * 1e3);
  return median(ms, few);
}

/* One op of every layer, in a plan of its own. */
static double time_op(toy_device *d, int op, int n, int kv_len, int repeat) {
  static double ms[RUNS];
  for (int i = 0; i < n; i++) rows[i] = i;
  kernels_batch b = {.n = n, .ids = ids, .kv_len = kv_len, .n_out = op == 5 || op == 6 ? n : 0,
                     .out = rows, .top_k = op == 6 ? 8 : 1, .plan = 100 + (uint32_t)op};
  lay(&b);
  kernels *k = d->k;
  for (int run = -4; run < 40; run++) {
    double start = now_ms();
    int rc = kernels_begin(k, d->cache, &b);
    TOY_MUST(rc);
    if (rc == 0) {
      TOY_MUST(kernels_embed(k, d->embedding, d->x, d->layers[0].attn_norm));
      for (int j = 0; j < repeat; j++)
        for (int i = 0; i < d->model->shape.layers; i++) {
          struct toy_device_layer *t = &d->layers[i];
          if (op == 0) TOY_MUST(kernels_qkv(k, i, d->x, d->layers[0].attn_norm, t->qkv, t->bias, d->q));
          if (op == 1) TOY_MUST(kernels_attend(k, i, d->q, d->a));
          if (op == 2) TOY_MUST(kernels_project(k, d->a, t->o, d->x, d->layers[0].attn_norm));
          if (op == 3) TOY_MUST(kernels_gate_up(k, d->x, d->layers[0].attn_norm, t->gate_up, d->h));
          if (op == 4) TOY_MUST(kernels_project(k, d->h, t->down, d->x, d->layers[0].attn_norm));
        }
      if (op == 5)
        for (int j = 0; j < repeat; j++)
          TOY_MUST(kernels_head(k, d->x, d->layers[0].attn_norm, d->embedding));
      if (op == 6) TOY_MUST(kernels_head(k, d->x, d->layers[0].attn_norm, d->embedding));
    }
    kernels_result result;
    TOY_MUST(kernels_end(k, op == 6 ? &result : NULL));
    if (run >= 0) ms[run] = now_ms() - start;
  }
  return median(ms, 40);
}

static const char *const names[] = {"qkv", "attend", "o", "gate_up", "down", "head"};

/* Of a prefill of n tokens. */
static void report_prefill_ops(toy_device *d, int n) {
  double base = time_op(d, 9, n, 0, 1);
  printf("ops n %d, us each:", n);
  for (int op = 0; op < 5; op++)
    printf(" %s %.1f", names[op], (time_op(d, op, n, 0, 1) - base) * 1e3 / d->model->shape.layers);
  printf("\n");
  fflush(stdout);
}

static void report_ops(toy_device *d, int context) {
  static const int ns[] = {1, 8, 12, 16, 32, 64};
  for (size_t j = 0; j < sizeof ns / sizeof *ns; j++) {
    printf("ops n %2d, us each:", ns[j]);
    double base = time_op(d, 9, ns[j], context, 1); /* the step around it */
    printf(" (step of embed alone %.2f)", base * 1e3);
    for (int op = 0; op < 6; op++) {
      int count = op == 5 ? 3 : 3 * d->model->shape.layers;
      printf(" %s %.2f", names[op], (time_op(d, op, ns[j], context, 3) - base) * 1e3 / count);
    }
    printf(", a step without layers, with the best 8: %.2f\n", time_op(d, 6, ns[j], context, 1) * 1e3);
    fflush(stdout);
  }
}

static bool listed(const char *list, int n) {
  for (const char *at = list; *at != '\0'; at += *at == ',') {
    char *end;
    if (strtol(at, &end, 10) == n) return true;
    if (end == at) return false;
    at = end;
  }
  return false;
}

int main(int argc, char **argv) {
  const char *backend = "cuda", *type_name = "BF16", *shape_name = "1.5b";
  int context = 2048;
  bool ops = false;
  const char *only = NULL, *prefill = "512,2048";
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--ops")) ops = true;
    else if (!strcmp(argv[i], "--no-prefill")) prefill = "";
    else if (i + 1 < argc && !strcmp(argv[i], "--prefill")) prefill = argv[++i];
    else if (!strcmp(argv[i], "--tree")) trees = true;
    else if (i + 1 < argc && !strcmp(argv[i], "--steps")) only = argv[++i];
    else if (i + 1 < argc && !strcmp(argv[i], "--backend")) backend = argv[++i];
    else if (i + 1 < argc && !strcmp(argv[i], "--type")) type_name = argv[++i];
    else if (i + 1 < argc && !strcmp(argv[i], "--shape")) shape_name = argv[++i];
    else if (i + 1 < argc && !strcmp(argv[i], "--context")) context = atoi(argv[++i]);
    else if (i + 1 < argc && !strcmp(argv[i], "--gap")) gap = atoi(argv[++i]);
    else if (i + 1 < argc && !strcmp(argv[i], "--runs")) runs = atoi(argv[++i]);
    else return fprintf(stderr, "what is %s?\n", argv[i]), 2;
  }
  if (runs < 4 || runs > RUNS || context < 8 || context > 8192) return 2;
  kernels_shape shape = {.rope_theta = 1e6f, .rms_eps = 1e-6f};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    if (!strcmp(sizes[i].name, shape_name)) {
      shape.layers = sizes[i].layers, shape.hidden = sizes[i].hidden;
      shape.heads = sizes[i].heads, shape.kv_heads = sizes[i].kv_heads;
      shape.head_dim = sizes[i].head_dim, shape.intermediate = sizes[i].intermediate;
      shape.vocab = sizes[i].vocab;
    }
  if (shape.layers == 0) return fprintf(stderr, "no shape %s\n", shape_name), 2;
  kernels_type type = KERNELS_F32;
  for (int i = 0; i < 64; i++)
    if (kernels_type_name((kernels_type)i) && !strcmp(kernels_type_name((kernels_type)i), type_name))
      type = (kernels_type)i;
  toy_random r = {7};
  double start = now_ms();
  toy_model model = big_model(&r, &shape, type);
  double made = now_ms();
  toy_device d;
  if (!toy_device_open(&d, &model, backend, 16, 2048, 9216))
    return fprintf(stderr, "this machine cannot run %s\n", backend), 1;
  for (int i = 0; i < MOST; i++) ids[i] = toy_below(&r, shape.vocab);
  printf("%s %s %s: made in %.1f s, loaded in %.1f s\n", kernels_description(d.k), shape_name,
         type_name, (made - start) / 1e3, (now_ms() - made) / 1e3);
  for (int n = 64; n <= 2048; n += 64)
    if (listed(prefill, n)) {
      printf("prefill %d: %.3f ms\n", n, time_step(&d, n, 0, 1));
      fflush(stdout);
      if (ops && n > 128) report_prefill_ops(&d, n);
    }
  static const int counts[] = {1, 2, 4, 8, 12, 16, 32, 48, 64, 96, 128};
  double one = 0;
  printf("steps at %d:", context);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    if (only != NULL && !listed(only, counts[i])) continue;
    double ms = time_step(&d, counts[i], context, counts[i]);
    if (one == 0) one = ms;
    printf(" %d: %.3f (%.2f)", counts[i], ms, ms / one);
    fflush(stdout);
  }
  printf("\n");
  if (ops) report_ops(&d, context);
  return 0;
}
