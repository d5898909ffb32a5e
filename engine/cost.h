/* cost.h - what a step costs by its rows, measured on the machine that runs it. Private to
 * engine/.
 *
 * How many guesses are worth verifying depends on how much longer a larger step takes: a few
 * percent on a large GPU, several times on a CPU. So steps of a few sizes are timed before the
 * first draft, and every step from then on corrects what is known about its size. */
#ifndef FIMD_ENGINE_COST_H
#define FIMD_ENGINE_COST_H

#include <stdbool.h>

#define COST_ROWS_MAX 128

typedef struct cost_curve {
  int load;    /* the number of the device's load that this is of; 0: nothing measured */
  float ms[1 + COST_ROWS_MAX]; /* [rows], filled between the sizes measured */
  int idle, patience; /* steps since guesses last paid; how many until that is doubted */
} cost_curve;

struct engine_session;

/* Measures if that was not yet done since the weights were loaded: steps on top of what the
 * session holds, which stays. Takes some 50 ms, on a GPU up to 150 or 30 steps. 0 or a step's
 * engine_status. */
int cost_measure(struct engine_session *s);
/* Whether the last step had guesses that were expected to pay. A size that is never used is never
 * corrected: if none pays for long, all are measured again at the next request, and the next time
 * after twice as long. */
void cost_paid(cost_curve *c, bool paid);
/* A step of so many rows took so long. */
void cost_seen(cost_curve *c, int rows, double ms);

#endif
