/* stop.c - see stop.h. */
#include "completion/stop.h"

#include <string.h>

#define SAME_LINE_MIN 4   /* bytes a line must have for its repetition to mean something */
#define SAME_LINE_TIMES 3 /* the repetition that is one too many */
#define PERIOD_MAX 40     /* bytes of a unit that repeats within a line */
#define PERIOD_TIMES 4
#define PERIOD_BYTES 40

/* ---- words and lines ------------------------------------------------------------------- */

static const char *const continuing[] = {"else",    "elif",    "elsif",  "elseif", "except",
                                         "finally", "catch",   "rescue", "ensure", "when",
                                         "case",    "default", "in",     NULL};
static const char *const closing[] = {"end", "fi", "done", "esac", "until", NULL};
static const char *const controls[] = {"if", "for", "while",   "else",    "switch",
                                       "do", "try", "foreach", "finally", NULL};
static const char *const openings[] = {"then", "do", "else", "begin", "repeat", "in", NULL};
static const char *const starters[] = {"def",    "class", "module", "begin", "case",     "if",
                                       "unless", "while", "until",  "for",   "function", NULL};

static bool is_one_of(completion__slice word, const char *const *list) {
  for (; *list; list++)
    if (strlen(*list) == word.len && memcmp(*list, word.s, word.len) == 0) return true;
  return false;
}

static completion__slice first_word(completion__slice t) {
  size_t n = 0;
  while (n < t.len && completion__is_word(t.s[n])) n++;
  return completion__slice_cut(t, 0, n);
}

static completion__slice last_word(completion__slice t) {
  size_t n = t.len;
  while (n && completion__is_word(t.s[n - 1])) n--;
  return completion__slice_cut(t, n, t.len);
}

static char last_char(completion__slice t) { return t.len ? t.s[t.len - 1] : 0; }

static grammars_blocks blocks_of(const grammars_language *l) {
  return l ? l->blocks : GRAMMARS_BLOCKS_BRACES;
}

static bool language_is(const grammars_language *l, const char *name) {
  return l && strcmp(l->name, name) == 0;
}

/* Statements of these end with ';', so a line without one goes on. */
static bool needs_semicolon(const grammars_language *l) {
  return language_is(l, "c") || language_is(l, "cpp") || language_is(l, "java") ||
         language_is(l, "c-sharp") || language_is(l, "php");
}

bool completion__stop_tail_is_closers(const grammars_language *language, completion__slice tail) {
  for (size_t i = 0; i < tail.len; i++) {
    char c = tail.s[i];
    if (completion__is_blank(c) || completion__scan_is_closer(c) || c == ';' || c == ',' ||
        c == ':' || c == '>' || completion__scan_is_quote(language, c) || c == '\'' || c == '{')
      continue;
    return false;
  }
  return true;
}

/* A line (trimmed) after which a block begins. */
static bool opens_block(const grammars_language *l, completion__slice line) {
  char c = last_char(line);
  if (c == '{' || c == '(' || c == '[') return true;
  switch (blocks_of(l)) {
    case GRAMMARS_BLOCKS_INDENT:
      return c == ':';
    case GRAMMARS_BLOCKS_KEYWORD:
      if (is_one_of(last_word(line), closing)) return false;
      if (is_one_of(last_word(line), openings) || is_one_of(first_word(line), starters))
        return true;
      if (language_is(l, "ruby")) /* do |x| */
        return c == '|' &&
               completion__slice_find(line, 0, completion__slice_of(" do |", 5)) < line.len;
      return language_is(l, "lua") &&
             completion__slice_find(line, 0, completion__slice_of("function", 8)) < line.len;
    case GRAMMARS_BLOCKS_TAGS:
      return c == '>' && line.len > 3 && line.s[0] == '<' && line.s[1] != '/' && line.s[1] != '!' &&
             line.s[line.len - 2] != '/' &&
             completion__slice_find(line, 0, completion__slice_of("</", 2)) == line.len;
    case GRAMMARS_BLOCKS_BRACES:
      break;
  }
  return c == ':' && (is_one_of(first_word(line), continuing));
}

/* A line (trimmed) that closes a block and stands where the block began. */
static bool closes_block(const grammars_language *l, completion__slice line) {
  if (line.len && completion__scan_is_closer(line.s[0])) return true;
  if (blocks_of(l) == GRAMMARS_BLOCKS_KEYWORD) return is_one_of(first_word(line), closing);
  return blocks_of(l) == GRAMMARS_BLOCKS_TAGS && line.len > 1 && line.s[0] == '<' &&
         line.s[1] == '/';
}

/* A line (trimmed) at the end of which its statement, brackets apart, is not over. */
static bool goes_on(const completion__stop *s, completion__slice line) {
  char c = last_char(line);
  if (c == ',') { /* in a list, one element */
    char above = last_char(s->above);
    return above != ',' && above != '{' && above != '[' && above != '(';
  }
  if (strchr("+-*/%&|^=<?.\\", c) && c) return true;
  if (blocks_of(s->language) != GRAMMARS_BLOCKS_BRACES) return line.s[0] == '@';
  if (line.s[0] == '@' || (line.s[0] == '#' && line.len > 1 && line.s[1] == '[')) return true;
  if (c == ')' && is_one_of(first_word(line), controls)) return true;
  if (is_one_of(line, controls)) return true;
  return needs_semicolon(s->language) && line.s[0] != '#' && c != ';' && c != '}' && c != ':';
}

/* ---- start ----------------------------------------------------------------------------- */

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
  s->base = completion__indent_columns(s->prefix);
  completion__scan_before(&s->start, language, before);
  s->start.depth = 0;

  completion__slice prefix = completion__slice_trim(s->prefix);
  bool in_code = completion__scan_in_code(&s->start);
  bool open_tail = completion__stop_tail_is_closers(language, s->tail);
  s->inline_block = in_code && prefix.len && opens_block(language, prefix);
  if (mode == COMPLETION_SINGLE_LINE || (mode == COMPLETION_AUTO && !open_tail))
    s->extent = COMPLETION__LINE;
  else if (mode == COMPLETION_MULTI_LINE)
    s->extent = COMPLETION__BLOCK;
  else if (prefix.len)
    s->extent = s->inline_block && last_char(prefix) != '(' && last_char(prefix) != '['
                    ? COMPLETION__BLOCK
                    : COMPLETION__LINE;
  else
    s->extent =
        in_code && opens_block(language, s->above) ? COMPLETION__BLOCK : COMPLETION__STATEMENT;
}

const char *completion__stop_strextent(const completion__stop *s) {
  static const char *const names[] = {"line", "statement", "block"};
  return s->max_lines > 0 ? names[s->extent] : "";
}

/* ---- repetition ------------------------------------------------------------------------ */

/* Where a unit of 1 to PERIOD_MAX bytes repeats at the end of the line: the length to keep,
 * with the unit once; else t.len. Rulers of one character ("-----") may be long. */
static size_t periodic_end(completion__slice t) {
  for (size_t p = 1; p <= PERIOD_MAX && p * PERIOD_TIMES <= t.len; p++) {
    size_t same = 0;
    while (same + p < t.len && t.s[t.len - 1 - same] == t.s[t.len - 1 - same - p]) same++;
    size_t run = same + p;
    if (run >= p * PERIOD_TIMES && run >= (p == 1 ? 3 * PERIOD_BYTES : PERIOD_BYTES))
      return t.len - run + p;
  }
  return t.len;
}

/* How many lines before `end` equal the line. */
static int times_before(completion__slice text, size_t end, completion__slice line) {
  int n = 0;
  for (size_t at = 0; at < end;) {
    size_t stop = completion__line_end(text, at);
    n += completion__slice_equal(completion__slice_trim(completion__slice_cut(text, at, stop)),
                                 line);
    at = stop + 1;
  }
  return n;
}

static bool repeats_below(const completion__stop *s, completion__slice line, int indent) {
  completion__slice trimmed = completion__slice_trim(line),
                    below = completion__slice_trim(s->below);
  if (!completion__slice_equal(trimmed, below) || below.len == 0) return false;
  return below.len >= 2 * SAME_LINE_MIN || indent == completion__indent_columns(s->below);
}

/* ---- judge ----------------------------------------------------------------------------- */

/* What is known while the lines are read one after another. */
typedef struct reading {
  completion__scan scan;
  int lines;    /* shown, from the first full one */
  int blanks;   /* in a row, just before */
  int level;    /* columns of the first full line */
  bool opened;  /* the first statement opened a block */
  bool pending; /* the last line was a comment, or its statement is not over */
  bool deeper;  /* a line stood deeper than the first */
} reading;

/* A line that stands where the block is over, or outside it: is it the end? *with: the line
 * itself still belongs to the completion. `whole`: the line is complete. */
static bool ends_block(const completion__stop *s, const reading *r, completion__slice line,
                       int indent, bool whole, bool *with) {
  *with = false;
  if (r->lines == 0 || r->scan.depth > 0 || !completion__scan_in_code(&r->scan)) return false;
  bool outside;
  if (s->inline_block)
    outside = indent <= s->base;
  else if (s->extent == COMPLETION__STATEMENT)
    outside = indent <= r->level;
  else
    outside = indent < r->level;
  if (!outside || (r->pending && indent >= r->level && !s->inline_block)) return false;
  bool word_done = whole || line.len > 10 || first_word(line).len < line.len;
  if (!whole && line.len < 2 && blocks_of(s->language) == GRAMMARS_BLOCKS_TAGS) word_done = false;
  if (!word_done) return false; /* it may yet become "else", or "</" */
  if ((r->opened || s->inline_block) && indent == (s->inline_block ? s->base : r->level) &&
      is_one_of(first_word(line), continuing))
    return false;
  if (closes_block(s->language, line)) {
    if (!whole) return false;
    completion__slice below = completion__slice_trim(s->below);
    bool there = below.len && line.len && below.s[0] == line.s[0] &&
                 closes_block(s->language, below) && completion__indent_columns(s->below) >= indent;
    bool own = s->inline_block || s->extent == COMPLETION__BLOCK || r->deeper;
    *with = own && !(there && !(s->extent == COMPLETION__STATEMENT && r->deeper));
  }
  return true;
}

/* After a whole line was read: is the statement or the block over with it? */
static bool ends_after(const completion__stop *s, const reading *r, completion__slice line,
                       int extra) {
  if (r->scan.depth > 0 || !completion__scan_in_code(&r->scan)) return false;
  if (extra > 0 && s->inline_block && !opens_block(s->language, line)) return true;
  if (s->extent != COMPLETION__STATEMENT) return false;
  if (completion__scan_is_comment(s->language, line)) return false;
  if (blocks_of(s->language) == GRAMMARS_BLOCKS_BRACES)
    return !goes_on(s, line) && !opens_block(s->language, line);
  return !r->opened && !goes_on(s, line);
}

static completion_stop check_line(const completion__stop *s, reading *r, completion__slice text,
                                  size_t start, size_t end, bool whole, size_t *keep) {
  completion__slice line = completion__slice_cut(text, start, end);
  completion__slice trimmed = completion__slice_trim(line);
  int indent = completion__indent_columns(line);
  if (start == 0) {
    bool blank_before = completion__slice_is_blank(s->prefix);
    size_t blanks = 0;
    while (blanks < line.len && completion__is_blank(line.s[blanks])) blanks++;
    indent = blank_before ? s->base + (int)blanks : s->base;
  }
  bool with;
  if (start > 0 && ends_block(s, r, trimmed, indent, whole, &with)) {
    *keep = with ? end : start;
    return COMPLETION_STOP_BLOCK;
  }
  bool own_line = start > 0 || completion__slice_is_blank(s->prefix);
  if (whole && own_line && repeats_below(s, line, indent)) {
    *keep = start;
    return COMPLETION_STOP_SUFFIX;
  }
  if (whole && trimmed.len >= SAME_LINE_MIN &&
      times_before(text, start, trimmed) + 1 >= SAME_LINE_TIMES) {
    *keep = start;
    return COMPLETION_STOP_REPEAT;
  }
  size_t periodic = periodic_end(line);
  if (periodic < line.len) {
    *keep = start + periodic;
    return COMPLETION_STOP_REPEAT;
  }
  if (!whole) return COMPLETION_STOP_NONE;

  int extra = 0;
  completion__scan_event event;
  size_t stop = end < text.len ? end + 1 : end;
  for (size_t at = start; at < stop;) {
    at += completion__scan_step(&r->scan, completion__slice_cut(text, 0, stop), at, &event);
    extra += event == COMPLETION__SCAN_EXTRA;
  }
  bool begins = r->lines == 0 || r->pending; /* a statement, as far as a comment went before it */
  if (r->lines == 0) r->level = indent;
  if (r->lines && indent > r->level) r->deeper = true;
  if (begins && indent <= r->level) r->opened = opens_block(s->language, trimmed);
  r->pending = completion__scan_is_comment(s->language, trimmed) || goes_on(s, trimmed);
  r->lines++;
  *keep = end;
  if (ends_after(s, r, trimmed, extra)) return COMPLETION_STOP_BLOCK;
  return r->lines >= s->max_lines ? COMPLETION_STOP_LIMIT : COMPLETION_STOP_NONE;
}

static completion_stop check_single(const completion__stop *s, completion__slice text, bool ended,
                                    size_t *keep) {
  size_t start = 0, end = completion__line_end(text, 0);
  bool first_blank = completion__slice_is_blank(completion__slice_cut(text, 0, end));
  if (first_blank && end < text.len && !s->strict_line && !completion__slice_is_blank(s->prefix) &&
      completion__slice_is_blank(s->tail)) { /* this line is complete: offer the next */
    while (end < text.len && completion__slice_is_blank(completion__slice_cut(text, start, end))) {
      start = end + 1;
      end = completion__line_end(text, start);
    }
  }
  completion__slice line = completion__slice_cut(text, start, end);
  if (start > 0 && (end < text.len || ended) &&
      repeats_below(s, line, completion__indent_columns(line))) {
    *keep = 0;
    return COMPLETION_STOP_SUFFIX;
  }
  size_t periodic = periodic_end(line);
  if (periodic < line.len) {
    *keep = start + periodic;
    return COMPLETION_STOP_REPEAT;
  }
  if (end == text.len) return COMPLETION_STOP_NONE;
  *keep = end;
  return COMPLETION_STOP_LINE;
}

completion_stop completion__stop_check(const completion__stop *s, completion__slice text,
                                       bool ended, size_t *keep) {
  *keep = text.len;
  if (s->extent == COMPLETION__LINE) return check_single(s, text, ended, keep);
  reading r = {.scan = s->start};
  size_t last = 0; /* end of the last full line */
  for (size_t start = 0; start < text.len;) {
    size_t end = completion__line_end(text, start);
    bool whole = end < text.len || ended;
    completion__slice line = completion__slice_cut(text, start, end);
    if (completion__slice_is_blank(line) && completion__scan_in_code(&r.scan)) {
      if (whole && (start > 0 || completion__slice_is_blank(s->prefix)) && ++r.blanks > 1) {
        *keep = last;
        return COMPLETION_STOP_BLOCK;
      }
    } else {
      completion_stop stop = check_line(s, &r, text, start, end, whole, keep);
      if (stop != COMPLETION_STOP_NONE) return stop;
      r.blanks = 0;
      last = end;
    }
    start = end + 1;
  }
  *keep = text.len;
  return COMPLETION_STOP_NONE;
}
