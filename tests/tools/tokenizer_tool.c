/* tokenizer_tool.c - the tokenizer without a model, for the tests and for timing it.
 *
 *   tokenizer_tool ids TOKENIZER.JSON VOCAB     strings on standard input to ids
 *   tokenizer_tool bench TOKENIZER.JSON VOCAB FILE...   MB/s on one thread
 *
 * `ids` reads records: flags, a byte (1: recognise special tokens), the string's length, four
 * bytes, little-endian, and the string. For each it writes a line of ids, then a line with the
 * bytes that they decode to, in hexadecimal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/tokenizer.h"

#define MAX_STRING (64u << 20)

static char *read_file(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  char *data = NULL;
  size_t capacity = 0;
  *len = 0;
  if (f == NULL) return NULL;
  for (;;) {
    if (*len == capacity) {
      capacity = capacity * 2 + 65536;
      char *grown = realloc(data, capacity);
      if (grown == NULL) break;
      data = grown;
    }
    size_t n = fread(data + *len, 1, capacity - *len, f);
    if (n == 0) break;
    *len += n;
  }
  fclose(f);
  return data;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- ids ------------------------------------------------------------------------------- */

static int answer(const tokenizer *t, const char *text, size_t len, bool special) {
  engine_tokens out = {0};
  int status = tokenizer_encode(t, text, len, special, &out);
  if (status != ENGINE_OK) {
    fprintf(stderr, "tokenizer_encode: %d\n", status);
    free(out.ids);
    return 1;
  }
  for (int i = 0; i < out.n; i++) printf(i == 0 ? "%d" : " %d", out.ids[i]);
  putchar('\n');
  for (int i = 0; i < out.n; i++) {
    size_t n;
    const char *s = tokenizer_text(t, out.ids[i], &n);
    for (size_t k = 0; k < n; k++) printf("%02x", (unsigned)(unsigned char)s[k]);
  }
  putchar('\n');
  free(out.ids);
  return 0;
}

static int ids(const tokenizer *t) {
  unsigned char head[5];
  char *text = NULL;
  int failed = 0;
  while (!failed && fread(head, 1, sizeof head, stdin) == sizeof head) {
    uint32_t len = head[1] | (uint32_t)head[2] << 8 | (uint32_t)head[3] << 16 |
                   (uint32_t)head[4] << 24;
    char *grown = len > MAX_STRING ? NULL : realloc(text, (size_t)len + 1);
    if (grown == NULL) {
      failed = 1;
      break;
    }
    text = grown;
    failed = fread(text, 1, len, stdin) != len || answer(t, text, len, head[0] & 1);
  }
  free(text);
  return failed;
}

/* ---- bench ----------------------------------------------------------------------------- */

#define BENCH_SECONDS 2

/* Each file is one call, as the workspace index does it; all of them over and over. */
static int bench(const tokenizer *t, int n, char **paths) {
  char **texts = calloc((size_t)n, sizeof *texts);
  size_t *lens = calloc((size_t)n, sizeof *lens), bytes = 0, count = 0;
  double start, first = 0, took = 0;
  int rounds = 0, status = texts == NULL || lens == NULL ? ENGINE_ENOMEM : ENGINE_OK;
  for (int i = 0; i < n && status == ENGINE_OK; i++) {
    texts[i] = read_file(paths[i], &lens[i]);
    if (texts[i] == NULL) fprintf(stderr, "%s: cannot be read\n", paths[i]);
    bytes += lens[i];
  }
  start = seconds();
  while (status == ENGINE_OK && (took < BENCH_SECONDS || rounds < 2)) {
    count = 0;
    for (int i = 0; i < n && status == ENGINE_OK; i++) {
      engine_tokens out = {0};
      if (texts[i] != NULL) status = tokenizer_encode(t, texts[i], lens[i], false, &out);
      count += (size_t)out.n;
      free(out.ids);
    }
    took = seconds() - start;
    if (rounds++ == 0) first = took;
  }
  printf("%d files, %.2f MB, %zu tokens: %.1f MB/s (first round %.1f), %.2f million tokens/s\n",
         n, (double)bytes / 1e6, count, (double)bytes / 1e6 * rounds / took,
         (double)bytes / 1e6 / first, (double)count / 1e6 * rounds / took);
  for (int i = 0; texts != NULL && i < n; i++) free(texts[i]);
  free(texts);
  free(lens);
  return status != ENGINE_OK;
}

int main(int argc, char **argv) {
  char err[256] = "";
  size_t len;
  tokenizer *t;
  bool is_bench = argc > 4 && strcmp(argv[1], "bench") == 0;
  if (!is_bench && !(argc == 4 && strcmp(argv[1], "ids") == 0)) {
    fprintf(stderr, "usage: %s ids TOKENIZER.JSON VOCAB | bench TOKENIZER.JSON VOCAB FILE...\n",
            argv[0]);
    return 2;
  }
  char *json = read_file(argv[2], &len);
  if (json == NULL) {
    fprintf(stderr, "%s: cannot be read\n", argv[2]);
    return 1;
  }
  double start = seconds();
  int status = tokenizer_new_json(&t, json, len, atoi(argv[3]), err, sizeof err);
  free(json);
  if (status != ENGINE_OK) {
    fprintf(stderr, "%s: %s\n", argv[2], err);
    return 1;
  }
  if (is_bench) printf("loaded in %.0f ms\n", (seconds() - start) * 1e3);
  int failed = is_bench ? bench(t, argc - 4, argv + 4) : ids(t);
  tokenizer_delete(t);
  return failed;
}
