/* status.h - what happened so far, for fimd/status and fimd.showStatistics. */
#ifndef FIMD_LSP_STATUS_H
#define FIMD_LSP_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "completion/completion.h"
#include "lsp/acceptance.h"
#include "lsp/buffer.h"

#define LSP__SAMPLES 512 /* the most recent answers that the percentiles are of */

typedef struct lsp__samples {
  float values[LSP__SAMPLES];
  uint64_t count; /* of all there ever were; the newest is at (count - 1) % LSP__SAMPLES */
} lsp__samples;

typedef enum lsp__outcome {
  LSP__SHOWN = 0,
  LSP__EMPTY,      /* nothing to show, or not asked for here */
  LSP__CANCELLED,  /* by the client */
  LSP__SUPERSEDED, /* by a newer request or a change of the text */
  LSP__FAILED,
  LSP__OUTCOMES,
} lsp__outcome;

/* Of one client. Zero-initialise. */
typedef struct lsp__statistics {
  uint64_t inline_outcomes[LSP__OUTCOMES], popup_outcomes[LSP__OUTCOMES];
  uint64_t tokens, steps, drafted, accepted, prompt_tokens, prefilled_tokens;
  double host_ms; /* of decoding, outside the model's steps */
  uint64_t quiet[COMPLETION_QUIET_UNSURE + 1]; /* answers that show nothing, by why */
  uint64_t started; /* requests that became a job */
  uint64_t waited, spared; /* that waited for another key (debounce.h); of them, never started */
  /* Jobs that were stopped before they were through, the ms until they were over, and the most
   * steps that were still begun or under way. */
  uint64_t stopped, most_steps;
  lsp__samples stop_ms;
  lsp__samples answer_ms;  /* from the request's arrival to the answer, where text was shown */
  lsp__samples first_ms, last_ms; /* to the first and the last token, where any was decoded */
  lsp__samples prefilled;  /* prompt tokens computed, of each request */
  /* The same from one change of a text to the next; of the last one so far. */
  lsp__samples keys;
  uint64_t key_prefilled; /* prefilled_tokens when it came */
  bool typed;             /* there was one */
  lsp__acceptance acceptance;
  completion_stats last;
  double last_answer_ms; /* from the request's arrival, wherever the answer came from */
  completion_stop last_stop;
} lsp__statistics;

/* A text has changed. */
void lsp__statistics_key(lsp__statistics *s);
void lsp__statistics_outcome(lsp__statistics *s, bool popup, lsp__outcome outcome);
/* What any completion has computed, whether it was finished, cancelled or wanted by nobody. */
void lsp__statistics_worked(lsp__statistics *s, const completion_stats *stats);
/* How long a client waited: milliseconds from its request to the start, the answer, and the last of
 * the text, which may come after it. */
typedef struct lsp__times {
  double waited, answer, last;
} lsp__times;

/* A finished completion, as completion/ reports it. */
void lsp__statistics_finished(lsp__statistics *s, const completion_stats *stats,
                              completion_stop stop, completion_quiet quiet, bool shown,
                              const lsp__times *ms);
/* A job that was stopped and had not finished by itself was over after so long. */
void lsp__statistics_stopped(lsp__statistics *s, const completion_stats *stats, double ms);

/* The p-th percentile (0..1, nearest rank) of what is kept; 0 where there is nothing. */
double lsp__samples_percentile(const lsp__samples *s, double p);
void lsp__samples_add(lsp__samples *s, double value);

/* The statistics as an object, and as one line for a person. */
void lsp__statistics_write(const lsp__statistics *s, lsp__buffer *b);
void lsp__statistics_line(const lsp__statistics *s, char *out, size_t len);

#endif
