/* settled.c - see settled.h. */
#include "completion/settled.h"

#include <stdlib.h>
#include <string.h>

#define BEST 4 /* pieces that may not be missing */

void completion__settled_clear(completion__settled *s) {
  completion__document_release(s->document);
  for (int i = 0; i < s->n_others; i++) {
    completion__document_release(s->others[i]);
    completion__text_release(s->texts[i]);
  }
  for (int i = 0; i < s->n; i++) {
    completion__buffer_free(&s->raw[i]);
    free(s->closed[i]);
  }
  completion__listed_free(&s->listed);
  engine_tokens_free(&s->repository);
  completion__buffer_free(&s->head);
  *s = (completion__settled){0};
}

/* ---- listed ---------------------------------------------------------------------------- */

static completion__listed list_new(int n, size_t paths, char **to) {
  completion__listed l = {.pieces = n > 0 ? malloc((size_t)n * sizeof *l.pieces + paths) : NULL};
  if (l.pieces) l.n = n;
  *to = l.pieces ? (char *)(l.pieces + l.n) : NULL;
  return l;
}

static char *put_path(completion_piece *piece, const char *path, char *to) {
  size_t size = strlen(path) + 1;
  memcpy(to, path, size);
  piece->path = to;
  return to + size;
}

static int lines_of(completion__slice t) {
  int n = 1;
  for (size_t at = 0; (at = completion__line_end(t, at)) < t.len; at++) n++;
  return n;
}

completion__listed completion__listed_make(const completion__context *c, const bool *chosen) {
  size_t paths = 0;
  char *to;
  for (int i = 0; i < c->n; i++) paths += strlen(c->pieces[i].path) + 1;
  completion__listed l = list_new(c->n, paths, &to);
  for (int i = 0; i < l.n; i++) {
    const completion__piece *p = &c->pieces[i];
    l.pieces[i] = (completion_piece){.why = completion__strwhy(p->why),
                                     .line = p->line,
                                     .lines = lines_of(p->text),
                                     .score = p->score,
                                     .chosen = chosen[i]};
    to = put_path(&l.pieces[i], p->path, to);
  }
  return l;
}

completion__listed completion__listed_copy(const completion__listed *from) {
  size_t paths = 0;
  char *to;
  for (int i = 0; i < from->n; i++) paths += strlen(from->pieces[i].path) + 1;
  completion__listed l = list_new(from->n, paths, &to);
  for (int i = 0; i < l.n; i++) {
    l.pieces[i] = from->pieces[i];
    to = put_path(&l.pieces[i], from->pieces[i].path, to);
  }
  return l;
}

void completion__listed_free(completion__listed *l) {
  free(l->pieces);
  *l = (completion__listed){0};
}

/* ---- settled --------------------------------------------------------------------------- */

/* Is the piece of the document's own text still in it? Mostly where it was, or moved by an edit
 * above it, which makes the text longer by as much. */
static bool still_there(completion__settled *s, int i, completion__slice text) {
  completion__slice raw = completion__buffer_slice(&s->raw[i]);
  size_t grown = text.len - s->text_len; /* modulo */
  for (int moves = 0; moves < 2; moves++) {
    size_t at = s->at[i] + (moves ? grown : 0);
    if (at > text.len || !completion__slice_starts(completion__slice_cut(text, at, text.len), raw))
      continue;
    s->at[i] = at;
    return true;
  }
  s->at[i] = completion__slice_find(text, 0, raw);
  return s->at[i] < text.len;
}

bool completion__settled_holds(completion__settled *s, const completion__view *views, int n_views,
                               completion__workspace *workspace, int budget, bool no_context,
                               completion__slice before) {
  if (!s->document || s->document != views[0].document || s->budget != budget ||
      s->no_context != no_context)
    return false;
  for (int i = 0; i < s->n_others; i++) {
    bool same = false;
    for (int v = 1; v < n_views; v++)
      same |= views[v].document == s->others[i] && views[v].text == s->texts[i];
    if (!same) return false;
  }
  completion__slice text = completion__text_slice(views[0].text);
  for (int i = 0; i < s->n; i++) {
    if (s->own[i] && !still_there(s, i, text)) return false;
    if (s->closed[i] && !(workspace && completion__workspace_has_symbol(
                                           workspace, s->closed[i],
                                           completion__buffer_slice(&s->raw[i]))))
      return false;
  }
  s->text_len = text.len;
  completion__slice sample = completion__slice_of(s->sample, s->n_sample);
  return s->from <= before.len && (s->from == 0 || before.s[s->from - 1] == '\n') &&
         completion__slice_starts(completion__slice_cut(before, s->from, before.len), sample);
}

bool completion__settled_has_best(const completion__settled *s,
                                  const completion__context *context) {
  int seen = 0;
  for (int i = 0; i < context->n && seen < BEST; i++) {
    const completion__piece *p = &context->pieces[i];
    if (p->why != COMPLETION__WHY_SCOPE && p->why != COMPLETION__WHY_REFERENCED) continue;
    if (p->why == COMPLETION__WHY_REFERENCED) seen++;
    bool has = false;
    for (int j = 0; j < s->n && !has; j++)
      has = completion__slice_equal(completion__buffer_slice(&s->raw[j]), p->text);
    if (!has) return false;
  }
  return true;
}

bool completion__settled_begin(completion__settled *s, const completion__view *views, int budget,
                               bool no_context, const completion__context *context,
                               const bool *chosen, completion__slice before, size_t from) {
  completion__settled_clear(s);
  s->document = completion__document_hold(views[0].document);
  s->budget = budget;
  s->no_context = no_context;
  s->text_len = views[0].text->len;
  s->from = from;
  completion__slice line = completion__slice_cut(before, from, completion__line_end(before, from));
  s->n_sample = line.len < COMPLETION__SAMPLE ? line.len : COMPLETION__SAMPLE;
  if (from + line.len >= before.len) s->n_sample = 0; /* the cursor's line is still growing */
  if (s->n_sample) memcpy(s->sample, line.s, s->n_sample);
  for (int i = 0; i < context->n; i++) {
    if (!chosen[i]) continue;
    const completion__piece *p = &context->pieces[i];
    completion__buffer *raw = &s->raw[s->n];
    s->closed[s->n] = p->view < 0 ? strdup(p->key) : NULL;
    s->at[s->n] = p->start;
    s->own[s->n++] = p->view == 0;
    if (completion__buffer_append(raw, p->text.s, p->text.len) ||
        (p->view < 0 && !s->closed[s->n - 1])) {
      completion__settled_clear(s);
      return false;
    }
    bool known = p->view <= 0;
    for (int j = 0; j < s->n_others; j++) known |= s->others[j] == views[p->view].document;
    if (known) continue;
    s->others[s->n_others] = completion__document_hold(views[p->view].document);
    s->texts[s->n_others++] = completion__text_hold(views[p->view].text);
  }
  return true;
}
