/* tokenizer_normalize.c - what is UTF-8, and its NFC form.
 *
 * Nearly all text is in NFC, and most characters show it: those that NFC leaves alone whatever
 * stands beside them. One pass finds bytes that are not UTF-8 and characters that are not so
 * settled. Only lines with such a character are normalised: a line feed composes with nothing
 * and stops reordering, so that lines are independent. Characters and their composition are
 * utf8proc's; the reordering of combining marks is ours, because utf8proc's takes quadratic
 * time on a long run of them. */
#include "engine/tokenizer_internal.h"

#include <stdlib.h>

#include <utf8proc.h>

/* ---- UTF-8 ----------------------------------------------------------------------------- */

/* The length of the character at s[left], left > 0, and its code point; 0: not UTF-8. */
static size_t decode(const uint8_t *s, size_t left, uint32_t *point) {
  uint32_t a = s[0];
  if (a < 0x80) {
    *point = a;
    return 1;
  }
  size_t n = a >= 0xF0 ? 4 : a >= 0xE0 ? 3 : 2;
  if (a < 0xC2 || a > 0xF4 || left < n) return 0;
  uint32_t c = a & (0x7Fu >> n);
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0;
    c = c << 6 | (s[i] & 0x3F);
  }
  if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10FFFF ||
      (c >= 0xD800 && c <= 0xDFFF))
    return 0;
  *point = c;
  return n;
}

/* True only for characters of combining class 0 that NFC neither changes nor composes with
 * what precedes them. Ranges that real text is made of; the tests hold them against utf8proc's
 * data. Other characters are looked at properly. */
static bool is_settled(uint32_t c) {
  if (c < 0x300) return true;
  if (c < 0x2010) return (c >= 0x388 && c < 0x483) || (c >= 0x48A && c < 0x530);
  if (c < 0x3400)
    return (c < 0x205F && c != 0x2028 && c != 0x2029) || (c >= 0x20A0 && c < 0x20C0) ||
           (c >= 0x2190 && c < 0x2329) || (c >= 0x232B && c < 0x2ADC) ||
           (c >= 0x3000 && c < 0x302A) || (c >= 0x3041 && c < 0x3097) ||
           (c >= 0x309B && c < 0x3100);
  return c < 0xA000 || (c >= 0xAC00 && c < 0xD7A4) || (c >= 0xFF00 && c < 0xFFF0) ||
         (c >= 0x1F000 && c < 0x1FB00);
}

size_t tokenizer__utf8_span(const char *text, size_t len, bool *settled) {
  const uint8_t *s = (const uint8_t *)text;
  size_t i = 0;
  bool all = true;
  while (i < len) {
    if (len - i >= 8 && (tokenizer__load64(text + i) & 0x8080808080808080u) == 0) {
      i += 8;
      continue;
    }
    uint32_t c;
    size_t n = decode(s + i, len - i, &c);
    if (n == 0) break;
    all = all && is_settled(c);
    i += n;
  }
  *settled = all;
  return i;
}

/* ---- NFC ------------------------------------------------------------------------------- */

static int combining_class(int32_t c) { return utf8proc_get_property(c)->combining_class; }

/* Sorts points[n], none of which is of class 0, by combining class, equal ones as they were;
 * spare[n] is scratch. */
static void sort_marks(int32_t *points, int32_t *spare, size_t n) {
  if (n < 2) return;
  if (n <= 16) {
    for (size_t i = 1; i < n; i++) {
      int32_t c = points[i];
      size_t j = i;
      for (; j > 0 && combining_class(points[j - 1]) > combining_class(c); j--)
        points[j] = points[j - 1];
      points[j] = c;
    }
    return;
  }
  size_t start[257] = {0};
  for (size_t i = 0; i < n; i++) start[combining_class(points[i]) % 256 + 1]++;
  for (int k = 0; k < 256; k++) start[k + 1] += start[k];
  for (size_t i = 0; i < n; i++) spare[start[combining_class(points[i]) % 256]++] = points[i];
  memcpy(points, spare, n * sizeof *points);
}

static void sort_all_marks(int32_t *points, int32_t *spare, size_t n) {
  for (size_t i = 0, j; i < n; i = j + 1) {
    for (j = i; j < n && combining_class(points[j]) != 0; j++) {}
    sort_marks(points + i, spare, j - i);
  }
}

/* A character of b bytes decomposes into at most 2 b characters (U+0390: 2 bytes, 3; U+1F82: 3
 * bytes, 4); the room is checked all the same. */
#define POINTS_PER_BYTE 2

static int normalize_line(tokenizer_scratch *scratch, const char *text, size_t len, char *out,
                          size_t room, size_t *outlen) {
  size_t capacity = POINTS_PER_BYTE * len, n = 0;
  if (2 * capacity > scratch->points_capacity) {
    int32_t *points = realloc(scratch->points, 2 * capacity * sizeof *points);
    if (points == NULL) return ENGINE_ENOMEM;
    scratch->points = points;
    scratch->points_capacity = 2 * capacity;
  }
  for (size_t i = 0; i < len;) {
    uint32_t c = 0;
    int boundary = 0;
    size_t size = decode((const uint8_t *)text + i, len - i, &c);
    utf8proc_ssize_t wrote =
        utf8proc_decompose_char((utf8proc_int32_t)c, scratch->points + n,
                                (utf8proc_ssize_t)(capacity - n),
                                UTF8PROC_STABLE | UTF8PROC_COMPOSE, &boundary);
    if (size == 0 || wrote < 0 || (size_t)wrote > capacity - n) return ENGINE_EINVAL;
    n += (size_t)wrote;
    i += size;
  }
  sort_all_marks(scratch->points, scratch->points + capacity, n);
  utf8proc_ssize_t composed = utf8proc_normalize_utf32(scratch->points, (utf8proc_ssize_t)n,
                                                       UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  if (composed < 0) return ENGINE_EINVAL;
  size_t at = 0;
  for (utf8proc_ssize_t i = 0; i < composed; i++) {
    if (room - at < 4) return ENGINE_EINVAL;
    at += (size_t)utf8proc_encode_char(scratch->points[i], (utf8proc_uint8_t *)out + at);
  }
  *outlen = at;
  return ENGINE_OK;
}

/* NFC never makes UTF-8 more than three times as long (Unicode, annex 15). */
#define NFC_GROWTH 3

int tokenizer__nfc(tokenizer_scratch *scratch, const char *text, size_t len, char **out,
                   size_t *outlen) {
  *out = NULL;
  char *made = NULL;
  size_t at = 0, room = 0; /* of made */
  for (size_t line = 0, end; line < len; line = end) {
    const char *feed = memchr(text + line, '\n', len - line);
    end = feed == NULL ? len : (size_t)(feed - text) + 1;
    bool settled;
    (void)tokenizer__utf8_span(text + line, end - line, &settled);
    if (settled && made == NULL) continue;
    size_t n = end - line, want = (settled ? n : NFC_GROWTH * n + 4);
    if (made == NULL) want += line;
    if (room - at < want) {
      room += want + (len - line) / 2 + room / 2;
      char *grown = realloc(made, room);
      if (grown == NULL) {
        free(made);
        return ENGINE_ENOMEM;
      }
      if (made == NULL) {
        memcpy(grown, text, line);
        at = line;
      }
      made = grown;
    }
    if (settled) {
      memcpy(made + at, text + line, n);
      at += n;
      continue;
    }
    size_t wrote;
    int status = normalize_line(scratch, text + line, n, made + at, room - at, &wrote);
    if (status != ENGINE_OK) {
      free(made);
      return status;
    }
    at += wrote;
  }
  *out = made;
  *outlen = at;
  return ENGINE_OK;
}
