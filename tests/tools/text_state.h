/* text_state.h - a text in one line, so that two programs can compare theirs: "HASH UNITS LINES",
 * FNV-1a over the text as UTF-16 code units (low byte, then high byte), their number, and a number
 * of lines that the caller knows. A half surrogate pair is three bytes here and one unit there. */
#ifndef FIMD_TESTS_TEXT_STATE_H
#define FIMD_TESTS_TEXT_STATE_H

#include <inttypes.h>
#include <stdio.h>

#include "lsp/utf8.h"

static inline uint32_t text_state__unit(uint32_t hash, uint32_t unit) {
  hash = (hash ^ (unit & 0xFF)) * UINT32_C(16777619);
  return (hash ^ unit >> 8) * UINT32_C(16777619);
}

/* out[size]: 64 bytes hold any. */
static inline void text_state(const char *text, size_t len, size_t lines, char *out, size_t size) {
  uint32_t hash = UINT32_C(2166136261);
  size_t units = 0;
  const unsigned char *p = (const unsigned char *)text, *end = p + len;
  while (p < end) {
    size_t n = lsp__utf8_length(*p);
    uint32_t code = n == 1 ? *p : *p & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) code = code << 6 | (p[i] & 0x3F);
    p += n;
    if (code >= 0x10000) {
      hash = text_state__unit(hash, 0xD800 + ((code - 0x10000) >> 10));
      code = 0xDC00 + ((code - 0x10000) & 0x3FF);
      units++;
    }
    hash = text_state__unit(hash, code);
    units++;
  }
  snprintf(out, size, "%08" PRIx32 " %zu %zu", hash, units, lines);
}

#endif
