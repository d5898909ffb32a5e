/* document.c - text and line index. See document.h.
 *
 * The text is one run of bytes: an edit moves what follows it, which for source files costs
 * microseconds, and everyone who reads gets a plain pointer. The line index is patched around
 * the edit; only a line start within it or at its edges can appear or vanish. */
#include "lsp/document.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/utf8.h"

/* ---- lines ----------------------------------------------------------------------------- */

/* A line begins at offset s, as far as the bytes around it say. */
static bool begins_line(const char *text, size_t len, size_t s) {
  if (s == 0) return true;
  if (text[s - 1] == '\n') return true;
  return text[s - 1] == '\r' && !(s < len && text[s] == '\n');
}

static bool reserve_lines(lsp__document *d, size_t count) {
  if (count <= d->line_capacity) return true;
  size_t grown = d->line_capacity + d->line_capacity / 2;
  if (grown < count) grown = count;
  if (grown < 16) grown = 16;
  if (grown > SIZE_MAX / sizeof *d->lines) return false;
  size_t *lines = realloc(d->lines, grown * sizeof *lines);
  if (lines == NULL) return false;
  d->lines = lines;
  d->line_capacity = grown;
  return true;
}

/* The first index i with lines[i] >= offset. */
static size_t lower_bound(const lsp__document *d, size_t offset) {
  size_t low = 0, high = d->line_count;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (d->lines[mid] < offset)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static size_t count_ends(const char *text, size_t len) {
  size_t n = 0;
  for (size_t i = 0; i < len; i++) n += text[i] == '\n' || text[i] == '\r';
  return n;
}

/* bytes [at, at + removed) became [at, at + inserted); room for the new lines is there. A start
 * outside [at, at + removed] depends on bytes that did not change. */
static void patch_lines(lsp__document *d, size_t at, size_t removed, size_t inserted) {
  size_t first = lower_bound(d, at > 0 ? at : 1), last = lower_bound(d, at + removed + 1);
  size_t starts = 0;
  const char *text = d->text.data;
  for (size_t s = at > 0 ? at : 1; s <= at + inserted; s++)
    starts += begins_line(text, d->text.len, s);
  size_t tail = d->line_count - last;
  memmove(d->lines + first + starts, d->lines + last, tail * sizeof *d->lines);
  d->line_count = first + starts + tail;
  size_t i = first;
  for (size_t s = at > 0 ? at : 1; s <= at + inserted; s++)
    if (begins_line(text, d->text.len, s)) d->lines[i++] = s;
  if (inserted != removed)
    for (; i < d->line_count; i++) d->lines[i] = d->lines[i] - removed + inserted;
}

/* ---- life ------------------------------------------------------------------------------ */

static int splice(lsp__document *d, size_t at, size_t removed, const char *text, size_t len) {
  if (len > LSP__DOCUMENT_MAX || d->text.len - removed > LSP__DOCUMENT_MAX - len)
    return LSP__ELIMIT;
  /* Two more than the ends inserted: starts at the edit's edges. */
  if (!reserve_lines(d, d->line_count + count_ends(text, len) + 2)) return LSP__ENOMEM;
  if (len > removed && !lsp__buffer_reserve(&d->text, len - removed)) {
    d->text.failed = false;
    return LSP__ENOMEM;
  }
  char *p = d->text.data + at;
  memmove(p + len, p + removed, d->text.len - at - removed);
  if (len > 0) memcpy(p, text, len);
  d->text.len = d->text.len - removed + len;
  d->text.data[d->text.len] = '\0';
  patch_lines(d, at, removed, len);
  d->dirty = true;
  d->edits++;
  d->edited = at;
  d->removed = removed;
  d->inserted = len;
  return LSP__OK;
}

int lsp__document_new(lsp__document **out, const char *uri, const char *language, int64_t version,
                      const char *text, size_t len) {
  *out = NULL;
  lsp__document *d = calloc(1, sizeof *d);
  if (d == NULL) return LSP__ENOMEM;
  int status = LSP__ENOMEM;
  d->version = version;
  d->uri = lsp__strndup(uri, strlen(uri));
  d->language = lsp__strndup(language, strlen(language));
  lsp__buffer_append(&d->text, "", 0);
  if (d->uri == NULL || d->language == NULL || d->text.failed || !reserve_lines(d, 1)) goto fail;
  d->lines[0] = 0;
  d->line_count = 1;
  status = splice(d, 0, 0, text, len);
  if (status != LSP__OK) goto fail;
  *out = d;
  return LSP__OK;
fail:
  lsp__document_delete(d);
  return status;
}

void lsp__document_delete(lsp__document *d) {
  if (d == NULL) return;
  free(d->uri);
  free(d->language);
  free(d->lines);
  lsp__buffer_free(&d->text);
  free(d);
}

int lsp__document_replace(lsp__document *d, const char *text, size_t len) {
  return splice(d, 0, d->text.len, text, len);
}

/* ---- positions ------------------------------------------------------------------------- */

size_t lsp__document_line(const lsp__document *d, size_t offset) {
  return lower_bound(d, offset + 1) - 1;
}

void lsp__document_line_span(const lsp__document *d, size_t line, size_t *start, size_t *end) {
  const char *text = d->text.data;
  *start = d->lines[line];
  *end = line + 1 < d->line_count ? d->lines[line + 1] : d->text.len;
  while (*end > *start && (text[*end - 1] == '\n' || text[*end - 1] == '\r')) --*end;
}

static size_t locate(const lsp__document *d, lsp__position p, lsp__encoding encoding, int *half) {
  *half = 0;
  if (p.line < 0) return 0;
  if ((uint64_t)p.line >= d->line_count) return d->text.len;
  size_t start, end;
  lsp__document_line_span(d, (size_t)p.line, &start, &end);
  return start + lsp__units_to_bytes(d->text.data + start, end - start, p.character, encoding, half);
}

size_t lsp__document_offset(const lsp__document *d, lsp__position p, lsp__encoding encoding) {
  int half;
  return locate(d, p, encoding, &half);
}

lsp__position lsp__document_position(const lsp__document *d, size_t offset,
                                     lsp__encoding encoding) {
  if (offset > d->text.len) offset = d->text.len;
  size_t line = lsp__document_line(d, offset), start, end;
  lsp__document_line_span(d, line, &start, &end);
  if (offset > end) offset = end;
  return (lsp__position){.line = (int64_t)line,
                         .character = lsp__bytes_to_units(d->text.data + start, offset - start,
                                                          encoding)};
}

/* ---- edits ----------------------------------------------------------------------------- */

static bool before(lsp__position a, lsp__position b) {
  return a.line != b.line ? a.line < b.line : a.character < b.character;
}

static uint32_t decode4(const char *p) {
  const unsigned char *s = (const unsigned char *)p;
  return (uint32_t)(s[0] & 0x07) << 18 | (uint32_t)(s[1] & 0x3F) << 12 |
         (uint32_t)(s[2] & 0x3F) << 6 | (s[3] & 0x3F);
}

/* Joins each high half that a low half follows. */
static void join_pairs(lsp__buffer *b) {
  size_t o = 0;
  for (size_t i = 0; i < b->len;) {
    const char *p = b->data + i;
    if (b->len - i >= 6 && lsp__utf8_is_high(p) && lsp__utf8_is_low(p + 3)) {
      const unsigned char *s = (const unsigned char *)p;
      uint32_t high = (uint32_t)(s[1] & 0x0F) << 6 | (s[2] & 0x3F);
      uint32_t low = (uint32_t)(s[4] & 0x0F) << 6 | (s[5] & 0x3F);
      char pair[4];
      size_t n = lsp__utf8_encode(0x10000 + (high << 10 | low), pair);
      memcpy(b->data + o, pair, n);
      o += n;
      i += 6;
    } else {
      b->data[o++] = b->data[i++];
    }
  }
  b->len = o;
}

/* An edit where a pair is cut in two, or where halves may meet. The range grows to whole
 * characters and the halves that stay are put into the text. */
static int edit_halves(lsp__document *d, size_t start, bool start_half, size_t end, bool end_half,
                       const char *text, size_t len) {
  lsp__buffer b = {0};
  const char *doc = d->text.data;
  char half[4];
  if (start_half) {
    uint32_t code = decode4(doc + start) - 0x10000;
    lsp__buffer_append(&b, half, lsp__utf8_encode(0xD800 + (code >> 10), half));
  } else if (start >= 3 && lsp__utf8_is_high(doc + start - 3)) {
    start -= 3;
    lsp__buffer_append(&b, doc + start, 3);
  }
  lsp__buffer_append(&b, text, len);
  if (end_half) {
    uint32_t code = decode4(doc + end) - 0x10000;
    lsp__buffer_append(&b, half, lsp__utf8_encode(0xDC00 + (code & 0x3FF), half));
    end += 4;
  } else if (d->text.len - end >= 3 && lsp__utf8_is_low(doc + end)) {
    lsp__buffer_append(&b, doc + end, 3);
    end += 3;
  }
  int status = b.failed ? LSP__ENOMEM : LSP__OK;
  if (status == LSP__OK) {
    join_pairs(&b);
    status = splice(d, start, end - start, b.data, b.len);
  }
  lsp__buffer_free(&b);
  return status;
}

int lsp__document_edit(lsp__document *d, lsp__range range, lsp__encoding encoding,
                       const char *text, size_t len) {
  if (before(range.end, range.start)) {
    lsp__position start = range.end;
    range.end = range.start;
    range.start = start;
  }
  int start_half, end_half;
  size_t start = locate(d, range.start, encoding, &start_half);
  size_t end = locate(d, range.end, encoding, &end_half);
  if (len > LSP__DOCUMENT_MAX) return LSP__ELIMIT;
  const char *doc = d->text.data;
  bool meet = (start >= 3 && lsp__utf8_is_high(doc + start - 3)) ||
              (d->text.len - end >= 3 && lsp__utf8_is_low(doc + end));
  if (start_half || end_half || meet)
    return edit_halves(d, start, start_half != 0, end, end_half != 0, text, len);
  return splice(d, start, end - start, text, len);
}

bool lsp__document_typed_at(const lsp__document *d, size_t cursor) {
  const char *text = d->text.data;
  size_t from = d->edited < cursor ? d->edited : cursor;
  size_t to = d->edited < cursor ? cursor : d->edited;
  return d->removed == 0 && cursor <= d->text.len - d->inserted &&
         memcmp(text + from, text + from + d->inserted, to - from) == 0;
}
