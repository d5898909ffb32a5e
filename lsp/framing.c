/* framing.c - see framing.h. */
#include "lsp/framing.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* A body's buffer grows as the bytes come, so that a length alone costs no memory; beyond this
 * it is given back after use. */
#define KEEP ((size_t)1 << 20)

static const char content_length[] = "content-length";

/* ---- one header ------------------------------------------------------------------------ */

static bool is_token(const char *s, size_t len) {
  static const char extra[] = "!#$%&'*+-.^_`|~";
  for (size_t i = 0; i < len; i++) {
    char c = s[i];
    bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!alnum && memchr(extra, c, sizeof extra - 1) == NULL) return false;
  }
  return len > 0;
}

/* Digits between blanks. SIZE_MAX stands for more than that. */
static bool parse_length(const char *s, size_t len, size_t *out) {
  while (len > 0 && (*s == ' ' || *s == '\t')) s++, len--;
  while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t')) len--;
  size_t value = 0;
  if (len == 0) return false;
  for (size_t i = 0; i < len; i++) {
    if (s[i] < '0' || s[i] > '9') return false;
    size_t digit = (size_t)(s[i] - '0');
    value = value > (SIZE_MAX - digit) / 10 ? SIZE_MAX : value * 10 + digit;
  }
  *out = value;
  return true;
}

/* The lines of a whole header, each with its end, without the empty one. There must be a length,
 * and only one (the same twice is accepted). */
static bool parse_header(const char *s, size_t len, size_t *out) {
  bool found = false;
  while (len > 0) {
    const char *end = memchr(s, '\n', len);
    if (end == NULL) return false;
    size_t whole = (size_t)(end - s) + 1, n = whole - 1;
    if (n > 0 && s[n - 1] == '\r') n--;
    const char *colon = memchr(s, ':', n);
    if (colon == NULL || !is_token(s, (size_t)(colon - s))) return false;
    if ((size_t)(colon - s) == sizeof content_length - 1 &&
        strncasecmp(s, content_length, sizeof content_length - 1) == 0) {
      size_t value;
      if (!parse_length(colon + 1, n - (size_t)(colon - s) - 1, &value)) return false;
      if (found && value != *out) return false;
      *out = value;
      found = true;
    }
    s += whole;
    len -= whole;
  }
  return found;
}

/* A readable header at the end of what may begin with anything but another header's name. */
static bool find_header(const char *s, size_t len, size_t *out) {
  for (size_t i = 1; i + sizeof content_length - 1 <= len; i++)
    if ((s[i] | 0x20) == 'c' && !is_token(s + i - 1, 1) &&
        strncasecmp(s + i, content_length, sizeof content_length - 1) == 0 &&
        parse_header(s + i, len - i, out))
      return true;
  return false;
}

/* ---- the stream ------------------------------------------------------------------------ */

/* The header ends with an empty line; its bytes without that line. */
static bool header_is_whole(const lsp__framing *f, size_t *len) {
  size_t n = f->header_len;
  if (n == 0 || f->header[n - 1] != '\n') return false;
  n--;
  if (n > 0 && f->header[n - 1] == '\r') n--;
  if (n > 0 && f->header[n - 1] != '\n') return false;
  *len = n;
  return true;
}

static void begin_skip(lsp__framing *f, lsp__framing_event problem) {
  f->state = LSP__IN_SKIP;
  f->problem = problem;
  f->head_len = 0;
}

static lsp__framing_event take_problem(lsp__framing *f) {
  lsp__framing_event problem = f->problem;
  f->problem = LSP__FRAMING_NONE;
  return problem;
}

static void begin_body(lsp__framing *f, size_t length) {
  f->lost = false;
  f->left = length;
  f->state = LSP__IN_BODY;
  if (length > f->max_message) begin_skip(f, LSP__FRAMING_TOO_LARGE);
}

static lsp__framing_event lose(lsp__framing *f) {
  if (f->lost) return LSP__FRAMING_NONE;
  f->lost = true;
  return LSP__FRAMING_BAD_HEADER;
}

static lsp__framing_event end_header(lsp__framing *f, size_t len) {
  size_t length;
  f->header_len = 0;
  if (len == 0 && !f->lost) return LSP__FRAMING_NONE; /* an empty line between messages */
  if (parse_header(f->header, len, &length)) {
    begin_body(f, length);
    return f->hasty ? take_problem(f) : LSP__FRAMING_NONE;
  }
  bool found = find_header(f->header, len, &length);
  lsp__framing_event event = lose(f);
  if (found) begin_body(f, length);
  return event;
}

static size_t take_header(lsp__framing *f, const char *data, size_t len,
                          lsp__framing_event *event) {
  const char *newline = memchr(data, '\n', len);
  size_t n = newline != NULL ? (size_t)(newline - data) + 1 : len;
  size_t room = LSP__HEADER_MAX - f->header_len;
  if (room == 0) {
    /* No header is this long. Keep the later half: the next one may have begun in it. */
    memmove(f->header, f->header + LSP__HEADER_MAX / 2, LSP__HEADER_MAX / 2);
    f->header_len = LSP__HEADER_MAX / 2;
    *event = lose(f);
    return 0;
  }
  if (n > room) n = room;
  memcpy(f->header + f->header_len, data, n);
  f->header_len += n;
  size_t whole;
  if (header_is_whole(f, &whole)) *event = end_header(f, whole);
  return n;
}

static void keep_head(lsp__framing *f, const char *data, size_t len) {
  size_t room = LSP__HEAD_MAX - f->head_len;
  if (len > room) len = room;
  memcpy(f->head + f->head_len, data, len);
  f->head_len += len;
}

static size_t take_skipped(lsp__framing *f, const char *data, size_t len,
                           lsp__framing_event *event) {
  size_t n = len < f->left ? len : f->left;
  if (f->problem != LSP__FRAMING_NONE) keep_head(f, data, n);
  f->left -= n;
  if (f->left == 0) f->state = LSP__IN_HEADER;
  if (f->left == 0 || f->head_len == LSP__HEAD_MAX) *event = take_problem(f);
  return n;
}

static size_t take_body(lsp__framing *f, const char *data, size_t len,
                        lsp__framing_event *event) {
  size_t n = len < f->left ? len : f->left;
  lsp__buffer_append(&f->body, data, n);
  if (f->body.failed) {
    begin_skip(f, LSP__FRAMING_NOMEM);
    if (f->body.len > 0) keep_head(f, f->body.data, f->body.len);
    lsp__buffer_free(&f->body);
    return take_skipped(f, data, n, event);
  }
  f->left -= n;
  if (f->left == 0) {
    f->state = LSP__IN_HEADER;
    f->delivered = true;
    *event = LSP__FRAMING_MESSAGE;
  }
  return n;
}

size_t lsp__framing_feed(lsp__framing *f, const char *data, size_t len,
                         lsp__framing_event *event) {
  size_t at = 0;
  *event = LSP__FRAMING_NONE;
  if (f->delivered) {
    f->delivered = false;
    lsp__buffer_clear(&f->body, KEEP);
  }
  /* A body of length 0 is whole before another byte comes. */
  while (*event == LSP__FRAMING_NONE && (at < len || (f->state != LSP__IN_HEADER && f->left == 0))) {
    if (f->state == LSP__IN_HEADER) {
      at += take_header(f, data + at, len - at, event);
    } else if (f->state == LSP__IN_BODY) {
      at += take_body(f, data + at, len - at, event);
    } else {
      at += take_skipped(f, data + at, len - at, event);
    }
  }
  return at;
}

bool lsp__framing_idle(const lsp__framing *f) {
  return f->state == LSP__IN_HEADER && f->header_len == 0 && !f->lost;
}

void lsp__framing_free(lsp__framing *f) { lsp__buffer_free(&f->body); }
