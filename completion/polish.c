/* polish.c - see polish.h. */
#include "completion/polish.h"

#include <string.h>

#include "completion/completion.h"
#include "completion/stop.h"

#define INDENT_LINES 200   /* lines above the cursor asked how the document indents */
#define BELOW_LINES_MAX 16 /* lines of the text compared with those under the cursor */
#define INDENT_UNIT 4
#define BEGINNING_WEIGHT 12 /* characters of a line that begins as the one below */
#define RUN_IN_BYTES 400    /* of the text's end, compared with what follows */

/* ---- what may not be shown ------------------------------------------------------------- */

/* Up to the first special token spelled out, NUL or byte that is not UTF-8. */
static completion__slice cut_foreign(const completion__polish *p, completion__slice t) {
  for (int i = 0; i < p->n_special; i++) t.len = completion__slice_find(t, 0, p->special[i]);
  const char *nul = t.len ? memchr(t.s, 0, t.len) : NULL;
  if (nul) t.len = (size_t)(nul - t.s);
  t.len = completion__utf8_valid(t);
  return t;
}

/* A closing bracket that closes nothing, neither in the text nor before the cursor: the text
 * ends there. Braces are left to the stop rules: what they close may stand far above. */
static completion__slice cut_dangling(const completion__polish *p, completion__slice t) {
  completion__scan scan = *p->at_cursor;
  if (!completion__scan_in_code(&scan) || completion__language_is(p->language, "bash"))
    return t; /* case's patterns */
  completion__scan_event event;
  for (size_t at = 0; at < t.len;) {
    size_t n = completion__scan_step(&scan, t, at, &event);
    if (event == COMPLETION__SCAN_EXTRA && scan.depth == 0 && t.s[at] != '}')
      return completion__slice_cut(t, 0, at);
    at += n;
  }
  return t;
}

/* ---- what follows the cursor on its line ----------------------------------------------- */

static bool is_closing(const completion__polish *p, char c) {
  return completion__scan_is_closer(c) || c == ';' || c == ',' || c == '>' || c == '\'' ||
         completion__scan_is_quote(p->language, c);
}

/* The state after t, from the cursor's on, with the brackets before it forgotten. */
static completion__scan state_after(const completion__polish *p, completion__slice t) {
  completion__scan scan = *p->at_cursor;
  scan.depth = 0;
  completion__scan_feed(&scan, t);
  return scan;
}

/* True where the text closes brackets that were opened before the cursor: what it ends with is then
 * not the first of the tail. */
static bool closes_before(const completion__polish *p, completion__slice t) {
  completion__scan scan = state_after(p, completion__slice_of(NULL, 0));
  completion__scan_event event;
  for (size_t at = 0; at < t.len;) {
    at += completion__scan_step(&scan, t, at, &event);
    if (event == COMPLETION__SCAN_EXTRA) return true;
  }
  return false;
}

/* Bytes at the end of a one-line text that the tail begins with: the whole tail, or closers
 * that do not belong to the text itself. */
static size_t overlap(const completion__polish *p, completion__slice t, completion__slice tail) {
  size_t most = t.len < tail.len ? t.len : tail.len;
  for (size_t n = most; n > 0; n--) {
    if (memcmp(t.s + t.len - n, tail.s, n) != 0) continue;
    if (n < tail.len) {
      bool closers = true;
      for (size_t i = 0; i < n; i++)
        closers &= is_closing(p, tail.s[i]) || completion__is_blank(tail.s[i]);
      if (!closers) continue;
    } else if (completion__is_word(tail.s[0]) && t.len > n &&
               completion__is_word(t.s[t.len - n - 1]) &&
               completion__scan_weight(tail) < COMPLETION__REPEAT_WEIGHT) {
      continue; /* the end of another word */
    }
    bool closers_only = completion__scan_weight(completion__slice_cut(tail, 0, n)) == 0;
    if (closers_only && closes_before(p, completion__slice_cut(t, 0, t.len - n))) continue;
    completion__scan rest = state_after(p, completion__slice_cut(t, 0, t.len - n));
    completion__scan full = state_after(p, t);
    if (rest.depth > full.depth && full.depth == 0) continue; /* it closes what the text opened */
    return n;
  }
  return 0;
}

/* Bytes at the end of the text with which the tail begins, as far as one of its words ends; from
 * within a word of the text only if they are many. */
static size_t repeated(completion__slice t, completion__slice tail) {
  for (size_t n = t.len < tail.len ? t.len : tail.len; n > 0; n--) {
    completion__slice end = completion__slice_cut(t, t.len - n, t.len);
    if (!completion__slice_starts(tail, end)) continue;
    bool in_word =
        n < t.len && completion__is_word(end.s[0]) && completion__is_word(t.s[t.len - n - 1]);
    if (n < tail.len && completion__is_word(end.s[n - 1]) && completion__is_word(tail.s[n]))
      continue;
    if (completion__scan_weight(end) >= COMPLETION__REPEAT_WEIGHT * (in_word ? 2 : 1)) return n;
  }
  return 0;
}

/* Before what stands behind the cursor, a comment to the end of the line cannot be. */
static completion__slice cut_comment(const completion__polish *p, completion__slice t) {
  completion__scan scan = state_after(p, completion__slice_of(NULL, 0));
  if (!completion__scan_in_code(&scan)) return t;
  size_t from = 0;
  completion__scan_event event;
  for (size_t at = 0; at < t.len;) {
    bool was = scan.line_comment;
    size_t n = completion__scan_step(&scan, t, at, &event);
    if (!was && scan.line_comment) from = at;
    at += n;
  }
  return scan.line_comment ? completion__slice_cut(t, 0, from) : t;
}

/* How far into the tail the text goes by closing the same brackets and quotes itself. */
static size_t absorbed(const completion__polish *p, completion__slice t, completion__slice tail) {
  completion__scan scan = state_after(p, completion__slice_of(NULL, 0));
  bool in_string = scan.quote != 0;
  int braces = 0; /* open within the string */
  size_t taken = 0;
  completion__scan_event event;
  for (size_t at = 0; at < t.len;) {
    size_t n = completion__scan_step(&scan, t, at, &event);
    bool closes =
        event == COMPLETION__SCAN_EXTRA || (in_string && event == COMPLETION__SCAN_UNQUOTE);
    if (event == COMPLETION__SCAN_UNQUOTE) in_string = false;
    if (in_string && t.s[at] == '{') braces++;
    if (in_string && t.s[at] == '}') closes = braces == 0 || braces-- == 0;
    if (closes) {
      size_t next = taken;
      while (next < tail.len && completion__is_blank(tail.s[next])) next++;
      if (next + n > tail.len || memcmp(tail.s + next, t.s + at, n) != 0) break;
      taken = next + n;
      while (taken < tail.len && at + n < t.len && (tail.s[taken] == ';' || tail.s[taken] == ',') &&
             t.s[at + n] == tail.s[taken])
        taken++, n++;
    }
    at += n;
  }
  return taken;
}

/* ---- what stands on the lines under the cursor ----------------------------------------- */

/* Drops the lines at the end of the text with which the lines below begin. */
static completion__slice cut_below(const completion__polish *p, completion__slice t) {
  size_t starts[BELOW_LINES_MAX]; /* of the text's last lines, the last one first */
  int n = 0;
  for (size_t end = t.len; n < BELOW_LINES_MAX;) {
    size_t start = completion__line_start(t, end);
    bool own_line = start > 0 || completion__slice_is_blank(completion__slice_cut(
                                     p->before, completion__line_start(p->before, p->before.len),
                                     p->before.len));
    if (!own_line) break;
    if (!completion__slice_is_blank(completion__slice_cut(t, start, end))) starts[n++] = start;
    if (start == 0) break;
    end = start - 1;
  }
  size_t tail_end = completion__line_end(p->after, 0);
  for (int k = n; k > 0; k--) { /* do the last k lines equal the first k below? */
    completion__slice below = completion__slice_cut(p->after, tail_end + 1, p->after.len);
    bool same = true, weighty = false;
    for (int i = k - 1; i >= 0 && same; i--) {
      completion__slice line =
          completion__slice_cut(t, starts[i], completion__line_end(t, starts[i]));
      completion__slice other = completion__line_next_full(below);
      if (other.len == 0) {
        same = false;
        break;
      }
      same = completion__scan_same(line, other);
      weighty |=
          completion__slice_trim(line).len >= 8 ||
          (starts[i] > 0 && completion__indent_columns(line) == completion__indent_columns(other));
      size_t past = (size_t)(other.s + other.len - below.s) + 1;
      below = completion__slice_cut(below, past, below.len);
    }
    if (!same || !weighty) continue;
    completion__slice rest = completion__slice_cut(t, 0, starts[k - 1]);
    bool closes = completion__scan_weight(completion__slice_cut(t, rest.len, t.len)) == 0 &&
                  state_after(p, rest).depth > 0 && state_after(p, t).depth == 0;
    if (!closes) return rest; /* else it closes what the text opened */
  }
  return t;
}

/* Drops the last line of the text where it ends with the whole line below, or is the beginning of
 * that and long. */
static completion__slice cut_last(const completion__polish *p, completion__slice t) {
  size_t tail_end = completion__line_end(p->after, 0);
  completion__slice below = completion__slice_trim(
      completion__line_next_full(completion__slice_cut(p->after, tail_end, p->after.len)));
  completion__slice prefix = completion__slice_cut(
      p->before, completion__line_start(p->before, p->before.len), p->before.len);
  size_t end = t.len;
  while (end && strchr(" \t\r\n", t.s[end - 1])) end--;
  size_t start = completion__line_start(t, end);
  completion__slice line = completion__slice_trim(completion__slice_cut(t, start, end));
  int weight = completion__scan_weight(line);
  bool repeats = false;
  if (weight >= COMPLETION__REPEAT_WEIGHT && below.len) {
    size_t n = below.len;
    repeats = line.len >= n && memcmp(line.s + line.len - n, below.s, n) == 0 &&
              completion__scan_weight(below) >= COMPLETION__REPEAT_WEIGHT &&
              (line.len == n || !completion__is_word(below.s[0]) ||
               !completion__is_word(line.s[line.len - n - 1]));
    bool own_line = start > 0 || completion__slice_is_blank(prefix);
    repeats |= own_line && weight >= BEGINNING_WEIGHT && completion__slice_starts(below, line);
  }
  if (!repeats && start == 0 && !completion__slice_is_blank(prefix) && weight > 0) {
    completion__slice begun = completion__slice_trim(prefix);
    repeats = below.len >= 8 && completion__slice_starts(below, begun) &&
              completion__scan_same(completion__slice_cut(below, begun.len, below.len), line);
  }
  return repeats ? completion__slice_cut(t, 0, start) : t;
}

/* Does t, blanks aside, begin `after`? */
static bool begins_after(completion__slice t, completion__slice after) {
  size_t at = 0, i = 0;
  for (; i < t.len; i++) {
    if (strchr(" \t\r\n", t.s[i])) continue;
    while (at < after.len && strchr(" \t\r\n", after.s[at])) at++;
    if (at == after.len || after.s[at++] != t.s[i]) return false;
  }
  return true;
}

/* Drops the end of the text, wherever in a line that begins, with which what follows the cursor
 * goes on: the model has run into it. */
static completion__slice cut_run_in(const completion__polish *p, completion__slice t) {
  size_t from = t.len > RUN_IN_BYTES ? t.len - RUN_IN_BYTES : 0;
  for (; from < t.len; from++) {
    bool border = from == 0 || !completion__is_word(t.s[from]) ||
                  !completion__is_word(t.s[from - 1]);
    completion__slice end = completion__slice_cut(t, from, t.len);
    if (!border || strchr(" \t\r\n", t.s[from]) || !begins_after(end, p->after)) continue;
    bool weighty = completion__scan_weight(end) >= BEGINNING_WEIGHT;
    return weighty ? completion__slice_cut(t, 0, from) : t; /* what follows is shorter still */
  }
  return t;
}

/* JSON has no comma before what closes. */
static completion__slice cut_comma(const completion__polish *p, completion__slice t,
                                   completion__slice after) {
  completion__slice below = completion__slice_trim(completion__line_next_full(after));
  completion__slice trimmed = completion__slice_trim(t);
  if (!completion__language_is(p->language, "json") || !trimmed.len ||
      trimmed.s[trimmed.len - 1] != ',' || !below.len || !completion__scan_is_closer(below.s[0]))
    return t;
  return completion__slice_cut(t, 0, (size_t)(trimmed.s + trimmed.len - 1 - t.s));
}

/* ---- indentation and line ends --------------------------------------------------------- */

/* '\t' or ' ' as the nearest indented line above (or the first below) begins, 0 if none. */
static char indent_kind(const completion__polish *p, int *unit) {
  char kind = 0;
  int smallest = 0;
  size_t end = p->before.len;
  for (int i = 0; i < INDENT_LINES; i++) {
    size_t start = completion__line_start(p->before, end);
    completion__slice line = completion__slice_cut(p->before, start, end);
    if (line.len && completion__is_blank(line.s[0]) && !completion__slice_is_blank(line)) {
      if (!kind) kind = line.s[0];
      int columns = completion__indent_columns(line);
      if (line.s[0] == ' ' && columns > 1 && (!smallest || columns < smallest)) smallest = columns;
    }
    if (start == 0) break;
    end = start - 1;
  }
  if (!kind) {
    size_t at = 0;
    for (int i = 0; i < INDENT_LINES && at < p->after.len && !kind; i++) {
      size_t stop = completion__line_end(p->after, at);
      if (i > 0 && stop > at && completion__is_blank(p->after.s[at])) kind = p->after.s[at];
      at = stop + 1;
    }
  }
  *unit = smallest > 0 && smallest <= 8 ? smallest : INDENT_UNIT;
  return kind;
}

/* Spaces by which the text indents, where these have to become tabs. */
static int text_unit(completion__slice t) {
  int unit = 0;
  for (size_t at = completion__line_end(t, 0) + 1; at < t.len;) {
    size_t n = at;
    while (n < t.len && t.s[n] == ' ') n++;
    if (n < t.len && t.s[n] != '\n')
      for (int a = (int)(n - at); a;) { /* the greatest common divisor */
        int b = unit % a;
        unit = a;
        a = b;
      }
    at = completion__line_end(t, at) + 1;
  }
  return unit >= 2 && unit <= 4 ? unit : unit % INDENT_UNIT == 0 ? INDENT_UNIT : 2;
}

static int append_indent(completion__buffer *out, completion__slice blanks, char kind, int unit) {
  bool tabs = memchr(blanks.s, '\t', blanks.len) != NULL;
  bool spaces = memchr(blanks.s, ' ', blanks.len) != NULL;
  int n = 0, status = 0;
  if (kind == ' ' && tabs && !spaces) {
    for (n = (int)blanks.len * unit; n > 0 && !status; n--)
      status = completion__buffer_append(out, " ", 1);
  } else if (kind == '\t' && spaces && !tabs && blanks.len >= 2) {
    for (n = (int)blanks.len / unit; n > 0 && !status; n--)
      status = completion__buffer_append(out, "\t", 1);
  } else {
    status = completion__buffer_append(out, blanks.s, blanks.len);
  }
  return status;
}

static int append_lines(const completion__polish *p, completion__slice t, bool trim_last,
                        completion__buffer *out) {
  int unit = INDENT_UNIT, status = 0;
  char kind = memchr(t.s, '\n', t.len) ? indent_kind(p, &unit) : 0;
  if (kind == '\t') unit = text_unit(t);
  for (size_t start = 0; start <= t.len && !status;) {
    size_t end = completion__line_end(t, start), stop = end;
    if (end < t.len || trim_last)
      while (stop > start && (completion__is_blank(t.s[stop - 1]) || t.s[stop - 1] == '\r')) stop--;
    size_t text = start;
    if (start > 0) {
      while (text < stop && completion__is_blank(t.s[text])) text++;
      if (text > start)
        status = append_indent(out, completion__slice_cut(t, start, text), kind, unit);
    }
    if (!status) status = completion__buffer_append(out, t.s + text, stop - text);
    if (!status && end < t.len) status = completion__buffer_add(out, p->crlf ? "\r\n" : "\n");
    start = end + 1;
  }
  return status;
}

/* ---- all of it ------------------------------------------------------------------------- */

static int polish(const completion__polish *p, completion__slice text, completion__buffer *out,
                  size_t *absorb) {
  *absorb = 0;
  completion__slice tail = completion__slice_cut(p->after, 0, completion__line_end(p->after, 0));
  while (tail.len && completion__is_blank(tail.s[tail.len - 1])) tail.len--;
  completion__slice prefix = completion__slice_cut(
      p->before, completion__line_start(p->before, p->before.len), p->before.len);

  completion__slice t = cut_foreign(p, text);
  if (prefix.len && completion__is_blank(prefix.s[prefix.len - 1]) &&
      !completion__slice_is_blank(prefix))
    while (t.len && completion__is_blank(t.s[0])) t.s++, t.len--;
  t = cut_dangling(p, t);
  t = cut_below(p, t);
  while (t.len && (t.s[t.len - 1] == '\n' || t.s[t.len - 1] == '\r')) t.len--;
  if (tail.len == 0) t = cut_run_in(p, cut_last(p, t));
  if (tail.len && absorbed(p, t, tail) < tail.len) t = cut_comment(p, t);

  bool one_line = t.len == 0 || memchr(t.s, '\n', t.len) == NULL;
  size_t dropped = one_line && t.len && tail.len ? overlap(p, t, tail) : 0;
  if (!dropped && tail.len) dropped = repeated(t, tail);
  t.len -= dropped;
  bool closers = completion__stop_tail_is_closers(p->language, tail);
  bool trim =
      dropped == 0 && (!one_line || tail.len == 0 || closers || completion__is_blank(tail.s[0]));
  if (trim)
    while (t.len && strchr(" \t\r\n", t.s[t.len - 1])) t.len--;
  if (!dropped) t = cut_comma(p, t, p->after);
  if (completion__slice_is_blank(t)) return 0;
  if (!dropped && tail.len) *absorb = absorbed(p, t, tail);
  if (!one_line && tail.len && t.len > tail.len &&
      memcmp(t.s + t.len - tail.len, tail.s, tail.len) == 0)
    *absorb = tail.len; /* it ends with all of it */
  return append_lines(p, t, trim, out);
}

int completion__polish_text(const completion__polish *p, completion__slice text,
                            completion__buffer *out, size_t *absorb) {
  if (p->at_cursor) return polish(p, text, out, absorb);
  completion__scan scan;
  completion__scan_before(&scan, p->language, p->before);
  completion__polish with = *p;
  with.at_cursor = &scan;
  return polish(&with, text, out, absorb);
}
