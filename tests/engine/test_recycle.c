/* test_recycle.c - recycled predictions, against shares that are mixed in a plain array. */
#include "tests/engine/golden.h"
#include "tests/engine/random.h"

#include <math.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/recycle.h"

#define VOCAB 40

static void check_entry(const recycle_entry *e) {
  double sum = 0;
  for (int i = 0; i < RECYCLE_WIDTH; i++) {
    assert_true(e->ids[i] >= 0 ? e->share[i] > 0 : e->ids[i] == -1 && e->share[i] == 0);
    if (i > 0) assert_true(e->share[i] <= e->share[i - 1]);
    if (i > 0 && e->ids[i] >= 0) assert_true(e->ids[i - 1] >= 0);
    sum += (double)e->share[i];
  }
  assert_true(sum <= 1 + 1e-5);
}

/* What there was and what came, half and half; only so many stay. */
static void check_mixed(const double *expected, const recycle_entry *e) {
  double kept[VOCAB] = {0};
  for (int i = 0; i < RECYCLE_WIDTH && e->ids[i] >= 0; i++) kept[e->ids[i]] = (double)e->share[i];
  double last = e->ids[RECYCLE_WIDTH - 1] >= 0 ? (double)e->share[RECYCLE_WIDTH - 1] : 0;
  for (int i = 0; i < VOCAB; i++)
    assert_true(fabs(kept[i] - expected[i]) < 1e-5 ||
                (kept[i] == 0 && expected[i] <= last + 1e-5));
}

static int make_answer(uint64_t *rng, int32_t *ids, float *logits, double *share) {
  int n = 1 + below(rng, RECYCLE_WIDTH);
  double sum = 0;
  float logit = (float)below(rng, 100) - 50;
  for (int i = 0; i < n; i++) {
    bool again = true;
    while (again) {
      again = false;
      ids[i] = below(rng, VOCAB);
      for (int k = 0; k < i; k++) again = again || ids[k] == ids[i];
    }
    logits[i] = logit;
    logit -= (float)below(rng, 1000) / 300;
    sum += exp((double)(logits[i] - logits[0]));
  }
  for (int i = 0; i < VOCAB; i++) share[i] = 0;
  for (int i = 0; i < n; i++) share[ids[i]] = exp((double)(logits[i] - logits[0])) / sum;
  return n;
}

static void test_recycle(void **state) {
  (void)state;
  recycle r;
  uint64_t rng = 8;
  int32_t ids[RECYCLE_WIDTH];
  float logits[RECYCLE_WIDTH];
  double share[VOCAB], before[VOCAB];
  assert_int_equal(recycle_init(&r, VOCAB), ENGINE_OK);
  for (int step = 0; step < 20000; step++) {
    int32_t last = below(&rng, VOCAB), first = below(&rng, VOCAB);
    int n = make_answer(&rng, ids, logits, share);
    const recycle_entry *e = recycle_after(&r, last);
    memset(before, 0, sizeof before);
    for (int i = 0; e && i < RECYCLE_WIDTH && e->ids[i] >= 0; i++)
      before[e->ids[i]] = (double)e->share[i];
    for (int i = 0; e && i < VOCAB; i++) share[i] = share[i] / 2 + before[i] / 2;
    recycle_learn(&r, step % 3 ? first : -1, last, ids, logits, n);
    assert_non_null(e = recycle_after(&r, last));
    check_entry(e);
    check_mixed(share, e);
    if (step % 3) check_entry(recycle_after_two(&r, first, last));
  }
  recycle_free(&r);
}

/* Answers that mean nothing change nothing. */
static void test_recycle_garbage(void **state) {
  (void)state;
  recycle r;
  int32_t ids[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  float good[12] = {3, 2, 1, 0, -1, -2, -3, -4, -5, -6, -7, -8};
  assert_int_equal(recycle_init(&r, VOCAB), ENGINE_OK);
  assert_null(recycle_after(&r, 3));
  assert_null(recycle_after_two(&r, 1, 3));
  const float bad[][3] = {{NAN, 1, 0},       {1, NAN, 0},        {INFINITY, 1, 0},
                          {1, INFINITY, 0},  {-INFINITY, 1, 0},  {-INFINITY, -INFINITY, 0},
                          {-3e38f, 3e38f, 0}, {INFINITY, INFINITY, INFINITY}};
  for (int round = 0; round < 2; round++) { /* in empty entries, then in full ones */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
      recycle_learn(&r, 1, 3, ids, bad[i], 3);
    recycle_learn(&r, 1, 3, ids, good, 0);
    recycle_learn(&r, 1, 3, ids, good, -1);
    recycle_learn(&r, 1, -1, ids, good, 3);
    recycle_learn(&r, 1, VOCAB, ids, good, 3);
    if (round == 0) {
      assert_null(recycle_after(&r, 3));
      assert_null(recycle_after_two(&r, 1, 3));
      recycle_learn(&r, 1, 3, ids, good, 12); /* of which the first eight count */
    }
    const recycle_entry *both[] = {recycle_after(&r, 3), recycle_after_two(&r, 1, 3)};
    for (int k = 0; k < 2; k++) {
      check_entry(both[k]);
      assert_memory_equal(both[k]->ids, ids, sizeof both[k]->ids);
      assert_true(fabsf(both[k]->share[0] - 0.6324f) < 1e-3f);
    }
  }
  assert_null(recycle_after(&r, -1));
  assert_null(recycle_after(&r, VOCAB));
  recycle_expect(&r, -1, -1); /* asks for nothing where there can be nothing */
  recycle_expect(&r, 1, VOCAB);
  recycle_expect(&r, -1, 3);
  assert_int_equal((uintptr_t)recycle_after(&r, 3) % sizeof(recycle_entry), 0);
  assert_null(recycle_after_two(&r, -1, 3));
  assert_null(recycle_after_two(&r, 3, 1));
  const int32_t ended[] = {7, 9, -1, -1}; /* no more than two, the second next to impossible */
  const float sure[] = {100, -100, 3, 2};
  recycle_learn(&r, -1, 5, ended, sure, 4);
  check_entry(recycle_after(&r, 5));
  assert_int_equal(recycle_after(&r, 5)->ids[0], 7);
  assert_int_equal(recycle_after(&r, 5)->ids[1], -1);
  recycle_free(&r);
}

/* More pairs than there is room for: one gives way to another, never is one taken for another. */
static void test_recycle_pairs(void **state) {
  (void)state;
  recycle r;
  int there = 0;
  const float logit = 1;
  assert_int_equal(recycle_init(&r, 400), ENGINE_OK);
  for (int32_t i = 0; i < 160000; i++) recycle_learn(&r, i / 400, i % 400, &i, &logit, 1);
  for (int32_t i = 0; i < 160000; i++) {
    const recycle_entry *e = recycle_after_two(&r, i / 400, i % 400);
    if (e == NULL) continue;
    assert_int_equal(e->ids[0], i);
    assert_int_equal(e->ids[1], -1);
    there++;
  }
  assert_true(there > 40000);
  recycle_free(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_recycle),
      cmocka_unit_test(test_recycle_garbage),
      cmocka_unit_test(test_recycle_pairs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
