/* peer_gpu.c - times llama.cpp on a GPU on the steps that `fimd bench engine` times.
 *
 *   peer_gpu LIBRARY_FOLDER MODEL.gguf [--quick]
 *
 * tests/bench/peer_llamacpp.c has the loading and the step (one decode call, its logits on the
 * host, the best of the last row looked for there as a greedy loop must); only what is measured
 * is said here. Large batches run in micro-batches, whose best size depends on the card: prefill
 * is timed with two. --quick: few runs, to try the program on a CPU. */
#define main peer_llamacpp_main
#include "tests/bench/peer_llamacpp.c"
#undef main

enum { PREFILL = MOST_TOKENS, DECODE_AT = 2048, STEPS_AT = 512, ROOM = 4096, RUNS = 30 };

static session open_session(void *model, uint32_t micro_batch) {
  context_params params = llama.default_context();
  params.context = ROOM;
  params.batch = MOST_TOKENS;
  params.micro_batch = micro_batch;
  session s = {.context = llama.new_context(model, params)};
  if (!s.context) die("cannot make a context");
  s.vocabulary = llama.vocabulary_size(llama.vocabulary(model));
  uint32_t random = 1;
  for (int i = 0; i < MOST_TOKENS; i++) {
    random = random * 1664525u + 1013904223u;
    s.tokens[i] = (int32_t)((random >> 8) % (uint32_t)s.vocabulary);
  }
  return s;
}

/* The cache holds `past` tokens or more. */
static void time_steps(session *s, const char *what, int number, int n, int past, int runs) {
  double ms[RUNS];
  for (int i = 0; i < 3; i++) step_ms(s, 0, n, past, true);
  for (int i = 0; i < runs; i++) ms[i] = step_ms(s, 0, n, past, true);
  report(what, number, ms, runs);
}

int main(int argc, char **argv) {
  bool quick = argc == 4 && !strcmp(argv[3], "--quick");
  if (argc != 3 && !quick) die("usage: peer_gpu LIBRARY_FOLDER MODEL.gguf [--quick]");
  int runs = quick ? 2 : RUNS, prefill_runs = quick ? 1 : 8;
  open_libraries(argv[1]);
  llama.set_log(quiet, NULL);
  llama.load_backends(argv[1]);
  llama.init();
  /* Its CUDA library fails to load in silence, and the CPU takes over. */
  void *(*backend)(const char *);
  *(void **)&backend = dlsym(RTLD_DEFAULT, "ggml_backend_reg_by_name");
  bool cuda = backend && backend("CUDA");
  printf("llama.cpp on %s\n", cuda ? "CUDA" : "the CPU");
  if (!cuda && !quick) die("its CUDA library was not loaded");
  model_params params = llama.default_model();
  params.gpu_layers = 999;
  void *model = llama.load_model(argv[2], params);
  if (!model) die("cannot load the model");
  static const uint32_t micro_batches[] = {512, 2048};
  session s = {0};
  for (int j = 0; j < 2; j++) {
    double ms[RUNS];
    s = open_session(model, micro_batches[j]);
    step_ms(&s, 0, PREFILL, 0, false); /* warm */
    for (int i = 0; i < prefill_runs; i++) ms[i] = step_ms(&s, 0, PREFILL, 0, false);
    printf("micro-batch %u: ", micro_batches[j]);
    report("prefill", PREFILL, ms, prefill_runs);
  }
  time_steps(&s, "decode", DECODE_AT, 1, DECODE_AT, runs);
  static const int sizes[] = {1, 2, 4, 8, 16, 32, 48, 64, 96, 128};
  for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
    time_steps(&s, "step", sizes[j], sizes[j], STEPS_AT, runs);
  return 0;
}
