/* json.c - the strict scanner, the rewriting that cJSON needs, and getters. See json.h. */
#include "lsp/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/utf8.h"

/* cJSON copies a number into 64 bytes before it converts it. */
#define CJSON_NUMBER_MAX 60

/* ---- scanner --------------------------------------------------------------------------- */

typedef struct scanner {
  const char *text;
  size_t len, at;
  size_t depth, values;
  unsigned char objects[LSP__JSON_DEPTH / 8]; /* bit d: the container at depth d is an object */
  bool rewrite; /* something in it cJSON would not keep */
  int status;
  const char *why;
} scanner;

static bool fail(scanner *s, int status, const char *why) {
  if (s->status == 0) {
    s->status = status;
    s->why = why;
  }
  return false;
}

static bool bad(scanner *s, const char *why) { return fail(s, LSP__EINVAL, why); }

static int peek(const scanner *s) { return s->at < s->len ? (unsigned char)s->text[s->at] : -1; }

static void skip_blanks(scanner *s) {
  while (s->at < s->len && memchr(" \t\r\n", s->text[s->at], 4) != NULL) s->at++;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static int hex_value(int c) {
  if (is_digit(c)) return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hexadecimal digits; -1 where they are not all there. */
static int32_t hex4(const char *p, size_t len) {
  int32_t code = 0;
  if (len < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int v = hex_value((unsigned char)p[i]);
    if (v < 0) return -1;
    code = code << 4 | v;
  }
  return code;
}

/* The second half of a pair as an escape at p, or -1. */
static int32_t low_escape(const char *p, size_t len) {
  if (len < 6 || p[0] != '\\' || p[1] != 'u') return -1;
  int32_t code = hex4(p + 2, len - 2);
  return code >= 0xDC00 && code <= 0xDFFF ? code : -1;
}

/* After the backslash. */
static bool scan_escape(scanner *s) {
  int c = peek(s);
  if (c < 0) return bad(s, "a string does not end");
  s->at++;
  if (c != 'u')
    return memchr("\"\\/bfnrt", c, 8) != NULL ? true : bad(s, "an unknown escape");
  int32_t code = hex4(s->text + s->at, s->len - s->at);
  if (code < 0) return bad(s, "\\u needs four hexadecimal digits");
  s->at += 4;
  if (code >= 0xD800 && code <= 0xDBFF && low_escape(s->text + s->at, s->len - s->at) >= 0)
    s->at += 6;
  else if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
    s->rewrite = true;
  return true;
}

static bool scan_string(scanner *s) {
  s->at++;
  while (s->at < s->len) {
    unsigned char c = (unsigned char)s->text[s->at];
    if (c < 0x20) return bad(s, "a control character in a string");
    s->at++;
    if (c == '"') return true;
    if (c == '\\' && !scan_escape(s)) return false;
  }
  return bad(s, "a string does not end");
}

static size_t scan_digits(scanner *s) {
  size_t from = s->at;
  while (is_digit(peek(s))) s->at++;
  return s->at - from;
}

static double number_value(const char *text, size_t len) {
  char copy[LSP__JSON_NUMBER + 1];
  memcpy(copy, text, len);
  copy[len] = '\0';
  return strtod(copy, NULL);
}

static bool scan_number(scanner *s) {
  size_t from = s->at;
  if (peek(s) == '-') s->at++;
  if (peek(s) == '0') {
    s->at++;
    if (is_digit(peek(s))) return bad(s, "a number with a leading zero");
  } else if (scan_digits(s) == 0) {
    return bad(s, "not a number");
  }
  if (peek(s) == '.') {
    s->at++;
    if (scan_digits(s) == 0) return bad(s, "no digit after the decimal point");
  }
  bool exponent = peek(s) == 'e' || peek(s) == 'E';
  if (exponent) {
    s->at++;
    if (peek(s) == '+' || peek(s) == '-') s->at++;
    if (scan_digits(s) == 0) return bad(s, "no digit in the exponent");
  }
  size_t len = s->at - from;
  if (len > LSP__JSON_NUMBER) return fail(s, LSP__ELIMIT, "a number of too many digits");
  if (len > CJSON_NUMBER_MAX) s->rewrite = true;
  /* Fewer than 309 digits cannot overflow a double by themselves. */
  if ((exponent || len > 300) && !isfinite(number_value(s->text + from, len)))
    return bad(s, "a number is not finite");
  return true;
}

static bool scan_word(scanner *s, const char *word) {
  size_t n = strlen(word);
  if (s->len - s->at < n || memcmp(s->text + s->at, word, n) != 0) return bad(s, "not a value");
  s->at += n;
  return true;
}

static bool scan_scalar(scanner *s) {
  switch (peek(s)) {
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true");
    case 'f': return scan_word(s, "false");
    case 'n': return scan_word(s, "null");
    case -1: return bad(s, "the text ends early");
    default: return scan_number(s);
  }
}

static bool scan_key(scanner *s) {
  skip_blanks(s);
  if (peek(s) != '"') return bad(s, "a key must be a string");
  if (!scan_string(s)) return false;
  skip_blanks(s);
  if (peek(s) != ':') return bad(s, "no colon after a key");
  s->at++;
  return true;
}

static bool in_object(const scanner *s) {
  return (s->objects[(s->depth - 1) / 8] >> ((s->depth - 1) % 8) & 1) != 0;
}

/* Opens the container at s->at. *empty: it was closed at once. */
static bool scan_open(scanner *s, bool *empty) {
  bool object = s->text[s->at++] == '{';
  if (s->depth == LSP__JSON_DEPTH) return fail(s, LSP__ELIMIT, "too many nested containers");
  unsigned char bit = (unsigned char)(1u << (s->depth % 8));
  if (object)
    s->objects[s->depth / 8] |= bit;
  else
    s->objects[s->depth / 8] &= (unsigned char)~bit;
  s->depth++;
  skip_blanks(s);
  *empty = peek(s) == (object ? '}' : ']');
  if (*empty) {
    s->at++;
    s->depth--;
    return true;
  }
  return !object || scan_key(s);
}

/* After a value: closes what ends here. *more: another value must follow. */
static bool scan_after(scanner *s, bool *more) {
  *more = false;
  while (s->depth > 0) {
    skip_blanks(s);
    int c = peek(s);
    bool object = in_object(s);
    if (c == ',') {
      s->at++;
      *more = true;
      return !object || scan_key(s);
    }
    if (c != (object ? '}' : ']')) return bad(s, "a comma or a closing bracket is missing");
    s->at++;
    s->depth--;
  }
  return true;
}

static bool scan_document(scanner *s) {
  bool more = true;
  while (more) {
    skip_blanks(s);
    if (++s->values > LSP__JSON_VALUES) return fail(s, LSP__ELIMIT, "too many values");
    if (peek(s) == '{' || peek(s) == '[') {
      bool empty;
      if (!scan_open(s, &empty)) return false;
      if (!empty) continue;
    } else if (!scan_scalar(s)) {
      return false;
    }
    if (!scan_after(s, &more)) return false;
  }
  skip_blanks(s);
  return s->at == s->len ? true : bad(s, "something follows the value");
}

/* ---- rewriting ------------------------------------------------------------------------- */

/* Copies the string at text[*at] (the opening quote) with "\u0000" and lone surrogates as raw
 * bytes. The scanner has passed over it, so nothing is checked again. */
static void rewrite_string(const char *text, size_t len, size_t *at, char **out) {
  char *o = *out;
  size_t i = *at;
  *o++ = text[i++];
  while (text[i] != '"') {
    if (text[i] != '\\') {
      *o++ = text[i++];
      continue;
    }
    int32_t code = text[i + 1] == 'u' ? hex4(text + i + 2, len - i - 2) : -1;
    size_t n = code < 0 ? 2 : 6;
    if (code >= 0xD800 && code <= 0xDBFF && low_escape(text + i + 6, len - i - 6) >= 0) n = 12;
    if (code == 0) {
      memcpy(o, "\xC0\x80", 2);
      o += 2;
    } else if (n == 6 && code >= 0xD800 && code <= 0xDFFF) {
      o += lsp__utf8_encode((uint32_t)code, o);
    } else {
      memcpy(o, text + i, n);
      o += n;
    }
    i += n;
  }
  *o++ = text[i++];
  *at = i;
  *out = o;
}

/* A copy that means the same to us and survives cJSON. Never longer than the text. */
static char *rewrite(const char *text, size_t len, size_t *out_len) {
  char *copy = malloc(len + 1), *o = copy;
  if (copy == NULL) return NULL;
  for (size_t i = 0; i < len;) {
    char c = text[i];
    if (c == '"') {
      rewrite_string(text, len, &i, &o);
    } else if (c == '-' || is_digit((unsigned char)c)) {
      size_t n = 1;
      while (i + n < len && memchr("+-.0123456789eE", text[i + n], 15) != NULL) n++;
      if (n <= CJSON_NUMBER_MAX) {
        memcpy(o, text + i, n);
        o += n;
      } else {
        o += snprintf(o, CJSON_NUMBER_MAX, "%.17g", number_value(text + i, n));
      }
      i += n;
    } else {
      *o++ = c;
      i++;
    }
  }
  *o = '\0';
  *out_len = (size_t)(o - copy);
  return copy;
}

/* ---- parse ----------------------------------------------------------------------------- */

int lsp__json_parse(const char *text, size_t len, cJSON **out, const char **why, size_t *where) {
  *out = NULL;
  *why = "out of memory";
  *where = 0;
  size_t valid = lsp__utf8_check(text, len);
  if (valid != len) {
    *why = "not UTF-8";
    *where = valid;
    return LSP__EINVAL;
  }
  scanner s = {.text = text, .len = len};
  if (!scan_document(&s)) {
    *why = s.why;
    *where = s.at;
    return s.status;
  }
  char *copy = NULL;
  if (s.rewrite) {
    copy = rewrite(text, len, &len);
    if (copy == NULL) return LSP__ENOMEM;
    text = copy;
  }
  *out = cJSON_ParseWithLengthOpts(text, len, NULL, false);
  free(copy);
  return *out != NULL ? LSP__OK : LSP__ENOMEM; /* all else was ruled out by the scanner */
}

/* ---- getters --------------------------------------------------------------------------- */

const cJSON *lsp__json_get(const cJSON *object, const char *key) {
  const cJSON *found = NULL;
  if (!cJSON_IsObject(object)) return NULL;
  for (const cJSON *i = object->child; i != NULL; i = i->next)
    if (i->string != NULL && strcmp(i->string, key) == 0) found = i;
  return found;
}

const cJSON *lsp__json_path(const cJSON *object, ...) {
  va_list keys;
  va_start(keys, object);
  for (const char *key; object != NULL && (key = va_arg(keys, const char *)) != NULL;)
    object = lsp__json_get(object, key);
  va_end(keys);
  return object;
}

bool lsp__json_get_string(const cJSON *object, const char *key, const char **out) {
  const cJSON *item = lsp__json_get(object, key);
  if (!cJSON_IsString(item) || item->valuestring == NULL) return false;
  *out = item->valuestring;
  return true;
}

bool lsp__json_get_bool(const cJSON *object, const char *key, bool *out) {
  const cJSON *item = lsp__json_get(object, key);
  if (!cJSON_IsBool(item)) return false;
  *out = cJSON_IsTrue(item);
  return true;
}

bool lsp__json_to_int(const cJSON *item, int64_t *out) {
  const double limit = 9007199254740992.0; /* 2^53 */
  if (!cJSON_IsNumber(item)) return false;
  double v = item->valuedouble;
  if (!(v >= -limit && v <= limit) || v != floor(v)) return false;
  *out = (int64_t)v;
  return true;
}

bool lsp__json_get_int(const cJSON *object, const char *key, int64_t *out) {
  return lsp__json_to_int(lsp__json_get(object, key), out);
}

const char *lsp__json_take_text(const cJSON *item, size_t *len) {
  if (!cJSON_IsString(item) || item->valuestring == NULL) return NULL;
  char *text = item->valuestring;
  size_t n = strlen(text);
  char *from = memchr(text, 0xC0, n);
  if (from != NULL) {
    char *o = from, *end = text + n;
    for (const char *p = from; p < end; p++) {
      if ((unsigned char)p[0] == 0xC0 && end - p >= 2) {
        *o++ = '\0';
        p++;
      } else {
        *o++ = *p;
      }
    }
    n = (size_t)(o - text);
    *o = '\0';
  }
  *len = n;
  return text;
}
