/* helper.h - what the tests of completion/ share: texts with a cursor marked <|>, files. */
#ifndef FIMD_TESTS_COMPLETION_HELPER_H
#define FIMD_TESTS_COMPLETION_HELPER_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "completion/text.h"

static inline completion__slice slice(const char *s) { return completion__slice_of(s, strlen(s)); }

/* The text before and after the mark; both borrowed from s. */
static inline void split_at_cursor(const char *s, completion__slice *before,
                                   completion__slice *after) {
  const char *mark = strstr(s, "<|>");
  assert_non_null(mark);
  *before = completion__slice_of(s, (size_t)(mark - s));
  *after = slice(mark + 3);
}

static inline void assert_slice(completion__slice got, const char *expected) {
  if (got.len != strlen(expected) || memcmp(got.s, expected, got.len) != 0)
    fail_msg("\"%.*s\" is not \"%s\"", (int)got.len, got.len ? got.s : "", expected);
}

/* A whole file; owned. */
static inline completion__buffer read_sample(const char *path) {
  completion__buffer b = {0};
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("%s is missing", path);
  char part[4096];
  for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
    assert_int_equal(completion__buffer_append(&b, part, n), 0);
  fclose(f);
  return b;
}

#endif
