/* bytes.c - a bounds-checked cursor with a sticky first error. See bytes.h. */
#include "engine/bytes.h"

#include "engine/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "model files are little-endian and are used as they lie in memory"
#endif

void bytes_init(bytes *b, const void *data, size_t size, const char *file, char *err,
                size_t errlen) {
  memset(b, 0, sizeof *b);
  b->data = data;
  b->size = size;
  b->file = file;
  b->err = err;
  b->errlen = errlen;
}

char *bytes_printable(char *out, size_t outlen, const char *s, size_t len) {
  if (outlen == 0) return out;
  size_t n = len < outlen ? len : outlen - 1;
  for (size_t i = 0; i < n; i++) out[i] = s[i] >= 0x20 && s[i] < 0x7f ? s[i] : '?';
  if (n < len && n >= 3) memset(out + n - 3, '.', 3);
  out[n] = 0;
  return out;
}

void bytes_about(bytes *b, const char *kind, const char *name, size_t len) {
  char shown[sizeof b->about - 32];
  bytes_printable(shown, sizeof shown, name, len);
  snprintf(b->about, sizeof b->about, "%.24s%s%s", kind, *kind ? " " : "", *kind ? shown : "");
}

int bytes_fail(bytes *b, uint64_t at, const char *format, ...) {
  if (b->failed) return ENGINE_EFORMAT;
  b->failed = true;
  if (b->errlen == 0) return ENGINE_EFORMAT;
  char words[400];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof words, format, args);
  va_end(args);
  snprintf(b->err, b->errlen, "%s: %s%s%s (at byte %llu)", b->file ? b->file : "model", b->about,
           *b->about ? ": " : "", words, (unsigned long long)at);
  return ENGINE_EFORMAT;
}

size_t bytes_left(const bytes *b) { return b->failed ? 0 : b->size - b->at; }

const uint8_t *bytes_take(bytes *b, uint64_t n, const char *field) {
  if (b->failed) return NULL;
  if (n > b->size - b->at) {
    bytes_fail(b, b->at, "%s needs %llu bytes, but only %llu are left in the file", field,
               (unsigned long long)n, (unsigned long long)(b->size - b->at));
    return NULL;
  }
  const uint8_t *p = b->data + b->at;
  b->at += (size_t)n;
  return p;
}

uint8_t bytes_u8(bytes *b, const char *field) {
  const uint8_t *p = bytes_take(b, 1, field);
  return p ? *p : 0;
}

uint16_t bytes_u16(bytes *b, const char *field) {
  uint16_t v = 0;
  const uint8_t *p = bytes_take(b, sizeof v, field);
  if (p) memcpy(&v, p, sizeof v);
  return v;
}

uint32_t bytes_u32(bytes *b, const char *field) {
  uint32_t v = 0;
  const uint8_t *p = bytes_take(b, sizeof v, field);
  if (p) memcpy(&v, p, sizeof v);
  return v;
}

uint64_t bytes_u64(bytes *b, const char *field) {
  uint64_t v = 0;
  const uint8_t *p = bytes_take(b, sizeof v, field);
  if (p) memcpy(&v, p, sizeof v);
  return v;
}
