/* debounce.c - see debounce.h. */
#include "lsp/debounce.h"

#include <stdlib.h>
#include <string.h>

void lsp__window_add(lsp__window *w, double ms) { w->ms[w->count++ % LSP__WINDOW] = (float)ms; }

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* How many there are, in their order. */
static int sorted(const lsp__window *w, float out[LSP__WINDOW]) {
  int n = w->count < LSP__WINDOW ? (int)w->count : LSP__WINDOW;
  memcpy(out, w->ms, (size_t)n * sizeof *out);
  qsort(out, (size_t)n, sizeof *out, compare);
  return n;
}

double lsp__window_median(const lsp__window *w) {
  float ms[LSP__WINDOW];
  int n = sorted(w, ms);
  return n > 0 ? (double)ms[(n - 1) / 2] : 0;
}

/* How many of the sorted values are no more than a limit. */
static int up_to(const float *ms, int n, double limit) {
  int i = 0;
  while (i < n && (double)ms[i] <= limit) i++;
  return i;
}

double lsp__debounce_ms(const lsp__window *pauses, const lsp__window *answers, double most) {
  float ms[LSP__WINDOW];
  int n = sorted(pauses, ms), over = 0;
  double answer = lsp__window_median(answers), wait = 0;
  if (!(most > 0) || n < LSP__PAUSES_FEW || answer < LSP__FRAME_MS) return 0;
  for (;;) {
    over = up_to(ms, n, wait);
    int longer = n - over + 1, soon = up_to(ms, n, wait + answer) - over;
    if (2 * soon <= longer) return wait;
    if ((double)ms[over] > most) break; /* there is one, or soon were 0 */
    wait = (double)ms[over];
  }
  return 2 * over >= n ? wait : 0;
}
