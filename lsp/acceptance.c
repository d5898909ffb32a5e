/* acceptance.c - see acceptance.h. */
#include "lsp/acceptance.h"

#include <stdlib.h>
#include <string.h>

#include "lsp/utf8.h"

#define TYPED_MAX 4096 /* bytes of a suggestion before the cursor that are kept */

/* ---- what is shown --------------------------------------------------------------------- */

void lsp__offer_clear(lsp__offer *o) {
  for (int i = 0; i < COMPLETION_CANDIDATES_MAX; i++) lsp__buffer_free(&o->texts[i]);
  free(o->uri);
  *o = (lsp__offer){0};
}

static const char *rest(const lsp__offer *o, int i, size_t *len) {
  size_t typed = o->cursor - o->start;
  *len = o->texts[i].len - typed;
  return o->texts[i].data + typed;
}

static bool begins(const char *a, size_t a_len, const char *b, size_t b_len) {
  return a_len <= b_len && memcmp(a, b, a_len) == 0;
}

/* Whether the text, from the cursor on, is what is shown already: all of it, or for now less. */
static bool is_same(const lsp__offer *o, const char *uri, size_t cursor, const char *text,
                    size_t len) {
  size_t left;
  if (o->uri == NULL || strcmp(o->uri, uri) != 0 || o->cursor != cursor) return false;
  const char *shown = rest(o, 0, &left);
  return begins(text, len, shown, left) || begins(shown, left, text, len);
}

void lsp__offer_show(lsp__offer *o, lsp__acceptance *count, const char *uri, size_t cursor,
                     size_t start, size_t end, const char *const *texts, const size_t *lens,
                     int n) {
  size_t typed = cursor - start, before = 0;
  lsp__offer fresh = {.start = start, .end = end, .first = cursor, .cursor = cursor};
  if (n < 1 || lens[0] <= typed) return;
  bool same = is_same(o, uri, cursor, texts[0] + typed, lens[0] - typed);
  if (same && start >= o->start && cursor - o->start <= TYPED_MAX) { /* with what was typed of it */
    before = start - o->start;
    fresh.start = o->start;
    fresh.first = o->first;
  }
  if (same) fresh.taken = o->taken;
  if (!same) count->suggestions++;
  bool failed = (fresh.uri = lsp__strndup(uri, strlen(uri))) == NULL;
  for (int i = 0; i < n && fresh.n < COMPLETION_CANDIDATES_MAX; i++) {
    if (lens[i] <= typed) continue;
    lsp__buffer *text = &fresh.texts[fresh.n++];
    if (before > 0) lsp__buffer_append(text, o->texts[0].data, before);
    lsp__buffer_append(text, texts[i], lens[i]);
    failed = text->failed || failed;
  }
  lsp__offer_clear(o);
  *o = fresh;
  if (failed) lsp__offer_clear(o);
}

bool lsp__offer_stands(const lsp__offer *o, const char *uri, size_t cursor) {
  return o->uri != NULL && o->cursor == cursor && strcmp(o->uri, uri) == 0;
}

/* ---- what was taken -------------------------------------------------------------------- */

static size_t characters(const char *text, size_t len) {
  size_t n = 0;
  for (size_t i = 0; i < len; i++) n += !lsp__utf8_is_continuation((unsigned char)text[i]);
  return n;
}

/* More than one run of what is not blank. */
static bool several_words(const char *text, size_t len) {
  int words = 0;
  bool inside = false;
  for (size_t i = 0; i < len; i++) {
    bool blank = text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n';
    words += !blank && !inside;
    inside = !blank;
  }
  return words > 1;
}

/* piece[len] was taken, and left[left_len] of the text was not. */
static void take(lsp__offer *o, lsp__acceptance *count, const char *piece, size_t len,
                 const char *left, size_t left_len) {
  bool line = memchr(piece, '\n', len) != NULL ||
              ((left_len == 0 || *left == '\n' || *left == '\r') && several_words(piece, len));
  if (left_len == 0 && !o->taken)
    count->whole++;
  else if (line)
    count->lines++;
  else
    count->words++;
  count->accepted += !o->taken;
  count->characters += characters(piece, len);
  o->taken = true;
}

/* "()" typed as one edit: the editor added the second. */
static bool is_pair(const char *text, size_t len) {
  static const char pairs[] = "()[]{}<>\"\"''``";
  for (const char *p = pairs; len == 2 && *p != '\0'; p += 2)
    if (memcmp(p, text, 2) == 0) return true;
  return false;
}

/* Keeps the texts that begin with text[len], from `start` on. How many. */
static int keep(lsp__offer *o, const char *text, size_t len) {
  int n = 0;
  for (int i = 0; i < o->n; i++) {
    if (!begins(text, len, o->texts[i].data, o->texts[i].len)) continue;
    lsp__buffer kept = o->texts[i];
    o->texts[i] = o->texts[n];
    o->texts[n++] = kept;
  }
  for (int i = n; i < o->n; i++) lsp__buffer_free(&o->texts[i]);
  return o->n = n;
}

/* The cursor is at `to` now; up to there the document has text. False: that is none of ours. */
static bool move(lsp__offer *o, lsp__acceptance *count, const char *text, size_t to, bool typed) {
  size_t from = o->cursor;
  if (to < o->first || keep(o, text, to - o->start) == 0) return false;
  o->cursor = to;
  if (to <= from) return true; /* gone back */
  const char *piece = o->texts[0].data + (from - o->start);
  size_t left_len, len = to - from;
  const char *left = rest(o, 0, &left_len);
  if (typed || characters(piece, len) == 1)
    count->typed++;
  else
    take(o, count, piece, len, left, left_len);
  for (int i = o->n - 1; i >= 0; i--) { /* of those that are over nothing is to come */
    rest(o, i, &left_len);
    if (left_len > 0) continue;
    lsp__buffer_free(&o->texts[i]);
    memmove(o->texts + i, o->texts + i + 1, (size_t)(--o->n - i) * sizeof *o->texts);
    o->texts[o->n] = (lsp__buffer){0};
  }
  return o->n > 0;
}

/* The range has become one of the texts. */
static bool take_all(lsp__offer *o, lsp__acceptance *count, const char *text, size_t len,
                     bool typed) {
  for (int i = 0; i < o->n; i++) {
    size_t left;
    const char *all = rest(o, i, &left);
    if (len != o->texts[i].len || memcmp(text, o->texts[i].data, len) != 0) continue;
    if (typed || characters(all, left) == 1)
      count->typed++;
    else
      take(o, count, all, left, "", 0);
    return true;
  }
  return false;
}

void lsp__offer_edited(lsp__offer *o, lsp__acceptance *count, const lsp__document *d,
                       uint64_t edits) {
  if (o->uri == NULL || strcmp(o->uri, d->uri) != 0) return;
  const char *text = d->text.data + o->start;
  bool stands = false, one = !d->lost && d->edits == edits + 1;
  bool typed = one && lsp__document_typed_at(d, o->cursor);
  bool inside = one && d->edited >= o->start && d->edited + d->removed >= o->cursor &&
                d->edited + d->removed <= o->end;
  if (typed || inside) {
    size_t end = o->end - d->removed + d->inserted;
    const char *piece = d->text.data + o->cursor;
    bool pair = typed && is_pair(piece, d->inserted);
    if (take_all(o, count, text, end - o->start, pair)) {
      lsp__offer_clear(o);
      return;
    }
    size_t to = typed ? o->cursor + (pair ? 1 : d->inserted) : d->edited + d->inserted;
    o->end = end;
    stands = to <= end && move(o, count, text, to, pair);
  }
  if (!stands) lsp__offer_clear(o);
}
