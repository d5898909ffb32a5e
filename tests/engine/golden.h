/* golden.h - reading the reference files of tests/data for the tests. */
#ifndef FIMD_TESTS_GOLDEN_H
#define FIMD_TESTS_GOLDEN_H

/* clang-format off: cmocka wants these before it */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

static inline char *golden_read(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  if (f == NULL) fail_msg("%s: cannot be opened (run the tests from the repository's root)", path);
  assert_int_equal(fseek(f, 0, SEEK_END), 0);
  long n = ftell(f);
  assert_true(n >= 0);
  rewind(f);
  char *text = malloc((size_t)n + 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, (size_t)n, f), (size_t)n);
  text[n] = '\0';
  fclose(f);
  if (len != NULL) *len = (size_t)n;
  return text;
}

static inline cJSON *golden_json(const char *path) {
  char *text = golden_read(path, NULL);
  cJSON *j = cJSON_Parse(text);
  assert_non_null(j);
  free(text);
  return j;
}

/* The whole numbers of an array into out; returns how many. */
static inline int golden_ints(const cJSON *array, int32_t *out, int max) {
  int n = 0;
  const cJSON *item;
  assert_true(cJSON_IsArray(array));
  cJSON_ArrayForEach(item, array) {
    assert_true(n < max);
    out[n++] = item->valueint;
  }
  return n;
}

static inline int golden_floats(const cJSON *array, float *out, int max) {
  int n = 0;
  const cJSON *item;
  assert_true(cJSON_IsArray(array));
  cJSON_ArrayForEach(item, array) {
    assert_true(n < max);
    out[n++] = (float)item->valuedouble;
  }
  return n;
}

#endif
