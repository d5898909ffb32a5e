/* gate.h - does the grammar read the code still, with a text put in?
 *
 * Asked several times for every answer, so it must not cost what a file costs: what is parsed is
 * the text from the definition that the cursor stands in to the next one, as the lines that begin
 * at the margin show them, and at most a few thousand bytes to either side. A missing bracket can make
 * a parser try again and again to the end of the file; here that is near. What counts is the
 * difference between two parses of the same stretch, so it need not be complete code. Engine thread
 * only. */
#ifndef FIMD_COMPLETION_GATE_H
#define FIMD_COMPLETION_GATE_H

#include "completion/syntax.h"

#define COMPLETION__GATE_BYTES 3000 /* to either side of the cursor */

typedef struct completion__gate {
  completion__parser *parser;
  const grammars_language *language;
  const atomic_bool *cancel;
  completion__slice lead, before, rest; /* what is parsed; borrowed */
  size_t replaced; /* bytes at the start of rest that the text takes the place of */
  TSTree *tree; /* owned: without the text */
  int errors;   /* in it */
} completion__gate;

/* For a text that is to take the place of bytes start..end (on one line) of `all`, which is
 * borrowed. False: there is no grammar, it was too slow or cancelled; nothing to close. */
bool completion__gate_open(completion__gate *g, completion__parser *p, const grammars_language *l,
                           completion__slice all, size_t start, size_t end,
                           const atomic_bool *cancel);
void completion__gate_close(completion__gate *g);
/* How many more places the grammar cannot read with `put` in place, which takes the place of
 * `absorbed` more bytes; negative: fewer. As few as can be where it cannot be told. */
int completion__gate_ask(const completion__gate *g, completion__slice put, size_t absorbed);

/* 1: the grammar can read all of the document with bytes start..end replaced by `put`, 0: it cannot,
 * -1: it could not anyway, far away from there, or it cannot be told. One incremental parse that
 * ends with the first error; the document's own tree stays as it is. */
int completion__gate_reads(completion__parser *p, completion__document *d, completion__text *text,
                           size_t start, size_t end, completion__slice put,
                           const atomic_bool *cancel);
/* The stretch of `all` around start..end that is parsed. */
void completion__gate_stretch(completion__slice all, size_t start, size_t end, size_t *from,
                              size_t *to);

#endif
