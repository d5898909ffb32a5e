/* polish.h - from what the model wrote to what the editor shows.
 *
 * Takes the kept text and makes it fit between what stands before and after the cursor:
 * nothing that is already there a second time, no closing bracket or quote too many, no
 * blanks at line ends, no half character, no special token, the document's own indentation
 * and line ends. A pure function: the same for a partial and for the final text. */
#ifndef FIMD_COMPLETION_POLISH_H
#define FIMD_COMPLETION_POLISH_H

#include "completion/scan.h"

typedef struct completion__polish {
  const grammars_language *language;
  completion__slice before, after;  /* of the cursor */
  const completion__scan *at_cursor; /* the state after `before`; NULL: found out */
  const completion__slice *special; /* [n_special] names of the special tokens */
  int n_special;
  bool crlf; /* line ends of the result */
} completion__polish;

/* Appends the polished text to out. *absorb is how many bytes after the cursor (of its line)
 * the text takes the place of. 0 or COMPLETION_ENOMEM. */
int completion__polish_text(const completion__polish *p, completion__slice text,
                            completion__buffer *out, size_t *absorb);

#endif
