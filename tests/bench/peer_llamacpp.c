/* peer_llamacpp.c - times llama.cpp on the same work as bench_kernels.c, in the same words.
 *
 *   peer_llamacpp LIBRARY_FOLDER MODEL.gguf [--threads 2] [--context 512] [--cpu-time]
 *
 * LIBRARY_FOLDER holds a build of llama.cpp as shared libraries (the npm package
 * @node-llama-cpp/linux-x64 ships one); they are opened at run time, so nothing of theirs is
 * needed to compile this. Of the parameter structs, which are passed by value and whose size
 * changes between versions, only the leading fields below are used; the rest is room. */
#include <dlfcn.h>
#include <glob.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing.h" /* beside this file: needs no -I */

typedef struct model_params {
  void *devices, *buffer_types;
  int32_t gpu_layers;
  char rest[512];
} model_params;

typedef struct context_params {
  uint32_t context, batch, micro_batch, sequences;
  char rest[512];
} context_params;

typedef struct batch {
  int32_t n;
  int32_t *token;
  float *embedding;
  int32_t *position, *sequence_count;
  int32_t **sequence;
  int8_t *want_logits;
} batch;

static struct {
  void (*load_backends)(const char *folder);
  void (*init)(void);
  model_params (*default_model)(void);
  context_params (*default_context)(void);
  void *(*load_model)(const char *path, model_params params);
  void *(*new_context)(void *model, context_params params);
  void (*set_threads)(void *context, int one, int many);
  void *(*memory)(void *context);
  bool (*forget)(void *memory, int sequence, int from, int to);
  int (*decode)(void *context, batch b);
  float *(*logits)(void *context, int row);
  void (*set_log)(void (*log)(int level, const char *text, void *user), void *user);
  void *(*vocabulary)(void *model);
  int (*vocabulary_size)(void *vocabulary);
} llama;

static void die(const char *what) {
  fprintf(stderr, "peer_llamacpp: %s\n", what);
  exit(1);
}

/* Opens the first library in the folder that the pattern names. */
static void *open_library(const char *folder, const char *pattern) {
  char path[4096];
  glob_t found;
  snprintf(path, sizeof path, "%s/%s", folder, pattern);
  if (glob(path, 0, NULL, &found) != 0 || found.gl_pathc == 0) die(pattern);
  void *library = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_GLOBAL);
  if (!library) die(dlerror());
  globfree(&found);
  return library;
}

static void open_libraries(const char *folder) {
  open_library(folder, "libggml-base*.so*");
  void *ggml = open_library(folder, "libggml.*so*"), *lib = open_library(folder, "libllama.*so*");
  const struct {
    void **function;
    void *library;
    const char *name;
  } symbols[] = {
      {(void **)&llama.load_backends, ggml, "ggml_backend_load_all_from_path"},
      {(void **)&llama.init, lib, "llama_backend_init"},
      {(void **)&llama.default_model, lib, "llama_model_default_params"},
      {(void **)&llama.default_context, lib, "llama_context_default_params"},
      {(void **)&llama.load_model, lib, "llama_model_load_from_file"},
      {(void **)&llama.new_context, lib, "llama_init_from_model"},
      {(void **)&llama.set_threads, lib, "llama_set_n_threads"},
      {(void **)&llama.memory, lib, "llama_get_memory"},
      {(void **)&llama.forget, lib, "llama_memory_seq_rm"},
      {(void **)&llama.decode, lib, "llama_decode"},
      {(void **)&llama.logits, lib, "llama_get_logits_ith"},
      {(void **)&llama.set_log, lib, "llama_log_set"},
      {(void **)&llama.vocabulary, lib, "llama_model_get_vocab"},
      {(void **)&llama.vocabulary_size, lib, "llama_vocab_n_tokens"},
  };
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    *symbols[i].function = dlsym(symbols[i].library, symbols[i].name);
    if (!*symbols[i].function) die(symbols[i].name);
  }
}

static void quiet(int level, const char *text, void *user) {
  (void)user;
  if (level == 4) fputs(text, stderr); /* errors */
}

enum { MOST_TOKENS = 2048, MAX_RUNS = 64 };

typedef struct session {
  void *context;
  int vocabulary;
  int32_t tokens[MOST_TOKENS];
} session;

/* One step of n tokens after `past`, up to the argmax of the last row as a greedy loop needs it
 * (all: logits of every row are made). */
static double step_ms(session *s, int first, int n, int past, bool all) {
  int32_t position[MOST_TOKENS], count[MOST_TOKENS], zero = 0, *sequence[MOST_TOKENS];
  int8_t want[MOST_TOKENS];
  for (int i = 0; i < n; i++) {
    position[i] = past + i;
    count[i] = 1;
    sequence[i] = &zero;
    want[i] = all || i == n - 1;
  }
  batch b = {.n = n, .token = s->tokens + first, .position = position, .sequence_count = count,
             .sequence = sequence, .want_logits = want};
  llama.forget(llama.memory(s->context), 0, past, -1);
  double start = now_ms();
  if (llama.decode(s->context, b) != 0) die("decode failed");
  const float *logits = llama.logits(s->context, n - 1);
  volatile int best = 0;
  for (int i = 1; i < s->vocabulary; i++)
    if (logits[i] > logits[best]) best = i;
  return now_ms() - start;
}

int main(int argc, char **argv) {
  int threads = 2, context = 512;
  if (argc < 3) die("LIBRARY_FOLDER MODEL.gguf [--threads N] [--context N] [--cpu-time]");
  for (int i = 3; i < argc; i++) {
    if (!strcmp(argv[i], "--cpu-time")) clock_id = CLOCK_THREAD_CPUTIME_ID, threads = 1;
    else if (i + 1 < argc && !strcmp(argv[i], "--threads")) threads = atoi(argv[++i]);
    else if (i + 1 < argc && !strcmp(argv[i], "--context")) context = atoi(argv[++i]);
    else die(argv[i]);
  }
  if (context < 1 || context > 1024) die("--context 1..1024");
  open_libraries(argv[1]);
  llama.set_log(quiet, NULL);
  llama.load_backends(argv[1]);
  llama.init();
  void *model = llama.load_model(argv[2], llama.default_model());
  if (!model) die("cannot load the model");
  context_params params = llama.default_context();
  params.context = params.batch = MOST_TOKENS;
  params.micro_batch = 512;
  session s = {.context = llama.new_context(model, params)};
  if (!s.context) die("cannot make a context");
  llama.set_threads(s.context, threads, threads);
  s.vocabulary = llama.vocabulary_size(llama.vocabulary(model));
  uint32_t random = 1;
  for (int i = 0; i < MOST_TOKENS; i++) {
    random = random * 1664525u + 1013904223u;
    s.tokens[i] = (int32_t)(random >> 8) % (s.vocabulary < 16000 ? s.vocabulary : 16000);
  }
  double ms[MAX_RUNS];
  step_ms(&s, 0, context, 0, false); /* warm */
  for (int i = 0; i < 8; i++) ms[i] = step_ms(&s, 0, context, 0, false);
  report("prefill", context, ms, 8);
  for (int i = 0; i < 64; i++) ms[i] = step_ms(&s, i, 1, context + i, false);
  report("decode", 1, ms, 64);
  static const int sizes[] = {2, 4, 8, 16, 32, 64, 128};
  for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
    for (int i = 0; i < 8; i++) ms[i] = step_ms(&s, 0, sizes[j], context, true);
    report("step", sizes[j], ms, 8);
  }
  return 0;
}
