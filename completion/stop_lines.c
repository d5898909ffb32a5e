/* stop_lines.c - when a completion of several lines is over, read line by line.
 *
 * Three kinds of completion come here: a statement, a block, and a line that left something open
 * (stop.h: going). They differ in which lines stand outside of them. */
#include <string.h>

#include "completion/lines.h"
#include "completion/stop.h"

#define SAME_LINE_MIN 4   /* bytes a line must have for its repetition to mean something */
#define SAME_LINE_TIMES 3 /* the repetition that is one too many */

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

/* ---- judge ----------------------------------------------------------------------------- */

/* What is known while the lines are read one after another. */
typedef struct reading {
  completion__scan scan;
  int lines;      /* shown, from the first full one */
  int blanks;     /* in a row, just before */
  int level;      /* columns of the first full line */
  bool opened;    /* the first statement opened a block */
  bool pending;   /* the last line was a comment, or its statement is not over */
  bool deeper;    /* a line stood deeper than the first */
  bool annotates; /* the statement began with brackets that only annotate what follows */
  bool directive; /* of C's preprocessor: over with the first line that has no backslash */
  bool waits;     /* the block is over unless "else" or the like follows */
  size_t last;    /* end of the last full line */
  bool twice;     /* the last line is the one below, but begins something */
  size_t twice_at;
  bool tag;    /* within a tag that goes on over lines */
  bool markup; /* the statement is an element */
  bool lone;   /* ... that nothing closes */
} reading;

/* A line that stands where the block is over, or outside it: is it the end? *with: the line
 * itself still belongs to the completion. `whole`: the line is complete. */
static bool ends_block(const completion__stop *s, const reading *r, completion__slice line,
                       int indent, bool whole, bool *with) {
  *with = false;
  if (r->lines == 0 || r->scan.depth > 0 || r->tag || !completion__scan_in_code(&r->scan))
    return false;
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
  if (!whole && line.len < 2 && completion__line_has_tags(s->language)) word_done = false;
  if (!word_done) return false; /* it may yet become "else", or "</" */
  if ((r->opened || s->inline_block) && indent == (s->inline_block ? s->base : r->level) &&
      completion__line_continues(line))
    return false;
  if (completion__line_closes(s->language, line)) {
    if (!whole) return false;
    completion__slice below = completion__slice_trim(s->below);
    bool there = below.len && line.len && below.s[0] == line.s[0] &&
                 completion__line_closes(s->language, below) &&
                 completion__indent_columns(s->below) >= indent;
    bool deeper = s->extent == COMPLETION__STATEMENT && (r->deeper || r->opened);
    bool own =
        s->inline_block ? !s->going || indent == s->base : s->extent == COMPLETION__BLOCK || deeper;
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
    if (completion__line_holds(s->tail, ":")) return deep;
    if (opens || r->opened || !deep) return false;
    if (!closed && last_char(line) != ',' && goes_on(s, line)) return false;
  } else {
    if (extra > 0 && s->inline_block && !opens) return true;
    if (s->extent != COMPLETION__STATEMENT) return false;
    if (r->pending) return false;
    if (blocks(s) == GRAMMARS_BLOCKS_BRACES && !r->markup ? opens : r->opened) return false;
  }
  char c = last_char(line);
  if (closed && c == '}' && line.s[0] == '}')
    *waits = blocks(s) == GRAMMARS_BLOCKS_BRACES &&
             completion__word_is_continued(statement_word(s, text));
  else
    *waits = completion__line_may_chain(s->language) && !strchr(";,{}:", c);
  return !*waits;
}

/* Whether a tag is open at the end of the line, which was `open` before it. */
static bool within_tag(const completion__stop *s, completion__slice line, bool open) {
  if (!completion__line_has_tags(s->language) || !line.len || (!open && line.s[0] != '<'))
    return false;
  char last = completion__line_last(line);
  if (last == '>') return false;
  for (size_t i = line.len; i > 0 && !open; i--) {
    if (line.s[i - 1] == '>') return false;
    if (line.s[i - 1] == '<') return true;
  }
  return open;
}

/* Whether, after one more line of what goes on, a block is open that no bracket closes. */
static bool opens_going(const completion__stop *s, const reading *r, completion__slice line,
                        bool first) {
  if (r->opened) return true;
  completion__slice prefix = completion__slice_trim(s->prefix);
  if (blocks(s) == GRAMMARS_BLOCKS_BRACES) return false;
  bool opens =
      completion__line_opens(s->language, prefix.len ? prefix : line, first ? line : prefix) ||
      opens_block(s, line);
  return opens && r->scan.depth == 0;
}

/* A line that opens what the next ones go on with. */
static bool begins_more(const completion__stop *s, const reading *r, completion__slice line) {
  return opens_block(s, line) || within_tag(s, line, r->tag);
}

/* Does the line, [start, end) of the text, repeat what stands below, what was written before, or
 * itself? *keep is what is left then. */
static completion_stop repeats(const completion__stop *s, reading *r, completion__slice text,
                               size_t start, size_t end, int indent, bool whole, size_t *keep) {
  completion__slice line = completion__slice_cut(text, start, end);
  completion__slice trimmed = completion__slice_trim(line);
  bool own_line = start > 0 || completion__slice_is_blank(s->prefix);
  bool nested = r->scan.depth > 0;
  bool closes = nested && completion__scan_weight(trimmed) == 0; /* what it opened */
  if (whole && own_line && !closes && completion__stop_repeats_below(s, line, indent, nested)) {
    *keep = start;
    if (!begins_more(s, r, trimmed)) return COMPLETION_STOP_SUFFIX;
    r->twice = true; /* elements of a list begin alike: the next line tells */
    r->twice_at = start;
  } else if (whole && r->twice) {
    *keep = r->twice_at;
    if (completion__scan_same(trimmed, s->below2)) return COMPLETION_STOP_SUFFIX;
    r->twice = false;
  }
  *keep = start;
  if (whole && trimmed.len >= SAME_LINE_MIN &&
      times_before(text, start, trimmed) + 1 >= SAME_LINE_TIMES)
    return COMPLETION_STOP_REPEAT;
  size_t periodic = completion__stop_periodic(line);
  *keep = start + periodic;
  return periodic < line.len ? COMPLETION_STOP_REPEAT : COMPLETION_STOP_NONE;
}

/* What of a tag over several lines is behind the line, and what it opens. */
static void read_tag(const completion__stop *s, reading *r, completion__slice line, bool begins) {
  bool was_tag = r->tag;
  r->tag = within_tag(s, line, was_tag);
  if (begins && !was_tag) {
    r->markup = completion__line_has_tags(s->language) && line.len && line.s[0] == '<';
    r->lone = r->markup && completion__line_lone_tag(line);
  }
  if (r->markup && was_tag && !r->tag && !r->opened) /* the first tag is over */
    r->opened = !r->lone && last_char(line) == '>' &&
                !(line.len > 1 && line.s[line.len - 2] == '/') &&
                !completion__line_holds(line, "</");
}

/* After the scan of a whole line (trimmed): what it is to the statement. */
static void read_statement(const completion__stop *s, reading *r, completion__slice line,
                           int indent, bool deep, bool first) {
  /* a statement begins, as far as only a comment went before it */
  bool begins = r->lines == 0 || (r->pending && !deep);
  bool annotates = completion__line_annotates(s->language, line);
  if (begins) {
    r->annotates = annotates && r->scan.depth > 0 && r->scan.openers[0] != '{';
    r->directive |= line.len && line.s[0] == '#' && !annotates && s->language &&
                    s->language->line_comment && s->language->line_comment[0] == '/';
  }
  if (r->lines == 0) r->level = indent;
  if (r->lines && indent > r->level) r->deeper = true;
  if (s->going)
    r->opened = opens_going(s, r, line, first);
  else if (begins && indent <= r->level)
    r->opened = opens_block(s, line) && (r->scan.depth == 0 || blocks(s) == GRAMMARS_BLOCKS_BRACES);
  read_tag(s, r, line, begins);
  r->pending = r->tag || completion__scan_is_comment(s->language, line) || goes_on(s, line);
  if (r->annotates && !begins && r->scan.depth == 0) {
    r->annotates = false;
    r->pending = true;
  }
  r->lines++;
}

static completion_stop check_line(const completion__stop *s, reading *r, completion__slice text,
                                  size_t start, size_t end, bool whole, size_t *keep) {
  completion__slice line = completion__slice_cut(text, start, end);
  completion__slice trimmed = completion__slice_trim(line);
  int indent = completion__indent_columns(line);
  if (start == 0) {
    size_t blanks = 0;
    while (blanks < line.len && completion__is_blank(line.s[blanks])) blanks++;
    indent = s->base + (completion__slice_is_blank(s->prefix) ? (int)blanks : 0);
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
  completion_stop again = repeats(s, r, text, start, end, indent, whole, keep);
  if (again != COMPLETION_STOP_NONE || !whole) return again;

  int extra = 0;
  bool deep = r->scan.depth > 0 || !completion__scan_in_code(&r->scan);
  completion__scan_event event;
  completion__slice read = completion__slice_cut(text, 0, end + 1);
  for (size_t at = start; at < read.len;) {
    at += completion__scan_step(&r->scan, read, at, &event);
    extra += event == COMPLETION__SCAN_EXTRA;
  }
  read_statement(s, r, trimmed, indent, deep, start == 0);
  *keep = end;
  if (ends_after(s, r, text, trimmed, deep, extra, &r->waits)) return COMPLETION_STOP_BLOCK;
  return r->lines >= s->max_lines ? COMPLETION_STOP_LIMIT : COMPLETION_STOP_NONE;
}

completion_stop completion__stop_lines(const completion__stop *s, completion__slice text,
                                       bool ended, size_t *keep) {
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
