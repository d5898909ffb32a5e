/* edits.c - see edits.h. */
#include "completion/edits.h"

#include <string.h>

#define BYTES_MAX 1200 /* of one place; and of one stroke */
#define APART 120      /* bytes between two places that are one */
#define AROUND 2       /* lines shown above and below */
#define LINES_MAX 16   /* shown in all */
#define COMPARED 4096  /* bytes at a time */

bool completion__edits_difference(completion__slice from, completion__slice to, size_t *start,
                                  size_t *end) {
  size_t least = from.len < to.len ? from.len : to.len, same = 0, same_end = 0;
  while (same + COMPARED <= least && memcmp(from.s + same, to.s + same, COMPARED) == 0)
    same += COMPARED;
  while (same < least && from.s[same] == to.s[same]) same++;
  if (same == from.len && same == to.len) return false;
  while (same && same < to.len && completion__utf8_inside(to.s[same])) same--;
  while (same_end + COMPARED <= least - same &&
         memcmp(from.s + from.len - same_end - COMPARED, to.s + to.len - same_end - COMPARED,
                COMPARED) == 0)
    same_end += COMPARED;
  while (same_end < least - same && from.s[from.len - 1 - same_end] == to.s[to.len - 1 - same_end])
    same_end++;
  while (same_end && completion__utf8_inside(to.s[to.len - same_end])) same_end--;
  *start = same;
  *end = same_end;
  return true;
}

static void drop(completion__edits *e, int i) {
  e->n--;
  memmove(&e->items[i], &e->items[i + 1], (size_t)(e->n - i) * sizeof *e->items);
}

void completion__edits_forget(completion__edits *e, const completion__document *d) {
  for (int i = e->n - 1; i >= 0; i--)
    if (e->items[i].document == d) drop(e, i);
}

/* A place of before, after [start, old_end) became [start, new_end). */
static size_t moved(size_t at, size_t start, size_t old_end, size_t new_end) {
  return at <= start ? at : at >= old_end ? at - old_end + new_end : new_end;
}

void completion__edits_note(completion__edits *e, const completion__document *d,
                            completion__slice from, completion__slice to) {
  size_t start, same_end;
  if (!completion__edits_difference(from, to, &start, &same_end)) return;
  size_t old_end = from.len - same_end, new_end = to.len - same_end;
  completion__edit now = {.document = d, .start = start, .end = new_end};
  for (int i = e->n - 1; i >= 0; i--) {
    completion__edit *x = &e->items[i];
    if (x->document != d) continue;
    x->start = moved(x->start, start, old_end, new_end);
    x->end = moved(x->end, start, old_end, new_end);
    bool one = x->start <= new_end + APART && start <= x->end + APART;
    if (!one) continue;
    if (x->start < now.start) now.start = x->start;
    if (x->end > now.end) now.end = x->end;
    drop(e, i);
  }
  if (new_end - start > BYTES_MAX) return;
  size_t most = (BYTES_MAX - (new_end - start)) / 2; /* the new part in the middle */
  if (start - now.start > most) now.start = start - most;
  if (now.end - new_end > most) now.end = new_end + most;
  if (e->n == COMPLETION__EDITS_MAX) e->n--;
  memmove(&e->items[1], &e->items[0], (size_t)e->n * sizeof *e->items);
  e->items[0] = now;
  e->n++;
}

bool completion__edits_lines(const completion__edit *e, const completion__text *text, size_t *start,
                             size_t *end) {
  completion__slice t = completion__text_slice(text);
  if (e->end > t.len) return false;
  size_t from = completion__line_start(t, e->start), to = completion__line_end(t, e->end);
  for (int i = 0; i < AROUND && from > 0; i++) from = completion__line_start(t, from - 1);
  for (int i = 0; i < AROUND && to < t.len; i++) to = completion__line_end(t, to + 1);
  size_t last = from;
  for (int i = 0; i < LINES_MAX && last < to; i++)
    last = completion__line_end(t, last) + (i + 1 < LINES_MAX);
  if (last < to) to = last;
  while (from < to) { /* blank lines */
    size_t line = completion__line_end(t, from);
    if (line > to || !completion__slice_is_blank(completion__slice_cut(t, from, line))) break;
    from = line < to ? line + 1 : to;
  }
  while (to > from && (t.s[to - 1] == '\n' || completion__is_blank(t.s[to - 1]))) to--;
  *start = from;
  *end = to;
  return from < to;
}
