/* request.c - the life of a completion request: waits, runs, is answered exactly once.
 *
 * A request waits while the model loads, or while the engine still unwinds
 * LSP__OUTSTANDING_MAX jobs of this client; only the newest per document and kind waits, as a
 * newer one supersedes it. What became pointless (superseded, the text changed, the document
 * closed) is answered with -32800 at once and its job asked to stop: Neovim drops that error
 * silently, VS Code takes it for its own cancellation, and both would show a late answer at the
 * wrong place. -32801 would be logged as a failure by Neovim at every keystroke.
 *
 * One thing goes on after that: the job of a request whose document was only typed into, at the
 * request's own cursor, with what the job writes anyway ("carried", completion/through.h). The next
 * request at the cursor as it is then follows it; any other request, edit or cancellation, also of
 * the request that follows, stops it at the next step like any other job. Its own result is for
 * nobody: only what it computed is counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"
#include "lsp/utf8.h"

/* ---- the mailbox ----------------------------------------------------------------------- */

/* On the engine thread. */
static void post(lsp__request *r, lsp__mail *mail, const completion_result *result) {
  lsp__server *s = r->client->server;
  char *text = result->len > 0 ? lsp__strndup(result->text, result->len) : NULL;
  bool lost = result->len > 0 && text == NULL;
  if (lost && !result->final) return; /* the next one says it again */
  uv_mutex_lock(&s->lock);
  free(mail->text);
  mail->text = text;
  mail->len = text != NULL ? result->len : 0;
  mail->final = result->final;
  mail->status = lost ? COMPLETION_ENOMEM : result->status;
  mail->replace_start = result->replace_start;
  mail->replace_end = result->replace_end;
  mail->stop = result->stop;
  mail->stats = result->stats;
  snprintf(mail->message, sizeof mail->message, "%s",
           result->message != NULL ? result->message : completion_strstatus(result->status));
  if (!mail->queued) {
    mail->queued = true;
    mail->next = NULL;
    *s->mail_end = mail;
    s->mail_end = &mail->next;
  }
  uv_async_send(&s->wake);
  uv_mutex_unlock(&s->lock);
}

static void on_update(void *user, const completion_result *result) {
  lsp__request *r = user;
  post(r, &r->partial, result);
}

static void on_done(void *user, const completion_result *result) {
  lsp__request *r = user;
  post(r, &r->last, result);
}

static bool take_mail(lsp__server *s, lsp__mail *out) {
  uv_mutex_lock(&s->lock);
  lsp__mail *mail = s->mail_first;
  if (mail != NULL) {
    s->mail_first = mail->next;
    if (s->mail_first == NULL) s->mail_end = &s->mail_first;
    *out = *mail;
    mail->text = NULL;
    mail->queued = false;
  }
  uv_mutex_unlock(&s->lock);
  return mail != NULL;
}

/* ---- life ------------------------------------------------------------------------------ */

void lsp__request_free(lsp__request *r) {
  lsp__client *c = r->client;
  free(r->id_text);
  free(r->partial_text);
  free(r->uri);
  free(r->selected);
  free(r->replay);
  free(r->partial.text);
  free(r->last.text);
  free(r);
  lsp__client_unref(c);
}

/* Frees a request that nobody waits for any more. */
static void settle(lsp__request *r) {
  if (!r->answered || r->running) return;
  lsp__client *c = r->client;
  for (lsp__request **p = &c->requests; *p != NULL; p = &(*p)->next)
    if (*p == r) {
      *p = r->next;
      c->request_count--;
      break;
    }
  lsp__request_free(r);
}

static void send_empty(lsp__client *c, const lsp__handler *handler, lsp__id id) {
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, id);
  handler->write_empty(&b);
  lsp__rpc_end(&b);
  if (b.failed)
    lsp__client_error(c, id, LSP__INTERNAL_ERROR, "out of memory");
  else
    lsp__client_send(c, &b);
  lsp__buffer_free(&b);
}

static void answer_empty(lsp__request *r, lsp__outcome outcome) {
  if (r->answered) return;
  r->answered = true;
  lsp__statistics_outcome(&r->client->statistics, r->handler->popup, outcome);
  send_empty(r->client, r->handler, r->id);
}

static void answer_error(lsp__request *r, int code, const char *why, lsp__outcome outcome) {
  if (r->answered) return;
  r->answered = true;
  lsp__statistics_outcome(&r->client->statistics, r->handler->popup, outcome);
  lsp__client_error(r->client, r->id, code, why);
}

void lsp__request_answer(lsp__request *r, const lsp__mail *mail) {
  if (r->answered) return;
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, r->id);
  bool shown = r->handler->write_result(r, mail, &b);
  lsp__rpc_end(&b);
  if (b.failed) {
    answer_error(r, LSP__INTERNAL_ERROR, "out of memory", LSP__FAILED);
  } else {
    r->answered = true;
    lsp__statistics_outcome(&r->client->statistics, r->handler->popup,
                            shown ? LSP__SHOWN : LSP__EMPTY);
    lsp__client_send(r->client, &b);
  }
  lsp__buffer_free(&b);
}

static void stop_job(lsp__request *r) {
  if (r->job == NULL) return;
  completion_job_cancel(r->job);
  completion_job_release(r->job);
  r->job = NULL;
}

void lsp__request_cancel(lsp__request *r, lsp__outcome outcome, const char *why) {
  answer_error(r, LSP__REQUEST_CANCELLED, why, outcome);
  stop_job(r);
  settle(r);
}

void lsp__requests_cancel(lsp__client *c, const char *uri, lsp__outcome outcome, const char *why) {
  for (lsp__request *r = c->requests, *next; r != NULL; r = next) {
    next = r->next;
    if (uri == NULL || strcmp(r->uri, uri) == 0) lsp__request_cancel(r, outcome, why);
  }
}

lsp__request *lsp__request_find(lsp__client *c, lsp__id id) {
  for (lsp__request *r = c->requests; r != NULL; r = r->next)
    if (lsp__id_equal(r->id, id) && !r->carried && (!r->answered || r->job != NULL)) return r;
  return NULL;
}

/* ---- typing on -------------------------------------------------------------------------- */

static bool is_about(const lsp__request *r, const char *uri) { return strcmp(r->uri, uri) == 0; }

static bool follows(const lsp__request *r, const lsp__request *carried) {
  return carried->carried && r->selected == NULL && r->offset == carried->cursor &&
         is_about(r, carried->uri);
}

/* Lets the job of a request go on though len bytes were put in before text, which is what stands at
 * its cursor now. False: it does not agree, or there is none that runs. */
static bool carry(lsp__request *r, const char *text, size_t len, const char *why) {
  if (r->job == NULL || r->selected != NULL) return false;
  long moved = completion_job_type(r->job, text, len);
  if (moved < 0) return false;
  answer_error(r, LSP__REQUEST_CANCELLED, why, LSP__SUPERSEDED);
  r->cursor = (r->carried ? r->cursor : r->offset) + (size_t)moved;
  r->carried = true;
  return true;
}

/* Whether the last edit is the same as putting as many bytes in at the cursor: of "ll" it may have
 * been either one that was typed, and Neovim names the second. */
static bool is_typed_at(const lsp__document *d, size_t cursor) {
  const char *text = d->text.data;
  size_t from = d->edited < cursor ? d->edited : cursor;
  size_t to = d->edited < cursor ? cursor : d->edited;
  return d->removed == 0 && cursor <= d->text.len - d->inserted &&
         memcmp(text + from, text + from + d->inserted, to - from) == 0;
}

void lsp__requests_edited(lsp__client *c, const lsp__document *d, uint64_t edits) {
  static const char why[] = "the text has changed";
  bool one = !d->lost && d->edits == edits + 1;
  for (lsp__request *r = c->requests, *next; r != NULL; r = next) {
    next = r->next;
    if (!is_about(r, d->uri)) continue;
    size_t cursor = r->carried ? r->cursor : r->offset;
    if (one && is_typed_at(d, cursor) && carry(r, d->text.data + cursor, d->inserted, why))
      continue;
    lsp__request_cancel(r, LSP__SUPERSEDED, why);
  }
}

/* What goes on for a request goes on for nobody once that is cancelled, unless another one of the
 * same place, the popup's, is under way. */
void lsp__request_cancel_id(lsp__client *c, lsp__id id) {
  lsp__request *r = lsp__request_find(c, id);
  if (r == NULL) return;
  for (lsp__request *old = c->requests, *next; old != NULL; old = next) {
    next = old->next;
    bool wanted = !follows(r, old);
    for (lsp__request *o = c->requests; o != NULL && !wanted; o = o->next)
      wanted = o != r && !o->answered && follows(o, old);
    if (!wanted) lsp__request_cancel(old, LSP__CANCELLED, "cancelled");
  }
  lsp__request_cancel(r, LSP__CANCELLED, "cancelled");
}

/* ---- starting -------------------------------------------------------------------------- */

static bool waits(const lsp__request *r) { return !r->answered && !r->running; }

/* Leaves the request waiting, running or answered; never frees it. */
static void try_start(lsp__request *r) {
  lsp__client *c = r->client;
  if (c->unusable) answer_empty(r, LSP__FAILED);
  if (r->answered || c->completion == NULL || c->outstanding >= LSP__OUTSTANDING_MAX) return;
  lsp__documents_flush(c);
  completion_query query = {
      .uri = r->uri,
      .offset = r->offset,
      .mode = COMPLETION_AUTO,
      .replay = r->replay,
      .selected_text = r->selected,
      .selected_start = r->selected_start,
      .selected_end = r->selected_end,
      .on_update = r->wants_updates ? on_update : NULL,
      .on_done = on_done,
      .user = r,
  };
  for (const lsp__request *o = c->requests; o != NULL && query.follows == NULL; o = o->next)
    if (follows(r, o)) query.follows = o->job;
  int status = completion_start(c->completion, &query, &r->job);
  if (status == COMPLETION_OK) {
    r->running = true;
    c->outstanding++;
    return;
  }
  r->job = NULL;
  if (status == COMPLETION_ENOMEM) {
    answer_error(r, LSP__INTERNAL_ERROR, "out of memory", LSP__FAILED);
    return;
  }
  lsp__client_log(c, LSP__LOG_ERROR, "no completion: %s", completion_strstatus(status));
  answer_empty(r, LSP__FAILED);
}

void lsp__request_submit(lsp__request *r) {
  lsp__client *c = r->client;
  r->next = c->requests;
  c->requests = r;
  c->request_count++;
  static const char why[] = "superseded by a newer request";
  /* The same asked again: nothing was typed. */
  for (lsp__request *old = r->next; old != NULL && r->selected == NULL; old = old->next)
    if (!old->carried && old->handler == r->handler && old->offset == r->offset &&
        is_about(old, r->uri))
      carry(old, "", 0, why);
  /* The new one first: what the old one has computed is then still there to be used. */
  try_start(r);
  for (lsp__request *old = r->next, *next; old != NULL; old = next) {
    next = old->next;
    bool pointless = old->carried ? !follows(r, old)
                                  : old->handler == r->handler && is_about(old, r->uri);
    if (pointless) lsp__request_cancel(old, LSP__SUPERSEDED, why);
  }
  settle(r);
}

void lsp__requests_pump(lsp__client *c) {
  for (lsp__request *r = c->requests, *next; r != NULL; r = next) {
    next = r->next;
    if (!waits(r)) continue;
    try_start(r);
    settle(r);
  }
}

/* ---- results --------------------------------------------------------------------------- */

static void answer_failure(lsp__request *r, const lsp__mail *mail) {
  lsp__client *c = r->client;
  if (mail->status == COMPLETION_ECANCELLED) {
    answer_error(r, LSP__REQUEST_CANCELLED, "cancelled", LSP__CANCELLED);
  } else if (mail->status == COMPLETION_ENOMEM) {
    answer_error(r, LSP__INTERNAL_ERROR, "out of memory", LSP__FAILED);
  } else {
    lsp__client_log(c, LSP__LOG_ERROR, "completion failed: %s", mail->message);
    if (!c->failure_told) lsp__client_show(c, LSP__LOG_ERROR, "fimd: %s", mail->message);
    c->failure_told = true;
    answer_empty(r, LSP__FAILED);
  }
}

static void trace(lsp__request *r, const lsp__mail *mail, double ms) {
  if (r->client->trace == LSP__TRACE_OFF) return;
  char message[256], verbose[256];
  const completion_stats *s = &mail->stats;
  snprintf(message, sizeof message, "%s: %zu bytes, %d tokens in %d steps, %.1f ms",
           r->handler->popup ? "completion" : "inline completion", mail->len, s->tokens, s->steps,
           ms);
  snprintf(verbose, sizeof verbose,
           "stop: %s; prompt %d tokens, %d computed; context %.1f ms, prompt %.1f, prefill %.1f, "
           "first token %.1f, decode %.1f",
           completion_strstop(mail->stop), s->prompt_tokens, s->prefilled_tokens, s->context_ms,
           s->prompt_ms, s->prefill_ms, s->first_token_ms, s->decode_ms);
  lsp__client_trace(r->client, message, verbose);
}

static void on_last(lsp__request *r, const lsp__mail *mail) {
  lsp__client *c = r->client;
  r->running = false;
  c->outstanding--;
  lsp__statistics_worked(&c->statistics, &mail->stats);
  if (r->job != NULL && r->carried) {
    if (mail->status < 0) answer_failure(r, mail);
    stop_job(r);
  } else if (r->job != NULL) {
    double ms = (double)(uv_hrtime() - r->received) / 1e6;
    if (mail->status < 0) {
      answer_failure(r, mail);
    } else {
      lsp__statistics_finished(&c->statistics, &mail->stats, mail->stop, mail->len > 0, ms);
      if (r->answered && r->handler->on_rest != NULL) r->handler->on_rest(r, mail);
      lsp__request_answer(r, mail);
      trace(r, mail, ms);
    }
    completion_job_release(r->job);
    r->job = NULL;
  }
  settle(r);
}

void lsp__mailbox_deliver(lsp__server *s) {
  lsp__mail mail;
  while (take_mail(s, &mail)) {
    lsp__request *r = mail.request;
    lsp__client *c = r->client;
    c->owners++; /* the last request of a client that left may be the end of it */
    if (mail.final)
      on_last(r, &mail);
    else if (r->job != NULL && !r->carried && r->handler->on_update != NULL && mail.len > 0)
      r->handler->on_update(r, &mail);
    free(mail.text);
    if (mail.final && !c->leaving) lsp__requests_pump(c);
    lsp__client_unref(c);
  }
}

/* ---- what both kinds share ------------------------------------------------------------- */

/* Why nothing is to be completed in a document, or NULL. */
static const char *refusal(lsp__client *c, const lsp__document *d, lsp__outcome *outcome) {
  *outcome = LSP__EMPTY;
  if (d == NULL) return "the document is not open";
  if (!c->settings.enable || !lsp__settings_language_on(&c->settings, d->language))
    return "switched off by a setting";
  if (d->text.len > LSP__COMPLETE_MAX) return "the document is too large";
  *outcome = LSP__FAILED;
  if (d->lost) return "the document's text is not known any more";
  return c->unusable ? "there is no model" : NULL;
}

static bool copy_request(lsp__request *r, lsp__id id, const char *uri) {
  r->uri = lsp__strndup(uri, strlen(uri));
  return r->uri != NULL && lsp__id_copy(id, &r->id, &r->id_text);
}

lsp__request *lsp__request_new(lsp__client *c, const lsp__handler *handler, lsp__id id,
                               const cJSON *params, lsp__document **document) {
  uint64_t received = uv_hrtime();
  const char *uri;
  lsp__position position;
  lsp__outcome outcome;
  if (!lsp__json_get_string(lsp__json_get(params, "textDocument"), "uri", &uri) ||
      !lsp__position_parse(lsp__json_get(params, "position"), &position)) {
    lsp__client_error(c, id, LSP__INVALID_PARAMS, "textDocument.uri and position are needed");
    return NULL;
  }
  if (lsp__request_find(c, id) != NULL) {
    lsp__client_error(c, id, LSP__INVALID_REQUEST, "a request with this id is under way");
    return NULL;
  }
  if (c->request_count >= LSP__REQUESTS_MAX) {
    lsp__client_error(c, id, LSP__REQUEST_FAILED, "too many requests are under way");
    return NULL;
  }
  lsp__document *d = lsp__client_document(c, uri);
  const char *why = refusal(c, d, &outcome);
  if (why != NULL) {
    lsp__client_trace(c, "nothing to complete", why);
    lsp__statistics_outcome(&c->statistics, handler->popup, outcome);
    send_empty(c, handler, id);
    return NULL;
  }
  lsp__request *r = calloc(1, sizeof *r);
  if (r != NULL) {
    r->client = c;
    c->owners++;
    r->handler = handler;
    r->partial.request = r->last.request = r;
    r->received = received;
    r->offset = lsp__document_offset(d, position, c->encoding);
    if (!copy_request(r, id, uri)) {
      lsp__request_free(r);
      r = NULL;
    }
  }
  if (r == NULL) lsp__client_error(c, id, LSP__INTERNAL_ERROR, "out of memory");
  *document = d;
  return r;
}

static void write_position(lsp__buffer *b, const char *key, lsp__position p) {
  lsp__json_key(b, key);
  lsp__json_begin(b, '{');
  lsp__json_key(b, "line");
  lsp__json_int(b, p.line);
  lsp__json_key(b, "character");
  lsp__json_int(b, p.character);
  lsp__json_end(b, '}');
}

void lsp__range_write(const lsp__request *r, const lsp__document *d, size_t start, size_t end,
                      lsp__buffer *b) {
  lsp__json_begin(b, '{');
  write_position(b, "start", lsp__document_position(d, start, r->client->encoding));
  write_position(b, "end", lsp__document_position(d, end, r->client->encoding));
  lsp__json_end(b, '}');
}
