/* test_sampler.c - the sampler's distribution, by a chi-square test on a small vocabulary. */
#include "tests/engine/golden.h"

#include <math.h>

#include "engine/engine.h"
#include "engine/sampler.h"

#define VOCAB 12
#define DRAWS 200000

static const float logits[VOCAB] = {1.5f, -0.5f, 0.0f, 2.0f, 2.0f, -3.0f,
                                    0.7f, -8.0f, 1.0f, 0.2f, -1.0f, 0.9f};

/* The exact distribution: softmax at the temperature, cut to the nucleus, renormalised. */
static void expect(double temperature, double top_p, double *p) {
  double sum = 0, kept = 0;
  bool in[VOCAB] = {false};
  if (top_p <= 0) top_p = 1;
  for (int i = 0; i < VOCAB; i++) sum += p[i] = exp(logits[i] / temperature);
  while (kept == 0 || kept < top_p * sum) {
    int best = -1;
    for (int i = 0; i < VOCAB; i++)
      if (!in[i] && (best < 0 || p[i] > p[best])) best = i;
    if (best < 0) break;
    in[best] = true;
    kept += p[best];
  }
  for (int i = 0; i < VOCAB; i++) p[i] = in[i] ? p[i] / kept : 0;
}

static void check(float temperature, float top_p) {
  sampler s;
  double p[VOCAB], chi = 0;
  int seen[VOCAB] = {0}, classes = 0;
  expect(temperature, top_p, p);
  assert_int_equal(sampler_init(&s, VOCAB, temperature, top_p, 42), ENGINE_OK);
  for (int i = 0; i < DRAWS; i++) {
    double logprob;
    int32_t id = sampler_draw(&s, logits, &logprob);
    assert_in_range(id, 0, VOCAB - 1);
    assert_true(fabs(logprob - sampler_logprob(logits, VOCAB, id)) < 1e-9);
    seen[id]++;
  }
  sampler_free(&s);
  for (int i = 0; i < VOCAB; i++) {
    if (p[i] * DRAWS < 5) { /* too rare for the statistic: only its order of magnitude */
      assert_true(seen[i] <= 30);
      if (p[i] == 0) assert_int_equal(seen[i], 0);
      continue;
    }
    double d = seen[i] - p[i] * DRAWS;
    chi += d * d / (p[i] * DRAWS);
    classes++;
  }
  /* The 99.99 % quantile for 11 degrees of freedom is 37.4; a fixed seed makes it repeatable. */
  print_message("temperature %.1f top_p %.2f: chi-square %.1f over %d classes\n", temperature, top_p,
                chi, classes);
  assert_true(chi < 37.4);
}

static void test_distribution(void **state) {
  (void)state;
  check(1.0f, 1.0f);
  check(0.7f, 0.0f); /* 0: all */
  check(1.3f, 0.9f);
  check(0.5f, 0.5f);
  check(1.0f, 1e-6f); /* the likeliest only; of equals, one */
}

static void test_logprobs_sum_to_one(void **state) {
  (void)state;
  double sum = 0;
  for (int i = 0; i < VOCAB; i++) sum += exp(sampler_logprob(logits, VOCAB, i));
  assert_true(fabs(sum - 1) < 1e-12);
}

static void test_uniform(void **state) {
  (void)state;
  sampler s;
  int low = 0;
  assert_int_equal(sampler_init(&s, 1, 1.0f, 1.0f, 0), ENGINE_OK);
  for (int i = 0; i < 100000; i++) {
    double u = sampler_uniform(&s);
    assert_true(u >= 0 && u < 1);
    low += u < 0.25;
  }
  assert_in_range(low, 24300, 25700); /* five standard deviations */
  sampler_free(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_distribution),
      cmocka_unit_test(test_logprobs_sum_to_one),
      cmocka_unit_test(test_uniform),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
