/* reuse.c - see reuse.h. */
#include "completion/reuse.h"

#include <string.h>

#define AUTO_CLOSED_MAX 4 /* characters that an editor adds behind the cursor by itself */

void completion__reuse_clear(completion__reuse *r) {
  completion__document_release(r->key.document);
  completion__buffer_free(&r->before);
  completion__buffer_free(&r->after);
  completion__buffer_free(&r->typed);
  completion__buffer_free(&r->text);
  completion__prompt_free(&r->prompt);
  engine_tokens_free(&r->middle);
  *r = (completion__reuse){0};
}

/* The text after the cursor is the anchor's, or has brackets and quotes in front of it that
 * the editor added when their partners were typed. */
static bool after_fits(const completion__reuse *r, completion__slice after,
                       completion__slice typed) {
  completion__slice old = completion__buffer_slice(&r->after);
  if (after.len < old.len || after.len - old.len > AUTO_CLOSED_MAX) return false;
  size_t added = after.len - old.len;
  if (!completion__slice_equal(completion__slice_cut(after, added, after.len), old)) return false;
  for (size_t i = 0; i < added; i++) {
    char c = after.s[i];
    char opener = c == ')' ? '(' : c == ']' ? '[' : c == '}' ? '{' : c == '>' ? '<' : c;
    if (!strchr(")]}>\"'`", c) || !memchr(typed.s, opener, typed.len)) return false;
  }
  return true;
}

bool completion__reuse_fits(const completion__reuse *r, const completion__reuse_key *key,
                            completion__slice before, completion__slice after, size_t *typed) {
  completion__slice old = completion__buffer_slice(&r->before);
  if (!r->key.document || r->key.document != key->document || r->key.budget != key->budget ||
      r->key.no_context != key->no_context || !completion__slice_starts(before, old))
    return false;
  completion__slice since = completion__slice_cut(before, old.len, before.len);
  if (since.len > COMPLETION__TYPED_BYTES || (since.len && memchr(since.s, '\n', since.len)))
    return false;
  if (!after_fits(r, after, since)) return false;
  *typed = since.len;
  return true;
}

static int set(completion__buffer *b, completion__slice t) {
  b->len = 0;
  return completion__buffer_append(b, t.s, t.len);
}

int completion__reuse_anchor(completion__reuse *r, const completion__reuse_key *key,
                             completion__slice before, completion__slice after,
                             completion__prompt *prompt) {
  completion__reuse_clear(r);
  int status = set(&r->before, before);
  if (!status) status = set(&r->after, after);
  if (status) {
    completion__reuse_clear(r);
    return status;
  }
  r->key = *key;
  completion__document_hold(r->key.document);
  r->prompt = *prompt;
  *prompt = (completion__prompt){0};
  return 0;
}

bool completion__reuse_same_terms(const completion__reuse_terms *a,
                                  const completion__reuse_terms *b) {
  return a->mode == b->mode && a->max_tokens == b->max_tokens && a->max_lines == b->max_lines &&
         a->temperature == b->temperature && a->top_p == b->top_p && a->seed == b->seed &&
         a->no_gate == b->no_gate && a->no_polish == b->no_polish;
}

completion__agreement completion__reuse_agrees(const completion__reuse *r,
                                               const completion__reuse_terms *terms,
                                               completion__slice typed, completion__slice *rest) {
  completion__slice old = completion__buffer_slice(&r->typed),
                    text = completion__buffer_slice(&r->text);
  if (!r->answered || !completion__reuse_same_terms(&r->terms, terms) ||
      !completion__slice_starts(typed, old))
    return COMPLETION__DISAGREES;
  completion__slice since = completion__slice_cut(typed, old.len, typed.len);
  if (!completion__slice_starts(text, since)) return COMPLETION__DISAGREES;
  *rest = completion__slice_cut(text, since.len, text.len);
  if (!r->complete) return COMPLETION__AGREES_SO_FAR;
  /* All of it was typed: what comes then is a new question, unless nothing was to come. */
  return rest->len || !since.len ? COMPLETION__AGREES_DONE : COMPLETION__DISAGREES;
}

void completion__reuse_keep(completion__reuse *r, const completion__reuse_terms *terms,
                            completion__slice typed, completion__slice text, bool complete,
                            const completion__verdict *verdict, engine_tokens *middle) {
  r->answered = set(&r->typed, typed) == 0 && set(&r->text, text) == 0;
  r->complete = complete;
  r->terms = *terms;
  r->verdict = *verdict;
  engine_tokens_free(&r->middle);
  r->middle = *middle;
  *middle = (engine_tokens){0};
}
