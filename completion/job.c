/* job.c - one request's life on the engine thread: prompt, healing, decoding, the answer.
 *
 * Whatever happens, on_done is called once, at the end of completion__job_run, and nothing
 * but it tells how the request went. */
#include "completion/job.h"

#include <stdlib.h>
#include <string.h>

#include "completion/polish.h"
#include "completion/run.h"
#include "completion/seed.h"
#include "completion/window.h"

/* ---- the job object -------------------------------------------------------------------- */

void completion__job_unref(completion_job *j) {
  if (atomic_fetch_sub(&j->refs, 1) == 1) free(j);
}

/* Lets go of what the request read, says that it is over, and gives up its own reference. */
static void job_end(completion_job *j) {
  completion *c = j->owner;
  for (int i = 0; i < j->n_views; i++) completion__view_release(&j->views[i]);
  completion__buffer_free(&j->selected);
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

typedef completion__run run;

completion__slice completion__run_typed(const completion__run *r) {
  return completion__slice_cut(r->before, r->before.len - r->typed, r->before.len);
}

int completion__run_failed(completion__run *r, int engine_result) {
  if (engine_result == ENGINE_ECANCELLED) return COMPLETION_ECANCELLED;
  if (engine_result == ENGINE_ENOMEM) return COMPLETION_ENOMEM;
  r->message = engine_strstatus(engine_result);
  return COMPLETION_EENGINE;
}

static bool cancelled(const run *r) { return atomic_load(&r->j->job.cancel); }

/* ---- cursor ---------------------------------------------------------------------------- */

static int find_cursor(run *r) {
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

/* ---- telling --------------------------------------------------------------------------- */

/* Polishes text[keep] and calls back. Out of memory: the result says so. */
static void tell(run *r, size_t keep, bool final, void (*call)(void *, const completion_result *)) {
  completion_job *j = r->j;
  completion_result result = {.status = r->status,
                              .final = final,
                              .stop = r->stop,
                              .stats = r->stats,
                              .text = "",
                              .replace_start = j->offset,
                              .replace_end = j->offset};
  completion__buffer shown = {0}, polished = {0};
  if (r->status == 0 && keep > 0) {
    completion__polish p = {.language = j->views[0].text->language,
                            .before = r->before,
                            .after = r->after,
                            .special = r->c->special,
                            .n_special = r->c->n_special,
                            .crlf = j->views[0].text->crlf};
    size_t absorb = 0;
    int status =
        completion__polish_text(&p, completion__slice_of(r->text.s, keep), &polished, &absorb);
    if (!status && polished.len && j->has_selection)
      status = completion__buffer_append(&shown, j->selected.s, j->selected.len);
    if (!status && polished.len)
      status = completion__buffer_append(&shown, polished.s, polished.len);
    if (status) {
      result.status = status;
    } else if (shown.len) {
      result.text = shown.s;
      result.len = shown.len;
      result.replace_end = j->offset + absorb;
      if (j->has_selection) {
        result.replace_start = j->selected_start;
        result.replace_end = j->selected_end + absorb;
      }
    }
  }
  if (result.status) {
    result.message = r->message ? r->message : completion_strstatus(result.status);
    if (result.status == COMPLETION_ECANCELLED) result.stop = COMPLETION_STOP_CANCELLED;
  }
  if (final) {
    result.why.pieces = r->c->reuse.prompt.listed.pieces;
    result.why.n_pieces = r->c->reuse.prompt.listed.n;
  }
  if (final || result.len) call(j->user, &result);
  completion__buffer_free(&polished);
  completion__buffer_free(&shown);
}

/* A partial answer for each line that became whole. */
static void tell_lines(run *r) {
  if (!r->j->on_update) return;
  int lines = 0;
  size_t end = 0;
  for (size_t at = 0; at < r->text.len; at++) {
    if (r->text.s[at] != '\n') continue;
    if (!completion__slice_is_blank(completion__slice_of(r->text.s, at))) {
      lines++;
      end = at;
    }
  }
  if (lines <= r->lines_told) return;
  r->lines_told = lines;
  r->stats.total_ms = completion__now_ms() - r->j->started_ms;
  tell(r, end, false, r->j->on_update);
}

/* The same to the request that will take the text over, from its own cursor on; it has typed what
 * stands before that. */
static void tell_heir(run *r, completion_job *heir) {
  run f = {.j = heir, .c = r->c, .stats = r->stats};
  if (atomic_load(&heir->job.cancel) || find_cursor(&f)) return;
  if (f.before.len < r->before.len || f.before.len - r->before.len > r->text.len) return;
  size_t typed = f.before.len - r->before.len;
  if (heir == r->told) {
    f.lines_told = r->heir_lines;
  } else if (!completion__slice_starts(f.before, r->before) ||
             (typed && memcmp(f.before.s + r->before.len, r->text.s, typed) != 0)) {
    return;
  }
  f.text = (completion__buffer){.s = r->text.s ? r->text.s + typed : NULL,
                                .len = r->text.len - typed};
  tell_lines(&f);
  r->told = heir;
  r->heir_lines = f.lines_told;
}

/* After a step. False: what the user types is something else. */
static bool tell_all(run *r) {
  bool own;
  completion_job *heir;
  if (!completion__through_step(r->j, completion__buffer_slice(&r->text), &own, &heir)) {
    r->status = COMPLETION_ECANCELLED;
    return false;
  }
  if (own) tell_lines(r);
  if (heir) tell_heir(r, heir);
  return true;
}

/* ---- prompt ---------------------------------------------------------------------------- */

/* The anchored prompt where it serves, else a new one, anchored before the token at the cursor. */
static int find_prompt(run *r) {
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

/* ---- the pool -------------------------------------------------------------------------- */

#define IMPORTED_MOST 64 /* files that a text names, of which guesses come first */

void completion__pool_sync(completion *c, const completion__view *views, int n) {
  int64_t imported[IMPORTED_MOST];
  for (int i = 0; i < n; i++) /* without memory for it there are fewer guesses */
    completion__seed_sync(&views[i].document->seed, c->pool, c->engine, views[i].text);
  int count = completion__workspace_imports(c->workspace, completion__text_slice(views[0].text),
                                            views[0].document->path, imported, IMPORTED_MOST);
  engine_pool_focus(c->pool, completion__seed_id(views[0].document->seed), imported, count);
}

/* An answer that stands in the text now, where it was shown, was taken: it is likelier than other
 * text to come again. */
static void note_accepted(run *r) {
  struct completion__shown *shown = &r->c->shown;
  const completion__view *v = &r->j->views[0];
  completion__slice text = completion__text_slice(v->text);
  if (shown->document != v->document || !shown->text.len) return;
  completion__slice there = completion__slice_cut(text, shown->at, shown->at + shown->text.len);
  if (!completion__slice_equal(there, completion__buffer_slice(&shown->text))) return;
  engine_tokens t = {0};
  if (!engine_tokenize(r->c->engine, there.s, there.len, false, &t) && t.n)
    engine_pool_accept(r->c->pool, t.ids, t.n);
  engine_tokens_free(&t);
  shown->text.len = 0;
}

static void note_shown(run *r) {
  struct completion__shown *shown = &r->c->shown;
  shown->text.len = 0;
  shown->document = r->j->views[0].document;
  shown->at = r->before.len;
  if (r->status == 0 && !r->j->has_selection)
    completion__buffer_append(&shown->text, r->text.s, r->keep);
}

/* Only for a request that decodes: one that agrees with the ghost text needs no guesses. */
static void sync_pool(run *r) {
  if (r->j->options.draft.sources)
    completion__pool_sync(r->c, r->j->views, r->j->n_views);
}

/* ---- decoding -------------------------------------------------------------------------- */

static int sync(run *r) {
  int computed = 0;
  int rc = engine_session_sync(r->c->session, r->ids.ids, r->ids.n, &r->j->job.cancel, &computed);
  if (rc) return completion__run_failed(r, rc);
  r->stats.prefilled_tokens += computed;
  return 0;
}

/* The tokens of one step. `unused` becomes how many of them follow the end of the answer. */
static int on_step(void *user, const engine_step *step) {
  run *r = user;
  const int32_t *ids = step->ids;
  int n = step->n;
  r->unused = n;
  if (r->status) return 1;
  if (r->stats.tokens == 0) r->stats.first_token_ms = completion__now_ms() - r->j->started_ms;
  for (int i = 0; i < n; i++) {
    size_t len = 0;
    const char *text = engine_token_text(r->c->engine, ids[i], &len);
    if (engine_token_is_special(r->c->engine, ids[i])) { /* not text, whatever it means */
      r->stop = COMPLETION_STOP_MODEL;
      r->keep = r->text.len;
      return 1;
    }
    size_t typed = len < r->unwritten.len ? len : r->unwritten.len; /* not the answer's */
    r->unwritten = completion__slice_cut(r->unwritten, typed, r->unwritten.len);
    if (engine_tokens_push(&r->ids, ids[i]) ||
        completion__buffer_append(&r->text, text + typed, len - typed)) {
      r->status = COMPLETION_ENOMEM;
      return 1;
    }
    if (typed == 0) r->stats.tokens++;
    r->unused--;
    if (r->text.len == 0) continue;
    r->stop =
        completion__stop_check(&r->stop_rules, completion__buffer_slice(&r->text), false, &r->keep);
    if (r->stop != COMPLETION_STOP_NONE) return 1;
    if (r->stats.tokens == r->j->options.max_tokens) break;
  }
  if (!tell_all(r)) return 1;
  return r->stats.tokens == r->j->options.max_tokens;
}

static int decode(run *r) {
  completion_job *j = r->j;
  int status = sync(r);
  if (status) return status;
  bool heals = r->must.len > 0;
  engine_generate_params params = {.max_tokens = j->options.max_tokens + (int)r->must.len,
                                   .temperature = j->options.temperature,
                                   .top_p = j->options.top_p,
                                   .seed = j->options.seed,
                                   .choose = heals ? completion__heal_choose : NULL,
                                   .allow = heals ? completion__heal_allow : NULL,
                                   .choose_user = r,
                                   .draft = j->options.draft,
                                   .pool = r->c->pool};
  engine_generate_result result = {0};
  sync_pool(r);
  double start = completion__now_ms();
  int rc = engine_session_generate(r->c->session, &params, &j->job.cancel, on_step, r, &result);
  r->stats.decode_ms = completion__now_ms() - start;
  r->stats.steps = result.steps;
  r->stats.drafted = result.drafted;
  /* A step's last token is the model's own; of the guesses, those count that the answer has. */
  r->stats.accepted = result.accepted - (r->unused > 1 ? r->unused - 1 : 0);
  if (r->stats.accepted > r->stats.tokens) r->stats.accepted = r->stats.tokens;
  r->stats.host_ms = result.host_ms;
  if (rc) return completion__run_failed(r, rc);
  if (r->status) return r->status;
  if (r->stop != COMPLETION_STOP_NONE) return 0;
  if (result.stop == ENGINE_STOP_CANCELLED) return COMPLETION_ECANCELLED;
  bool ended = result.stop == ENGINE_STOP_TOKEN;
  r->stop =
      completion__stop_check(&r->stop_rules, completion__buffer_slice(&r->text), ended, &r->keep);
  if (r->stop == COMPLETION_STOP_NONE) {
    r->keep = r->text.len;
    r->stop = ended ? COMPLETION_STOP_MODEL : COMPLETION_STOP_LIMIT;
    if (!ended && r->stop_rules.extent != COMPLETION__LINE) { /* of several lines, whole ones */
      size_t line = completion__line_start(completion__buffer_slice(&r->text), r->text.len);
      if (!completion__slice_is_blank(completion__slice_of(r->text.s, line))) r->keep = line;
    }
  }
  return 0;
}

/* Answers from the last answer, goes on with it where it was cut short, or asks anew. */
static int complete(run *r) {
  completion__reuse *reuse = &r->c->reuse;
  completion__slice rest;
  switch (completion__reuse_agrees(reuse, &r->key.terms, completion__run_typed(r), &rest)) {
    case COMPLETION__AGREES_DONE:
      r->stop = reuse->stop;
      r->keep = rest.len;
      r->stats.prompt_tokens = reuse->prompt.tokens.n;
      return completion__buffer_append(&r->text, rest.s, rest.len);
    case COMPLETION__AGREES_SO_FAR: {
      int rc = engine_tokens_append(&r->ids, reuse->prompt.tokens.ids, reuse->prompt.tokens.n);
      if (!rc) rc = engine_tokens_append(&r->ids, reuse->middle.ids, reuse->middle.n);
      if (rc) return completion__run_failed(r, rc);
      int status = completion__buffer_append(&r->text, rest.s, rest.len);
      if (status) return status;
      break;
    }
    case COMPLETION__DISAGREES: {
      reuse->answered = false;
      int status = completion__heal_feed(r);
      if (status) return status;
      break;
    }
  }
  r->stats.prompt_tokens = r->ids.n;
  r->stop =
      completion__stop_check(&r->stop_rules, completion__buffer_slice(&r->text), false, &r->keep);
  int status = r->stop == COMPLETION_STOP_NONE ? decode(r) : 0;
  bool keep = status == 0 || (status == COMPLETION_ECANCELLED && r->stats.tokens > 0);
  if (keep) { /* the answer, or as much of it as there is */
    engine_tokens middle = {0};
    int prompt = reuse->prompt.tokens.n;
    bool whole = status == 0;
    if (!whole && engine_tokens_append(&middle, r->ids.ids + prompt, r->ids.n - prompt)) {
      engine_tokens_free(&middle);
      return status;
    }
    completion__slice text = completion__slice_of(r->text.s, whole ? r->keep : r->text.len);
    completion__reuse_keep(reuse, &r->key.terms, completion__run_typed(r), text, whole, r->stop,
                           &middle);
    engine_tokens_free(&middle);
  }
  return status;
}

/* What the answer will depend on. */
static completion__recent_key key_of(const run *r) {
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
                                            .seed = o->seed}};
}

/* Answers from an answer of before. */
static bool answer_again(run *r, int *status) {
  completion__answer a;
  if (r->j->has_selection || !completion__recent_find(&r->c->recent, &r->key, &a)) return false;
  r->stop = a.stop;
  r->keep = a.text.len;
  r->stats.prompt_tokens = a.prompt_tokens;
  r->stats.context_pieces = a.pieces;
  *status = completion__buffer_append(&r->text, a.text.s, a.text.len);
  return true;
}

static void keep_answer(run *r) {
  completion__answer a = {.text = completion__slice_of(r->text.s, r->keep),
                          .stop = r->stop,
                          .prompt_tokens = r->stats.prompt_tokens,
                          .pieces = r->stats.context_pieces};
  if (!r->j->has_selection) completion__recent_keep(&r->c->recent, &r->key, &a);
}

static int run_all(run *r) {
  completion_job *j = r->j;
  if (cancelled(r)) return COMPLETION_ECANCELLED;
  completion__through_begin(j);
  int status = find_cursor(r);
  if (status) return status;
  r->key = key_of(r);
  if (j->options.draft.sources) note_accepted(r);
  if (answer_again(r, &status)) return status;
  status = find_prompt(r);
  if (status) return status;
  if (cancelled(r)) return COMPLETION_ECANCELLED;
  completion__stop_init(&r->stop_rules, j->views[0].text->language, r->before, r->after, j->mode,
                        j->options.max_lines);
  double start = completion__now_ms();
  status = complete(r);
  r->stats.context_pieces = r->c->reuse.prompt.pieces;
  r->stats.prefill_ms = completion__now_ms() - start - r->stats.decode_ms;
  if (status == 0) keep_answer(r);
  if (status && status != COMPLETION_ECANCELLED) completion__reuse_clear(&r->c->reuse);
  return status;
}

void completion__job_run(engine_job *job) {
  completion_job *j = (completion_job *)job;
  run r = {.j = j, .c = j->owner};
  r.status = run_all(&r);
  r.stats.total_ms = completion__now_ms() - j->started_ms;
  tell(&r, r.keep, true, j->on_done);
  note_shown(&r);
  completion__syntax_refresh(r.c->parser, j->views[0].document, &j->job.cancel);
  completion__buffer_free(&r.virtual_before);
  completion__buffer_free(&r.text);
  engine_tokens_free(&r.ids);
  job_end(j);
}
