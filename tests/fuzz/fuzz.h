/* fuzz.h - what the fuzz targets share: reading an input as numbers and choices, and saying that
 * something must hold.
 *
 * A target is one file with LLVMFuzzerTestOneInput. It is linked with clang's libFuzzer (make
 * fuzz) or with driver.c (make test). No input may leave anything behind for the next one. */
#ifndef FIMD_TESTS_FUZZ_H
#define FIMD_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many mutations driver.c runs where nobody says how many. */
extern const int fuzz_runs;
#define FUZZ_RUNS(n) const int fuzz_runs = (n)

/* Both need no sanitizer to be seen. */
#define FUZZ_CHECK(condition, ...) \
  do { \
    if (condition) break; \
    fprintf(stderr, "%s:%d: %s does not hold: ", __FILE__, __LINE__, #condition); \
    fprintf(stderr, __VA_ARGS__); \
    fputc('\n', stderr); \
    abort(); \
  } while (0)
#define FUZZ_ASSERT(condition) FUZZ_CHECK(condition, "-")

/* ---- an input, taken from its start; past its end come zeros --------------------------- */

typedef struct fuzz_input {
  const uint8_t *data; /* [left] */
  size_t left;
} fuzz_input;

static inline unsigned fuzz_u8(fuzz_input *in) {
  if (in->left == 0) return 0;
  in->left--;
  return *in->data++;
}

static inline unsigned fuzz_u16(fuzz_input *in) {
  unsigned low = fuzz_u8(in);
  return low | fuzz_u8(in) << 8;
}

/* Fewer where there are fewer. */
static inline const char *fuzz_take(fuzz_input *in, size_t want, size_t *len) {
  const char *p = (const char *)in->data;
  *len = want < in->left ? want : in->left;
  in->data += *len;
  in->left -= *len;
  return p;
}

/* Up to the first zero byte, which is taken, or to the end. */
static inline const char *fuzz_part(fuzz_input *in, size_t *len) {
  const uint8_t *end = in->left ? memchr(in->data, 0, in->left) : NULL;
  const char *p = fuzz_take(in, end ? (size_t)(end - in->data) : in->left, len);
  if (end) fuzz_u8(in);
  return p;
}

/* A copy of exactly len bytes, so that the address sanitizer sees one read beyond; or with a
 * terminator. The caller's. */
static inline char *fuzz_copy(const void *data, size_t len) {
  char *copy = malloc(len ? len : 1);
  FUZZ_ASSERT(copy);
  if (len) memcpy(copy, data, len);
  return copy;
}

static inline char *fuzz_string(const void *data, size_t len) {
  char *copy = malloc(len + 1);
  FUZZ_ASSERT(copy);
  if (len) memcpy(copy, data, len);
  copy[len] = '\0';
  return copy;
}

#endif
