/* why.h - what became of the last request about a document, and why: for fimd/why and fimd.why.
 *
 * The engine thread copies what completion/ says, as that is borrowed for a call; the loop adds
 * what it knows itself and keeps one with each document. */
#ifndef FIMD_LSP_WHY_H
#define FIMD_LSP_WHY_H

#include <stdbool.h>
#include <stdint.h>

#include "completion/completion.h"
#include "lsp/buffer.h"
#include "lsp/position.h"
#include "lsp/status.h"

#define LSP__PIECES_MAX 64 /* pieces of a prompt that are kept; more are only counted */

typedef struct lsp__why {
  completion_why said; /* its strings and pieces are this object's */
  int left_out;        /* pieces past LSP__PIECES_MAX, or that there was no memory for */
  /* The loop's: */
  uint64_t number; /* a newer one is larger */
  bool popup, automatic;
  lsp__outcome outcome;
  const char *refusal; /* a constant, where the request was not even passed on, else NULL */
  char message[256];   /* where it failed */
  lsp__position at;
  size_t bytes;        /* of the first text */
  int candidates;      /* texts that came */
  completion_stop stop;
  completion_stats stats;
  double waited_ms, answer_ms; /* of answer_ms, before the start */
} lsp__why;

/* A copy of what was said (NULL: nothing), owned: lsp__why_delete. NULL when out of memory. Any
 * thread. */
lsp__why *lsp__why_new(const completion_why *said);
void lsp__why_delete(lsp__why *why); /* NULL is a no-op */

/* As an object, and as a line for a person. */
void lsp__why_write(const lsp__why *why, const char *uri, lsp__buffer *b);
void lsp__why_line(const lsp__why *why, char *out, size_t len);

/* "midLine" and so on, as the members of objects are called. */
const char *lsp__quiet_name(completion_quiet quiet);
#define LSP__QUIETS (COMPLETION_QUIET_UNSURE + 1)

#endif
