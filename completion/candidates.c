/* candidates.c - further texts for who asks by hand.
 *
 * They come from what the model has already said: at each token of the first line it also named the
 * likeliest other ones. The branches are tried in the order of the probability of their first
 * tokens, the answer's up to there and then the other one; each is written on by itself, from a KV
 * cache that needs to compute nothing but that token. What is no different when polished, or what
 * the grammar cannot read, is left out. */
#include <stdlib.h>
#include <string.h>

#include "completion/run.h"

#define BRANCHES_PER_TEXT 3 /* tried for each text that is wanted */
#define BRANCHES_MAX (BRANCHES_PER_TEXT * COMPLETION_CANDIDATES_MAX)
#define LEAST_LOGPROB (-6.0f) /* of a branch: rarer ones are noise */

typedef struct branch {
  int at; /* the token it stands in for */
  int32_t id;
  float logprob; /* from the cursor to it */
} branch;

/* The likeliest branches, best first. */
static int find_branches(const completion__run *r, branch *out, int max) {
  float sum = 0;
  int n = 0;
  size_t line = completion__line_end(completion__buffer_slice(&r->text), 0);
  for (int i = 0; i < r->n_tokens && sum > LEAST_LOGPROB; i++) {
    const completion__token *t = &r->tokens[i];
    size_t start = i ? r->tokens[i - 1].end : r->from;
    if (start > 0 && (start > line || start >= r->keep)) break;
    for (int k = 0; k < ENGINE_OTHERS; k++) {
      branch b = {i, t->others[k], sum + t->other_logprobs[k]};
      if (b.id < 0 || b.logprob < LEAST_LOGPROB || engine_token_is_special(r->c->engine, b.id))
        continue;
      int at = n;
      while (at > 0 && out[at - 1].logprob < b.logprob) at--;
      if (at == max) continue;
      if (n == max) n--;
      memmove(&out[at + 1], &out[at], (size_t)(n - at) * sizeof *out);
      out[at] = b;
      n++;
    }
    sum += t->logprob;
  }
  return n;
}

/* Makes `w` a run that has written the answer up to the branch. */
static int begin_branch(const completion__run *r, const branch *b, completion__run *w) {
  size_t len = 0, start = b->at ? r->tokens[b->at - 1].end : r->from;
  const char *text = engine_token_text(r->c->engine, b->id, &len);
  *w = (completion__run){.j = r->j,
                         .c = r->c,
                         .before = r->before,
                         .after = r->after,
                         .stop_rules = r->stop_rules,
                         .aside = true};
  if (engine_tokens_append(&w->ids, r->ids.ids, r->first + b->at) ||
      engine_tokens_push(&w->ids, b->id) || completion__buffer_append(&w->text, r->text.s, start) ||
      completion__buffer_append(&w->text, text, len))
    return COMPLETION_ENOMEM;
  w->verdict.stop = completion__stop_check(&w->stop_rules, completion__buffer_slice(&w->text),
                                           false, &w->keep);
  return 0;
}

static bool is_known(const completion__run *r, completion__slice main, const char *text) {
  if (completion__slice_equal(main, completion__slice_of(text, strlen(text)))) return true;
  for (int i = 0; i < r->n_others; i++)
    if (strcmp(r->others[i], text) == 0) return true;
  return false;
}

/* Adds the text of a finished branch. The same bytes must be replaced as by the answer. */
static void add(completion__run *r, completion__run *w, completion__slice main, size_t absorb) {
  completion__buffer shown = {0};
  size_t own = 0;
  int status = 0;
  if (r->j->has_selection)
    status = completion__buffer_append(&shown, r->j->selected.s, r->j->selected.len);
  size_t before = shown.len;
  if (!status) status = completion__run_polish(w, w->keep, &shown, &own);
  if (status || own != absorb || shown.len == before || is_known(r, main, shown.s)) {
    completion__buffer_free(&shown);
    return;
  }
  r->others[r->n_others++] = shown.s; /* zero-terminated, as every buffer is */
  /* Who takes a word of it goes on with the rest. The answer itself is kept after these. */
  completion__answer answer = {.text = completion__run_answer(w, w->keep),
                               .shown = completion__buffer_slice(&shown),
                               .absorb = own,
                               .verdict = w->verdict,
                               .prompt_tokens = r->stats.prompt_tokens,
                               .pieces = r->stats.context_pieces};
  if (!r->j->has_selection) completion__recent_keep(&r->c->recent, &r->key, &answer);
}

static void try_branch(completion__run *r, const branch *b, completion__slice main,
                       size_t absorb) {
  completion__run w;
  int status = begin_branch(r, b, &w);
  if (!status && w.verdict.stop == COMPLETION_STOP_NONE) status = completion__write(&w);
  if (!status) status = completion__decide_shown(&w);
  if (!status && w.keep) add(r, &w, main, absorb);
  r->stats.prefilled_tokens += w.stats.prefilled_tokens;
  r->stats.decode_ms += w.stats.decode_ms;
  r->stats.gate_ms += w.stats.gate_ms;
  r->stats.host_ms += w.stats.host_ms;
  completion__run_free(&w);
}

void completion__candidates_find(completion__run *r) {
  int wanted = r->j->candidates - 1;
  branch branches[BRANCHES_MAX];
  completion__buffer main = {0};
  size_t absorb = 0;
  if (wanted < 1 || r->keep == 0) return;
  int status = 0;
  if (r->j->has_selection)
    status = completion__buffer_append(&main, r->j->selected.s, r->j->selected.len);
  if (!status) status = completion__run_polish(r, r->keep, &main, &absorb);
  int n = status ? 0 : find_branches(r, branches, BRANCHES_PER_TEXT * wanted);
  for (int i = 0; i < n && r->n_others < wanted && !atomic_load(&r->j->job.cancel); i++)
    try_branch(r, &branches[i], completion__buffer_slice(&main), absorb);
  completion__buffer_free(&main);
}
