/* driver.c - runs a fuzz target without libFuzzer: all seeds and saved crashers, then so many
 * mutations of them, the same ones every time. For make test, where there may be no clang.
 *
 *   fuzz_NAME              seeds, crashers, mutations (FIMD_FUZZ_RUNS: how many)
 *   fuzz_NAME FILE...      only these inputs
 *
 * The input that ends the process is left in fuzz_NAME.crash beside the program. */
#include <dirent.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUTS_MAX 4096
#define WORDS_MAX 512
#define INPUT_BYTES (1 << 20)
#define HANG_S 120 /* an input that takes so long ends the process, too */

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

typedef struct input {
  char *data; /* [len] owned */
  size_t len;
} input;

static input inputs[INPUTS_MAX], words[WORDS_MAX];
static int n_inputs, n_words;
static const uint8_t *running;
static size_t running_len;
static char crash_file[4096];
static double slowest;

/* ---- one input --------------------------------------------------------------------------- */

static void save_crash(void) {
  FILE *f = running ? fopen(crash_file, "wb") : NULL;
  if (!f) return;
  fwrite(running, 1, running_len, f);
  fclose(f);
  fprintf(stderr, "the input is in %s (%zu bytes)\n", crash_file, running_len);
  running = NULL;
}

static void on_signal(int number) {
  save_crash();
  signal(number, SIG_DFL);
  raise(number);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_one(const uint8_t *data, size_t len) {
  double start = now();
  running = data;
  running_len = len;
  alarm(HANG_S);
  LLVMFuzzerTestOneInput(data, len);
  alarm(0);
  running = NULL;
  if (now() - start > slowest) slowest = now() - start;
}

/* ---- files ------------------------------------------------------------------------------- */

static bool read_input(const char *path, input *out) {
  FILE *f = fopen(path, "rb");
  if (!f) return false;
  out->data = malloc(INPUT_BYTES);
  out->len = out->data ? fread(out->data, 1, INPUT_BYTES, f) : 0;
  fclose(f);
  return out->data != NULL;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of their names, so that every run is the same. */
static void read_folder(const char *folder) {
  char *names[INPUTS_MAX], path[8192];
  int n = 0;
  DIR *dir = opendir(folder);
  for (struct dirent *e; dir && (e = readdir(dir));)
    if (e->d_name[0] != '.' && n < INPUTS_MAX) 
      names[n++] = fuzz_string(e->d_name, strlen(e->d_name));
  if (dir) closedir(dir);
  qsort(names, (size_t)n, sizeof *names, by_name);
  for (int i = 0; i < n; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]);
    if (n_inputs < INPUTS_MAX && read_input(path, &inputs[n_inputs])) n_inputs++;
    free(names[i]);
  }
}

/* Words as libFuzzer has them, one a line: "text", with \xNN, \\ and \". */
static void read_words(const char *path) {
  char line[512], word[512];
  FILE *f = fopen(path, "r");
  while (f && fgets(line, sizeof line, f) && n_words < WORDS_MAX) {
    size_t len = 0;
    unsigned byte;
    if (line[0] != '"') continue;
    for (char *p = line + 1; *p && *p != '"'; p++) {
      if (p[0] == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &byte) == 1) {
        word[len++] = (char)byte;
        p += 3;
      } else {
        word[len++] = *p == '\\' ? *++p : *p;
      }
    }
    words[n_words++] = (input){fuzz_copy(word, len), len};
  }
  if (f) fclose(f);
}

/* ---- mutations --------------------------------------------------------------------------- */

static uint64_t state = 88172645463325252u;

static size_t below(size_t n) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return n ? (size_t)(state >> 11) % n : 0;
}

/* Puts text[len] in the place of `removed` bytes. */
static void replace(input *m, size_t at, size_t removed, const char *text, size_t len) {
  if (m->len - removed + len > INPUT_BYTES) return;
  memmove(m->data + at + len, m->data + at + removed, m->len - at - removed);
  memcpy(m->data + at, text, len);
  m->len = m->len - removed + len;
}

/* A number that a length or a count must not be believed to be. */
static void put_number(input *m) {
  static const uint64_t numbers[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
                                     0x80000000, 0xffffffff, INT64_MAX, UINT64_MAX,
                                     UINT64_MAX - 31};
  size_t width = (size_t)1 << below(4), n = below(sizeof numbers / sizeof *numbers + 2);
  uint64_t number = n < 14 ? numbers[n] : n == 14 ? m->len : below(m->len);
  if (m->len < width) return;
  char *p = m->data + below(m->len - width + 1);
  if (below(2)) {
    uint64_t old = 0;
    memcpy(&old, p, width);
    number = old + below(9) - 4;
  }
  memcpy(p, &number, width);
}

static void splice(input *m) {
  const input *from = &inputs[below((size_t)n_inputs)];
  size_t start = below(from->len + 1), len = below(from->len - start + 1);
  size_t at = below(m->len + 1);
  replace(m, at, below(m->len - at + 1), from->data + start, len);
}

static void put_word(input *m) {
  const input *w = &words[below((size_t)n_words)];
  size_t at = below(m->len + 1), there = m->len - at;
  replace(m, at, below(2) ? 0 : w->len < there ? w->len : there, w->data, w->len);
}

static void mutate_once(input *m) {
  char few[16];
  size_t at = below(m->len), n = below(sizeof few) + 1;
  switch (below(n_words ? 8 : 7)) {
    case 0: if (m->len) m->data[at] ^= (char)(1 << below(8)); break;
    case 1: if (m->len) m->data[at] = (char)below(256); break;
    case 2: put_number(m); break;
    case 3: replace(m, at, below(m->len - at + 1) >> below(8), "", 0); break;
    case 4:
      for (size_t i = 0; i < n; i++) few[i] = (char)below(256);
      replace(m, at, 0, few, n);
      break;
    case 5: splice(m); break;
    case 6: /* some bytes a second time */
      if (n > m->len - at) n = m->len - at;
      memcpy(few, m->data + at, n);
      replace(m, at, 0, few, n);
      break;
    default: put_word(m);
  }
}

static void mutate(int runs) {
  input m = {malloc(INPUT_BYTES), 0};
  FUZZ_ASSERT(m.data && n_inputs > 0);
  for (int i = 0; i < runs; i++) {
    const input *from = &inputs[below((size_t)n_inputs)];
    memcpy(m.data, from->data, from->len);
    m.len = from->len;
    for (size_t n = below(6) + 1; n > 0; n--) mutate_once(&m);
    char *exact = fuzz_copy(m.data, m.len); /* a read beyond it is seen */
    run_one((uint8_t *)exact, m.len);
    free(exact);
  }
  free(m.data);
}

/* ---- all --------------------------------------------------------------------------------- */

static void run_inputs(void) {
  for (int i = 0; i < n_inputs; i++) {
    char *exact = fuzz_copy(inputs[i].data, inputs[i].len);
    run_one((uint8_t *)exact, inputs[i].len);
    free(exact);
  }
}

int main(int argc, char **argv) {
  const char *name = strrchr(argv[0], '/'), *runs = getenv("FIMD_FUZZ_RUNS");
  const char *made = getenv("FIMD_FUZZ_SEEDS");
  char path[4096];
  name = name ? name + 1 : argv[0];
  snprintf(crash_file, sizeof crash_file, "%s.crash", argv[0]);
  if (strncmp(name, "fuzz_", 5) == 0) name += 5;
  if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(save_crash);
  else signal(SIGSEGV, on_signal);
  signal(SIGABRT, on_signal);
  signal(SIGALRM, on_signal);
  if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
  for (int i = 1; i < argc; i++) {
    if (!read_input(argv[i], &inputs[0])) {
      fprintf(stderr, "%s: cannot be read\n", argv[i]);
      return 2;
    }
    n_inputs = 1;
    run_inputs();
    free(inputs[0].data);
    printf("%s: %.3f s\n", argv[i], slowest);
  }
  if (argc > 1) return 0;
  snprintf(path, sizeof path, "%s/%s", made ? made : "build/fuzz-seeds", name);
  read_folder(path);
  if (n_inputs == 0) {
    fprintf(stderr, "%s has no seeds: tests/fuzz/seeds.mjs makes them\n", path);
    return 2;
  }
  snprintf(path, sizeof path, "tests/fuzz/seeds/%s", name);
  read_folder(path);
  snprintf(path, sizeof path, "tests/fuzz/crashers/%s", name);
  read_folder(path);
  snprintf(path, sizeof path, "tests/fuzz/%s.dict", name);
  read_words(path);
  run_inputs();
  int n = runs ? atoi(runs) : fuzz_runs;
  mutate(n);
  printf("%s: %d seeds and crashers, %d mutations, slowest %.3f s\n", name, n_inputs, n, slowest);
  for (int i = 0; i < n_inputs; i++) free(inputs[i].data);
  for (int i = 0; i < n_words; i++) free(words[i].data);
  return 0;
}
