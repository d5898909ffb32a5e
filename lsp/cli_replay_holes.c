/* cli_replay_holes.c - where text is taken away: places that a seed picks again, cut where a
 * person would begin to write and would be done. Pure. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "completion/completion.h"
#include "lsp/cli_replay.h"
#include "lsp/utf8.h"

#define TEXT_MIN 200
#define TEXT_MAX ((size_t)256 << 10)
#define LINE_MAX_BYTES 300 /* longer ones are seldom written by hand */
#define HUNK_LINES_MAX 400 /* of which one may begin a hole */

size_t replay__pick(replay_random *r, size_t below) {
  r->state = r->state * 6364136223846793005u + 1442695040888963407u;
  return below == 0 ? 0 : (size_t)(r->state >> 33) % below;
}

bool replay__text_is_fit(const char *text, size_t len) {
  return len >= TEXT_MIN && len <= TEXT_MAX && memchr(text, '\0', len) == NULL &&
         memchr(text, '\r', len) == NULL && lsp__utf8_check(text, len) == len;
}

/* ---- lines ------------------------------------------------------------------------------- */

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static size_t line_end(const char *text, size_t len, size_t at) {
  const char *end = memchr(text + at, '\n', len - at);
  return end != NULL ? (size_t)(end - text) : len;
}

static size_t line_start(const char *text, size_t at) {
  while (at > 0 && text[at - 1] != '\n') at--;
  return at;
}

/* The line's text from its first to behind its last non-blank. False: there is none. */
static bool line_core(const char *text, size_t start, size_t end, size_t *from, size_t *to) {
  while (start < end && is_blank(text[start])) start++;
  while (end > start && is_blank(text[end - 1])) end--;
  *from = start;
  *to = end;
  return start < end;
}

/* Are there so many characters that some are left when REPLAY_KEYS of them are typed? */
static bool has_room(const char *text, size_t from, size_t to) {
  size_t n = 0;
  for (; from < to; from++) n += !lsp__utf8_is_continuation((unsigned char)text[from]);
  return n >= REPLAY_HOLE_MIN;
}

static size_t line_offset(const char *text, size_t len, int line) {
  size_t at = 0;
  for (int i = 0; i < line && at < len; i++) {
    at = line_end(text, len, at);
    if (at < len) at++;
  }
  return at;
}

/* ---- a commit's ---------------------------------------------------------------------------- */

/* "@@ -3,2 +3,4 @@": a count that is left out is 1. */
static bool read_header(const char *s, const char *end, replay_hunk *h) {
  int numbers[4] = {0, 1, 0, 1};
  static const char *const before[2] = {"@@ -", " +"};
  for (int side = 0; side < 2; side++) {
    size_t n = strlen(before[side]);
    if ((size_t)(end - s) < n || memcmp(s, before[side], n) != 0) return false;
    s += n;
    for (int i = 0; i < 2; i++) {
      long value = 0;
      if (i == 1 && (s == end || *s != ',')) break;
      s += i;
      if (s == end || !isdigit((unsigned char)*s)) return false;
      for (; s < end && isdigit((unsigned char)*s) && value < 100000000; s++)
        value = value * 10 + (*s - '0');
      numbers[side * 2 + i] = (int)value;
    }
  }
  h->old_line = numbers[0];
  h->old_count = numbers[1];
  h->n_added = numbers[3];
  return true;
}

/* Passes over `count` lines that begin with the mark, and notes of a missing last line end. */
static bool skip_lines(const char *diff, size_t len, size_t *at, char mark, int count) {
  for (; count > 0; count--) {
    if (*at >= len || diff[*at] != mark) return false;
    *at = line_end(diff, len, *at);
    if (*at < len) ++*at;
  }
  while (*at < len && diff[*at] == '\\') {
    *at = line_end(diff, len, *at);
    if (*at < len) ++*at;
  }
  return true;
}

bool replay__hunk_next(const char *diff, size_t len, size_t *at, replay_hunk *out) {
  static const char name[] = "+++ b/";
  while (*at < len) {
    const char *line = diff + *at;
    size_t end = line_end(diff, len, *at), n = end - *at;
    *at = end < len ? end + 1 : len;
    if (n >= 4 && memcmp(line, "+++ ", 4) == 0) {
      bool plain = n > sizeof name - 1 && memcmp(line, name, sizeof name - 1) == 0;
      out->path = plain ? line + sizeof name - 1 : NULL;
      out->path_len = plain ? n - (sizeof name - 1) : 0;
      if (plain && out->path[out->path_len - 1] == '\t') out->path_len--;
    } else if (read_header(line, line + n, out)) {
      if (!skip_lines(diff, len, at, '-', out->old_count)) continue;
      out->added = diff + *at;
      if (!skip_lines(diff, len, at, '+', out->n_added)) continue;
      size_t size = (size_t)(diff + *at - out->added);
      if (out->n_added > 0 && out->path != NULL && memchr(out->added, '\0', size) == NULL)
        return true;
    }
  }
  return false;
}

/* The i-th added line without its mark; its length in *n. */
static const char *added_line(const replay_hunk *h, int i, size_t *n) {
  const char *s = h->added;
  for (; i > 0; i--) s = strchr(s, '\n') + 1;
  *n = strcspn(s, "\n") - 1;
  return s + 1;
}

static bool added_is_blank(const replay_hunk *h, int i) {
  size_t n, from, to;
  const char *s = added_line(h, i, &n);
  return !line_core(s, 0, n, &from, &to);
}

int replay__hole_hunk(replay_random *r, const char *old, size_t len, const replay_hunk *hunk,
                      replay_hole *out) {
  *out = (replay_hole){0};
  int lines = hunk->n_added < HUNK_LINES_MAX ? hunk->n_added : HUNK_LINES_MAX;
  int first = (int)replay__pick(r, (size_t)lines), last = first;
  if (added_is_blank(hunk, first)) return 0;
  while (last + 1 < hunk->n_added && last + 1 - first < REPLAY_LINES_MAX &&
         !added_is_blank(hunk, last + 1))
    last++;
  size_t head = line_offset(old, len, hunk->old_count > 0 ? hunk->old_line - 1 : hunk->old_line);
  size_t tail = head + line_offset(old + head, len - head, hunk->old_count);
  size_t n, size = len + 2;
  const char *end = added_line(hunk, last, &n) + n;
  size += (size_t)(end - hunk->added) + 1;
  char *text = malloc(size), *o = text;
  if (text == NULL) return -1;
  memcpy(o, old, head);
  o += head;
  if (head > 0 && o[-1] != '\n') *o++ = '\n';
  size_t from = 0, to = 0, ignored;
  bool good = true;
  for (int i = 0; i <= last; i++) {
    const char *line = added_line(hunk, i, &n);
    size_t start = (size_t)(o - text);
    memcpy(o, line, n);
    o += n;
    *o++ = '\n';
    if (i < first) continue;
    good = good && n <= LINE_MAX_BYTES;
    line_core(text, start, start + n, i == first ? &from : &ignored, &to);
    if (i == first) good = good && has_room(text, from, to);
  }
  memcpy(o, old + tail, len - tail);
  o += len - tail;
  *o = '\0';
  *out = (replay_hole){.text = text, .len = (size_t)(o - text), .from = from, .to = to};
  if (good && replay__text_is_fit(text, out->len)) return 1;
  free(text);
  *out = (replay_hole){0};
  return 0;
}

/* ---- a file's ------------------------------------------------------------------------------ */

static int hole_in(const char *text, size_t len, size_t from, size_t to, replay_hole *out) {
  char *copy = malloc(len + 1);
  if (copy == NULL) return -1;
  memcpy(copy, text, len);
  copy[len] = '\0';
  *out = (replay_hole){.text = copy, .len = len, .from = from, .to = to};
  return 1;
}

static bool is_word(char c) {
  return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

int replay__hole_tail(replay_random *r, const char *text, size_t len, replay_hole *out) {
  size_t at = replay__pick(r, len), start = line_start(text, at), end = line_end(text, len, at);
  size_t first, to;
  *out = (replay_hole){0};
  if (end - start > LINE_MAX_BYTES || !line_core(text, start, end, &first, &to)) return 0;
  size_t from = at < first ? first : at < to ? at : to;
  while (from > first && is_word(text[from - 1]) && is_word(text[from])) from--;
  while (from < to && is_blank(text[from])) from++;
  if (from == first || !has_room(text, from, to)) return 0;
  return hole_in(text, len, from, to, out);
}

/* A node inside a line, with code on both sides; or whole lines, but for what closes a statement
 * or a list. */
static bool node_is_fit(replay_kind kind, const char *text, size_t len, completion_node *node) {
  while (node->end > node->start && isspace((unsigned char)text[node->end - 1])) node->end--;
  size_t start = line_start(text, node->start), end = line_end(text, len, node->end), first, to;
  bool several = memchr(text + node->start, '\n', node->end - node->start) != NULL;
  if (!line_core(text, start, end, &first, &to)) return false;
  size_t first_end = line_end(text, len, node->start);
  if (first_end > node->end) first_end = node->end;
  if (!has_room(text, node->start, first_end) || first_end - start > LINE_MAX_BYTES) return false;
  if (kind == REPLAY_MIDDLE)
    return !several && node->start > first && node->end < to && end - start <= LINE_MAX_BYTES;
  for (size_t i = node->end; i < to; i++)
    if (strchr(";,)", text[i]) == NULL) return false;
  return several && node->start == first;
}

int replay__hole_node(replay_random *r, replay_kind kind, const char *uri, const char *text,
                      size_t len, replay_hole *out) {
  completion_node *nodes;
  int low = kind == REPLAY_MIDDLE ? 1 : 2, high = kind == REPLAY_MIDDLE ? 1 : REPLAY_LINES_MAX;
  int n = completion_parse_nodes(NULL, uri, text, len, low, high, &nodes), fit = 0, rc = 0;
  *out = (replay_hole){0};
  for (int i = 0; i < n; i++)
    if (node_is_fit(kind, text, len, &nodes[i])) nodes[fit++] = nodes[i];
  if (fit > 0) {
    completion_node node = nodes[replay__pick(r, (size_t)fit)];
    rc = hole_in(text, len, node.start, node.end, out);
  }
  free(nodes);
  return n == COMPLETION_ENOMEM ? -1 : rc;
}

bool replay__hole_is_single(const replay_hole *h) {
  return memchr(h->text + h->from, '\n', h->to - h->from) == NULL;
}
