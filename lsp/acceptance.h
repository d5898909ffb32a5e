/* acceptance.h - which of the shown texts were taken, inferred from didChange.
 *
 * No editor says that ghost text was accepted (partial accepts skip the command of an item, and
 * Neovim and Emacs run none), but all send the edit that it makes. So the last text shown is kept
 * with its place, and the edit that follows is held against it:
 *
 * - It puts in a text of several characters that begins what was shown: that much was accepted. All
 *   that was left, with no part taken before: whole; up to the end of a line, and more than one
 *   word, or over a line's end: line; else: word.
 * - It puts in one character, or a pair of brackets or quotes of which the editor added the second,
 *   that agrees: typed through, which is no acceptance, nor is it the end of the suggestion.
 * - It goes back within what was typed through: the same.
 * - Anything else: the suggestion is over.
 *
 * An edit may be described in several ways (Neovim diffs the texts), so where the range of a
 * suggestion has become its text, that is an acceptance however it was said. A text that is shown
 * again, or as much of it as is left, is no new suggestion. */
#ifndef FIMD_LSP_ACCEPTANCE_H
#define FIMD_LSP_ACCEPTANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "completion/completion.h"
#include "lsp/document.h"

typedef struct lsp__acceptance {
  uint64_t suggestions; /* shown */
  uint64_t accepted;    /* of them, at least in part */
  uint64_t whole, lines, words; /* acceptances */
  uint64_t characters, typed;   /* accepted; typed through */
} lsp__acceptance;

/* What is shown now, of one client. Zero-initialise. */
typedef struct lsp__offer {
  char *uri; /* owned; NULL: nothing is shown */
  size_t start, end; /* bytes of the document that the texts take the place of */
  size_t first;      /* where the cursor was when it was shown first */
  size_t cursor;     /* before it the document has what the texts begin with */
  lsp__buffer texts[COMPLETION_CANDIDATES_MAX]; /* [n] */
  int n;
  bool taken; /* a part of it was accepted */
} lsp__offer;

/* Something is shown at the cursor of a document: texts [n], each of lens bytes. What was shown
 * before is not any more. Without memory nothing is kept. */
void lsp__offer_show(lsp__offer *o, lsp__acceptance *count, const char *uri, size_t cursor,
                     size_t start, size_t end, const char *const *texts, const size_t *lens, int n);
void lsp__offer_clear(lsp__offer *o); /* also frees */
/* The document has changed since it counted `edits`. */
void lsp__offer_edited(lsp__offer *o, lsp__acceptance *count, const lsp__document *d,
                       uint64_t edits);
/* Whether more of it is to come at this place. */
bool lsp__offer_stands(const lsp__offer *o, const char *uri, size_t cursor);

#endif
