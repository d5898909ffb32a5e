/* buffer.c - see buffer.h. Grows by half, so that n appends cost O(n). */
#include "lsp/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool lsp__buffer_reserve(lsp__buffer *b, size_t more) {
  if (b->failed) return false;
  if (more < b->capacity && b->len < b->capacity - more) return true;
  size_t need, grown;
  if (__builtin_add_overflow(b->len, more, &need) || __builtin_add_overflow(need, 1, &need))
    goto fail;
  if (__builtin_add_overflow(b->capacity, b->capacity / 2, &grown) || grown < need) grown = need;
  if (grown < 64) grown = 64;
  char *data = realloc(b->data, grown);
  if (data == NULL) goto fail;
  b->data = data;
  b->capacity = grown;
  return true;
fail:
  b->failed = true;
  return false;
}

void lsp__buffer_append(lsp__buffer *b, const void *data, size_t len) {
  if (!lsp__buffer_reserve(b, len)) return;
  if (len > 0) memcpy(b->data + b->len, data, len);
  b->len += len;
  b->data[b->len] = '\0';
}

void lsp__buffer_puts(lsp__buffer *b, const char *s) { lsp__buffer_append(b, s, strlen(s)); }

void lsp__buffer_printf(lsp__buffer *b, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n < 0) b->failed = true;
  if (n >= 0 && lsp__buffer_reserve(b, (size_t)n)) {
    vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
    b->len += (size_t)n;
  }
  va_end(again);
}

void lsp__buffer_clear(lsp__buffer *b, size_t keep) {
  b->len = 0;
  b->failed = false;
  if (b->capacity > keep) lsp__buffer_free(b);
}

void lsp__buffer_free(lsp__buffer *b) {
  free(b->data);
  *b = (lsp__buffer){0};
}

char *lsp__strndup(const char *text, size_t len) {
  if (len == SIZE_MAX) return NULL;
  char *copy = malloc(len + 1);
  if (copy == NULL) return NULL;
  if (len > 0) memcpy(copy, text, len);
  copy[len] = '\0';
  return copy;
}
