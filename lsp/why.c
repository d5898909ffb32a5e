/* why.c - see why.h. A copy is one piece of memory: the object, the pieces, their strings. */
#include "lsp/why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/json.h"

/* ---- copying --------------------------------------------------------------------------- */

static size_t size_of(const char *text) { return text != NULL ? strlen(text) + 1 : 0; }

static const char *put(char **at, const char *text) {
  size_t n = size_of(text);
  if (n == 0) return "";
  char *to = *at;
  memcpy(to, text, n);
  *at += n;
  return to;
}

lsp__why *lsp__why_new(const completion_why *said) {
  static const completion_why nothing = {0};
  if (said == NULL) said = &nothing;
  int all = said->pieces != NULL && said->n_pieces > 0 ? said->n_pieces : 0;
  int n = all < LSP__PIECES_MAX ? all : LSP__PIECES_MAX;
  size_t size = size_of(said->extent) + size_of(said->language);
  for (int i = 0; i < n; i++)
    size += sizeof *said->pieces + size_of(said->pieces[i].path) + size_of(said->pieces[i].why);
  lsp__why *w = malloc(sizeof *w + size);
  if (w == NULL) return NULL;
  *w = (lsp__why){.said = *said, .left_out = all - n};
  completion_piece *pieces = (completion_piece *)(w + 1);
  char *text = (char *)(pieces + n);
  for (int i = 0; i < n; i++) {
    pieces[i] = said->pieces[i];
    pieces[i].path = put(&text, said->pieces[i].path);
    pieces[i].why = put(&text, said->pieces[i].why);
  }
  w->said.extent = put(&text, said->extent);
  w->said.language = put(&text, said->language);
  w->said.pieces = pieces;
  w->said.n_pieces = n;
  return w;
}

void lsp__why_delete(lsp__why *why) { free(why); }

/* ---- words ----------------------------------------------------------------------------- */

const char *lsp__quiet_name(completion_quiet quiet) {
  static const char *const names[LSP__QUIETS] = {"no",      "comment", "string", "midLine",
                                                 "nothing", "there",   "broken", "unsure"};
  return (unsigned)quiet < LSP__QUIETS ? names[quiet] : "unknown";
}

static const char *outcome_name(lsp__outcome outcome) {
  static const char *const names[LSP__OUTCOMES] = {"shown", "empty", "cancelled", "superseded",
                                                   "failed"};
  return names[outcome];
}

/* Why nothing is shown; NULL where something is. */
static const char *reason_of(const lsp__why *w) {
  if (w->outcome == LSP__SHOWN) return NULL;
  if (w->refusal != NULL) return w->refusal;
  if (w->message[0] != '\0') return w->message;
  return w->said.quiet != COMPLETION_QUIET_NO ? completion_strquiet(w->said.quiet) : "nothing";
}

void lsp__why_line(const lsp__why *w, char *out, size_t len) {
  const char *reason = reason_of(w);
  if (reason != NULL)
    snprintf(out, len, "fimd: nothing is shown: %s (%.0f ms)", reason, w->answer_ms);
  else
    snprintf(out, len,
             "fimd: %zu bytes are shown, from %s, ended by %s; a prompt of %d tokens, %d pieces of "
             "context; %.0f ms",
             w->bytes, completion_strsource(w->said.source), completion_strstop(w->stop),
             w->stats.prompt_tokens, w->stats.context_pieces, w->answer_ms);
}

/* ---- writing --------------------------------------------------------------------------- */

static void write_pieces(const lsp__why *w, lsp__buffer *b) {
  lsp__json_key(b, "pieces");
  lsp__json_begin(b, '[');
  for (int i = 0; i < w->said.n_pieces; i++) {
    const completion_piece *p = &w->said.pieces[i];
    lsp__json_begin(b, '{');
    lsp__json_put_text(b, "why", p->why);
    lsp__json_put_text(b, "path", p->path);
    lsp__json_put_int(b, "line", p->line);
    lsp__json_put_int(b, "lines", p->lines);
    lsp__json_put_double(b, "score", p->score);
    lsp__json_put_bool(b, "chosen", p->chosen);
    lsp__json_end(b, '}');
  }
  lsp__json_end(b, ']');
  lsp__json_put_int(b, "piecesLeftOut", w->left_out);
}

static void write_ms(const lsp__why *w, lsp__buffer *b) {
  const completion_stats *s = &w->stats;
  lsp__json_key(b, "ms");
  lsp__json_begin(b, '{');
  lsp__json_put_double(b, "answer", w->answer_ms);
  lsp__json_put_double(b, "waited", w->waited_ms);
  lsp__json_put_double(b, "context", s->context_ms);
  lsp__json_put_double(b, "prompt", s->prompt_ms);
  lsp__json_put_double(b, "prefill", s->prefill_ms);
  lsp__json_put_double(b, "firstToken", s->first_token_ms);
  lsp__json_put_double(b, "decode", s->decode_ms);
  lsp__json_put_double(b, "host", s->host_ms);
  lsp__json_put_double(b, "gate", s->gate_ms);
  lsp__json_put_double(b, "total", s->total_ms);
  lsp__json_end(b, '}');
}

static void write_decisions(const lsp__why *w, lsp__buffer *b) {
  const completion_why *y = &w->said;
  lsp__json_put_text(b, "quiet", lsp__quiet_name(y->quiet));
  lsp__json_put_text(b, "source", completion_strsource(y->source));
  lsp__json_put_text(b, "extent", y->extent);
  lsp__json_put_text(b, "stop", completion_strstop(w->stop));
  lsp__json_put_text(b, "language", y->language);
  lsp__json_put_double(b, "confidence", y->confidence);
  lsp__json_key(b, "gate");
  lsp__json_begin(b, '{');
  lsp__json_put_bool(b, "asked", y->gated || y->unjudged);
  lsp__json_put_bool(b, "noTime", y->unjudged || y->hurried);
  lsp__json_put_int(b, "errors", y->errors);
  lsp__json_put_int(b, "cutBytes", y->cut);
  lsp__json_end(b, '}');
}

void lsp__why_write(const lsp__why *w, const char *uri, lsp__buffer *b) {
  const char *reason = reason_of(w);
  lsp__json_begin(b, '{');
  lsp__json_put_text(b, "uri", uri);
  lsp__json_key(b, "position");
  lsp__json_begin(b, '{');
  lsp__json_put_int(b, "line", w->at.line);
  lsp__json_put_int(b, "character", w->at.character);
  lsp__json_end(b, '}');
  lsp__json_put_text(b, "request", w->popup ? "completion" : "inlineCompletion");
  lsp__json_put_bool(b, "automatic", w->automatic);
  lsp__json_put_text(b, "outcome", outcome_name(w->outcome));
  if (reason != NULL) lsp__json_put_text(b, "reason", reason);
  lsp__json_put_int(b, "bytes", (int64_t)w->bytes);
  lsp__json_put_int(b, "candidates", w->candidates);
  write_decisions(w, b);
  lsp__json_put_int(b, "promptTokens", w->stats.prompt_tokens);
  lsp__json_put_int(b, "prefilledTokens", w->stats.prefilled_tokens);
  lsp__json_put_int(b, "tokens", w->stats.tokens);
  lsp__json_put_int(b, "steps", w->stats.steps);
  write_pieces(w, b);
  write_ms(w, b);
  lsp__json_end(b, '}');
}
