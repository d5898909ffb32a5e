/* utf8.h - UTF-8, and how the lsp folder holds what UTF-8 cannot say.
 *
 * Editors written in JavaScript hold text as UTF-16 and may send half of a surrogate pair as
 * "\ud83d" (an edit that replaces one half of an emoji does). Dropping it would shift every
 * later position of the line, so text in lsp/ may hold a lone surrogate in the three-byte form
 * that UTF-8 forbids (ED A0..BF xx), and two halves that meet are joined. Such bytes never come
 * from the wire as they are: input is checked first. They leave lsp/ as U+FFFD, which is three
 * bytes as well, so byte offsets hold. */
#ifndef FIMD_LSP_UTF8_H
#define FIMD_LSP_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The offset of the first byte that is not part of well-formed UTF-8; len where all is well. */
size_t lsp__utf8_check(const char *text, size_t len);

/* Writes a code point (a surrogate too, in its three-byte form); returns 1..4 bytes. */
size_t lsp__utf8_encode(uint32_t code, char out[4]);

/* Overwrites lone surrogates by U+FFFD. */
void lsp__utf8_replace_surrogates(char *text, size_t len);
bool lsp__utf8_has_surrogates(const char *text, size_t len);

/* Bytes of the character that begins with this byte, in text that was checked. */
static inline size_t lsp__utf8_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

static inline bool lsp__utf8_is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

/* Three bytes at p: is it the high (first) or the low (second) half of a pair? */
static inline bool lsp__utf8_is_high(const char *p) {
  return (unsigned char)p[0] == 0xED && ((unsigned char)p[1] & 0xF0) == 0xA0;
}
static inline bool lsp__utf8_is_low(const char *p) {
  return (unsigned char)p[0] == 0xED && ((unsigned char)p[1] & 0xF0) == 0xB0;
}

/* Eight bytes at p are all ASCII. */
static inline bool lsp__utf8_ascii8(const char *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return (word & UINT64_C(0x8080808080808080)) == 0;
}

#endif
