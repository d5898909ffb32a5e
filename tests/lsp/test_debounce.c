/* test_debounce.c - how long a request waits, as a function of pauses and answer times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after the above */
#include <cmocka.h>

#include "lsp/debounce.h"

static lsp__window window(const float *ms, int n) {
  lsp__window w = {0};
  for (int i = 0; i < n; i++) lsp__window_add(&w, ms[i]);
  return w;
}

static lsp__window same(float ms, int n) {
  lsp__window w = {0};
  for (int i = 0; i < n; i++) lsp__window_add(&w, ms);
  return w;
}

static double wait_of(lsp__window pauses, lsp__window answers, double most) {
  return lsp__debounce_ms(&pauses, &answers, most);
}

static void test_window(void **state) {
  (void)state;
  lsp__window w = {0};
  assert_true(lsp__window_median(&w) == 0);
  lsp__window_add(&w, 5);
  assert_true(lsp__window_median(&w) == 5);
  lsp__window_add(&w, 1);
  assert_true(lsp__window_median(&w) == 1);
  lsp__window_add(&w, 3);
  assert_true(lsp__window_median(&w) == 3);
  for (int i = 0; i < LSP__WINDOW; i++) lsp__window_add(&w, 9); /* only the newest count */
  assert_true(lsp__window_median(&w) == 9);
  assert_int_equal(w.count, LSP__WINDOW + 3);
}

static void test_no_wait(void **state) {
  (void)state;
  const lsp__window none = {0};
  assert_true(wait_of(same(30, 20), same(300, 9), 0) == 0);      /* switched off */
  assert_true(wait_of(same(30, 20), same(300, 9), -1) == 0);
  assert_true(wait_of(same(30, 20), none, 75) == 0);             /* no answer is known */
  assert_true(wait_of(none, same(300, 9), 75) == 0);
  assert_true(wait_of(same(30, LSP__PAUSES_FEW - 1), same(300, 9), 75) == 0);
  assert_true(wait_of(same(30, LSP__PAUSES_FEW), same(300, 9), 75) == 30);
  assert_true(wait_of(same(30, 20), same(16.6f, 9), 75) == 0);   /* under a frame */
  assert_true(wait_of(same(30, 20), same(16.8f, 9), 75) == 0);   /* it is there before the key */
  assert_true(wait_of(same(30, 20), same(31, 9), 75) == 30);
  assert_true(wait_of(same(150, 20), same(120, 9), 75) == 0);    /* the same, of a slow typist */
  assert_true(wait_of(same(1000, 20), same(300, 9), 75) == 0);   /* no burst */
}

static void test_rule(void **state) {
  (void)state;
  const lsp__window answers = same(200, 9);
  /* Fast keys, and longer pauses for thought: until most keys would have come. */
  const float burst[] = {40, 40, 50, 50, 60, 60, 60, 900, 1500, 3000};
  assert_true(wait_of(window(burst, 10), answers, 75) == 50);
  /* Half of the pauses are for thought: as likely as not is not likelier. */
  const float even[] = {40, 50, 60, 900, 1500, 3000};
  assert_true(wait_of(window(even, 6), answers, 75) == 0);
  /* A single odd one among fast keys does not count. */
  lsp__window odd = same(10, 20);
  lsp__window_add(&odd, 70);
  assert_true(wait_of(odd, answers, 75) == 10);
  /* Pauses in a row: on after each, as long as the next is near; the last is one odd one. */
  const float row[] = {10, 20, 30, 40, 50, 60};
  assert_true(wait_of(window(row, 6), answers, 75) == 50);
  assert_true(wait_of(window(row, 6), same(17, 9), 75) == 0);
  /* The order in which they came is no matter. */
  const float shuffled[] = {60, 10, 50, 30, 20, 40};
  assert_true(wait_of(window(shuffled, 6), answers, 75) == 50);
}

static void test_limit(void **state) {
  (void)state;
  const lsp__window slow = same(2000, 9);
  /* A key comes before the answer whatever is done: no use to wait. */
  assert_true(wait_of(same(120, 30), slow, 75) == 0);
  assert_true(wait_of(same(120, 30), slow, 500) == 120);
  /* But where most keys come within the setting, it saves those starts. */
  const float most[] = {50, 50, 50, 50, 60, 60, 200, 200, 300};
  assert_true(wait_of(window(most, 9), slow, 75) == 60);
  assert_true(wait_of(window(most, 9), slow, 55) == 0);
  assert_true(wait_of(window(most, 9), slow, 1000) == 200);
}

/* Whatever comes in, it is one of the pauses or 0 and within the limit. */
static void test_bounds(void **state) {
  (void)state;
  uint32_t seed = 5;
  for (int round = 0; round < 5000; round++) {
    lsp__window pauses = {0}, answers = {0};
    seed = seed * 1664525 + 1013904223;
    int n = (int)(seed >> 24) % 48, scale = 1 << ((seed >> 16) % 13);
    for (int i = 0; i < n; i++) {
      seed = seed * 1664525 + 1013904223;
      lsp__window_add(&pauses, (double)(seed >> 8) / (1 << 24) * scale);
      lsp__window_add(&answers, (double)(seed & 0xFFFF) / 64);
    }
    double most = (double)((seed >> 4) % 200), ms = lsp__debounce_ms(&pauses, &answers, most);
    assert_true(ms >= 0 && ms <= most);
    int known = ms == 0;
    for (int i = 0; i < LSP__WINDOW; i++) known = known || (double)pauses.ms[i] == ms;
    assert_true(known);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_window), cmocka_unit_test(test_no_wait), cmocka_unit_test(test_rule),
      cmocka_unit_test(test_limit),  cmocka_unit_test(test_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
