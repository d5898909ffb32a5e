/* text.h - slices, a growable buffer and the few questions about lines and UTF-8 that all of
 * completion/ asks. Texts here have line ends of one byte, '\n'. */
#ifndef FIMD_COMPLETION_TEXT_H
#define FIMD_COMPLETION_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes; s may be NULL where len is 0. */
typedef struct completion__slice {
  const char *s;
  size_t len;
} completion__slice;

static inline completion__slice completion__slice_of(const char *s, size_t len) {
  return (completion__slice){s, len};
}
/* [from, to) of a slice; both are clamped to it. */
completion__slice completion__slice_cut(completion__slice t, size_t from, size_t to);
completion__slice completion__slice_trim(
    completion__slice t); /* blanks and line ends, both sides */
bool completion__slice_equal(completion__slice a, completion__slice b);
bool completion__slice_starts(completion__slice t, completion__slice with);
bool completion__slice_is_blank(completion__slice t); /* only ' ', '\t', '\r', '\n', or empty */
/* Offset of the first occurrence at or after `from`, or t.len. */
size_t completion__slice_find(completion__slice t, size_t from, completion__slice what);

/* Growable bytes, owned, zero-terminated once anything was appended. Zero-initialise. */
typedef struct completion__buffer {
  char *s;
  size_t len, capacity;
} completion__buffer;

/* 0 or COMPLETION_ENOMEM, and then the buffer is as it was. */
int completion__buffer_append(completion__buffer *b, const char *s, size_t len);
int completion__buffer_add(completion__buffer *b, const char *zero_terminated);
void completion__buffer_free(completion__buffer *b);
static inline completion__slice completion__buffer_slice(const completion__buffer *b) {
  return (completion__slice){b->s, b->len};
}

/* Start of the line that holds offset `at`, and its end (the '\n' or t.len). */
size_t completion__line_start(completion__slice t, size_t at);
size_t completion__line_end(completion__slice t, size_t at);
/* Columns of the blanks that a line begins with; a tab reaches the next multiple of 4. */
int completion__indent_columns(completion__slice line);
/* The first line of t that is not blank (without its '\n'), or an empty slice. */
completion__slice completion__line_next_full(completion__slice t);
/* The last line of t that is not blank, or an empty slice. */
completion__slice completion__line_last_full(completion__slice t);

/* Letters, digits, '_', '$' and every byte of a character beyond ASCII. */
bool completion__is_word(char c);
static inline bool completion__is_blank(char c) { return c == ' ' || c == '\t'; }

/* Length of the longest prefix that is valid UTF-8. */
size_t completion__utf8_valid(completion__slice t);
/* True for 10xxxxxx: inside a character. */
static inline bool completion__utf8_inside(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

double completion__now_ms(void); /* monotonic */
/* Of the processor's time that this thread has had: a limit in it depends on what is done, not on
 * who else is at work. */
double completion__cpu_ms(void);

#endif
