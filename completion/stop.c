/* stop.c - see stop.h. */
#include "completion/stop.h"

#include <string.h>

#include "completion/lines.h"

#define SAME_LINE_MIN 4   /* bytes a line must have for its repetition to mean something */
#define SAME_LINE_TIMES 3 /* the repetition that is one too many */
#define PERIOD_MAX 40     /* bytes of a unit that repeats within a line */
#define PERIOD_TIMES 4
#define PERIOD_BYTES 40

/* ---- words for what lines.h tells ------------------------------------------------------ */

static char last_char(completion__slice t) { return completion__line_last(t); }

static bool opens_block(const completion__stop *s, completion__slice line) {
  return completion__line_opens(s->language, line, line);
}

static bool goes_on(const completion__stop *s, completion__slice line) {
  return completion__line_goes_on(s->language, s->above, line);
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
        c == ':' || c == '>' || completion__scan_is_quote(language, c) || c == '\'' || c == '{')
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
                !completion__line_holds(s->tail, "{") && !completion__line_holds(s->tail, ":");
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
        in_code && opens_block(s, s->above) ? COMPLETION__BLOCK : COMPLETION__STATEMENT;
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
  if (below.len == 0 || !completion__scan_same(trimmed, below)) return false;
  return below.len >= 2 * SAME_LINE_MIN || indent == completion__indent_columns(s->below);
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
  return same && (below.len >= 2 * SAME_LINE_MIN ||
                  s->base == completion__indent_columns(s->below));
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
  bool annotates; /* the statement began with brackets that only annotate what follows */
  bool directive; /* of C's preprocessor: over with the first line that has no backslash */
  bool waits;   /* the block is over unless "else" or the like follows */
  size_t last;  /* end of the last full line */
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
    outside = indent < r->level ||
              (indent == r->level && line.len && completion__scan_is_closer(line.s[0]));
  if (!outside || (r->pending && indent >= r->level && !s->inline_block)) return false;
  if (r->waits && line.len && completion__line_chains(s->language, line)) return false;
  if (s->going && r->lines == 1 && line.len && line.s[0] == '{') return false;
  bool word_done = whole || line.len > 10 || completion__line_word(line).len < line.len;
  if (!whole && line.len < 2 && blocks(s) == GRAMMARS_BLOCKS_TAGS) word_done = false;
  if (!word_done) return false; /* it may yet become "else", or "</" */
  if ((r->opened || s->inline_block) && indent == (s->inline_block ? s->base : r->level) &&
      completion__line_continues(line))
    return false;
  if (completion__line_closes(s->language, line)) {
    if (!whole) return false;
    completion__slice below = completion__slice_trim(s->below);
    bool there = below.len && line.len && below.s[0] == line.s[0] &&
                 completion__line_closes(s->language, below) && completion__indent_columns(s->below) >= indent;
    bool deeper = s->extent == COMPLETION__STATEMENT && (r->deeper || r->opened);
    bool own = s->inline_block ? !s->going || indent == s->base
                               : s->extent == COMPLETION__BLOCK || deeper;
    *with = !r->waits && own && (!there || deeper);
  }
  return true;
}

/* The first word of the statement, be it before the cursor or after it. */
static completion__slice statement_word(const completion__stop *s, completion__slice text) {
  completion__slice t = completion__slice_trim(s->prefix);
  if (t.len == 0 || (s->extent == COMPLETION__STATEMENT && !s->going)) t = text;
  while (t.len && !completion__is_word(t.s[0])) t = completion__slice_cut(t, 1, t.len);
  return completion__line_word(t);
}

/* After a whole line was read: is the statement or the block over with it? *waits: unless the next
 * line goes on with it. `deep`: a bracket was open before the line, `extra` were closed that had
 * not been opened. */
static bool ends_after(const completion__stop *s, const reading *r, completion__slice text,
                       completion__slice line, bool deep, int extra, bool *waits) {
  *waits = false;
  if (r->directive && !s->going && s->extent == COMPLETION__STATEMENT)
    return last_char(line) != '\\';
  if (r->scan.depth > 0 || !completion__scan_in_code(&r->scan)) return false;
  bool opens = opens_block(s, line);
  bool closed = line.len && completion__scan_is_closer(line.s[0]);
  if (s->inline_block && blocks(s) == GRAMMARS_BLOCKS_TAGS && completion__line_holds(line, "</") &&
      completion__line_start(text, (size_t)(line.s - text.s)) == 0)
    return true; /* <p>text</p> */
  if (s->going) {
    if (opens || r->opened || !deep) return false;
    if (!closed && last_char(line) != ',' && goes_on(s, line)) return false;
  } else {
    if (extra > 0 && s->inline_block && !opens) return true;
    if (s->extent != COMPLETION__STATEMENT) return false;
    if (r->pending) return false;
    if (blocks(s) == GRAMMARS_BLOCKS_BRACES ? opens : r->opened) return false;
  }
  char c = last_char(line);
  if (closed && c == '}' && line.s[0] == '}')
    *waits = blocks(s) == GRAMMARS_BLOCKS_BRACES &&
             completion__word_is_continued(statement_word(s, text));
  else
    *waits = completion__line_may_chain(s->language) && !strchr(";,{}:", c);
  return !*waits;
}

/* Whether, after one more line of what goes on, a block is open that no bracket closes. */
static bool opens_going(const completion__stop *s, const reading *r, completion__slice line,
                        bool first) {
  if (r->opened) return true;
  completion__slice prefix = completion__slice_trim(s->prefix);
  if (blocks(s) == GRAMMARS_BLOCKS_BRACES) return false;
  bool opens = completion__line_opens(s->language, prefix.len ? prefix : line, first ? line : prefix) ||
               opens_block(s, line);
  return opens && r->scan.depth == 0;
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
    *keep = with ? end : r->waits ? r->last : start;
    return COMPLETION_STOP_BLOCK;
  }
  if (start > 0 && r->waits && (whole || completion__line_word(trimmed).len < trimmed.len) &&
      !completion__line_continues(trimmed) && !completion__line_chains(s->language, trimmed)) {
    *keep = r->last;
    return COMPLETION_STOP_BLOCK;
  }
  bool own_line = start > 0 || completion__slice_is_blank(s->prefix);
  bool closes = r->scan.depth > 0 && completion__scan_weight(trimmed) == 0; /* what it opened */
  if (whole && own_line && !closes && repeats_below(s, line, indent)) {
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
  bool deep = r->scan.depth > 0 || !completion__scan_in_code(&r->scan);
  completion__scan_event event;
  size_t stop = end < text.len ? end + 1 : end;
  for (size_t at = start; at < stop;) {
    at += completion__scan_step(&r->scan, completion__slice_cut(text, 0, stop), at, &event);
    extra += event == COMPLETION__SCAN_EXTRA;
  }
  bool begins = r->lines == 0 || (r->pending && !deep); /* a statement, as far as a comment went before it */
  if (begins) {
    bool open = r->scan.depth > 0 && r->scan.openers[0] != '{';
    r->annotates = open && completion__line_annotates(s->language, trimmed);
    r->directive |= trimmed.s[0] == '#' && s->language && s->language->line_comment &&
                   s->language->line_comment[0] == '/' && !completion__line_annotates(s->language, trimmed);
  }
  if (r->lines == 0) r->level = indent;
  if (r->lines && indent > r->level) r->deeper = true;
  if (s->going)
    r->opened = opens_going(s, r, trimmed, start == 0);
  else if (begins && indent <= r->level)
    r->opened = opens_block(s, trimmed) &&
                (r->scan.depth == 0 || blocks(s) == GRAMMARS_BLOCKS_BRACES);
  r->pending = completion__scan_is_comment(s->language, trimmed) || goes_on(s, trimmed);
  if (r->annotates && !begins && r->scan.depth == 0) {
    r->annotates = false;
    r->pending = true;
  }
  r->lines++;
  *keep = end;
  if (ends_after(s, r, text, trimmed, deep, extra, &r->waits)) return COMPLETION_STOP_BLOCK;
  return r->lines >= s->max_lines ? COMPLETION_STOP_LIMIT : COMPLETION_STOP_NONE;
}

static completion_stop check_lines(const completion__stop *s, completion__slice text, bool ended,
                                   size_t *keep) {
  reading r = {.scan = s->going ? s->line : s->start};
  for (size_t start = 0; start < text.len;) {
    size_t end = completion__line_end(text, start);
    bool whole = end < text.len || ended;
    completion__slice line = completion__slice_cut(text, start, end);
    if (completion__slice_is_blank(line) && completion__scan_in_code(&r.scan)) {
      bool counts = start > 0 || completion__slice_is_blank(s->prefix);
      if (whole && counts && (++r.blanks > 1 || r.waits)) {
        *keep = r.last;
        return COMPLETION_STOP_BLOCK;
      }
    } else {
      completion_stop stop = check_line(s, &r, text, start, end, whole, keep);
      if (stop != COMPLETION_STOP_NONE) return stop;
      r.blanks = 0;
      r.last = end;
    }
    start = end + 1;
  }
  *keep = text.len;
  return COMPLETION_STOP_NONE;
}

/* Whether the line, [start, end) of the text, leaves open what the next ones are to close. */
static bool leaves_open(const completion__stop *s, completion__slice text, size_t start,
                        size_t end) {
  if (!s->may_open) return false;
  completion__slice line = completion__slice_trim(completion__slice_cut(text, start, end));
  completion__slice prefix = completion__slice_trim(s->prefix);
  if (start > 0) prefix = line;
  int base = start > 0 ? completion__indent_columns(completion__slice_cut(text, start, end))
                       : s->base;
  if (completion__indent_columns(s->below) > base) return false; /* it stands there already */
  completion__scan scan = start > 0 ? s->start : s->line;
  completion__scan_feed(&scan, completion__slice_cut(text, start, end));
  if (scan.until[0] || scan.quote == '`') return true;
  if (!completion__scan_in_code(&scan)) return false;
  char c = last_char(line.len ? line : prefix);
  if (!completion__slice_is_blank(s->tail) && line.len && c != ',' && !opens_block(s, line))
    return false; /* what stands before the cursor is closed there already */
  if (scan.depth > 0) return true;
  if (completion__line_opens(s->language, prefix, line.len ? line : prefix)) return true;
  return blocks(s) == GRAMMARS_BLOCKS_BRACES && c == ')' &&
         completion__slice_is_blank(s->tail) && completion__line_controls(prefix);
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
  if (!s->may_open || !(listed || completion__line_may_chain(s->language)) || !completion__slice_is_blank(s->tail) ||
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
  return indent > s->base && completion__line_chains(s->language, completion__slice_cut(text, next, text.len));
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
    return check_lines(&going, text, ended, keep);
  }
  if (complete && completion__slice_is_blank(s->tail)) { /* offer the next */
    while (end < text.len && completion__slice_is_blank(completion__slice_cut(text, start, end))) {
      start = end + 1;
      end = completion__line_end(text, start);
    }
  }
  completion__slice line = completion__slice_cut(text, start, end);
  bool whole = end < text.len || ended;
  if (whole && (start > 0 ? repeats_below(s, line, completion__indent_columns(line))
                          : repeats_joined(s, line))) {
    *keep = 0;
    return COMPLETION_STOP_SUFFIX;
  }
  size_t periodic = periodic_end(line);
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
    return check_lines(&going, text, ended, keep);
  }
  if (unknown) return COMPLETION_STOP_NONE;
  *keep = end;
  return COMPLETION_STOP_LINE;
}

completion_stop completion__stop_check(const completion__stop *s, completion__slice text,
                                       bool ended, size_t *keep) {
  *keep = text.len;
  return s->extent == COMPLETION__LINE ? check_single(s, text, ended, keep)
                                       : check_lines(s, text, ended, keep);
}
