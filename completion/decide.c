/* decide.c - whether to ask the model at all, and how much of what it wrote is worth showing.
 *
 * Where the grammar can read the whole document with the text accepted, that is shown. Else, as
 * code that is being written is broken most of the time, what counts is the difference, and that
 * is judged from near (gate.h): the text is shortened, first by whole lines, then at the places of
 * its first line where all its own brackets are closed; what leaves the fewest places that cannot
 * be read is shown, of several the longest. Where even that leaves more than there were without it
 * nothing is. A document that could be read before must be read still. The grammar is asked of the
 * polished text, as that is what would stand in the document. What it says of the document as it is
 * does not depend on the text: with a GPU that is asked while the GPU computes. Where the grammar
 * has no time to say anything of the text (gate.h), it is shown as it is, and fimd/why says so;
 * where it has said no, and has no time for shorter ones, nothing is shown. */
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

/* What is judged, and where it would stand. */
typedef struct trial {
  completion__run *r;
  completion__gate_budget budget;
  completion__gate gate;
  size_t start, end; /* bytes of the document's text that would be replaced, but for the absorbed */
  completion__buffer asked; /* owned: the last text the gate was asked of, */
  size_t asked_absorb;      /* as `absorb` */
  int asked_errors;         /* and what it said */
  bool unknown; /* the budget is spent */
} trial;

/* What would be put in for text[keep]; *absorb as ever. *shown: something is left of it. */
static int make_text(const completion__run *r, size_t keep, completion__buffer *put, size_t *absorb,
                     bool *shown) {
  const completion_job *j = r->j;
  int status = 0;
  if (j->has_selection) status = completion__buffer_append(put, j->selected.s, j->selected.len);
  size_t before = put->len;
  if (!status) status = completion__run_polish(r, keep, put, absorb);
  *shown = put->len > before;
  return status;
}

/* How many more errors there are with text[keep]; sets t->unknown where that cannot be told. */
static int ask(trial *t, size_t keep, bool *shown, int *status) {
  completion__buffer put = {0};
  size_t absorb = 0;
  int errors = 0;
  *status = make_text(t->r, keep, &put, &absorb, shown);
  completion__slice text = completion__buffer_slice(&put);
  if (*status || !*shown) {
    completion__buffer_free(&put);
    return 0;
  }
  bool again = t->asked.len && absorb == t->asked_absorb &&
               completion__slice_equal(text, completion__buffer_slice(&t->asked));
  errors = again ? t->asked_errors : completion__gate_ask(&t->gate, text, absorb);
  t->unknown = errors == COMPLETION__GATE_UNKNOWN;
  completion__buffer_free(&t->asked);
  t->asked = put;
  t->asked_absorb = absorb;
  t->asked_errors = errors;
  return errors;
}

/* Can the grammar read the whole document with text[keep]? As completion__gate_reads. */
static int reads(trial *t, size_t keep, bool *shown, int *status) {
  const completion__view *v = &t->r->j->views[0];
  completion__buffer put = {0};
  size_t absorb = 0;
  int read = -1;
  *status = make_text(t->r, keep, &put, &absorb, shown);
  if (!*status && *shown)
    read = completion__gate_reads(&t->budget, v->document, v->text, t->start, t->end + absorb,
                                  completion__buffer_slice(&put));
  completion__buffer_free(&put);
  return read;
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

/* The best of cuts[from..n), the longest of several, into *best; -1: nothing is left of any. Where
 * the budget is spent, of those before that. */
static int find_best(trial *t, const size_t *cuts, int from, int n, int *best, int *least) {
  *best = -1;
  for (int i = from; i < n; i++) {
    bool shown;
    int status, errors = ask(t, cuts[i], &shown, &status);
    if (status) return status;
    if (t->unknown) break;
    if (!shown || (*best >= 0 && errors >= *least)) continue;
    *best = i;
    *least = errors;
    if (errors <= -t->gate.errors) break; /* none at all */
  }
  return 0;
}

static void keep_first(completion__run *r, size_t keep, int errors) {
  r->verdict.gated = true;
  r->verdict.errors = errors;
  r->verdict.cut += (int)(r->keep - keep);
  r->keep = keep;
}

static void keep_nothing(completion__run *r) {
  keep_first(r, 0, 1);
  r->verdict.quiet = COMPLETION_QUIET_BROKEN;
}

/* Sets keep to the best cut, or to nothing. `strict`: the document as it is can be read, and so it
 * must stay; cuts[0] does not do then. */
static int shorten(trial *t, bool strict) {
  completion__run *r = t->r;
  size_t cuts[1 + LINES_TRIED + PLACES_TRIED];
  int best, least = 0, n = 1 + find_cuts(r, cuts + 1);
  cuts[0] = r->keep;
  for (int from = strict;; from = best + 1) {
    bool shown;
    int status = find_best(t, cuts, from, n, &best, &least);
    if (status) return status;
    if (t->unknown && best < 0 && !strict) { /* not even of the whole text */
      r->verdict.unjudged = true;
      return 0;
    }
    r->verdict.hurried = t->unknown;
    if (best < 0 || least > 0 || !strict) break;
    int read = reads(t, cuts[best], &shown, &status);
    if (status) return status;
    r->verdict.hurried |= read < 0;
    if (read == 1) break;
  }
  if (best >= 0 && least <= 0)
    keep_first(r, cuts[best], least);
  else
    keep_nothing(r);
  return 0;
}

/* A trial with the whole budget, of which nothing was asked yet. */
static trial begin_trial(completion__run *r) {
  const completion_job *j = r->j;
  const completion__text *text = j->views[0].text;
  bool chosen = j->has_selection;
  return (trial){.r = r,
                 .budget = completion__gate_begin(r->c->parser, &j->job.cancel),
                 .start = completion__text_offset(text, chosen ? j->selected_start : j->offset),
                 .end = completion__text_offset(text, chosen ? j->selected_end : j->offset)};
}

/* The baseline has a budget as if nothing had been asked before, so that it is the same whenever it
 * is taken. */
static void open_baseline(completion__run *r) {
  completion__baseline *b = &r->baseline;
  const completion__text *text = r->j->views[0].text;
  trial t = begin_trial(r);
  double ms = completion__cpu_ms();
  b->tried = true;
  b->open = completion__gate_open(&b->gate, &t.budget, text->language,
                                  completion__text_slice(text), t.start, t.end);
  b->steps = t.budget.spent;
  b->ms = completion__cpu_ms() - ms;
  b->gate.budget = NULL;
}

static bool has_gate(const completion__run *r) {
  return !r->j->options.no_gate && r->j->views[0].text->language;
}

void completion__decide_prepare(completion__run *r) {
  const completion__view *v = &r->j->views[0];
  if (!has_gate(r) || r->baseline.tried) return;
  const TSTree *near =
      completion__syntax_near(r->c->parser, v->document, v->text, &r->j->job.cancel);
  /* Else the text mostly can be read, too, and this is not asked. */
  if (!near || ts_node_has_error(ts_tree_root_node(near))) open_baseline(r);
}

/* Takes the baseline for the trial's; what it took was the answer's. */
static bool take_baseline(trial *t) {
  completion__baseline *b = &t->r->baseline;
  if (b->tried)
    t->budget.until_ms -= b->ms; /* before the budget began to run */
  else
    open_baseline(t->r);
  t->budget.steps -= b->steps;
  t->gate = b->gate; /* borrowed, but for the budget */
  t->gate.budget = &t->budget;
  return b->open;
}

static int pass_gate(completion__run *r) {
  const completion__view *v = &r->j->views[0];
  if (r->keep == 0 || !has_gate(r)) return 0;
  trial t = begin_trial(r);
  bool shown;
  completion__run_scan(r);
  int status, read = reads(&t, r->keep, &shown, &status);
  if (status || !shown) return status; /* it is there already: nothing to judge */
  if (read == 1) {
    r->verdict.gated = true;
    return 0;
  }
  bool strict = read == 0 && completion__gate_reads(&t.budget, v->document, v->text, t.start,
                                                    t.start, (completion__slice){0}) == 1;
  if (take_baseline(&t)) {
    status = shorten(&t, strict);
  } else if (strict) {
    r->verdict.hurried = true;
    keep_nothing(r);
  } else {
    r->verdict.unjudged = true;
  }
  completion__buffer_free(&t.asked);
  return status ? status : atomic_load(&r->j->job.cancel) ? COMPLETION_ECANCELLED : 0;
}

int completion__decide_shown(completion__run *r) {
  double start = completion__now_ms();
  int status = pass_gate(r);
  r->verdict.confidence = completion__run_confidence(r, r->keep ? r->keep : r->text.len);
  r->stats.gate_ms += completion__now_ms() - start;
  return status;
}
