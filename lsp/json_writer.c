/* json_writer.c - JSON text out, into a buffer whose failure sticks. See json.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "lsp/json.h"
#include "lsp/utf8.h"

static void comma(lsp__buffer *b) {
  if (b->len > 0 && memchr("{[:,", b->data[b->len - 1], 4) == NULL) lsp__buffer_append(b, ",", 1);
}

void lsp__json_begin(lsp__buffer *b, char bracket) {
  comma(b);
  lsp__buffer_append(b, &bracket, 1);
}

void lsp__json_end(lsp__buffer *b, char bracket) { lsp__buffer_append(b, &bracket, 1); }

void lsp__json_key(lsp__buffer *b, const char *key) {
  lsp__json_string(b, key);
  lsp__buffer_append(b, ":", 1);
}

void lsp__json_string(lsp__buffer *b, const char *text) {
  lsp__json_string_n(b, text, strlen(text));
}

static void write_escape(lsp__buffer *b, unsigned code) {
  static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
  for (const char *p = names; code < 0x80 && *p != '\0'; p += 2)
    if ((unsigned char)*p == code) {
      char pair[2] = {'\\', p[1]};
      lsp__buffer_append(b, pair, 2);
      return;
    }
  lsp__buffer_printf(b, "\\u%04x", code);
}

/* What is not plain at p: writes it and returns how many bytes it was. */
static size_t write_special(lsp__buffer *b, const char *p, size_t len) {
  unsigned char c = (unsigned char)p[0];
  if (c < 0x80) {
    write_escape(b, c);
    return 1;
  }
  if (c == 0xC0 && len >= 2 && (unsigned char)p[1] == 0x80) {
    write_escape(b, 0);
    return 2;
  }
  if (len >= 3 && (lsp__utf8_is_high(p) || lsp__utf8_is_low(p)) &&
      lsp__utf8_is_continuation((unsigned char)p[2])) {
    write_escape(b, 0xD000u | ((unsigned char)p[1] & 0x3Fu) << 6 | ((unsigned char)p[2] & 0x3Fu));
    return 3;
  }
  size_t n = lsp__utf8_length(c);
  if (c >= 0xC2 && n <= len && lsp__utf8_check(p, n) == n) {
    lsp__buffer_append(b, p, n);
    return n;
  }
  lsp__buffer_append(b, "\xEF\xBF\xBD", 3);
  return 1;
}

void lsp__json_string_n(lsp__buffer *b, const char *text, size_t len) {
  comma(b);
  lsp__buffer_reserve(b, len);
  lsp__buffer_append(b, "\"", 1);
  for (size_t i = 0, run = 0; i <= len;) {
    unsigned char c = i < len ? (unsigned char)text[i] : 0;
    if (i < len && c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      i++;
      continue;
    }
    if (i > run) lsp__buffer_append(b, text + run, i - run);
    if (i == len) break;
    i += write_special(b, text + i, len - i);
    run = i;
  }
  lsp__buffer_append(b, "\"", 1);
}

void lsp__json_int(lsp__buffer *b, int64_t value) {
  comma(b);
  lsp__buffer_printf(b, "%" PRId64, value);
}

void lsp__json_double(lsp__buffer *b, double value) {
  comma(b);
  if (isfinite(value))
    lsp__buffer_printf(b, "%.6g", value);
  else
    lsp__buffer_puts(b, "null");
}

void lsp__json_bool(lsp__buffer *b, bool value) {
  comma(b);
  lsp__buffer_puts(b, value ? "true" : "false");
}

void lsp__json_null(lsp__buffer *b) {
  comma(b);
  lsp__buffer_puts(b, "null");
}

void lsp__json_put_text(lsp__buffer *b, const char *key, const char *value) {
  if (value == NULL) return;
  lsp__json_key(b, key);
  lsp__json_string(b, value);
}

void lsp__json_put_int(lsp__buffer *b, const char *key, int64_t value) {
  lsp__json_key(b, key);
  lsp__json_int(b, value);
}

void lsp__json_put_double(lsp__buffer *b, const char *key, double value) {
  lsp__json_key(b, key);
  lsp__json_double(b, value);
}

void lsp__json_put_bool(lsp__buffer *b, const char *key, bool value) {
  lsp__json_key(b, key);
  lsp__json_bool(b, value);
}
