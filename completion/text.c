/* text.c - see text.h. */
#include "completion/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "completion/completion.h"

#define TAB_COLUMNS 4

completion__slice completion__slice_cut(completion__slice t, size_t from, size_t to) {
  if (to > t.len) to = t.len;
  if (from > to) from = to;
  return completion__slice_of(t.s ? t.s + from : NULL, to - from);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

completion__slice completion__slice_trim(completion__slice t) {
  while (t.len && is_space(t.s[t.len - 1])) t.len--;
  while (t.len && is_space(t.s[0])) t.s++, t.len--;
  return t;
}

bool completion__slice_equal(completion__slice a, completion__slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.s, b.s, a.len) == 0);
}

bool completion__slice_starts(completion__slice t, completion__slice with) {
  return t.len >= with.len && (with.len == 0 || memcmp(t.s, with.s, with.len) == 0);
}

bool completion__slice_is_blank(completion__slice t) {
  for (size_t i = 0; i < t.len; i++)
    if (!is_space(t.s[i])) return false;
  return true;
}

size_t completion__slice_find(completion__slice t, size_t from, completion__slice what) {
  if (from >= t.len || what.len == 0) return t.len;
  const char *at = memmem(t.s + from, t.len - from, what.s, what.len);
  return at ? (size_t)(at - t.s) : t.len;
}

int completion__buffer_append(completion__buffer *b, const char *s, size_t len) {
  if (len >= SIZE_MAX / 2 - b->len) return COMPLETION_ENOMEM;
  size_t need = b->len + len + 1;
  if (need > b->capacity) {
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity < need) capacity *= 2;
    char *grown = realloc(b->s, capacity);
    if (!grown) return COMPLETION_ENOMEM;
    b->s = grown;
    b->capacity = capacity;
  }
  if (len) memcpy(b->s + b->len, s, len);
  b->len += len;
  b->s[b->len] = 0;
  return 0;
}

int completion__buffer_add(completion__buffer *b, const char *zero_terminated) {
  return completion__buffer_append(b, zero_terminated, strlen(zero_terminated));
}

void completion__buffer_free(completion__buffer *b) {
  free(b->s);
  *b = (completion__buffer){0};
}

size_t completion__line_start(completion__slice t, size_t at) {
  if (at > t.len) at = t.len;
  const char *end = at ? memrchr(t.s, '\n', at) : NULL;
  return end ? (size_t)(end - t.s) + 1 : 0;
}

size_t completion__line_end(completion__slice t, size_t at) {
  if (at >= t.len) return t.len;
  const char *end = memchr(t.s + at, '\n', t.len - at);
  return end ? (size_t)(end - t.s) : t.len;
}

int completion__indent_columns(completion__slice line) {
  int columns = 0;
  for (size_t i = 0; i < line.len && completion__is_blank(line.s[i]) && columns < 1000; i++)
    columns = line.s[i] == '\t' ? (columns / TAB_COLUMNS + 1) * TAB_COLUMNS : columns + 1;
  return columns;
}

completion__slice completion__line_next_full(completion__slice t) {
  for (size_t at = 0; at < t.len;) {
    size_t end = completion__line_end(t, at);
    completion__slice line = completion__slice_cut(t, at, end);
    if (!completion__slice_is_blank(line)) return line;
    at = end + 1;
  }
  return completion__slice_of(NULL, 0);
}

completion__slice completion__line_last_full(completion__slice t) {
  for (size_t end = t.len;;) {
    size_t start = completion__line_start(t, end);
    completion__slice line = completion__slice_cut(t, start, end);
    if (!completion__slice_is_blank(line)) return line;
    if (start == 0) return completion__slice_of(NULL, 0);
    end = start - 1;
  }
}

bool completion__is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || (unsigned char)c >= 0x80;
}

/* Bytes of the valid UTF-8 character at s, or 0. */
static size_t utf8_character(const unsigned char *s, size_t len) {
  unsigned char c = s[0];
  if (c < 0x80) return 1;
  size_t n = c >= 0xC2 && c <= 0xDF   ? 2
             : c >= 0xE0 && c <= 0xEF ? 3
             : c >= 0xF0 && c <= 0xF4 ? 4
                                      : 0;
  if (n == 0 || n > len) return 0;
  for (size_t i = 1; i < n; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F) || (c == 0xF0 && s[1] < 0x90) ||
      (c == 0xF4 && s[1] > 0x8F))
    return 0;
  return n;
}

size_t completion__utf8_valid(completion__slice t) {
  size_t at = 0;
  while (at < t.len) {
    size_t n = utf8_character((const unsigned char *)t.s + at, t.len - at);
    if (n == 0) break;
    at += n;
  }
  return at;
}

double completion__now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

double completion__cpu_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
