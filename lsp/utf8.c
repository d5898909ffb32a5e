/* utf8.c - see utf8.h. */
#include "lsp/utf8.h"

/* The bounds of the second byte exclude overlong forms, surrogates and what lies past U+10FFFF
 * (Unicode, table 3-7); every further byte is 80..BF. Returns 0 where text[len] does not begin
 * with a well-formed character. */
static size_t sequence_length(const unsigned char *s, size_t len) {
  unsigned char lead = s[0], low = 0x80, high = 0xBF;
  size_t n;
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) {
    n = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    n = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    n = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (len < n || s[1] < low || s[1] > high) return 0;
  for (size_t i = 2; i < n; i++)
    if (!lsp__utf8_is_continuation(s[i])) return 0;
  return n;
}

size_t lsp__utf8_check(const char *text, size_t len) {
  size_t i = 0;
  while (i < len) {
    while (len - i >= 8 && lsp__utf8_ascii8(text + i)) i += 8;
    if (i == len) break;
    size_t n = sequence_length((const unsigned char *)text + i, len - i);
    if (n == 0) return i;
    i += n;
  }
  return len;
}

size_t lsp__utf8_encode(uint32_t code, char out[4]) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  if (code < 0x800) {
    out[0] = (char)(0xC0 | code >> 6);
    out[1] = (char)(0x80 | (code & 0x3F));
    return 2;
  }
  if (code < 0x10000) {
    out[0] = (char)(0xE0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3F));
    out[2] = (char)(0x80 | (code & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | code >> 18);
  out[1] = (char)(0x80 | (code >> 12 & 0x3F));
  out[2] = (char)(0x80 | (code >> 6 & 0x3F));
  out[3] = (char)(0x80 | (code & 0x3F));
  return 4;
}

static char *find_surrogate(char *text, size_t len) {
  char *p = text, *end = text + len;
  while ((p = memchr(p, 0xED, (size_t)(end - p))) != NULL) {
    if (end - p >= 3 && ((unsigned char)p[1] & 0xE0) == 0xA0) return p;
    p++;
  }
  return NULL;
}

bool lsp__utf8_has_surrogates(const char *text, size_t len) {
  return len > 0 && find_surrogate((char *)text, len) != NULL;
}

void lsp__utf8_replace_surrogates(char *text, size_t len) {
  char *end = text + len, *p = text;
  while (p < end && (p = find_surrogate(p, (size_t)(end - p))) != NULL) {
    memcpy(p, "\xEF\xBF\xBD", 3);
    p += 3;
  }
}
