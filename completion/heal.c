/* heal.c - token healing: a cursor inside a word.
 *
 * The model was trained on whole tokens; a text that ends in the middle of one is followed by
 * tokens that it has hardly ever seen there. So the last token of what was typed is taken back, and
 * the model writes it again, with the choice only of tokens that agree with it. */
#include <string.h>

#include "completion/run.h"
#include "completion/window.h"

/* The token that the tokenizer would begin the bytes with, or -1. */
static int first_token(const engine *e, completion__slice t, int32_t *id) {
  engine_tokens own = {0};
  *id = -1;
  int rc = t.len ? engine_tokenize(e, t.s, t.len, false, &own) : 0;
  size_t len = 0;
  const char *text = rc == 0 && own.n ? engine_token_text(e, own.ids[0], &len) : "";
  if (len && len <= t.len && memcmp(text, t.s, len) == 0) *id = own.ids[0]; /* else normalised */
  engine_tokens_free(&own);
  return rc;
}

/* Is the line indented already, further than the one above it? Then whoever indented it, the editor
 * or the user, has said how far. */
static bool is_indented(const completion__run *r) {
  size_t start = completion__line_start(r->before, r->before.len);
  completion__slice line = completion__slice_cut(r->before, start, r->before.len);
  completion__slice above = completion__line_last_full(completion__slice_cut(r->before, 0, start));
  return line.len && above.len && completion__slice_is_blank(line) &&
         completion__indent_columns(line) > completion__indent_columns(above);
}

/* Does the token begin with all that must be written, and, where the line is indented already, not
 * indent it further? */
static bool agrees(completion__slice token, completion__slice must, bool indented) {
  if (!completion__slice_starts(token, must)) return false;
  return !indented || token.len == must.len || !completion__is_blank(token.s[must.len]);
}

static completion__slice token_text(const engine *e, int32_t id) {
  size_t len = 0;
  const char *text = engine_token_text(e, id, &len);
  return completion__slice_of(text, len);
}

/* The likeliest token that agrees with `must`: one that begins with all of it, or the one that
 * the tokenizer would begin it with. Any other start of it is left out: "." is likely before
 * any name, but no name is ever written as "." and the rest. Of blanks the last one belongs to
 * the word that follows, so they may also begin as if they were one fewer. */
static int best_agreeing(const completion__run *r, const float *logits, completion__slice must,
                         int32_t *best) {
  const engine *e = r->c->engine;
  int32_t fewer = -1;
  int rc = first_token(e, must, best);
  if (!rc && completion__is_blank(must.s[must.len - 1]))
    rc = first_token(e, completion__slice_cut(must, 0, must.len - 1), &fewer);
  if (rc) return rc;
  if (fewer >= 0 && (*best < 0 || logits[fewer] > logits[*best])) *best = fewer;
  int vocab = engine_get_info(e)->vocab;
  bool indented = is_indented(r);
  for (int32_t id = 0; id < vocab; id++) {
    if (*best >= 0 && !(logits[id] > logits[*best])) continue;
    if (agrees(token_text(e, id), must, indented) && !engine_token_is_special(e, id)) *best = id;
  }
  return 0;
}

/* The typed text up to its last token is fed as it is; the rest is written again, so that what
 * follows begins at a token's border. What the last of the tokens that agree has beyond the cursor
 * opens the answer. */
int completion__heal_feed(completion__run *r) {
  completion__slice typed = completion__run_typed(r);
  size_t heal = completion__window_heal(typed);
  const engine *e = r->c->engine;
  int rc =
      engine_tokens_append(&r->ids, r->c->reuse.prompt.tokens.ids, r->c->reuse.prompt.tokens.n);
  if (!rc && typed.len > heal) rc = engine_tokenize(e, typed.s, typed.len - heal, false, &r->ids);
  r->must = completion__slice_cut(typed, typed.len - heal, typed.len);
  r->unwritten = r->must;
  return rc ? completion__run_failed(r, rc) : 0;
}

/* Whether the token may be the next one: it begins with all that must be written, or is the start
 * of it. */
bool completion__heal_allow(void *user, int32_t id) {
  const completion__run *r = user;
  completion__slice token = token_text(r->c->engine, id);
  if (token.len < r->must.len) return token.len && completion__slice_starts(r->must, token);
  return r->must.len && agrees(token, r->must, is_indented(r));
}

/* The next token, while it is not free. Where no token has the bytes, they are taken as the
 * tokenizer has them. */
bool completion__heal_choose(void *user, const float *logits, int32_t *id) {
  completion__run *r = user;
  const engine *e = r->c->engine;
  engine_tokens as_is = {0};
  size_t len = 0;
  if (r->replayed < r->replay.n) {
    *id = r->replay.ids[r->replayed++];
    engine_token_text(e, *id, &len);
    r->must = completion__slice_cut(r->must, len, r->must.len);
    return r->must.len > 0;
  }
  int rc = best_agreeing(r, logits, r->must, id);
  if (!rc && *id < 0) {
    rc = engine_tokenize(e, r->must.s, r->must.len, false, &as_is);
    *id = as_is.n ? as_is.ids[0] : 0;
    engine_tokens_free(&as_is);
  }
  if (rc) {
    r->status = completion__run_failed(r, rc);
    *id = 0;
    return false;
  }
  engine_token_text(e, *id, &len);
  if (len == 0) len = r->must.len; /* nothing would be written, for ever */
  r->must = completion__slice_cut(r->must, len, r->must.len);
  return r->must.len > 0;
}
