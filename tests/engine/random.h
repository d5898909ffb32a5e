/* random.h - numbers that look random and are the same on every run, for the tests of engine/. */
#ifndef FIMD_TESTS_RANDOM_H
#define FIMD_TESTS_RANDOM_H

#include "engine/sampler.h"

/* 0..n-1; *state is any number to begin with. */
static inline int below(uint64_t *state, int n) {
  return (int)(sampler_spread(state) % (uint64_t)n);
}

#endif
