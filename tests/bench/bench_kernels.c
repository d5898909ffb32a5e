/* bench_kernels.c - times whole forward passes over the ops of kernels/, random weights.
 *
 *   bench_kernels [--backend cpu] [--threads 2] [--context 512] [--type Q8_0] [--shape mini|0.5b]
 *                 [--profile] [--cpu-time]
 *
 * Prints one line for prefill, one for decoding after it, and one for every number of tokens of a
 * step: the best and the median of a few runs in milliseconds. --cpu-time: one thread, and its
 * processor time, for a machine that others use too. The shape "mini" is the embedded
 * model's. The words of the lines are those of peer_llamacpp.c, so that cpu_peer.sh can pair
 * them. */
#include "tests/bench/timing.h"
#include "tests/kernels/toy.h"

enum { MAX_RUNS = 64 };

/* One step of n tokens after kv_len; returns its time. All: logits of every row. */
static double step_ms(toy_device *d, const int32_t *ids, int n, int kv_len, bool all) {
  int32_t pos[2048], out[2048];
  for (int i = 0; i < n; i++) pos[i] = kv_len + i, out[i] = all ? i : n - 1;
  kernels_batch b = {.n = n, .ids = ids, .pos = pos, .kv_len = kv_len, .n_out = all ? n : 1,
                     .out = out, .top_k = 1};
  kernels_result result;
  double start = now_ms();
  toy_step(d, &b, &result);
  return now_ms() - start;
}

static void profile(toy_device *d, const int32_t *ids, int n, int kv_len) {
  static const char *names[] = {"embed", "qkv", "attend", "project o", "gate up", "project down",
                                "head"};
  double sums[7] = {0}, least = 1e9;
  int32_t pos[2048], out = n - 1;
  for (int i = 0; i < n; i++) pos[i] = kv_len + i;
  kernels_batch b = {.n = n, .ids = ids, .pos = pos, .kv_len = kv_len, .n_out = 1, .out = &out,
                     .top_k = 1};
  for (int run = 0; run < 10; run++) {
    double parts[7] = {0}, start = now_ms(), from = start, to;
    TOY_MUST(kernels_begin(d->k, d->cache, &b));
#define PART(i, call) TOY_MUST(call), to = now_ms(), parts[i] += to - from, from = to
    PART(0, kernels_embed(d->k, d->embedding, d->x, NULL));
    for (int i = 0; i < d->model->shape.layers; i++) {
      struct toy_device_layer *t = &d->layers[i];
      PART(1, kernels_qkv(d->k, i, d->x, t->attn_norm, t->qkv, t->bias, d->q));
      PART(2, kernels_attend(d->k, i, d->q, d->a));
      PART(3, kernels_project(d->k, d->a, t->o, d->x, NULL));
      PART(4, kernels_gate_up(d->k, d->x, t->mlp_norm, t->gate_up, d->h));
      PART(5, kernels_project(d->k, d->h, t->down, d->x, NULL));
    }
    PART(6, kernels_head(d->k, d->x, d->final_norm, d->embedding));
    TOY_MUST(kernels_end(d->k, NULL));
    if (now_ms() - start < least) {
      least = now_ms() - start;
      memcpy(sums, parts, sizeof sums);
    }
  }
  printf("profile %d at %d:", n, kv_len);
  for (int i = 0; i < 7; i++) printf(" %s %.3f,", names[i], sums[i]);
  printf(" all %.3f ms\n", least);
}

int main(int argc, char **argv) {
  const char *backend = "cpu", *type_name = "Q8_0", *shape_name = "mini";
  int threads = 2, context = 512;
  bool want_profile = false;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--profile")) want_profile = true;
    else if (!strcmp(argv[i], "--cpu-time")) clock_id = CLOCK_THREAD_CPUTIME_ID, threads = 1;
    else if (i + 1 < argc && !strcmp(argv[i], "--backend")) backend = argv[++i];
    else if (i + 1 < argc && !strcmp(argv[i], "--type")) type_name = argv[++i];
    else if (i + 1 < argc && !strcmp(argv[i], "--shape")) shape_name = argv[++i];
    else if (i + 1 < argc && !strcmp(argv[i], "--threads")) threads = atoi(argv[++i]);
    else if (i + 1 < argc && !strcmp(argv[i], "--context")) context = atoi(argv[++i]);
    else return fprintf(stderr, "what is %s?\n", argv[i]), 2;
  }
  kernels_shape shape = {.layers = 16, .hidden = 384, .heads = 6, .kv_heads = 2, .head_dim = 64,
                         .intermediate = 1024, .vocab = 16384, .rope_theta = 1e5f,
                         .rms_eps = 1e-6f};
  if (!strcmp(shape_name, "0.5b"))
    shape = (kernels_shape){.layers = 24, .hidden = 896, .heads = 14, .kv_heads = 2,
                            .head_dim = 64, .intermediate = 4864, .vocab = 151936,
                            .rope_theta = 1e6f, .rms_eps = 1e-6f};
  kernels_type type = KERNELS_F32;
  for (int i = 0; i < 64; i++)
    if (kernels_type_name((kernels_type)i) &&
        !strcmp(kernels_type_name((kernels_type)i), type_name))
      type = (kernels_type)i;
  if (context < 1 || context > 1024) return fprintf(stderr, "--context 1..1024\n"), 2;
  toy_random random = {1};
  toy_model model = toy_model_new(&random, &shape, type, type);
  toy_device d;
  double start = now_ms();
  if (!toy_device_open(&d, &model, backend, threads, 1024, 2048))
    return fprintf(stderr, "this machine cannot run %s\n", backend), 1;
  printf("%s, %s, loaded in %.0f ms\n", kernels_description(d.k), type_name, now_ms() - start);
  int32_t ids[2048];
  for (int i = 0; i < 2048; i++) ids[i] = toy_below(&random, shape.vocab);
  double ms[MAX_RUNS];
  bool small = shape.hidden < 512;
  if (want_profile) {
    profile(&d, ids, context, 0);
    profile(&d, ids, 1, context);
    profile(&d, ids, 16, context);
  }
  int runs = small ? 12 : 4;
  for (int i = 0; i < runs; i++) ms[i] = step_ms(&d, ids, context, 0, false);
  report("prefill", context, ms, runs);
  runs = small ? 64 : 12;
  for (int i = 0; i < runs; i++) ms[i] = step_ms(&d, ids + i, 1, context + i, false);
  report("decode", 1, ms, runs);
  static const int sizes[] = {2, 4, 8, 16, 32, 64, 128};
  for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
    runs = small ? 12 : 4;
    for (int i = 0; i < runs; i++) ms[i] = step_ms(&d, ids, sizes[j], context, true);
    report("step", sizes[j], ms, runs);
  }
  toy_device_close(&d);
  toy_model_free(&model);
  return 0;
}
