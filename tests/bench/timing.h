/* timing.h - how the benchmarks take the time, and the lines that they print.
 *
 * A header of its own, needing only C's library: peer_llamacpp.c is compiled without the rest of
 * this repository. cpu_peer.sh and peer.sh read what report prints. */
#ifndef FIMD_TESTS_BENCH_TIMING_H
#define FIMD_TESTS_BENCH_TIMING_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Which clock now_ms reads. CLOCK_THREAD_CPUTIME_ID where other programs run, too: then what is
 * timed must be one thread. */
static clockid_t clock_id = CLOCK_MONOTONIC;

static inline double now_ms(void) {
  struct timespec t;
  clock_gettime(clock_id, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static inline int compare_ms(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts them; so ms[0] is the best. */
static inline double median(double *ms, int n) {
  qsort(ms, (size_t)n, sizeof *ms, compare_ms);
  return ms[n / 2];
}

/* What was done to n tokens, a few times. Sorts ms. */
static inline void report(const char *what, int n, double *ms, int runs) {
  double middle = median(ms, runs);
  printf("%s %d best %.3f median %.3f ms\n", what, n, ms[0], middle);
  fflush(stdout);
}

#endif
