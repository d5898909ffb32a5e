/* sampler.h - picks a token from logits, private to engine/. */
#ifndef FIMD_ENGINE_SAMPLER_H
#define FIMD_ENGINE_SAMPLER_H

#include <stdint.h>

/* The state of a reproducible random stream (xoshiro256**). */
typedef struct sampler {
  float temperature; /* > 0 */
  float top_p;       /* in (0, 1] */
  uint64_t state[4];
  int *order;        /* [vocab] owned scratch */
  float *weight;     /* [vocab] owned scratch */
  int vocab;
} sampler;

/* 0 or ENGINE_ENOMEM. temperature must be > 0; top_p outside (0, 1] means 1. */
int sampler_init(sampler *s, int vocab, float temperature, float top_p, uint64_t seed);
void sampler_free(sampler *s);

/* Draws from softmax(logits / temperature) cut to the smallest set of likeliest tokens whose
 * probability reaches top_p. logits[vocab]. *logprob (may be NULL): the natural log of the
 * token's probability under softmax(logits), temperature and top_p left out. */
int32_t sampler_draw(sampler *s, const float *logits, double *logprob);

/* The natural log of token's probability under softmax(logits[vocab]). */
double sampler_logprob(const float *logits, int vocab, int32_t token);

/* The next number of a stream of splitmix64, whose state may be any number, zero included. */
uint64_t sampler_spread(uint64_t *state);

/* A uniform number in [0, 1). */
double sampler_uniform(sampler *s);

#endif
