/* similar.h - the lines that look most like those around the cursor.
 *
 * Code is often written again with other names. Windows of a few lines, of the document where the
 * prompt does not show it and of the other open documents in the same language, are compared with
 * the lines around the cursor by their sets of identifiers (Jaccard: how many they share, of all
 * that they have). The best one or two are cut to whole statements by the tree. A document's
 * identifiers are kept line by line until its text changes. Engine thread only. */
#ifndef FIMD_COMPLETION_SIMILAR_H
#define FIMD_COMPLETION_SIMILAR_H

#include "completion/syntax.h"

#define COMPLETION__SIMILAR_MAX 2

typedef struct completion__similar {
  int view;
  size_t start, end; /* bytes of its text, whole lines */
  double similarity; /* above 0, at most 1 */
} completion__similar;

/* For a cursor at `offset` of views[0], of which [from, to) is shown. Returns how many were found,
 * best first, or COMPLETION_ENOMEM. */
int completion__similar_find(completion__parser *p, const completion__view *views, int n_views,
                             size_t offset, size_t from, size_t to, const atomic_bool *cancel,
                             completion__similar out[COMPLETION__SIMILAR_MAX]);

typedef struct completion__lines completion__lines; /* a document's identifiers */
void completion__lines_delete(completion__lines *l); /* NULL is a no-op */

#endif
