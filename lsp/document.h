/* document.h - one open text: its bytes, its lines, and the edits that a client sends.
 *
 * The same edits give the same text as in the client: past-the-end positions are clamped, "\n",
 * "\r\n" and "\r" end lines, a range whose end lies before its start is turned round, and half
 * of a surrogate pair may be replaced (see utf8.h). */
#ifndef FIMD_LSP_DOCUMENT_H
#define FIMD_LSP_DOCUMENT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "lsp/buffer.h"
#include "lsp/debounce.h"
#include "lsp/position.h"

#define LSP__DOCUMENT_MAX ((size_t)256 << 20) /* bytes of one document */

typedef struct lsp__document lsp__document;
struct lsp__document {
  char *uri, *language; /* owned */
  int64_t version;
  lsp__buffer text;  /* UTF-8, may hold zero bytes and lone surrogates */
  size_t *lines;     /* [line_count] byte offset of each line's start; lines[0] is 0 */
  size_t line_count, line_capacity;
  bool lost;  /* an edit could not be applied: it is not the client's text any more */
  bool dirty; /* changed since completion/ last saw it */
  uint64_t edits; /* so far; the last one put `inserted` bytes at `edited` for `removed` ones */
  size_t edited, removed, inserted;
  /* The store's own: */
  lsp__document *next;
  lsp__window pauses;     /* between changes */
  uint64_t changed;       /* when the last one came, ns; 0: none did */
  struct lsp__why *why;   /* of the last request about it; owned by the store, may be NULL */
};

/* *out is owned: lsp__document_delete (NULL is a no-op). */
int lsp__document_new(lsp__document **out, const char *uri, const char *language, int64_t version,
                      const char *text, size_t len);
void lsp__document_delete(lsp__document *d);

/* The whole text anew. On failure the document is as it was. */
int lsp__document_replace(lsp__document *d, const char *text, size_t len);
/* Puts text[len] in the place of a range. On failure the document is as it was. Costs the edit
 * and the moving of what follows it. */
int lsp__document_edit(lsp__document *d, lsp__range range, lsp__encoding encoding,
                       const char *text, size_t len);

/* Whether the last edit is the same as putting as many bytes in at the cursor: of "ll" it may have
 * been either one that was typed, and Neovim names the second. */
bool lsp__document_typed_at(const lsp__document *d, size_t cursor);

/* The byte offset of a position, at a character's start. */
size_t lsp__document_offset(const lsp__document *d, lsp__position p, lsp__encoding encoding);
lsp__position lsp__document_position(const lsp__document *d, size_t offset,
                                     lsp__encoding encoding);
/* The line that an offset is on, and a line's bytes without its end. */
size_t lsp__document_line(const lsp__document *d, size_t offset);
void lsp__document_line_span(const lsp__document *d, size_t line, size_t *start, size_t *end);

/* ---- from the wire (document_sync.c) --------------------------------------------------- */

bool lsp__position_parse(const cJSON *item, lsp__position *out);
bool lsp__range_parse(const cJSON *item, lsp__range *out);

/* The contentChanges of didChange, in their order. Where one is not understood or does not fit,
 * the document is marked lost and *why says so; a change of the whole text finds it again. */
int lsp__document_change(lsp__document *d, const cJSON *changes, lsp__encoding encoding,
                         const char **why);

#endif
