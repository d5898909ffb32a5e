/* peek.h - what a message says about itself, read without memory and from its first bytes alone.
 *
 * For a message that cannot be taken: too large, or no memory for it. Its sender, if it is a
 * request, gets an answer under its own id; and a text that it may have changed is known no more. */
#ifndef FIMD_LSP_PEEK_H
#define FIMD_LSP_PEEK_H

#include <stdbool.h>
#include <stddef.h>

#include "lsp/rpc.h"

#define LSP__PEEK_TEXT 1024 /* bytes of an id or a URI that is longer is not read */

typedef struct lsp__peek {
  lsp__id id;    /* of a request; kind NULL: none was found; a string is in id_text */
  bool may_edit; /* it changes a document's text, or might, as its method was not found */
  char uri[LSP__PEEK_TEXT]; /* of its document; empty: not found */
  char id_text[LSP__PEEK_TEXT];
} lsp__peek;

/* text[len] may be cut off anywhere and need not be JSON. */
void lsp__peek_read(lsp__peek *out, const char *text, size_t len);

#endif
