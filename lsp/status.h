/* status.h - what happened so far, for fimd/status and fimd.showStatistics. */
#ifndef FIMD_LSP_STATUS_H
#define FIMD_LSP_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "completion/completion.h"
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
  lsp__samples answer_ms;  /* from the request's arrival to the answer, where text was shown */
  lsp__samples first_ms;   /* to the first token */
  lsp__samples prefilled;  /* prompt tokens computed */
  completion_stats last;
  completion_stop last_stop;
} lsp__statistics;

void lsp__statistics_outcome(lsp__statistics *s, bool popup, lsp__outcome outcome);
/* What any completion has computed, whether it was finished, cancelled or wanted by nobody. */
void lsp__statistics_worked(lsp__statistics *s, const completion_stats *stats);
/* A finished completion, as completion/ reports it, and how long its client waited. */
void lsp__statistics_finished(lsp__statistics *s, const completion_stats *stats,
                              completion_stop stop, bool shown, double answer_ms);

/* The p-th percentile (0..1, nearest rank) of what is kept; 0 where there is nothing. */
double lsp__samples_percentile(const lsp__samples *s, double p);
void lsp__samples_add(lsp__samples *s, double value);

/* The statistics as an object, and as one line for a person. */
void lsp__statistics_write(const lsp__statistics *s, lsp__buffer *b);
void lsp__statistics_line(const lsp__statistics *s, char *out, size_t len);

#endif
