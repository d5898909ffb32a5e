/* draft.c - a drafter's life, and the text that it guesses in. */
#include "engine/draft_internal.h"

#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"

#define SPARE 512 /* tokens that a text may go on without its index growing meanwhile */

static const int session_levels[] = {1, 2, 4};
enum { N_SESSION_LEVELS = 3 };

/* ---- life ------------------------------------------------------------------------------ */

int drafter_new(drafter **out, const engine *e) {
  *out = NULL;
  drafter *d = calloc(1, sizeof *d);
  if (d == NULL) return ENGINE_ENOMEM;
  d->engine = e;
  int vocab = engine_get_info(e)->vocab;
  d->all_views = malloc(2 * sizeof *d->all_views);
  d->views = d->all_views;
  d->aheads = malloc(DRAFT_AHEADS * sizeof *d->aheads);
  d->special = calloc((size_t)vocab / 8 + 1, 1);
  bool bad = d->views == NULL || d->aheads == NULL || d->special == NULL;
  int rc = bad ? ENGINE_ENOMEM : ENGINE_OK;
  if (rc == ENGINE_OK) rc = ngrams_init(&d->session, session_levels, N_SESSION_LEVELS);
  if (rc == ENGINE_OK) rc = recycle_init(&d->recycled, vocab);
  if (rc != ENGINE_OK) {
    drafter_delete(d);
    return rc;
  }
  for (int32_t id = 0; id < vocab; id++)
    if (engine_token_is_special(e, id)) d->special[id / 8] |= (uint8_t)(1u << id % 8);
  d->vocab = vocab;
  draft__default_weights(d);
  *out = d;
  return ENGINE_OK;
}

void drafter_delete(drafter *d) {
  if (d == NULL) return;
  ngrams_free(&d->session);
  recycle_free(&d->recycled);
  free(d->text);
  free(d->all_views);
  free(d->aheads);
  free(d->special);
  free(d);
}

/* ---- the text -------------------------------------------------------------------------- */

static int32_t indexed(const drafter *d, int32_t id) {
  return draft__is_special(d, id) ? NGRAMS_BORDER : id;
}

/* Room for so many tokens more. */
static int reserve_text(drafter *d, int more) {
  int rc = ngrams_reserve(&d->session, (uint32_t)more), n = d->n_text + more;
  if (rc != ENGINE_OK || n <= d->text_capacity) return rc;
  int capacity = n + n / 2 + 256;
  int32_t *grown = realloc(d->text, (size_t)capacity * sizeof *grown);
  if (grown == NULL) return ENGINE_ENOMEM;
  d->text = grown;
  d->text_capacity = capacity;
  return ENGINE_OK;
}

static void add_context(drafter *d, const int32_t *ids, int n) {
  for (int i = n > DRAFT_KEPT ? n - DRAFT_KEPT : 0; i < n; i++) {
    if (d->n_context == 2 * DRAFT_KEPT) {
      memmove(d->context, d->context + DRAFT_KEPT, DRAFT_KEPT * sizeof *d->context);
      d->n_context = DRAFT_KEPT;
    }
    d->context[d->n_context++] = indexed(d, ids[i]);
  }
}

/* What leads to the cursor: the prefix, and what was written after <|fim_middle|>. */
static void find_context(drafter *d, const int32_t *tokens, int n) {
  const engine_special *s = &engine_get_info(d->engine)->special;
  int middle = n - 1, suffix, from = 0;
  d->n_context = 0;
  while (s->fim_middle >= 0 && middle >= 0 && tokens[middle] != s->fim_middle) middle--;
  if (s->fim_middle < 0 || middle < 0) {
    add_context(d, tokens, n);
    return;
  }
  for (suffix = middle; suffix > 0 && tokens[suffix] != s->fim_suffix;) suffix--;
  for (from = suffix; from > 0 && tokens[from - 1] != s->fim_prefix;) from--;
  add_context(d, tokens + from, suffix - from);
  add_context(d, tokens + middle + 1, n - middle - 1);
}

int drafter_begin(drafter *d, const int32_t *tokens, int n) {
  int same = 0;
  drafter_settle(d);
  d->tree.n = 0;
  while (same < n && same < d->n_text && d->text[same] == tokens[same]) same++;
  int kept = d->n_text - same < same ? same : 0; /* else it is less work to begin anew */
  if (kept == 0) ngrams_clear(&d->session);
  else ngrams_truncate(&d->session, 1 + (uint32_t)kept);
  d->n_text = kept;
  int rc = reserve_text(d, n - kept + SPARE);
  if (rc != ENGINE_OK) return rc;
  for (int i = kept; i < n; i++) ngrams_push(&d->session, indexed(d, tokens[i]));
  memcpy(d->text + kept, tokens + kept, (size_t)(n - kept) * sizeof *tokens);
  d->n_text = n;
  find_context(d, tokens, n);
  return ENGINE_OK;
}

int drafter_push(drafter *d, const int32_t *ids, int n) {
  int rc = reserve_text(d, n);
  if (rc != ENGINE_OK) return rc;
  for (int i = 0; i < n; i++) ngrams_push(&d->session, indexed(d, ids[i]));
  memcpy(d->text + d->n_text, ids, (size_t)n * sizeof *ids);
  d->n_text += n;
  add_context(d, ids, n);
  return ENGINE_OK;
}

draft_counts drafter_get_counts(const drafter *d) { return d->counts; }

int32_t drafter_before(const drafter *d) {
  return d->n_context > 1 ? d->context[d->n_context - 2] : -1;
}
