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
 * request at the cursor as it is then follows it; any other request or edit stops it at the next
 * step like any other job. Its own result is for nobody: only what it computed is counted.
 *
 * VS Code cancels a request before it sends the key that made it stale. So a cancelled request is
 * answered at once, but its job, or the one that it follows, has a grace of LSP__GRACE_MS to be
 * typed on; only then is it stopped.
 *
 * A request that nobody made by hand may wait for another key before it starts (debounce.h), but
 * not where what it asks for is there or on its way: after a job that is live, and where the last
 * text shown goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"
#include "lsp/utf8.h"

/* ---- life ------------------------------------------------------------------------------ */

void lsp__request_free(lsp__request *r) {
  lsp__client *c = r->client;
  free(r->id_text);
  free(r->partial_text);
  free(r->uri);
  free(r->selected);
  free(r->replay);
  lsp__mail_clear(&r->partial);
  lsp__mail_clear(&r->last);
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

void lsp__request_empty(lsp__client *c, const lsp__handler *handler, lsp__id id) {
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

static void note_answer(lsp__request *r, lsp__outcome outcome) {
  lsp__statistics *s = &r->client->statistics;
  r->answered = true;
  r->outcome = outcome;
  r->replied = uv_hrtime();
  lsp__statistics_outcome(s, r->handler->popup, outcome);
  s->spared += r->not_before != 0 && r->started == 0;
}

static void answer_empty(lsp__request *r, lsp__outcome outcome) {
  if (r->answered) return;
  note_answer(r, outcome);
  lsp__request_empty(r->client, r->handler, r->id);
}

static void answer_error(lsp__request *r, int code, const char *why, lsp__outcome outcome) {
  if (r->answered) return;
  note_answer(r, outcome);
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
    note_answer(r, shown ? LSP__SHOWN : LSP__EMPTY);
    lsp__client_send(r->client, &b);
  }
  lsp__buffer_free(&b);
}

static void stop_job(lsp__request *r) {
  r->grace = 0;
  if (r->job == NULL) return;
  if (r->running) r->stopped = uv_hrtime();
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
    if (lsp__id_equal(r->id, id) && !r->carried && r->grace == 0 &&
        (!r->answered || r->job != NULL))
      return r;
  return NULL;
}

/* ---- typing on -------------------------------------------------------------------------- */

static bool is_about(const lsp__request *r, const char *uri) { return strcmp(r->uri, uri) == 0; }

static bool follows(const lsp__request *r, const lsp__request *carried) {
  return carried->carried && carried->job != NULL && r->selected == NULL &&
         r->offset == carried->cursor && is_about(r, carried->uri);
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
  r->grace = 0;
  return true;
}

void lsp__requests_edited(lsp__client *c, const lsp__document *d, uint64_t edits) {
  static const char why[] = "the text has changed";
  bool one = !d->lost && d->edits == edits + 1;
  for (lsp__request *r = c->requests, *next; r != NULL; r = next) {
    next = r->next;
    if (!is_about(r, d->uri)) continue;
    size_t cursor = r->carried ? r->cursor : r->offset;
    if (one && lsp__document_typed_at(d, cursor) &&
        carry(r, d->text.data + cursor, d->inserted, why))
      continue;
    lsp__request_cancel(r, LSP__SUPERSEDED, why);
  }
}

/* ---- what is due ----------------------------------------------------------------------- */

static bool waits(const lsp__request *r) { return !r->answered && !r->running; }

/* Sets the clock to what is due next. */
static void set_clock(lsp__client *c) {
  uint64_t now = uv_hrtime(), next = UINT64_MAX;
  if (c->leaving) return;
  for (const lsp__request *r = c->requests; r != NULL; r = r->next) {
    if (waits(r) && r->not_before > now && r->not_before < next) next = r->not_before;
    if (r->grace != 0 && r->grace < next) next = r->grace;
  }
  if (next == UINT64_MAX)
    uv_timer_stop(&c->clock);
  else
    uv_timer_start(&c->clock, lsp__requests_on_clock,
                   next > now ? (next - now + 999999) / 1000000 : 0, 0);
}

void lsp__requests_on_clock(uv_timer_t *clock) {
  lsp__client *c = clock->data;
  uint64_t now = uv_hrtime();
  c->owners++;
  for (lsp__request *r = c->requests, *next; r != NULL; r = next) {
    next = r->next;
    if (r->grace != 0 && r->grace <= now) lsp__request_cancel(r, LSP__CANCELLED, "cancelled");
  }
  lsp__requests_pump(c);
  set_clock(c);
  lsp__client_unref(c);
}

/* Nobody asks for it any more, but somebody may soon. */
static void give_grace(lsp__request *r) {
  answer_error(r, LSP__REQUEST_CANCELLED, "cancelled", LSP__CANCELLED);
  if (r->job == NULL || r->selected != NULL) {
    lsp__request_cancel(r, LSP__CANCELLED, "cancelled");
    return;
  }
  r->grace = uv_hrtime() + (uint64_t)LSP__GRACE_MS * 1000000;
  set_clock(r->client);
}

/* What goes on for a request goes on for nobody once that is cancelled, unless another one of the
 * same place, the popup's, is under way. */
void lsp__request_cancel_id(lsp__client *c, lsp__id id) {
  lsp__request *r = lsp__request_find(c, id);
  bool follower = false;
  if (r == NULL) return;
  for (lsp__request *old = c->requests; old != NULL; old = old->next) {
    bool followed = follows(r, old), wanted = !followed;
    for (lsp__request *o = c->requests; o != NULL && !wanted; o = o->next)
      wanted = o != r && !o->answered && follows(o, old);
    if (!wanted) give_grace(old);
    follower = follower || followed;
  }
  if (follower)
    lsp__request_cancel(r, LSP__CANCELLED, "cancelled");
  else
    give_grace(r);
}

/* Lets a request wait for another key. */
static void hold(lsp__request *r) {
  lsp__client *c = r->client;
  const lsp__document *d = lsp__client_document(c, r->uri);
  if (!r->automatic || d == NULL || d->changed == 0) return;
  if (r->selected == NULL && lsp__offer_stands(&c->offer, r->uri, r->offset)) return;
  for (const lsp__request *o = c->requests; o != NULL; o = o->next)
    if (follows(r, o)) return;
  double ms = lsp__debounce_ms(&d->pauses, &c->answers, c->settings.debounce);
  uint64_t due = d->changed + (uint64_t)(ms * 1e6);
  if (due <= uv_hrtime()) return;
  r->not_before = due;
  c->statistics.waited++;
}

/* ---- starting -------------------------------------------------------------------------- */

static int start(lsp__request *r) {
  lsp__client *c = r->client;
  completion_query query = {
      .uri = r->uri,
      .offset = r->offset,
      .mode = COMPLETION_AUTO,
      .replay = r->replay,
      .without = r->without,
      .selected_text = r->selected,
      .selected_start = r->selected_start,
      .selected_end = r->selected_end,
      .automatic = r->automatic,
      .candidates = r->candidates,
      .on_update = r->wants_updates ? lsp__mail_update : NULL,
      .on_done = lsp__mail_done,
      .user = r,
  };
  for (const lsp__request *o = c->requests; o != NULL && query.follows == NULL; o = o->next)
    if (follows(r, o)) query.follows = o->job;
  return completion_start(c->completion, &query, &r->job);
}

/* Leaves the request waiting, running or answered; never frees it. */
static void try_start(lsp__request *r) {
  lsp__client *c = r->client;
  if (c->unusable) answer_empty(r, LSP__FAILED);
  if (!r->answered && c->completion == NULL && !c->making) lsp__client_model_news(c);
  if (r->answered || c->completion == NULL || c->outstanding >= LSP__OUTSTANDING_MAX) return;
  uint64_t now = uv_hrtime();
  if (r->not_before > now) {
    set_clock(c);
    return;
  }
  lsp__documents_flush(c);
  int status = start(r);
  if (status == COMPLETION_OK) {
    r->running = true;
    r->started = now;
    c->outstanding++;
    c->statistics.started++;
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
  hold(r);
  /* The new one first: what the old one has computed is then still there to be used. */
  try_start(r);
  for (lsp__request *old = r->next, *next; old != NULL; old = next) {
    next = old->next;
    bool pointless = old->carried ? !follows(r, old)
                                  : old->handler == r->handler && is_about(old, r->uri);
    if (pointless)
      lsp__request_cancel(old, LSP__SUPERSEDED, why);
    else if (old->carried)
      old->grace = 0;
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

void lsp__requests_starve(lsp__client *c) {
  for (lsp__request *r = c->requests, *next; r != NULL; r = next) {
    next = r->next;
    if (!waits(r)) continue;
    answer_error(r, LSP__INTERNAL_ERROR, "out of memory", LSP__FAILED);
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

static double ms_between(uint64_t from, uint64_t to) {
  return to > from ? (double)(to - from) / 1e6 : 0;
}

static lsp__times times_of(const lsp__request *r) {
  uint64_t now = uv_hrtime(), replied = r->replied != 0 ? r->replied : now;
  return (lsp__times){.waited = ms_between(r->received, r->started),
                      .answer = ms_between(r->received, replied),
                      .last = ms_between(r->received, now)};
}

/* Keeps what became of it. */
static void account(lsp__request *r, lsp__mail *mail) {
  lsp__document *d = lsp__client_document(r->client, r->uri);
  lsp__why *why = d != NULL && mail->why == NULL ? lsp__why_new(NULL) : mail->why;
  if (d == NULL || why == NULL) return;
  lsp__times ms = times_of(r);
  mail->why = NULL;
  why->popup = r->handler->popup;
  why->automatic = r->automatic;
  why->at = r->at;
  why->outcome = r->outcome;
  if (mail->status < 0) snprintf(why->message, sizeof why->message, "%s", mail->message);
  why->bytes = mail->len;
  why->candidates = (mail->len > 0) + mail->n_others;
  why->stop = mail->stop;
  why->stats = mail->stats;
  why->waited_ms = ms.waited;
  why->answer_ms = ms.answer;
  lsp__why_keep(r->client, d, why);
}

/* What the client sees now, to know it again when it is taken. */
static void offer(lsp__request *r, const lsp__mail *mail) {
  lsp__client *c = r->client;
  const lsp__document *d = lsp__client_document(c, r->uri);
  const char *texts[COMPLETION_CANDIDATES_MAX] = {mail->text};
  size_t lens[COMPLETION_CANDIDATES_MAX] = {mail->len};
  if (d == NULL || !r->answered || r->outcome != LSP__SHOWN) {
    bool ghost = !r->handler->popup && c->offer.uri != NULL;
    if (ghost && is_about(r, c->offer.uri)) lsp__offer_clear(&c->offer);
    return;
  }
  if (!lsp__mail_fits(r, d, mail)) return;
  for (int i = 0; i < mail->n_others; i++) {
    texts[1 + i] = mail->others[i];
    lens[1 + i] = strlen(mail->others[i]);
  }
  lsp__offer_show(&c->offer, &c->statistics.acceptance, r->uri, r->offset, mail->replace_start,
                  mail->replace_end, texts, lens, 1 + mail->n_others);
}

static void on_result(lsp__request *r, lsp__mail *mail) {
  lsp__client *c = r->client;
  if (mail->status < 0) {
    answer_failure(r, mail);
  } else {
    if (r->answered && r->handler->on_rest != NULL) r->handler->on_rest(r, mail);
    lsp__request_answer(r, mail);
    lsp__times ms = times_of(r);
    lsp__statistics_finished(&c->statistics, &mail->stats, mail->stop,
                             mail->why != NULL ? mail->why->said.quiet : COMPLETION_QUIET_NO,
                             mail->len > 0, &ms);
    if (mail->stats.steps > 0) lsp__window_add(&c->answers, ms.answer - ms.waited);
    trace(r, mail, ms.last);
    offer(r, mail);
  }
  if (mail->status != COMPLETION_ECANCELLED) account(r, mail);
  completion_job_release(r->job);
  r->job = NULL;
}

static void on_last(lsp__request *r, lsp__mail *mail) {
  lsp__client *c = r->client;
  const completion_stats *stats = &mail->stats;
  r->running = false;
  c->outstanding--;
  lsp__statistics_worked(&c->statistics, stats);
  if (r->stopped != 0 && mail->status == COMPLETION_ECANCELLED &&
      (stats->steps > 0 || stats->prefilled_tokens > 0))
    lsp__statistics_stopped(&c->statistics, stats, ms_between(r->stopped, mail->ended));
  if (r->job != NULL && (r->carried || r->grace != 0)) {
    if (mail->status < 0) answer_failure(r, mail);
    stop_job(r);
  } else if (r->job != NULL) {
    on_result(r, mail);
  }
  settle(r);
}

void lsp__mailbox_deliver(lsp__server *s) {
  lsp__mail mail;
  while (lsp__mail_take(s, &mail)) {
    lsp__request *r = mail.request;
    lsp__client *c = r->client;
    c->owners++; /* the last request of a client that left may be the end of it */
    if (mail.final) {
      on_last(r, &mail);
    } else if (r->job != NULL && !r->carried && r->grace == 0 && r->handler->on_update != NULL &&
               mail.len > 0) {
      r->handler->on_update(r, &mail);
      if (r->answered) offer(r, &mail);
    }
    lsp__mail_clear(&mail);
    if (mail.final && !c->leaving) lsp__requests_pump(c);
    lsp__client_unref(c);
  }
}
