/* position.c - see position.h. Eight ASCII bytes at a time, as nearly all code is ASCII. */
#include "lsp/position.h"

#include <string.h>

#include "lsp/utf8.h"

static const char *const names[] = {
    [LSP__UTF16] = "utf-16", [LSP__UTF8] = "utf-8", [LSP__UTF32] = "utf-32"};

int lsp__encoding_from_name(const char *name) {
  for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

const char *lsp__encoding_name(lsp__encoding encoding) { return names[encoding]; }

size_t lsp__units_to_bytes(const char *text, size_t len, int64_t units, lsp__encoding encoding,
                           int *half) {
  size_t i = 0;
  if (half != NULL) *half = 0;
  if (units <= 0) return 0;
  if (encoding == LSP__UTF8) {
    if ((uint64_t)units >= len) return len;
    i = (size_t)units;
    while (i > 0 && lsp__utf8_is_continuation((unsigned char)text[i])) i--;
    return i;
  }
  while (i < len && units > 0) {
    if (units >= 8 && len - i >= 8 && lsp__utf8_ascii8(text + i)) {
      i += 8;
      units -= 8;
      continue;
    }
    size_t n = lsp__utf8_length((unsigned char)text[i]);
    int width = n == 4 && encoding == LSP__UTF16 ? 2 : 1;
    if (width > units) {
      if (half != NULL) *half = 1;
      return i;
    }
    units -= width;
    i += n < len - i ? n : len - i;
  }
  return i;
}

int64_t lsp__bytes_to_units(const char *text, size_t len, lsp__encoding encoding) {
  if (encoding == LSP__UTF8) return (int64_t)len;
  int64_t units = 0;
  for (size_t i = 0; i < len;) {
    if (len - i >= 8 && lsp__utf8_ascii8(text + i)) {
      i += 8;
      units += 8;
      continue;
    }
    unsigned char c = (unsigned char)text[i++];
    if (!lsp__utf8_is_continuation(c)) units += c >= 0xF0 && encoding == LSP__UTF16 ? 2 : 1;
  }
  return units;
}
