/* write.c - the model writes, and is stopped where the rules say so. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "completion/run.h"

static int sync(completion__run *r) {
  int computed = 0;
  int rc = engine_session_sync(r->c->session, r->ids.ids, r->ids.n, &r->j->job.cancel, &computed);
  if (rc) return completion__run_failed(r, rc);
  r->stats.prefilled_tokens += computed;
  return 0;
}

/* Only for a request that decodes: one that agrees with the ghost text needs no guesses. */
static void sync_pool(completion__run *r) {
  if (!r->pool_is_synced && r->j->options.draft.sources && !r->aside)
    completion__pool_sync(r->c, r->j->views, r->j->n_views);
  r->pool_is_synced = true;
}

/* What need not wait for the GPU. A new document's tokens take as long as a few steps. */
static void while_busy(void *user) {
  completion__run *r = user;
  sync_pool(r);
  completion__decide_prepare(r);
}

static int keep_token(completion__run *r, const engine_step *step, int i) {
  if (r->n_tokens == r->token_capacity) {
    int capacity = r->token_capacity ? 2 * r->token_capacity : 64;
    completion__token *grown = realloc(r->tokens, (size_t)capacity * sizeof *grown);
    if (!grown) return COMPLETION_ENOMEM;
    r->tokens = grown;
    r->token_capacity = capacity;
  }
  completion__token *t = &r->tokens[r->n_tokens++];
  t->end = r->text.len;
  t->logprob = step->logprobs ? step->logprobs[i] : 0;
  for (int k = 0; k < ENGINE_OTHERS; k++) {
    t->others[k] = step->others ? step->others[i * ENGINE_OTHERS + k] : -1;
    t->other_logprobs[k] = step->others ? step->other_logprobs[i * ENGINE_OTHERS + k] : 0;
  }
  return 0;
}

double completion__run_confidence(const completion__run *r, size_t keep) {
  double sum = 0;
  int n = 0;
  for (int i = 0; i < r->n_tokens; i++) {
    size_t start = i ? r->tokens[i - 1].end : r->from;
    if (start >= keep || r->tokens[i].end == start || r->tokens[i].others[0] < 0)
      continue; /* no choice of the model's */
    sum += r->tokens[i].logprob;
    n++;
  }
  return n ? exp(sum / n) : 0;
}

/* The tokens of one step. `unused` becomes how many of them follow the end of the answer. */
static int on_step(void *user, const engine_step *step) {
  completion__run *r = user;
  r->unused = step->n;
  r->stats.late_steps += atomic_load(&r->j->job.cancel);
  if (r->status) return 1;
  if (r->stats.tokens == 0 && !r->aside)
    r->stats.first_token_ms = completion__now_ms() - r->j->started_ms;
  for (int i = 0; i < step->n; i++) {
    int32_t id = step->ids[i];
    size_t len = 0;
    const char *text = engine_token_text(r->c->engine, id, &len);
    if (engine_token_is_special(r->c->engine, id)) { /* not text, whatever it means */
      r->verdict.stop = COMPLETION_STOP_MODEL;
      r->keep = r->text.len;
      return 1;
    }
    size_t typed = len < r->unwritten.len ? len : r->unwritten.len; /* not the answer's */
    r->unwritten = completion__slice_cut(r->unwritten, typed, r->unwritten.len);
    if (engine_tokens_push(&r->ids, id) ||
        completion__buffer_append(&r->text, text + typed, len - typed) || keep_token(r, step, i)) {
      r->status = COMPLETION_ENOMEM;
      return 1;
    }
    if (typed == 0) r->stats.tokens++;
    r->unused--;
    if (r->text.len == 0) continue;
    r->verdict.stop =
        completion__stop_check(&r->stop_rules, completion__buffer_slice(&r->text), false, &r->keep);
    if (r->verdict.stop != COMPLETION_STOP_NONE) return 1;
    if (r->stats.tokens == r->j->options.max_tokens) break;
  }
  if (!r->aside && !completion__tell_step(r)) return 1;
  return r->stats.tokens == r->j->options.max_tokens;
}

/* No rule has said stop: the model did, or there is no room for more. */
static void stop_at_end(completion__run *r, bool ended) {
  completion__verdict *v = &r->verdict;
  v->stop =
      completion__stop_check(&r->stop_rules, completion__buffer_slice(&r->text), ended, &r->keep);
  if (v->stop != COMPLETION_STOP_NONE) return;
  r->keep = r->text.len;
  v->stop = ended ? COMPLETION_STOP_MODEL : COMPLETION_STOP_LIMIT;
  if (ended) return;
  size_t line = completion__line_start(completion__buffer_slice(&r->text), r->text.len);
  if (!completion__slice_is_blank(completion__slice_of(r->text.s, line)))
    r->keep = line; /* of several lines, whole ones */
}

/* For measuring: the tokens of what is yet to be written of the typed text, and of the text that is
 * taken for the model's. completion__heal_choose gives as many of them as the first takes. */
static int begin_replay(completion__run *r, engine_generate_params *params) {
  completion__slice told = completion__buffer_slice(&r->j->replay);
  completion__buffer text = {0};
  if (told.len <= r->text.len) return 0;
  int status = completion__buffer_append(&text, r->must.s, r->must.len);
  if (!status)
    status = completion__buffer_append(&text, told.s + r->text.len, told.len - r->text.len);
  int rc = status ? 0 : engine_tokenize(r->c->engine, text.s, text.len, false, &r->replay);
  completion__buffer_free(&text);
  if (status || rc) return status ? status : completion__run_failed(r, rc);
  int n = 0;
  for (size_t len = 0, one; len < r->must.len && n < r->replay.n; n++, len += one)
    engine_token_text(r->c->engine, r->replay.ids[n], &one);
  params->replay = r->replay.ids + n;
  params->n_replay = r->replay.n - n;
  return 0;
}

static int write_text(completion__run *r) {
  completion_job *j = r->j;
  int status = sync(r);
  if (status) return status;
  bool heals = r->must.len > 0;
  r->first = r->ids.n;
  r->from = r->text.len;
  r->n_tokens = 0;
  engine_generate_params params = {.max_tokens = j->options.max_tokens + (int)r->must.len,
                                   .temperature = j->options.temperature,
                                   .top_p = j->options.top_p,
                                   .seed = j->options.seed,
                                   .score = j->options.confidence > 0 || j->candidates > 1,
                                   .choose = heals ? completion__heal_choose : NULL,
                                   .allow = heals ? completion__heal_allow : NULL,
                                   .choose_user = r,
                                   .draft = j->options.draft,
                                   .pool = r->c->pool};
  engine_generate_result result = {0};
  if (j->replay.len) status = begin_replay(r, &params);
  if (status) return status;
  sync_pool(r);
  double start = completion__now_ms();
  int rc = engine_session_generate(r->c->session, &params, &j->job.cancel, on_step, r, &result);
  r->stats.decode_ms += completion__now_ms() - start;
  r->stats.steps += result.steps;
  r->stats.drafted += result.drafted;
  /* A step's last token is the model's own; of the guesses, those count that the answer has. */
  r->stats.accepted += result.accepted - (r->unused > 1 ? r->unused - 1 : 0);
  if (r->stats.accepted > r->stats.tokens) r->stats.accepted = r->stats.tokens;
  r->stats.host_ms += result.host_ms;
  if (rc) return completion__run_failed(r, rc);
  if (r->status) return r->status;
  if (r->verdict.stop != COMPLETION_STOP_NONE) return 0;
  if (result.stop == ENGINE_STOP_CANCELLED) return COMPLETION_ECANCELLED;
  stop_at_end(r, result.stop == ENGINE_STOP_TOKEN);
  return 0;
}

int completion__write(completion__run *r) {
  bool gpu = engine_get_info(r->c->engine)->device_total > 0;
  if (gpu && !r->aside)
    engine_session_meanwhile(r->c->session, while_busy, r);
  int status = write_text(r);
  engine_session_meanwhile(r->c->session, NULL, NULL);
  return status;
}
