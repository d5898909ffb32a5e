/* json.c - reads JSON in place over a bounds-checked cursor. See json.h. */
#include "engine/json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int peek(const bytes *b) { return !b->failed && b->at < b->size ? b->data[b->at] : 0; }

char json_peek(bytes *b) {
  int c = peek(b);
  while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
    b->at++;
    c = peek(b);
  }
  return (char)c;
}

static bool expect(bytes *b, char c, const char *field) {
  if (json_peek(b) == c && !b->failed) {
    b->at++;
    return true;
  }
  if (b->at >= b->size) bytes_fail(b, b->at, "%s: the JSON text ends early", field);
  else bytes_fail(b, b->at, "%s: expected '%c'", field, c);
  return false;
}

void json_enter(bytes *b, char open, const char *field) {
  if (json_peek(b) != open && !b->failed)
    bytes_fail(b, b->at, "%s must be %s", field, open == '{' ? "an object" : "an array");
  else expect(b, open, field);
}

bool json_next(bytes *b, bool *first, char close) {
  char c = json_peek(b);
  if (!b->failed && b->at >= b->size) bytes_fail(b, b->at, "the JSON text ends early");
  if (b->failed) return false;
  if (c == close) {
    b->at++;
    return false;
  }
  bool was_first = *first;
  *first = false;
  return was_first || expect(b, ',', "a list");
}

/* ---- strings --------------------------------------------------------------------------- */

static unsigned hex4(bytes *b) {
  static const char digits[] = "0123456789abcdefABCDEF";
  const uint8_t *p = bytes_take(b, 4, "a \\u escape");
  unsigned v = 0;
  for (int i = 0; p && i < 4; i++) {
    const char *digit = p[i] ? strchr(digits, p[i]) : NULL;
    if (!digit) {
      bytes_fail(b, b->at - 4, "a \\u escape is not four hexadecimal digits");
      return 0;
    }
    v = v * 16 + (unsigned)(digit - digits < 16 ? digit - digits : digit - digits - 6);
  }
  return v;
}

/* The code point of a \u escape, surrogate pairs joined. */
static unsigned escaped_point(bytes *b) {
  uint64_t at = b->at;
  unsigned v = hex4(b);
  if (v >= 0xd800 && v < 0xdc00 && b->size - b->at >= 6 && b->data[b->at] == '\\' &&
      b->data[b->at + 1] == 'u') {
    b->at += 2;
    unsigned low = hex4(b);
    if (low >= 0xdc00 && low < 0xe000) return 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
    v = 0xd800;
  }
  if (!b->failed && (v == 0 || (v >= 0xd800 && v < 0xe000)))
    bytes_fail(b, at, "a \\u escape is NUL or half a surrogate pair");
  return v;
}

static size_t encode(unsigned v, char *out) {
  if (v < 0x80) return out[0] = (char)v, 1;
  if (v < 0x800) {
    out[0] = (char)(0xc0 | v >> 6);
    out[1] = (char)(0x80 | (v & 0x3f));
    return 2;
  }
  if (v < 0x10000) {
    out[0] = (char)(0xe0 | v >> 12);
    out[1] = (char)(0x80 | (v >> 6 & 0x3f));
    out[2] = (char)(0x80 | (v & 0x3f));
    return 3;
  }
  out[0] = (char)(0xf0 | v >> 18);
  out[1] = (char)(0x80 | (v >> 12 & 0x3f));
  out[2] = (char)(0x80 | (v >> 6 & 0x3f));
  out[3] = (char)(0x80 | (v & 0x3f));
  return 4;
}

/* Decodes one character of a string (escape or byte) into out[4]; 0 at the closing quote or on
 * failure. */
static size_t string_unit(bytes *b, char *out) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  uint64_t at = b->at;
  uint8_t c = bytes_u8(b, "a string");
  if (b->failed || c == '"') return 0;
  if (c < 0x20) {
    bytes_fail(b, at, "a string has a control character in it");
    return 0;
  }
  if (c != '\\') return out[0] = (char)c, 1;
  c = bytes_u8(b, "an escape");
  if (b->failed) return 0;
  if (c == 'u') {
    unsigned v = escaped_point(b);
    return b->failed ? 0 : encode(v, out);
  }
  const char *found = c ? strchr(from, c) : NULL;
  if (!found) {
    bytes_fail(b, at, "a string has an unknown escape in it");
    return 0;
  }
  return out[0] = to[found - from], 1;
}

/* How many bytes of a string's rest stand for themselves, at most `most`. */
static size_t plain_run(const bytes *b, size_t most) {
  size_t left = b->failed ? 0 : b->size - b->at, n = 0;
  if (left < most) most = left;
  for (const uint8_t *p = b->data + b->at; n < most; n++)
    if (p[n] < 0x20 || p[n] == '"' || p[n] == '\\') break;
  return n;
}

size_t json_string(bytes *b, const char *field, char *out, size_t outlen) {
  size_t n = 0, got;
  char unit[4];
  out[0] = 0;
  if (json_peek(b) != '"' && !b->failed) bytes_fail(b, b->at, "%s must be a string", field);
  uint64_t at = b->at;
  if (!expect(b, '"', field)) return 0;
  for (;;) {
    got = plain_run(b, outlen - 1 - n);
    if (got > 0) memcpy(out + n, b->data + b->at, got);
    b->at += got;
    n += got;
    if ((got = string_unit(b, unit)) == 0) break;
    if (n + got >= outlen) {
      bytes_fail(b, at, "%s is longer than %zu bytes", field, outlen - 1);
      break;
    }
    memcpy(out + n, unit, got);
    n += got;
  }
  if (b->failed) n = 0;
  out[n] = 0;
  return n;
}

size_t json_key(bytes *b, char *out, size_t outlen) {
  size_t n = json_string(b, "a key", out, outlen);
  if (!expect(b, ':', "a key")) {
    out[0] = 0;
    return 0;
  }
  return n;
}

/* ---- numbers and words ----------------------------------------------------------------- */

/* Takes a number by JSON's grammar into text; *whole: it has no fraction and no exponent. */
static bool number_text(bytes *b, const char *field, char *text, size_t size, bool *whole) {
  char c = json_peek(b);
  uint64_t at = b->at;
  size_t n = 0;
  *whole = true;
  bool good = !b->failed && (c == '-' || (c >= '0' && c <= '9'));
#define TAKE() (good = good && n + 1 < size, text[good ? n++ : 0] = (char)peek(b), b->at++)
#define DIGITS() \
  do { \
    good = good && peek(b) >= '0' && peek(b) <= '9'; \
    while (good && peek(b) >= '0' && peek(b) <= '9') TAKE(); \
  } while (0)
  if (good && c == '-') TAKE();
  if (good && peek(b) == '0') TAKE();
  else DIGITS();
  if (good && peek(b) == '.') {
    *whole = false;
    TAKE();
    DIGITS();
  }
  if (good && (peek(b) | 0x20) == 'e') {
    *whole = false;
    TAKE();
    if (peek(b) == '+' || peek(b) == '-') TAKE();
    DIGITS();
  }
#undef TAKE
#undef DIGITS
  text[good ? n : 0] = 0;
  if (!good) bytes_fail(b, at, "%s must be a number", field);
  return good;
}

int64_t json_integer(bytes *b, const char *field, int64_t min, int64_t max) {
  char text[32];
  bool whole;
  json_peek(b);
  uint64_t at = b->at;
  if (!number_text(b, field, text, sizeof text, &whole)) return 0;
  int64_t value = 0;
  bool negative = text[0] == '-', overflow = false;
  for (const char *p = text + negative; *p && whole; p++)
    overflow |= __builtin_mul_overflow(value, (int64_t)10, &value) ||
                __builtin_add_overflow(value, (int64_t)(*p - '0'), &value);
  if (negative) value = -value;
  if (whole && !overflow && value >= min && value <= max) return value;
  bytes_fail(b, at, "%s is %s; it must be a whole number of %lld to %lld", field, text,
             (long long)min, (long long)max);
  return 0;
}

double json_number(bytes *b, const char *field) {
  char text[64];
  bool whole;
  json_peek(b);
  uint64_t at = b->at;
  if (!number_text(b, field, text, sizeof text, &whole)) return 0;
  /* strtod would read "1.5" by the user's locale. */
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  double value = c ? strtod_l(text, NULL, c) : HUGE_VAL;
  if (c) freelocale(c);
  if (isfinite(value)) return value;
  bytes_fail(b, at, "%s is not a finite number", field);
  return 0;
}

static bool word(bytes *b, const char *text) {
  size_t n = strlen(text);
  json_peek(b);
  if (b->failed || b->size - b->at < n || memcmp(b->data + b->at, text, n) != 0) return false;
  b->at += n;
  return true;
}

bool json_bool(bytes *b, const char *field) {
  if (word(b, "true")) return true;
  if (!word(b, "false")) bytes_fail(b, b->at, "%s must be true or false", field);
  return false;
}

bool json_null(bytes *b) { return word(b, "null"); }

/* ---- the rest -------------------------------------------------------------------------- */

static void skip(bytes *b, int depth) {
  char unit[4], c = json_peek(b);
  if (b->failed) return;
  if (depth > JSON_MAX_DEPTH) {
    bytes_fail(b, b->at, "the JSON is more than %d levels deep", JSON_MAX_DEPTH);
  } else if (c == '"') {
    b->at++;
    do b->at += plain_run(b, SIZE_MAX);
    while (string_unit(b, unit) > 0);
  } else if (c == '{' || c == '[') {
    json_enter(b, c, "a value");
    for (bool first = true; json_next(b, &first, c == '{' ? '}' : ']');) {
      if (c == '{') {
        if (json_peek(b) != '"') bytes_fail(b, b->at, "a key must be a string");
        else skip(b, depth);
        expect(b, ':', "a key");
      }
      skip(b, depth + 1);
    }
  } else if (c == 't' || c == 'f') {
    json_bool(b, "a value");
  } else if (c == 'n') {
    if (!json_null(b)) bytes_fail(b, b->at, "a value is not JSON");
  } else if (b->at >= b->size) {
    bytes_fail(b, b->at, "the JSON text ends early");
  } else {
    char text[400];
    bool whole;
    number_text(b, "a value", text, sizeof text, &whole);
  }
}

void json_skip(bytes *b) { skip(b, 1); }

void json_end(bytes *b) {
  json_peek(b);
  if (!b->failed && b->at < b->size) bytes_fail(b, b->at, "there is text after the JSON value");
}
