/* sampler.c - temperature and nucleus sampling.
 *
 * Ties and sums are taken in a fixed order (by weight, then by id), so that a seed gives the
 * same tokens on every run. */
#include "engine/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"

uint64_t sampler_spread(uint64_t *x) {
  uint64_t z = (*x += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

static uint64_t next_random(uint64_t s[4]) {
  uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotate(s[3], 45);
  return result;
}

int sampler_init(sampler *s, int vocab, float temperature, float top_p, uint64_t seed) {
  memset(s, 0, sizeof *s);
  s->vocab = vocab;
  s->temperature = temperature;
  s->top_p = top_p > 0 && top_p < 1 ? top_p : 1;
  for (int i = 0; i < 4; i++) s->state[i] = sampler_spread(&seed);
  s->order = malloc((size_t)vocab * sizeof *s->order);
  s->weight = malloc((size_t)vocab * sizeof *s->weight);
  if (s->order == NULL || s->weight == NULL) {
    sampler_free(s);
    return ENGINE_ENOMEM;
  }
  return ENGINE_OK;
}

void sampler_free(sampler *s) {
  free(s->order);
  free(s->weight);
  s->order = NULL;
  s->weight = NULL;
}

double sampler_uniform(sampler *s) {
  return (double)(next_random(s->state) >> 11) * 0x1.0p-53;
}

static float largest(const float *logits, int vocab) {
  float max = logits[0];
  for (int i = 1; i < vocab; i++)
    if (logits[i] > max) max = logits[i];
  return max;
}

double sampler_logprob(const float *logits, int vocab, int32_t token) {
  double max = largest(logits, vocab), sum = 0;
  for (int i = 0; i < vocab; i++) sum += exp((double)logits[i] - max);
  return (double)logits[token] - max - log(sum);
}

/* Restores the heap order[0..n-1] (largest weight at the root) below position i. */
static void sift_down(const float *weight, int *order, int n, int i) {
  for (;;) {
    int best = i;
    for (int c = 2 * i + 1; c <= 2 * i + 2 && c < n; c++) {
      float a = weight[order[c]], b = weight[order[best]];
      if (a > b || (a == b && order[c] < order[best])) best = c;
    }
    if (best == i) return;
    int t = order[i];
    order[i] = order[best];
    order[best] = t;
    i = best;
  }
}

int32_t sampler_draw(sampler *s, const float *logits, double *logprob) {
  int n = s->vocab;
  float max = largest(logits, n);
  double sum = 0;
  for (int i = 0; i < n; i++) {
    s->weight[i] = expf((logits[i] - max) / s->temperature);
    s->order[i] = i;
    sum += s->weight[i];
  }
  /* A heap gives the tokens best first, only as many as the nucleus needs. */
  for (int i = n / 2 - 1; i >= 0; i--) sift_down(s->weight, s->order, n, i);
  double nucleus = 0;
  int kept = 0;
  while (kept < n && (kept == 0 || nucleus < s->top_p * sum)) {
    int last = n - 1 - kept, top = s->order[0];
    nucleus += s->weight[top];
    s->order[0] = s->order[last];
    s->order[last] = top; /* the nucleus grows from the end of the array */
    kept++;
    sift_down(s->weight, s->order, last, 0);
  }
  double u = sampler_uniform(s) * nucleus;
  int32_t token = s->order[n - kept];
  for (int i = 0; i < kept; i++) {
    token = s->order[n - 1 - i];
    u -= s->weight[token];
    if (u < 0) break;
  }
  if (logprob != NULL) *logprob = sampler_logprob(logits, n, token);
  return token;
}
