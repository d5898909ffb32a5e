/* job.c - one request's life on the engine thread: prompt, the answer that is known or written.
 *
 * Whatever happens, on_done is called once, at the end of completion__job_run, and nothing
 * but it tells how the request went. */
#include "completion/job.h"

#include <stdlib.h>
#include <string.h>

#include "completion/run.h"
#include "completion/secrets.h"
#include "completion/seed.h"
#include "completion/window.h"
#include "completion/withheld.h"

/* ---- the job object -------------------------------------------------------------------- */

void completion__job_unref(completion_job *j) {
  if (atomic_fetch_sub(&j->refs, 1) == 1) free(j);
}

/* Lets go of what the request read, says that it is over, and gives up its own reference. */
static void job_end(completion_job *j) {
  completion *c = j->owner;
  for (int i = 0; i < j->n_views; i++) completion__view_release(&j->views[i]);
  completion__buffer_free(&j->selected);
  completion__buffer_free(&j->replay);
  pthread_mutex_lock(&c->lock);
  completion__through_end(j);
  if (j->previous)
    j->previous->next = j->next;
  else
    c->active = j->next;
  if (j->next) j->next->previous = j->previous;
  if (!c->active) pthread_cond_signal(&c->idle);
  pthread_mutex_unlock(&c->lock); /* c may be gone from here on */
  completion__job_unref(j);
}

/* ---- a run ----------------------------------------------------------------------------- */

void completion__run_free(completion__run *r) {
  completion__buffer_free(&r->virtual_before);
  completion__buffer_free(&r->text);
  completion__buffer_free(&r->shown);
  if (r->baseline.open) completion__gate_close(&r->baseline.gate);
  engine_tokens_free(&r->ids);
  engine_tokens_free(&r->replay);
  free(r->tokens);
  for (int i = 0; i < r->n_others; i++) free(r->others[i]);
}

completion__slice completion__run_typed(const completion__run *r) {
  return completion__slice_cut(r->before, r->before.len - r->typed, r->before.len);
}

int completion__run_failed(completion__run *r, int engine_result) {
  if (engine_result == ENGINE_ECANCELLED) return COMPLETION_ECANCELLED;
  if (engine_result == ENGINE_ENOMEM) return COMPLETION_ENOMEM;
  r->message = engine_strstatus(engine_result);
  return COMPLETION_EENGINE;
}

completion__slice completion__run_answer(const completion__run *r, size_t len) {
  completion__slice t = completion__slice_of(r->text.s, len);
  completion__slice line = completion__slice_cut(
      r->before, completion__line_start(r->before, r->before.len), r->before.len);
  bool blank = line.len && completion__is_blank(line.s[line.len - 1]);
  if (blank && !completion__slice_is_blank(line) && !r->j->options.no_polish)
    while (t.len && completion__is_blank(t.s[0])) t.s++, t.len--;
  return t;
}

static bool cancelled(const completion__run *r) { return atomic_load(&r->j->job.cancel); }

/* ---- cursor ---------------------------------------------------------------------------- */

int completion__run_find_cursor(completion__run *r) {
  completion_job *j = r->j;
  const completion__text *t = j->views[0].text;
  completion__slice all = completion__text_slice(t);
  if (!j->has_selection) {
    size_t at = completion__text_offset(t, j->offset);
    r->before = completion__slice_cut(all, 0, at);
    r->after = completion__slice_cut(all, at, all.len);
    return 0;
  }
  size_t from = completion__text_offset(t, j->selected_start);
  int status = completion__buffer_append(&r->virtual_before, all.s, from);
  if (!status)
    status = completion__buffer_append(&r->virtual_before, j->selected.s, j->selected.len);
  r->before = completion__buffer_slice(&r->virtual_before);
  r->after = completion__slice_cut(all, completion__text_offset(t, j->selected_end), all.len);
  return status;
}

/* ---- prompt ---------------------------------------------------------------------------- */

/* The anchored prompt where it serves, else a new one, anchored before the token at the cursor. */
static int find_prompt(completion__run *r) {
  completion_job *j = r->j;
  completion__reuse *reuse = &r->c->reuse;
  completion__reuse_key key = {j->views[0].document, r->key.budget, r->key.no_context};
  if (completion__reuse_fits(reuse, &key, r->before, r->after, &r->typed)) {
    engine_tokens typed = {0};
    completion__slice t = completion__run_typed(r);
    int rc = t.len ? engine_tokenize(r->c->engine, t.s, t.len, false, &typed) : 0;
    bool fits = rc == 0 && typed.n <= COMPLETION__TYPED_TOKENS;
    engine_tokens_free(&typed);
    if (fits) return 0;
  }
  double start = completion__now_ms();
  size_t line = completion__line_start(r->before, r->before.len);
  r->typed = completion__window_heal(completion__slice_cut(r->before, line, r->before.len));
  completion__prompt_request request = {
      .engine = r->c->engine,
      .memo = &r->c->memo,
      .parser = r->c->parser,
      .views = j->views,
      .n_views = j->n_views,
      .workspace = r->c->workspace,
      .edits = &j->edits,
      .before = completion__slice_cut(r->before, 0, r->before.len - r->typed),
      .after = r->after,
      .budget = r->key.budget,
      .no_context = j->options.no_context,
      .cancel = &j->job.cancel,
      .settled = &r->c->settled};
  completion__prompt prompt;
  int status = completion__prompt_build(&request, &prompt);
  if (status == COMPLETION_EINVAL) {
    r->message = "the prompt does not fit: prompt_tokens or the model's context is too small";
    return COMPLETION_EENGINE;
  }
  if (status) return status;
  r->stats.context_ms = prompt.context_ms;
  r->stats.prompt_ms = completion__now_ms() - start - prompt.context_ms;
  status = completion__reuse_anchor(reuse, &key, request.before, r->after, &prompt);
  completion__prompt_free(&prompt);
  return status;
}

/* ---- other documents --------------------------------------------------------------------- */

int completion__share(completion *c, completion__view *views, int n, uint64_t rules) {
  bool changed = false;
  n = completion__withheld_drop(views, n, rules, &changed);
  if (changed) {
    completion__reuse_clear(&c->reuse);
    completion__settled_clear(&c->settled);
    completion__memo_clear(&c->memo);
    completion__recent_clear(&c->recent);
  }
  return n;
}

#define IMPORTED_MOST 64 /* files that a text names, of which guesses come first */

void completion__pool_sync(completion *c, const completion__view *views, int n) {
  int64_t imported[IMPORTED_MOST];
  for (int i = 0; i < n; i++) /* without memory for it there are fewer guesses */
    if (!completion__is_withheld(views[i].document))
      completion__seed_sync(&views[i].document->seed, c->pool, c->engine, views[i].text);
  int count = completion__workspace_imports(c->workspace, completion__text_slice(views[0].text),
                                            views[0].document->path, imported, IMPORTED_MOST);
  engine_pool_focus(c->pool, completion__seed_id(views[0].document->seed), imported, count);
}

/* An answer that stands in the text now, where it was shown, was taken: it is likelier than other
 * text to come again. */
static void note_accepted(completion__run *r) {
  struct completion__shown *shown = &r->c->shown;
  const completion__view *v = &r->j->views[0];
  completion__slice text = completion__text_slice(v->text);
  if (shown->document != v->document || !shown->text.len) return;
  if (completion__is_withheld(v->document)) return;
  completion__slice there = completion__slice_cut(text, shown->at, shown->at + shown->text.len);
  if (!completion__slice_equal(there, completion__buffer_slice(&shown->text))) return;
  completion__slice lines = completion__slice_cut(
      text, completion__line_start(text, shown->at),
      completion__line_end(text, shown->at + shown->text.len));
  if (completion__secrets_in(lines)) return;
  engine_tokens t = {0};
  if (!engine_tokenize(r->c->engine, there.s, there.len, false, &t) && t.n)
    engine_pool_accept(r->c->pool, t.ids, t.n);
  engine_tokens_free(&t);
  shown->text.len = 0;
}

static void note_shown(completion__run *r) {
  struct completion__shown *shown = &r->c->shown;
  shown->text.len = 0;
  shown->document = r->j->views[0].document;
  shown->at = r->before.len;
  if (r->status == 0 && !r->j->has_selection)
    completion__buffer_append(&shown->text, r->text.s, r->keep);
}

/* ---- the answer ---------------------------------------------------------------------- */

/* Takes over what the last answer, which what was typed agrees with, has more. */
static int go_on(completion__run *r, completion__slice rest) {
  const completion__reuse *reuse = &r->c->reuse;
  int rc = engine_tokens_append(&r->ids, reuse->prompt.tokens.ids, reuse->prompt.tokens.n);
  if (!rc) rc = engine_tokens_append(&r->ids, reuse->middle.ids, reuse->middle.n);
  if (rc) return completion__run_failed(r, rc);
  return completion__buffer_append(&r->text, rest.s, rest.len);
}

/* Keeps the answer, or as much of it as there is. */
static int keep_for_reuse(completion__run *r, bool whole) {
  completion__reuse *reuse = &r->c->reuse;
  engine_tokens middle = {0};
  int prompt = reuse->prompt.tokens.n;
  if (!whole && engine_tokens_append(&middle, r->ids.ids + prompt, r->ids.n - prompt))
    return COMPLETION_ENOMEM;
  completion__slice text =
      whole ? completion__run_answer(r, r->keep) : completion__buffer_slice(&r->text);
  completion__reuse_keep(reuse, &r->key.terms, completion__run_typed(r), text, whole, &r->verdict,
                         &middle);
  return 0;
}

/* Answers from the last answer, goes on with it where it was cut short, or asks anew. Who asks for
 * several texts needs what only the writing of the first one tells. */
static int complete(completion__run *r) {
  completion__reuse *reuse = &r->c->reuse;
  completion__slice rest;
  completion__agreement agreement =
      completion__reuse_agrees(reuse, &r->key.terms, completion__run_typed(r), &rest);
  int status;
  if (agreement == COMPLETION__AGREES_DONE && r->j->candidates == 1 && !r->j->anew) {
    r->source = COMPLETION_FROM_TYPED;
    r->verdict = reuse->verdict;
    r->keep = rest.len;
    r->stats.prompt_tokens = reuse->prompt.tokens.n;
    return completion__buffer_append(&r->text, rest.s, rest.len);
  }
  if (agreement == COMPLETION__AGREES_SO_FAR && r->j->candidates == 1 && !r->j->anew) {
    status = go_on(r, rest);
  } else {
    reuse->answered = false;
    status = completion__heal_feed(r);
  }
  if (status) return status;
  r->stats.prompt_tokens = r->ids.n;
  r->verdict.stop =
      completion__stop_check(&r->stop_rules, completion__buffer_slice(&r->text), false, &r->keep);
  if (r->verdict.stop == COMPLETION_STOP_NONE) status = completion__write(r);
  if (!status) status = completion__decide_shown(r);
  if (status == 0 || (status == COMPLETION_ECANCELLED && r->text.len > 0)) {
    int rc = keep_for_reuse(r, status == 0);
    if (rc) return rc;
  }
  if (!status) completion__candidates_find(r);
  return status;
}

/* What the answer will depend on. */
static completion__recent_key key_of(const completion__run *r) {
  const completion_options *o = &r->j->options;
  int budget = engine_get_info(r->c->engine)->context - o->max_tokens - COMPLETION__TYPED_TOKENS;
  if (budget > o->prompt_tokens) budget = o->prompt_tokens;
  return (completion__recent_key){.views = r->j->views,
                                  .n_views = r->j->n_views,
                                  .cursor = r->before.len,
                                  .budget = budget,
                                  .no_context = o->no_context,
                                  .terms = {.mode = r->j->mode,
                                            .max_tokens = o->max_tokens,
                                            .max_lines = o->max_lines,
                                            .temperature = o->temperature,
                                            .top_p = o->top_p,
                                            .seed = o->seed,
                                            .no_gate = o->no_gate,
                                            .no_polish = o->no_polish}};
}

/* Answers from an answer of before. */
static bool answer_again(completion__run *r, int *status) {
  completion__answer a;
  if (r->j->has_selection || r->j->candidates > 1 || r->j->anew ||
      !completion__recent_find(&r->c->recent, &r->key, &a))
    return false;
  r->source = COMPLETION_FROM_RECENT;
  r->verdict = a.verdict;
  r->keep = a.text.len;
  r->stats.prompt_tokens = a.prompt_tokens;
  r->stats.context_pieces = a.pieces;
  *status = completion__buffer_append(&r->text, a.text.s, a.text.len);
  if (!*status && a.shown.s) {
    *status = completion__buffer_append(&r->shown, a.shown.s, a.shown.len);
    r->absorb = a.absorb;
    r->polished = *status == 0;
  }
  return true;
}

static void keep_answer(completion__run *r) {
  if (r->j->has_selection || completion__run_finish(r)) return;
  completion__answer a = {.text = completion__run_answer(r, r->keep),
                          .shown = completion__buffer_slice(&r->shown),
                          .absorb = r->absorb,
                          .verdict = r->verdict,
                          .prompt_tokens = r->stats.prompt_tokens,
                          .pieces = r->stats.context_pieces};
  completion__recent_keep(&r->c->recent, &r->key, &a);
}

static int run_all(completion__run *r) {
  completion_job *j = r->j;
  if (cancelled(r)) return COMPLETION_ECANCELLED;
  completion__through_begin(j);
  j->n_views = completion__share(r->c, j->views, j->n_views, j->rules);
  int status = completion__run_find_cursor(r);
  if (status) return status;
  completion__stop_init(&r->stop_rules, j->views[0].text->language, r->before, r->after, j->mode,
                        j->options.max_lines);
  r->verdict.quiet = completion__decide_quiet(r);
  if (r->verdict.quiet != COMPLETION_QUIET_NO) {
    r->source = COMPLETION_FROM_NOTHING;
    return 0;
  }
  r->key = key_of(r);
  if (j->options.draft.sources) note_accepted(r);
  if (answer_again(r, &status)) return status;
  status = find_prompt(r);
  if (status) return status;
  if (cancelled(r)) return COMPLETION_ECANCELLED;
  double start = completion__now_ms();
  status = complete(r);
  r->stats.context_pieces = r->c->reuse.prompt.pieces;
  r->stats.prefill_ms =
      completion__now_ms() - start - r->stats.decode_ms - r->stats.gate_ms;
  if (status == 0) keep_answer(r);
  if (status && status != COMPLETION_ECANCELLED) completion__reuse_clear(&r->c->reuse);
  return status;
}

/* Does no other request wait? What is only for later must not stand in its way. */
static bool is_last(const completion_job *j) {
  pthread_mutex_lock(&j->owner->lock);
  bool last = j->owner->active == j && !j->next;
  pthread_mutex_unlock(&j->owner->lock);
  return last;
}

/* Documents that nobody asked about for long are parsed anew when somebody does. */
static void drop_rest(completion_job *j) {
  for (int i = 0; i < j->n_rest; i++) {
    completion__syntax_delete(j->rest[i]->syntax);
    j->rest[i]->syntax = NULL;
    completion__document_release(j->rest[i]);
  }
  j->n_rest = 0;
}

void completion__job_run(engine_job *job) {
  completion_job *j = (completion_job *)job;
  completion__run r = {.j = j, .c = j->owner};
  drop_rest(j);
  r.status = run_all(&r);
  r.stats.total_ms = completion__now_ms() - j->started_ms;
  completion__tell_end(&r);
  note_shown(&r);
  if (r.source == COMPLETION_FROM_MODEL && is_last(j))
    completion__syntax_refresh(r.c->parser, j->views[0].document, &j->job.cancel);
  completion__run_free(&r);
  job_end(j);
}
