/* decide.c - whether to ask the model at all, and how much of what it wrote is worth showing.
 *
 * The gate: the document is parsed as it would be with the text accepted, from the tree that there
 * is of it without. Where the grammar cannot read all of that, the text is shortened, first by whole
 * lines, then at the places of its first line where all its own brackets are closed; what leaves the
 * fewest such places is shown, of several the longest. Where even that leaves more than there were
 * without it nothing is: code that is being written is broken most of the time, so what counts is
 * the difference. The grammar is asked of the polished text, as that is what would stand in the
 * document. */
#include <string.h>

#include "completion/run.h"

#define LINES_TRIED 8  /* ways to shorten a text by whole lines */
#define PLACES_TRIED 6 /* and within its first line */

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

typedef struct gate {
  const completion__run *r;
  completion__document *document;
  completion__text *text;
  size_t start, end; /* of the document, what the text takes the place of, the rest absorbed */
  int before;        /* errors without the text */
} gate;

/* False: there is no tree to compare with. */
static bool gate_open(gate *g, const completion__run *r) {
  const completion_job *j = r->j;
  *g = (gate){.r = r, .document = j->views[0].document, .text = j->views[0].text};
  const TSTree *tree =
      completion__syntax_tree(r->c->parser, g->document, g->text, &j->job.cancel);
  if (!tree) return false;
  g->before = completion__syntax_errors(tree);
  g->start = completion__text_offset(g->text, j->has_selection ? j->selected_start : j->offset);
  g->end = completion__text_offset(g->text, j->has_selection ? j->selected_end : j->offset);
  return true;
}

/* How many more errors there are with text[keep]; as few as can be where it cannot be told. *shown:
 * something is left of it. */
static int gate_ask(const gate *g, size_t keep, bool *shown, int *status) {
  completion__buffer polished = {0}, put = {0};
  size_t absorb = 0;
  int errors = -g->before;
  *status = completion__run_polish(g->r, keep, &polished, &absorb);
  *shown = polished.len > 0;
  if (!*status && g->r->j->has_selection)
    *status = completion__buffer_append(&put, g->r->j->selected.s, g->r->j->selected.len);
  if (!*status) *status = completion__buffer_append(&put, polished.s, polished.len);
  if (!*status && *shown) {
    TSTree *tree = completion__syntax_variant(g->r->c->parser, g->document, g->text, g->start,
                                              g->end + absorb, completion__buffer_slice(&put),
                                              &g->r->j->job.cancel);
    if (tree) errors = completion__syntax_errors(tree) - g->before;
    if (tree) ts_tree_delete(tree);
  }
  completion__buffer_free(&polished);
  completion__buffer_free(&put);
  return errors;
}

/* Places to cut at, the longest text first: ends of lines, then places in the first line where
 * what was begun is closed. */
static int find_cuts(const completion__run *r, size_t *cuts, int max) {
  completion__slice t = completion__slice_of(r->text.s, r->keep);
  int n = 0;
  for (size_t at = t.len; at > 0 && n < LINES_TRIED && n < max;) {
    at = completion__line_start(t, at);
    if (at > 0) at--;
    completion__slice rest = completion__slice_cut(t, 0, at);
    if (at > 0 && !completion__slice_is_blank(rest)) cuts[n++] = at;
  }
  size_t places[PLACES_TRIED], end = completion__line_end(t, 0);
  int found = 0;
  completion__scan scan = r->stop_rules.start;
  completion__scan_event event;
  for (size_t at = 0; at < end;) {
    at += completion__scan_step(&scan, t, at, &event);
    bool closed = scan.depth == 0 && completion__scan_in_code(&scan) && at < end;
    char last = t.s[at - 1];
    if (!closed || !(completion__is_word(last) || completion__scan_is_closer(last)) ||
        completion__is_word(t.s[at]))
      continue;
    if (found == PLACES_TRIED) memmove(places, places + 1, (PLACES_TRIED - 1) * sizeof *places);
    places[found < PLACES_TRIED ? found++ : PLACES_TRIED - 1] = at;
  }
  while (found > 0 && n < max) cuts[n++] = places[--found];
  return n;
}

static int gate_text(completion__run *r) {
  gate g;
  if (r->keep == 0 || r->j->options.no_gate || !gate_open(&g, r)) return 0;
  size_t cuts[1 + LINES_TRIED + PLACES_TRIED];
  bool shown;
  int status, n = 1, best = -1, least = 0;
  cuts[0] = r->keep;
  r->verdict.gated = true;
  for (int i = 0; i < n; i++) {
    int errors = gate_ask(&g, cuts[i], &shown, &status);
    if (status) return status;
    if (i == 0 && !shown) return 0; /* it is there already: nothing to judge */
    if (i == 0 && errors > -g.before) n += find_cuts(r, cuts + 1, LINES_TRIED + PLACES_TRIED);
    if (!shown || (best >= 0 && errors >= least)) continue;
    best = i;
    least = errors;
    if (errors <= -g.before) break; /* none at all */
  }
  r->verdict.errors = least;
  bool good = least <= 0;
  size_t keep = good ? cuts[best] : 0;
  if (!good) r->verdict.quiet = COMPLETION_QUIET_BROKEN;
  r->verdict.cut += (int)(r->keep - keep);
  r->keep = keep;
  return 0;
}

int completion__decide_shown(completion__run *r) {
  double start = completion__now_ms();
  int status = gate_text(r);
  r->verdict.confidence = completion__run_confidence(r, r->keep ? r->keep : r->text.len);
  r->stats.gate_ms += completion__now_ms() - start;
  return status;
}
