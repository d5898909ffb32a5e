/* settled.c - see settled.h. */
#include "completion/settled.h"

#include <string.h>

#define BEST 4 /* pieces that may not be missing */

void completion__settled_clear(completion__settled *s) {
  completion__document_release(s->document);
  for (int i = 0; i < s->n_others; i++) {
    completion__document_release(s->others[i]);
    completion__text_release(s->texts[i]);
  }
  for (int i = 0; i < s->n; i++) completion__buffer_free(&s->raw[i]);
  engine_tokens_free(&s->repository);
  completion__buffer_free(&s->head);
  *s = (completion__settled){0};
}

bool completion__settled_holds(const completion__settled *s, const completion__view *views,
                               int n_views, int budget, bool no_context, completion__slice before) {
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
  for (int i = 0; i < s->n; i++)
    if (s->own[i] &&
        completion__slice_find(text, 0, completion__buffer_slice(&s->raw[i])) == text.len)
      return false;
  completion__slice sample = completion__slice_of(s->sample, s->n_sample);
  return s->from <= before.len && (s->from == 0 || before.s[s->from - 1] == '\n') &&
         completion__slice_starts(completion__slice_cut(before, s->from, before.len), sample);
}

static completion__slice raw_slice(const completion__view *views, const completion__piece *p) {
  return completion__slice_cut(completion__text_slice(views[p->view].text), p->start, p->end);
}

bool completion__settled_has_best(const completion__settled *s, const completion__view *views,
                                  const completion__context *context) {
  int seen = 0;
  for (int i = 0; i < context->n && seen < BEST; i++) {
    const completion__piece *p = &context->pieces[i];
    if (p->why == COMPLETION__WHY_IMPORT || p->why == COMPLETION__WHY_IMPORTED) continue;
    if (p->why == COMPLETION__WHY_REFERENCED) seen++;
    completion__slice text = raw_slice(views, p);
    bool has = false;
    for (int j = 0; j < s->n && !has; j++)
      has = completion__slice_equal(completion__buffer_slice(&s->raw[j]), text);
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
  s->from = from;
  completion__slice line = completion__slice_cut(before, from, completion__line_end(before, from));
  s->n_sample = line.len < COMPLETION__SAMPLE ? line.len : COMPLETION__SAMPLE;
  if (from + line.len >= before.len) s->n_sample = 0; /* the cursor's line is still growing */
  if (s->n_sample) memcpy(s->sample, line.s, s->n_sample);
  for (int i = 0; i < context->n; i++) {
    if (!chosen[i]) continue;
    const completion__piece *p = &context->pieces[i];
    completion__slice text = raw_slice(views, p);
    completion__buffer *raw = &s->raw[s->n];
    if (completion__buffer_append(raw, text.s, text.len)) {
      completion__settled_clear(s);
      return false;
    }
    s->own[s->n++] = p->view == 0;
    bool known = p->view == 0;
    for (int j = 0; j < s->n_others; j++) known |= s->others[j] == views[p->view].document;
    if (known) continue;
    s->others[s->n_others] = completion__document_hold(views[p->view].document);
    s->texts[s->n_others++] = completion__text_hold(views[p->view].text);
  }
  return true;
}
