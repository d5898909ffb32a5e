/* buffer.h - a growable run of bytes whose first failure sticks.
 *
 * Writers append without looking at every return value and ask `failed` once at the end. */
#ifndef FIMD_LSP_BUFFER_H
#define FIMD_LSP_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

/* What the files of lsp/ return to each other: 0 or one of these. */
typedef enum lsp__status {
  LSP__OK = 0,
  LSP__ENOMEM = -1,
  LSP__EINVAL = -2, /* not what it should be */
  LSP__ELIMIT = -3, /* larger than we are willing to hold */
} lsp__status;

/* Zero-initialise. */
typedef struct lsp__buffer {
  char *data; /* [len] owned, zero-terminated once anything was appended */
  size_t len, capacity;
  bool failed; /* out of memory; further appends do nothing */
} lsp__buffer;

/* Room for `more` further bytes and a terminator. */
bool lsp__buffer_reserve(lsp__buffer *b, size_t more);
void lsp__buffer_append(lsp__buffer *b, const void *data, size_t len);
void lsp__buffer_puts(lsp__buffer *b, const char *s);
void lsp__buffer_printf(lsp__buffer *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Empties it and forgets a failure; gives memory beyond `keep` bytes back. */
void lsp__buffer_clear(lsp__buffer *b, size_t keep);
void lsp__buffer_free(lsp__buffer *b);

/* A copy of text[len] with a terminator, NULL when out of memory. */
char *lsp__strndup(const char *text, size_t len);

#endif
