/* fuzz_document.c - edits in three encodings, as a client sends them, against a second
 * implementation that is as plain as can be: the text as UTF-16 units, walked from its start. */
#include "fuzz.h"
#include "lsp/document.h"
#include "lsp/json.h"
#include "lsp/utf8.h"

#define UNITS_MAX 4096
#define EDITS_MAX 64

FUZZ_RUNS(10000);

typedef struct shadow {
  uint16_t units[UNITS_MAX];
  size_t n;
} shadow;

/* ---- the second implementation ----------------------------------------------------------- */

static bool is_high(uint16_t u) { return u >= 0xD800 && u <= 0xDBFF; }
static bool is_low(uint16_t u) { return u >= 0xDC00 && u <= 0xDFFF; }

/* Units of the character at i. */
static size_t width(const shadow *s, size_t i) {
  return is_high(s->units[i]) && i + 1 < s->n && is_low(s->units[i + 1]) ? 2 : 1;
}

static size_t cost(const shadow *s, size_t i, lsp__encoding encoding) {
  size_t w = width(s, i);
  if (encoding == LSP__UTF16) return w;
  if (encoding == LSP__UTF32) return 1;
  return w == 2 ? 4 : s->units[i] < 0x80 ? 1 : s->units[i] < 0x800 ? 2 : 3;
}

/* Where a position is, in units. Only UTF-16 can name the middle of a pair. */
static size_t place(const shadow *s, lsp__position p, lsp__encoding encoding) {
  size_t i = 0;
  if (p.line < 0) return 0;
  for (int64_t line = 0; line < p.line; line++) {
    while (i < s->n && s->units[i] != '\n' && s->units[i] != '\r') i++;
    if (i == s->n) return i;
    i += s->units[i] == '\r' && i + 1 < s->n && s->units[i + 1] == '\n' ? 2 : 1;
  }
  for (int64_t left = p.character; left > 0 && i < s->n;) {
    if (s->units[i] == '\n' || s->units[i] == '\r') break;
    int64_t c = (int64_t)cost(s, i, encoding);
    if (c > left) return encoding == LSP__UTF16 ? i + 1 : i;
    left -= c;
    i += width(s, i);
  }
  return i;
}

static bool edit_shadow(shadow *s, lsp__range r, lsp__encoding encoding, const uint16_t *text,
                        size_t len) {
  bool turned = r.end.line != r.start.line ? r.end.line < r.start.line
                                           : r.end.character < r.start.character;
  size_t start = place(s, turned ? r.end : r.start, encoding);
  size_t end = place(s, turned ? r.start : r.end, encoding);
  FUZZ_ASSERT(start <= end);
  if (s->n - (end - start) + len > UNITS_MAX) return false;
  memmove(s->units + start + len, s->units + end, (s->n - end) * sizeof *s->units);
  memcpy(s->units + start, text, len * sizeof *text);
  s->n = s->n - (end - start) + len;
  return true;
}

/* Lone halves in their three-byte form, as lsp/ keeps them. */
static size_t to_bytes(const shadow *s, char *out) {
  size_t n = 0;
  for (size_t i = 0; i < s->n; i += width(s, i)) {
    uint32_t code = s->units[i];
    if (width(s, i) == 2)
      code = 0x10000 + ((code - 0xD800) << 10) + (s->units[i + 1] - 0xDC00u);
    n += lsp__utf8_encode(code, out + n);
  }
  return n;
}

/* ---- inputs ------------------------------------------------------------------------------ */

/* What text is hard: line ends, every length of character, halves of pairs, zero. */
static size_t read_text(fuzz_input *in, uint16_t *out) {
  static const uint16_t hard[] = {'\n', '\r', 0xD83D, 0xDE00, 0xE9, 0x4E2D, 0, 0xFFFF, 0xDBFF,
                                  0xDC00, 0x7FF, 0x800, 0xFEFF, '"', '\\', 0x7F};
  size_t n = fuzz_u8(in) % 24, len = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned b = fuzz_u8(in);
    if (b < 0x60) out[len++] = (uint16_t)(0x20 + b % 0x60);
    else out[len++] = hard[b % 16];
  }
  return len;
}

static int64_t read_number(fuzz_input *in) {
  unsigned b = fuzz_u8(in);
  return b < 0xF8 ? b % 32 : b == 0xF8 ? -1 : b == 0xF9 ? INT32_MAX : b == 0xFA ? INT64_C(1) << 53
                                                                    : b;
}

static lsp__position read_position(fuzz_input *in) {
  int64_t line = read_number(in);
  return (lsp__position){line % 64, read_number(in)};
}

static void write_change(lsp__buffer *b, const lsp__range *r, const uint16_t *text, size_t len) {
  lsp__buffer_puts(b, "[{\"text\":\"");
  for (size_t i = 0; i < len; i++) lsp__buffer_printf(b, "\\u%04x", text[i]);
  lsp__buffer_puts(b, "\"");
  if (r)
    lsp__buffer_printf(b,
                       ",\"range\":{\"start\":{\"line\":%lld,\"character\":%lld},"
                       "\"end\":{\"line\":%lld,\"character\":%lld}}",
                       (long long)r->start.line, (long long)r->start.character,
                       (long long)r->end.line, (long long)r->end.character);
  lsp__buffer_puts(b, "}]");
}

static void edit_document(lsp__document *d, const lsp__range *r, lsp__encoding encoding,
                          const uint16_t *text, size_t len) {
  lsp__buffer b = {0};
  cJSON *tree;
  const char *why;
  size_t where;
  write_change(&b, r, text, len);
  FUZZ_ASSERT(lsp__json_parse(b.data, b.len, &tree, &why, &where) == LSP__OK);
  FUZZ_ASSERT(lsp__document_change(d, tree, encoding, &why) == LSP__OK);
  cJSON_Delete(tree);
  lsp__buffer_free(&b);
}

/* ---- what must hold ---------------------------------------------------------------------- */

static void check(const lsp__document *d, const shadow *s, lsp__encoding encoding) {
  static char bytes[UNITS_MAX * 3];
  size_t n = to_bytes(s, bytes);
  FUZZ_CHECK(n == d->text.len && memcmp(bytes, d->text.data, n) == 0, "%zu bytes, not %zu",
             d->text.len, n);
  lsp__document *fresh;
  FUZZ_ASSERT(lsp__document_new(&fresh, "", "", 1, d->text.data, d->text.len) == LSP__OK);
  FUZZ_ASSERT(fresh->line_count == d->line_count &&
              memcmp(fresh->lines, d->lines, d->line_count * sizeof *d->lines) == 0);
  lsp__document_delete(fresh);
  for (size_t i = 0; i < n; i++) {
    if (lsp__utf8_is_continuation((unsigned char)bytes[i])) continue;
    size_t start, end, line = lsp__document_line(d, i);
    lsp__document_line_span(d, line, &start, &end);
    size_t back = lsp__document_offset(d, lsp__document_position(d, i, encoding), encoding);
    FUZZ_CHECK(back == (i < end ? i : end), "byte %zu comes back as %zu", i, back);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  lsp__encoding encoding = (lsp__encoding)(fuzz_u8(&in) % 3);
  shadow s = {.n = 0};
  lsp__document *d;
  FUZZ_ASSERT(lsp__document_new(&d, "file:///a", "c", 1, "", 0) == LSP__OK);
  for (int i = 0; i < EDITS_MAX && in.left > 0; i++) {
    uint16_t text[24];
    bool whole = fuzz_u8(&in) % 16 == 0;
    lsp__range r = {read_position(&in), read_position(&in)};
    size_t len = read_text(&in, text);
    if (whole) {
      memcpy(s.units, text, len * sizeof *text);
      s.n = len;
    } else if (!edit_shadow(&s, r, encoding, text, len)) {
      break;
    }
    edit_document(d, whole ? NULL : &r, encoding, text, len);
    check(d, &s, encoding);
  }
  lsp__document_delete(d);
  return 0;
}
