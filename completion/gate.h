/* gate.h - does the grammar read the code still, with a text put in?
 *
 * Asked several times for every answer, so it must not cost what a file costs: what is parsed is
 * the text from the definition that the cursor stands in to the next one, as the lines that begin
 * at the margin show them, and at most a few thousand bytes to either side. A missing bracket can
 * make a parser try again and again to the end of the file; here that is near. What counts is the
 * difference between two parses of the same stretch, so it need not be complete code.
 *
 * What the questions about one answer may cost together is bounded, as an answer waits for them.
 * Counted are steps of the parser, which are the same on every machine, so that the same text has
 * the same fate; and as steps in badly broken code may take fifty times as long as others, the
 * thread's own time, too. What cannot be told within that is said to be unknown. Engine thread
 * only. */
#ifndef FIMD_COMPLETION_GATE_H
#define FIMD_COMPLETION_GATE_H

#include <limits.h>

#include "completion/syntax.h"

#define COMPLETION__GATE_BYTES 1500 /* to either side of the cursor */
#define COMPLETION__GATE_UNKNOWN INT_MAX

/* What is left of it. */
typedef struct completion__gate_budget {
  completion__parser *parser;
  const atomic_bool *cancel; /* may be NULL */
  double steps;    /* hundreds of the parser's operations */
  double spent;    /* steps so far */
  double until_ms; /* of the processor's time that this thread has had */
} completion__gate_budget;

/* As much as one answer may cost, in proportion to the parser's patience. */
completion__gate_budget completion__gate_begin(completion__parser *p, const atomic_bool *cancel);

typedef struct completion__gate {
  completion__gate_budget *budget; /* borrowed */
  const grammars_language *language;
  completion__slice lead, before, rest; /* what is parsed; borrowed */
  size_t replaced; /* bytes at the start of rest that the text takes the place of */
  TSTree *tree; /* owned: without the text */
  int errors;   /* in it */
} completion__gate;

/* For a text that is to take the place of bytes start..end (on one line) of `all`, which is
 * borrowed. Where the stretch is too dear, a shorter one will do. False: there is no grammar, the
 * budget does not suffice, or it was cancelled; nothing to close. */
bool completion__gate_open(completion__gate *g, completion__gate_budget *b,
                           const grammars_language *l, completion__slice all, size_t start,
                           size_t end);
void completion__gate_close(completion__gate *g);
/* How many more places the grammar cannot read with `put` in place, which takes the place of
 * `absorbed` more bytes; negative: fewer; COMPLETION__GATE_UNKNOWN. */
int completion__gate_ask(const completion__gate *g, completion__slice put, size_t absorbed);

/* 1: the grammar can read all of the document with bytes start..end replaced by `put`, 0: it
 * cannot, -1: it could not anyway, far away from there, or it cannot be told. One incremental
 * parse that ends with the first error and takes no more than a part of the budget; the document's
 * own tree stays as it is. */
int completion__gate_reads(completion__gate_budget *b, completion__document *d,
                           completion__text *text, size_t start, size_t end,
                           completion__slice put);
/* The stretch of `all` around start..end that is parsed, about `most` bytes to either side. */
void completion__gate_stretch(completion__slice all, size_t start, size_t end, size_t most,
                              size_t *from, size_t *to);

#endif
