/* decide.c - whether to ask the model at all, and how much of what it wrote is worth showing.
 *
 * Where the grammar cannot read the code with the text accepted (gate.h), the text is shortened,
 * first by whole lines, then at the places of its first line where all its own brackets are closed;
 * what leaves the fewest places that cannot be read is shown, of several the longest. Where even
 * that leaves more than there were without it nothing is: code that is being written is broken most
 * of the time, so what counts is the difference. The grammar is asked of the polished text, as that
 * is what would stand in the document. */
#include <string.h>

#include "completion/gate.h"
#include "completion/run.h"

#define LINES_TRIED 4  /* ways to shorten a text by whole lines */
#define PLACES_TRIED 3 /* and within its first line */

completion_quiet completion__decide_quiet(const completion__run *r) {
  const completion_job *j = r->j;
  if (!j->automatic) return COMPLETION_QUIET_NO;
  const grammars_language *l = j->views[0].text->language;
  completion__slice tail = completion__slice_cut(r->after, 0, completion__line_end(r->after, 0));
  if (!j->options.mid_line && !completion__stop_tail_is_closers(l, tail))
    return COMPLETION_QUIET_MID_LINE;
  if (!j->options.no_comments && !j->options.no_strings) return COMPLETION_QUIET_NO;
  completion__scan scan;
  completion__scan_before(&scan, l, r->before);
  if (j->options.no_comments && (scan.line_comment || scan.block_comment))
    return COMPLETION_QUIET_COMMENT;
  return j->options.no_strings && scan.quote ? COMPLETION_QUIET_STRING : COMPLETION_QUIET_NO;
}

/* ---- the gate -------------------------------------------------------------------------- */

/* How many more errors there are with text[keep]. *shown: something is left of it. */
static int ask(const completion__gate *g, const completion__run *r, size_t keep, bool *shown,
               int *status) {
  completion__buffer polished = {0}, put = {0};
  size_t absorb = 0;
  int errors = 0;
  *status = completion__run_polish(r, keep, &polished, &absorb);
  *shown = polished.len > 0;
  if (!*status && r->j->has_selection)
    *status = completion__buffer_append(&put, r->j->selected.s, r->j->selected.len);
  if (!*status) *status = completion__buffer_append(&put, polished.s, polished.len);
  if (!*status && *shown) errors = completion__gate_ask(g, completion__buffer_slice(&put), absorb);
  completion__buffer_free(&polished);
  completion__buffer_free(&put);
  return errors;
}

/* Remembers the last `max` of the places that it is given. */
static void push(size_t *places, int *n, int max, size_t at) {
  if (*n == max) {
    memmove(places, places + 1, (size_t)(max - 1) * sizeof *places);
    (*n)--;
  }
  places[(*n)++] = at;
}

/* Places to cut at where all brackets of the text are closed, the longest text first: ends of
 * lines, then ends of words and brackets in the first line. */
static int find_cuts(const completion__run *r, size_t *cuts) {
  completion__slice t = completion__slice_of(r->text.s, r->keep);
  size_t lines[LINES_TRIED], places[PLACES_TRIED], first = completion__line_end(t, 0);
  int n_lines = 0, n_places = 0, n = 0;
  completion__scan scan = r->stop_rules.start;
  completion__scan_event event;
  for (size_t at = 0; at < t.len;) {
    bool closed = scan.depth == 0 && completion__scan_in_code(&scan);
    bool blank = completion__slice_is_blank(completion__slice_of(t.s, at));
    if (t.s[at] == '\n' && (closed || scan.line_comment) && !blank) {
      push(lines, &n_lines, LINES_TRIED, at);
    } else if (at > 0 && at < first && closed && !blank && !completion__is_word(t.s[at]) &&
               (completion__is_word(t.s[at - 1]) || completion__scan_is_closer(t.s[at - 1]))) {
      push(places, &n_places, PLACES_TRIED, at);
    }
    at += completion__scan_step(&scan, t, at, &event);
  }
  while (n_lines > 0) cuts[n++] = lines[--n_lines];
  while (n_places > 0) cuts[n++] = places[--n_places];
  return n;
}

/* Sets keep to the best cut, or to nothing. */
static int shorten(const completion__gate *g, completion__run *r) {
  size_t cuts[1 + LINES_TRIED + PLACES_TRIED];
  bool shown;
  int status, n = 1, best = -1, least = 0;
  cuts[0] = r->keep;
  for (int i = 0; i < n; i++) {
    int errors = ask(g, r, cuts[i], &shown, &status);
    if (status) return status;
    if (i == 0 && !shown) return 0; /* it is there already: nothing to judge */
    if (i == 0 && errors > -g->errors) n += find_cuts(r, cuts + 1);
    if (!shown || (best >= 0 && errors >= least)) continue;
    best = i;
    least = errors;
    if (errors <= -g->errors) break; /* none at all */
  }
  r->verdict.gated = true;
  r->verdict.errors = least;
  size_t keep = least <= 0 ? cuts[best] : 0;
  if (least > 0) r->verdict.quiet = COMPLETION_QUIET_BROKEN;
  r->verdict.cut += (int)(r->keep - keep);
  r->keep = keep;
  return 0;
}

static int pass_gate(completion__run *r) {
  const completion_job *j = r->j;
  const completion__text *t = j->views[0].text;
  completion__gate g;
  size_t start = completion__text_offset(t, j->has_selection ? j->selected_start : j->offset);
  size_t end = completion__text_offset(t, j->has_selection ? j->selected_end : j->offset);
  if (r->keep == 0 || j->options.no_gate ||
      !completion__gate_open(&g, r->c->parser, t->language, completion__text_slice(t), start, end,
                             &j->job.cancel))
    return 0;
  int status = shorten(&g, r);
  completion__gate_close(&g);
  return status ? status : atomic_load(&j->job.cancel) ? COMPLETION_ECANCELLED : 0;
}

int completion__decide_shown(completion__run *r) {
  double start = completion__now_ms();
  int status = pass_gate(r);
  r->verdict.confidence = completion__run_confidence(r, r->keep ? r->keep : r->text.len);
  r->stats.gate_ms += completion__now_ms() - start;
  return status;
}
