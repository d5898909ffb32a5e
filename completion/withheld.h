/* withheld.h - open documents that no other document's prompt or guesses may show.
 *
 * What the ignore rules, the list of secret names or a private key in the text keep out of the
 * workspace's files is kept out here too, whoever opened it. Such a document is completed from
 * its own text like any other. Engine thread only. */
#ifndef FIMD_COMPLETION_WITHHELD_H
#define FIMD_COMPLETION_WITHHELD_H

#include "completion/document.h"

/* Finds out about all views and releases those of views[1..n) that are withheld, also from the
 * n-gram pool; returns how many are left. `rules` is another number, never 0, whenever folders or
 * rules may have changed. *changed becomes true where one is withheld that was not: what was made
 * from it must go. */
int completion__withheld_drop(completion__view *views, int n, uint64_t rules, bool *changed);

static inline bool completion__is_withheld(const completion__document *d) {
  return d->withheld.by_rule || d->withheld.by_text;
}

#endif
