/* edits.h - where text was changed last.
 *
 * What somebody just wrote elsewhere is often what the next lines are about. The last few places
 * are kept, newest first, each moved along by later edits of its document, and those that touch or
 * nearly do are one. What is put in at one stroke and is longer than a person writes is not kept.
 * Kept by the front thread; a request has a copy. */
#ifndef FIMD_COMPLETION_EDITS_H
#define FIMD_COMPLETION_EDITS_H

#include "completion/document.h"

#define COMPLETION__EDITS_MAX 8

typedef struct completion__edit {
  const completion__document *document; /* only compared */
  size_t start, end;                    /* bytes of its text as it is now */
} completion__edit;

/* Zero-initialise. */
typedef struct completion__edits {
  completion__edit items[COMPLETION__EDITS_MAX]; /* [n] newest first */
  int n;
} completion__edits;

/* The document's text was `from` and is `to` now. */
void completion__edits_note(completion__edits *e, const completion__document *d,
                            completion__slice from, completion__slice to);
/* The document is gone. */
void completion__edits_forget(completion__edits *e, const completion__document *d);

/* The lines around the place that show it, in the document's text as it was when the edits were
 * copied; blank lines at both ends are left out. False: there is nothing to show. */
bool completion__edits_lines(const completion__edit *e, const completion__text *t, size_t *start,
                             size_t *end);

/* How many bytes the two texts share at their start and, of the rest, at their end; on borders
 * between characters. False: they are equal. */
bool completion__edits_difference(completion__slice from, completion__slice to, size_t *start,
                                  size_t *end);

#endif
