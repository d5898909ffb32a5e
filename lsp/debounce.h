/* debounce.h - how long a request that nobody made by hand waits before it starts.
 *
 * A request that is started and then typed over has kept the machine busy for nothing, and the next
 * one waits until it is out of the way; one that waits longer than it has to makes the ghost text
 * late. So it waits as long as it is likelier than not that another key comes before its answer
 * would, and no longer. What is known for that: the last pauses between changes of the document,
 * and how long the last answers took that were decoded. The rule, with A their median:
 *
 * - No wait where A is less than a frame of the screen, as nobody sees the difference; or where
 *   fewer than LSP__PAUSES_FEW pauses or no answer is known.
 * - Else the least w of 0 and the pauses seen, such that of the pauses longer than w no more than
 *   half end within A after it. One endless pause is counted with those that were seen: it keeps
 *   a single odd one from being a rule.
 * - Never more than the client's setting. Where no w up to it will do, a key before the answer is
 *   to be expected anyway; the wait is then the longest pause within the setting if at least half
 *   of all pauses are no longer than that, which is what it saves, and else nothing.
 *
 * The wait counts from the change, not from the request. Who asked by hand, follows a job that is
 * live, or asks where the last text shown goes on, does not wait at all (request.c). */
#ifndef FIMD_LSP_DEBOUNCE_H
#define FIMD_LSP_DEBOUNCE_H

#include <stdint.h>

#define LSP__WINDOW 32
#define LSP__PAUSES_FEW 4
#define LSP__FRAME_MS 16.7
#define LSP__DEBOUNCE_MS 75 /* the setting, where it is not set */

/* The newest of some measurements, in milliseconds. Zero-initialise. */
typedef struct lsp__window {
  float ms[LSP__WINDOW];
  uint64_t count; /* of all there ever were; the newest is at (count - 1) % LSP__WINDOW */
} lsp__window;

void lsp__window_add(lsp__window *w, double ms);
/* Nearest rank; 0 where there is nothing. */
double lsp__window_median(const lsp__window *w);

/* Milliseconds from a change to the start of the request after it, at most `most`. */
double lsp__debounce_ms(const lsp__window *pauses, const lsp__window *answers, double most);

#endif
