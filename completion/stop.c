/* stop.c - see stop.h. */
#include "completion/stop.h"

#include <string.h>

#include "completion/lines.h"

#define BELOW_MIN 8   /* bytes of a line whose repetition needs no other sign */
#define PERIOD_MAX 40 /* bytes of a unit that repeats within a line */
#define PERIOD_TIMES 4
#define PERIOD_BYTES 40

/* ---- words for what lines.h tells ------------------------------------------------------ */

static char last_char(completion__slice t) { return completion__line_last(t); }

static bool opens_block(const completion__stop *s, completion__slice line) {
  return completion__line_opens(s->language, line, line);
}

static grammars_blocks blocks(const completion__stop *s) {
  return completion__line_blocks(s->language);
}

/* ---- start ----------------------------------------------------------------------------- */

bool completion__stop_tail_is_closers(const grammars_language *language, completion__slice tail) {
  for (size_t i = 0; i < tail.len; i++) {
    char c = tail.s[i];
    if (c == '<' && tail.len - i > 2 && tail.s[i + 1] == '/' &&
        completion__line_blocks(language) == GRAMMARS_BLOCKS_TAGS) { /* a closing tag */
      while (i < tail.len && tail.s[i] != '>') i++;
      continue;
    }
    if (completion__is_blank(c) || completion__scan_is_closer(c) || c == ';' || c == ',' ||
        c == ':' || c == '>' || c == '?' || completion__scan_is_quote(language, c) || c == '\'' ||
        c == '{')
      continue;
    return false;
  }
  return true;
}

void completion__stop_init(completion__stop *s, const grammars_language *language,
                           completion__slice before, completion__slice after, completion_mode mode,
                           int max_lines) {
  size_t line = completion__line_start(before, before.len);
  size_t tail_end = completion__line_end(after, 0);
  *s = (completion__stop){
      .language = language,
      .prefix = completion__slice_cut(before, line, before.len),
      .tail = completion__slice_cut(after, 0, tail_end),
      .above = completion__slice_trim(
          completion__line_last_full(completion__slice_cut(before, 0, line ? line - 1 : 0))),
      .below = completion__line_next_full(completion__slice_cut(after, tail_end + 1, after.len)),
      .max_lines = max_lines,
      .strict_line = mode == COMPLETION_SINGLE_LINE,
  };
  if (s->below.len) {
    size_t past = (size_t)(s->below.s + s->below.len - after.s);
    s->below2 = completion__line_next_full(completion__slice_cut(after, past, after.len));
  }
  s->base = completion__indent_columns(s->prefix);
  completion__scan_before(&s->line, language, completion__slice_cut(before, 0, line));
  s->line.depth = 0;
  completion__scan_feed(&s->line, s->prefix);
  s->start = s->line;
  s->start.depth = 0;

  completion__slice prefix = completion__slice_trim(s->prefix);
  bool in_code = completion__scan_in_code(&s->start);
  bool open_tail = completion__stop_tail_is_closers(language, s->tail);
  s->inline_block = in_code && prefix.len && opens_block(s, prefix);
  s->may_open = mode == COMPLETION_AUTO && in_code && open_tail &&
                !completion__line_holds(s->tail, "{") &&
                (blocks(s) == GRAMMARS_BLOCKS_INDENT || !completion__line_holds(s->tail, ":"));
  if (mode == COMPLETION_SINGLE_LINE || (mode == COMPLETION_AUTO && !open_tail))
    s->extent = COMPLETION__LINE;
  else if (mode == COMPLETION_MULTI_LINE)
    s->extent = COMPLETION__BLOCK;
  else if (prefix.len)
    s->extent = s->inline_block && last_char(prefix) != '(' && last_char(prefix) != '['
                    ? COMPLETION__BLOCK
                    : COMPLETION__LINE;
  else
    s->extent = in_code && opens_block(s, s->above) ? COMPLETION__BLOCK : COMPLETION__STATEMENT;
}

const char *completion__stop_strextent(const completion__stop *s) {
  static const char *const names[] = {"line", "statement", "block"};
  return s->max_lines > 0 ? names[s->extent] : "";
}

/* ---- repetition ------------------------------------------------------------------------ */

size_t completion__stop_periodic(completion__slice t) {
  for (size_t p = 1; p <= PERIOD_MAX && p * PERIOD_TIMES <= t.len; p++) {
    size_t same = 0;
    while (same + p < t.len && t.s[t.len - 1 - same] == t.s[t.len - 1 - same - p]) same++;
    size_t run = same + p;
    if (run >= p * PERIOD_TIMES && run >= (p == 1 ? 3 * PERIOD_BYTES : PERIOD_BYTES))
      return t.len - run + p;
  }
  return t.len;
}

bool completion__stop_repeats_below(const completion__stop *s, completion__slice line, int indent,
                                    bool nested) {
  completion__slice trimmed = completion__slice_trim(line),
                    below = completion__slice_trim(s->below);
  if (below.len == 0 || !completion__scan_same(trimmed, below)) return false;
  return (below.len >= BELOW_MIN && !nested) || indent == completion__indent_columns(s->below);
}

/* The same of a line whose beginning stands before the cursor, and of what was written alone. */
static bool repeats_joined(const completion__stop *s, completion__slice line) {
  completion__slice below = completion__slice_trim(s->below),
                    prefix = completion__slice_trim(s->prefix);
  if (below.len == 0 || !completion__slice_is_blank(s->tail)) return false;
  if (completion__scan_weight(line) >= COMPLETION__REPEAT_WEIGHT &&
      completion__scan_same(line, below))
    return true;
  bool same = completion__slice_starts(below, prefix) &&
              completion__scan_same(completion__slice_cut(below, prefix.len, below.len), line) &&
              completion__scan_weight(line) > 0;
  return same && below.len >= BELOW_MIN;
}

/* Whether the line, [start, end) of the text, leaves open what the next ones are to close. */
static bool leaves_open(const completion__stop *s, completion__slice text, size_t start,
                        size_t end) {
  if (!s->may_open) return false;
  completion__slice line = completion__slice_trim(completion__slice_cut(text, start, end));
  completion__slice prefix = completion__slice_trim(s->prefix);
  if (start > 0) prefix = line;
  int base =
      start > 0 ? completion__indent_columns(completion__slice_cut(text, start, end)) : s->base;
  if (completion__indent_columns(s->below) > base) return false; /* it stands there already */
  completion__scan scan = start > 0 ? s->start : s->line;
  completion__scan_feed(&scan, completion__slice_cut(text, start, end));
  if (scan.until[0] || scan.quote == '`') return true;
  if (!completion__scan_in_code(&scan)) return false;
  completion__scan own = s->start;
  completion__scan_feed(&own, completion__slice_cut(text, start, end));
  if (own.depth > 0 && line.len) return true;
  char c = last_char(line.len ? line : prefix);
  if (!completion__slice_is_blank(s->tail) && line.len && c != ',' && !opens_block(s, line))
    return false; /* what stands before the cursor is closed there already */
  if (scan.depth > 0) return true;
  if (completion__line_holds(s->tail, ":")) return false; /* what the tail opens is there */
  if (completion__line_opens(s->language, prefix, line.len ? line : prefix)) return true;
  return blocks(s) == GRAMMARS_BLOCKS_BRACES && c == ')' && completion__slice_is_blank(s->tail) &&
         completion__line_controls(prefix);
}

/* A whole line, which opens nothing, that the next one goes on with; *unknown: that has not been
 * written so far. */
static bool goes_on_below(const completion__stop *s, completion__slice text, size_t end, bool ended,
                          bool *unknown) {
  *unknown = false;
  completion__scan scan = s->line;
  completion__slice line = completion__slice_cut(text, 0, end);
  completion__scan_feed(&scan, line);
  line = completion__slice_trim(line);
  bool listed = last_char(line) == ',' && blocks(s) == GRAMMARS_BLOCKS_BRACES;
  if (!s->may_open || !(listed || completion__line_may_chain(s->language)) ||
      !completion__scan_in_code(&scan) || line.len == 0 || strchr(";{}:", last_char(line)))
    return false;
  completion__slice below = completion__slice_trim(s->below);
  if (below.len && (below.s[0] == '{' || completion__line_chains(s->language, below))) return false;
  size_t next = end + 1;
  while (next < text.len && completion__is_blank(text.s[next])) next++;
  *unknown = next >= text.len && !ended;
  if (next >= text.len || text.s[next] == '\n') return false;
  completion__slice start = completion__slice_cut(text, end + 1, next + 1);
  int indent = completion__indent_columns(start);
  if (listed) return indent > s->base;
  if (text.s[next] == '{') return indent >= s->base;
  return indent > s->base &&
         completion__line_chains(s->language, completion__slice_cut(text, next, text.len));
}

static completion_stop check_single(const completion__stop *s, completion__slice text, bool ended,
                                    size_t *keep) {
  size_t start = 0, end = completion__line_end(text, 0);
  bool complete = completion__slice_is_blank(completion__slice_cut(text, 0, end)) &&
                  end < text.len && !s->strict_line && !completion__slice_is_blank(s->prefix);
  completion__stop going = *s;
  going.going = true;
  if (complete && leaves_open(s, text, 0, end)) {
    going.extent = COMPLETION__BLOCK;
    going.inline_block = true;
    return completion__stop_lines(&going, text, ended, keep);
  }
  if (complete && completion__slice_is_blank(s->tail)) { /* offer the next */
    while (end < text.len && completion__slice_is_blank(completion__slice_cut(text, start, end))) {
      start = end + 1;
      end = completion__line_end(text, start);
    }
  }
  completion__slice line = completion__slice_cut(text, start, end);
  bool whole = end < text.len || ended;
  if (whole &&
      (start > 0 ? completion__stop_repeats_below(s, line, completion__indent_columns(line), false)
                 : repeats_joined(s, line))) {
    *keep = 0;
    return COMPLETION_STOP_SUFFIX;
  }
  size_t periodic = completion__stop_periodic(line);
  if (periodic < line.len) {
    *keep = start + periodic;
    return COMPLETION_STOP_REPEAT;
  }
  if (end == text.len) return COMPLETION_STOP_NONE;
  bool unknown = false;
  if (leaves_open(s, text, start, end) ||
      (start == 0 && goes_on_below(s, text, end, ended, &unknown))) {
    going.extent = start > 0 ? COMPLETION__STATEMENT : COMPLETION__BLOCK;
    going.inline_block = start == 0;
    going.going = start == 0;
    return completion__stop_lines(&going, text, ended, keep);
  }
  if (unknown) return COMPLETION_STOP_NONE;
  *keep = end;
  return COMPLETION_STOP_LINE;
}

completion_stop completion__stop_check(const completion__stop *s, completion__slice text,
                                       bool ended, size_t *keep) {
  *keep = text.len;
  return s->extent == COMPLETION__LINE ? check_single(s, text, ended, keep)
                                       : completion__stop_lines(s, text, ended, keep);
}
