/* completion.c - the public face: documents, options, requests in and out.
 *
 * What a request needs is copied or held here, on the front thread; from engine_post on it
 * belongs to the engine thread (job.c) and shares nothing but its cancel flag. */
#include "completion/completion.h"

#include <stdlib.h>
#include <string.h>

#include "completion/job.h"
#include "completion/prompt.h"

/* Sources that the workspace's files are. */
#define SEEDED (1u << ENGINE_SOURCE_IMPORTED | 1u << ENGINE_SOURCE_WORKSPACE)

/* ---- words ----------------------------------------------------------------------------- */

const char *completion_strstatus(int status) {
  switch (status) {
    case COMPLETION_OK:
      return "no error";
    case COMPLETION_ENOMEM:
      return "out of memory";
    case COMPLETION_EINVAL:
      return "no such document or position";
    case COMPLETION_ECANCELLED:
      return "cancelled";
    case COMPLETION_EENGINE:
      return "the model could not be run";
    case COMPLETION_EUNFIT:
      return "the model has no fill-in-the-middle tokens";
    default:
      return "unknown completion status";
  }
}

const char *completion_strquiet(completion_quiet quiet) {
  static const char *const names[] = {"",        "in a comment", "in a string", "mid-line",
                                      "nothing", "there already", "broken",     "unsure"};
  return quiet >= 0 && (size_t)quiet < sizeof names / sizeof *names ? names[quiet] : "";
}

const char *completion_strsource(completion_source source) {
  static const char *const names[] = {"model", "typed", "recent", "nothing"};
  return source >= 0 && (size_t)source < sizeof names / sizeof *names ? names[source] : "";
}

const char *completion_strstop(completion_stop stop) {
  switch (stop) {
    case COMPLETION_STOP_NONE:
      return "none";
    case COMPLETION_STOP_MODEL:
      return "model";
    case COMPLETION_STOP_LINE:
      return "line";
    case COMPLETION_STOP_BLOCK:
      return "block";
    case COMPLETION_STOP_SUFFIX:
      return "suffix";
    case COMPLETION_STOP_REPEAT:
      return "repeat";
    case COMPLETION_STOP_LIMIT:
      return "limit";
    case COMPLETION_STOP_CANCELLED:
      return "cancelled";
  }
  return "unknown";
}

/* ---- the engine thread, waited for ----------------------------------------------------- */

typedef struct errand {
  engine_job job; /* first */
  completion *c;
  completion__view *views; /* of a prompt that is asked for: [n_views], its place, its tokens */
  int n_views; /* of which the engine thread releases some */
  const completion__edits *edits;
  uint64_t rules;
  size_t offset;
  engine_tokens *tokens;
  pthread_mutex_t lock;
  pthread_cond_t done_changed;
  bool done;
  int status;
} errand;

static void errand_done(errand *e, int status) {
  pthread_mutex_lock(&e->lock);
  e->status = status;
  e->done = true;
  pthread_cond_signal(&e->done_changed);
  pthread_mutex_unlock(&e->lock);
}

static void errand_open(engine_job *job) {
  errand *e = (errand *)job;
  int status = engine_session_new(e->c->engine, &e->c->session);
  if (status == 0 && e->c->options.draft.sources) status = engine_session_prepare(e->c->session);
  errand_done(e, status == 0               ? 0
                 : status == ENGINE_ENOMEM ? COMPLETION_ENOMEM
                                           : COMPLETION_EENGINE);
}

static void errand_close(engine_job *job) {
  errand *e = (errand *)job;
  completion__reuse_clear(&e->c->reuse);
  completion__settled_clear(&e->c->settled);
  completion__memo_clear(&e->c->memo);
  completion__recent_clear(&e->c->recent);
  completion__buffer_free(&e->c->shown.text);
  completion__parser_delete(e->c->parser);
  engine_session_delete(e->c->session);
  errand_done(e, 0);
}

static void errand_prompt(engine_job *job) {
  errand *e = (errand *)job;
  completion *c = e->c;
  completion__slice text = completion__text_slice(e->views[0].text);
  e->n_views = completion__share(c, e->views, e->n_views, e->rules);
  completion__prompt_request r = {.engine = c->engine,
                                  .memo = &c->memo,
                                  .parser = c->parser,
                                  .views = e->views,
                                  .n_views = e->n_views,
                                  .workspace = c->workspace,
                                  .edits = e->edits,
                                  .before = completion__slice_cut(text, 0, e->offset),
                                  .after = completion__slice_cut(text, e->offset, text.len),
                                  .budget = c->options.prompt_tokens,
                                  .no_context = c->options.no_context};
  completion__prompt prompt;
  int status = completion__prompt_build(&r, &prompt);
  if (!status) {
    if (engine_tokens_append(e->tokens, prompt.tokens.ids, prompt.tokens.n))
      status = COMPLETION_ENOMEM;
    completion__prompt_free(&prompt);
  }
  completion__pool_sync(c, e->views, e->n_views);
  errand_done(e, status);
}

/* Sessions are made and ended on the engine thread; this waits until that was done. */
static int run_errand(completion *c, errand *e, void (*run)(engine_job *)) {
  e->job.run = run;
  e->c = c;
  atomic_init(&e->job.cancel, false);
  pthread_mutex_init(&e->lock, NULL);
  pthread_cond_init(&e->done_changed, NULL);
  engine_post(c->engine, &e->job);
  pthread_mutex_lock(&e->lock);
  while (!e->done) pthread_cond_wait(&e->done_changed, &e->lock);
  pthread_mutex_unlock(&e->lock);
  pthread_cond_destroy(&e->done_changed);
  pthread_mutex_destroy(&e->lock);
  return e->status;
}

/* ---- life ------------------------------------------------------------------------------ */

static void specials_collect(completion *c) {
  const engine_special *s = &engine_get_info(c->engine)->special;
  const int32_t ids[COMPLETION__SPECIALS_MAX] = {s->endoftext,  s->im_start,   s->im_end,
                                                 s->fim_prefix, s->fim_middle, s->fim_suffix,
                                                 s->fim_pad,    s->repo_name,  s->file_sep};
  for (int i = 0; i < COMPLETION__SPECIALS_MAX; i++) {
    if (ids[i] < 0) continue;
    size_t len = 0;
    const char *text = engine_token_text(c->engine, ids[i], &len);
    if (len) c->special[c->n_special++] = completion__slice_of(text, len);
  }
}

int completion_new(completion **out, engine *e, const completion_options *options) {
  if (!out) return COMPLETION_EINVAL;
  *out = NULL;
  if (!e) return COMPLETION_EINVAL;
  completion *c = calloc(1, sizeof *c);
  if (!c) return COMPLETION_ENOMEM;
  c->engine = e;
  c->rules = 1;
  pthread_mutex_init(&c->lock, NULL);
  pthread_cond_init(&c->idle, NULL);
  specials_collect(c);
  c->parser = completion__parser_new(COMPLETION__PATIENCE_MS);
  c->opened = completion__opened_new(COMPLETION__PATIENCE_MS);
  if (engine_pool_new(&c->pool, 0) == 0) c->workspace = completion__workspace_new(e, c->pool);
  int status = c->parser && c->opened && c->workspace ? 0 : COMPLETION_ENOMEM;
  if (!status) c->parser->opened = c->opened;
  if (!status) status = completion_set_options(c, options);
  if (!status) status = run_errand(c, &(errand){0}, errand_open);
  if (status) {
    completion__parser_delete(c->parser);
    completion__opened_delete(c->opened);
    completion__workspace_delete(c->workspace);
    engine_pool_delete(c->pool);
    pthread_cond_destroy(&c->idle);
    pthread_mutex_destroy(&c->lock);
    free(c);
    return status;
  }
  *out = c;
  return 0;
}

void completion_delete(completion *c) {
  if (!c) return;
  pthread_mutex_lock(&c->lock);
  for (completion_job *j = c->active; j; j = j->next) atomic_store(&j->job.cancel, true);
  completion__opened_wake(c->opened);
  while (c->active) pthread_cond_wait(&c->idle, &c->lock);
  pthread_mutex_unlock(&c->lock);
  completion__workspace_delete(c->workspace);
  run_errand(c, &(errand){0}, errand_close);
  completion__opened_delete(c->opened);
  completion__documents_free(&c->documents);
  engine_pool_delete(c->pool);
  pthread_cond_destroy(&c->idle);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

void completion_fill_options(completion_options *o) {
  if (!o->prompt_tokens) o->prompt_tokens = COMPLETION__PROMPT_TOKENS;
  if (!o->max_tokens) o->max_tokens = COMPLETION__MAX_TOKENS;
  if (!o->max_lines) o->max_lines = COMPLETION__MAX_LINES;
}

int completion_set_options(completion *c, const completion_options *options) {
  completion_options o = options ? *options : (completion_options){0};
  if (o.prompt_tokens < 0 || o.max_tokens < 0 || o.max_lines < 0 || !(o.temperature >= 0) ||
      !(o.top_p >= 0 && o.top_p <= 1))
    return COMPLETION_EINVAL;
  completion_fill_options(&o);
  if (!o.draft.sources && engine_draft_parse("all", &o.draft)) return COMPLETION_EINVAL;
  if (o.no_draft) o.draft = (engine_draft){0};
  c->options = o;
  return 0;
}

/* ---- documents ------------------------------------------------------------------------- */

int completion_document_set(completion *c, const completion_document *d) {
  int before = c->documents.n;
  completion__document *known =
      d && d->uri ? completion__documents_find(&c->documents, d->uri) : NULL;
  completion__text *old = known ? completion__text_hold(known->text) : NULL;
  int status = completion__documents_set(&c->documents, d);
  if (!status && c->documents.n > before) {
    completion__document *opened = c->documents.items[before];
    completion__workspace_opened(c->workspace, opened->path);
    completion__opened_add(c->opened, opened, opened->text);
  }
  if (!status && known)
    completion__edits_note(&c->edits, known, completion__text_slice(old),
                           completion__text_slice(known->text));
  completion__text_release(old);
  return status;
}

void completion_document_remove(completion *c, const char *uri) {
  completion__document *d = uri ? completion__documents_find(&c->documents, uri) : NULL;
  if (!d) return;
  completion__workspace_closed(c->workspace, d->path);
  completion__edits_forget(&c->edits, d);
  completion__opened_remove(c->opened, d);
  completion__documents_remove(&c->documents, uri);
}

int completion_root_add(completion *c, const char *path) {
  int before = c->documents.n_roots;
  int status = completion__documents_root_add(&c->documents, path);
  if (status || c->documents.n_roots == before) return status;
  c->rules++;
  if (!(c->options.draft.sources & SEEDED)) return 0; /* nobody wants it read */
  return completion__workspace_add(c->workspace, c->documents.roots[before]);
}

void completion_root_remove(completion *c, const char *path) {
  if (path) completion__workspace_remove(c->workspace, path);
  completion__documents_root_remove(&c->documents, path);
  c->rules++;
}

int completion_root_changed(completion *c, const char *path) {
  c->rules++;
  return completion__workspace_again(c->workspace, path);
}

completion_workspace_info completion_workspace_get_info(completion *c) {
  completion_workspace_info info = completion__workspace_get_info(c->workspace);
  info.busy |= completion__opened_busy(c->opened);
  return info;
}

void completion_workspace_wait(completion *c) { completion__workspace_wait(c->workspace); }

void completion_file_changed(completion *c, const char *path) {
  if (completion_is_rules(path)) c->rules++;
  completion__workspace_changed(c->workspace, path);
}

int completion_workspace_each(completion *c, int (*on_file)(void *user, const char *path),
                              void *user) {
  return completion__workspace_each(c->workspace, on_file, user);
}

engine_pool *completion_pool(completion *c) { return c->pool; }

/* ---- requests -------------------------------------------------------------------------- */

static bool is_position(const completion__text *t, size_t raw) {
  if (raw > t->raw_len) return false;
  size_t at = completion__text_offset(t, raw);
  return at == t->len || !completion__utf8_inside(t->bytes[at]);
}

static bool on_one_line(const completion__text *t, size_t raw_from, size_t raw_to) {
  size_t from = completion__text_offset(t, raw_from), to = completion__text_offset(t, raw_to);
  return from <= to && completion__line_end(completion__text_slice(t), from) >= to;
}

static int selection_set(completion_job *j, const completion_query *q, const completion__text *t) {
  size_t end = q->selected_end < q->offset ? q->offset : q->selected_end;
  if (q->selected_start > q->offset || !is_position(t, q->selected_start) || !is_position(t, end) ||
      !on_one_line(t, q->selected_start, end))
    return COMPLETION_EINVAL;
  j->has_selection = true;
  j->selected_start = q->selected_start;
  j->selected_end = end;
  return completion__buffer_add(&j->selected, q->selected_text);
}

int completion_prompt(completion *c, const char *uri, size_t offset, engine_tokens *out) {
  completion__view views[COMPLETION__VIEWS_MAX];
  completion__document *d = uri ? completion__documents_find(&c->documents, uri) : NULL;
  if (!d || !is_position(d->text, offset)) return COMPLETION_EINVAL;
  errand e = {.views = views,
              .edits = &c->edits,
              .rules = c->rules,
              .n_views = completion__documents_view(&c->documents, d, views, COMPLETION__VIEWS_MAX),
              .offset = completion__text_offset(d->text, offset),
              .tokens = out};
  int status = run_errand(c, &e, errand_prompt);
  for (int i = 0; i < e.n_views; i++) completion__view_release(&views[i]);
  return status;
}

int completion_start(completion *c, const completion_query *q, completion_job **job) {
  if (job) *job = NULL;
  if (!q || !q->uri || !q->on_done || q->max_tokens < 0 || q->mode < COMPLETION_AUTO ||
      q->mode > COMPLETION_MULTI_LINE || q->candidates < 0 ||
      q->candidates > COMPLETION_CANDIDATES_MAX)
    return COMPLETION_EINVAL;
  completion__document *d = completion__documents_find(&c->documents, q->uri);
  if (!d || !is_position(d->text, q->offset)) return COMPLETION_EINVAL;
  const engine_special *special = &engine_get_info(c->engine)->special;
  if (special->fim_prefix < 0 || special->fim_suffix < 0 || special->fim_middle < 0)
    return COMPLETION_EUNFIT;
  completion_job *j = calloc(1, sizeof *j);
  if (!j) return COMPLETION_ENOMEM;
  j->started_ms = completion__now_ms();
  j->job.run = completion__job_run;
  atomic_init(&j->job.cancel, false);
  atomic_init(&j->refs, job ? 2 : 1);
  j->owner = c;
  j->options = c->options;
  if (q->max_tokens) j->options.max_tokens = q->max_tokens;
  j->mode = q->mode;
  if (q->without) {
    if (strcmp(q->without, "gate") == 0) j->options.no_gate = true;
    if (strcmp(q->without, "polish") == 0) j->options.no_polish = true;
    j->anew = true;
  }
  j->automatic = q->automatic;
  j->candidates = q->candidates ? q->candidates : 1;
  j->offset = q->offset;
  j->edits = c->edits;
  j->rules = c->rules;
  j->on_update = q->on_update;
  j->on_done = q->on_done;
  j->user = q->user;
  int status = q->selected_text ? selection_set(j, q, d->text) : 0;
  if (!status && q->replay) status = completion__buffer_add(&j->replay, q->replay);
  if (status) {
    completion__buffer_free(&j->selected);
    completion__buffer_free(&j->replay);
    free(j);
    return status;
  }
  j->n_views = completion__documents_view(&c->documents, d, j->views,
                                          c->options.no_context ? 1 : COMPLETION__VIEWS_MAX);
  j->n_rest = completion__documents_rest(&c->documents, j->rest, COMPLETION__VIEWS_MAX);
  pthread_mutex_lock(&c->lock);
  j->next = c->active;
  if (j->next) j->next->previous = j;
  c->active = j;
  pthread_mutex_unlock(&c->lock);
  if (job) *job = j;
  if (q->follows) completion__through_follow(q->follows, j);
  engine_post(c->engine, &j->job);
  return 0;
}

void completion_job_cancel(completion_job *job) {
  if (!job) return;
  atomic_store(&job->job.cancel, true);
  completion__opened_wake(job->owner->opened);
}

void completion_job_release(completion_job *job) {
  if (job) completion__job_unref(job);
}
