/* mail.c - what a job says, on its way from the engine thread to the loop.
 *
 * Each request has two letters, one for text so far and one for the last word, so that neither
 * needs memory to be sent; what they hold is copied, as a result is borrowed for a call. Without
 * memory for a text the last letter says so; without memory for the rest there is less to tell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/internal.h"

/* The other texts; fewer where memory ends. */
static void copy_others(lsp__mail *mail, const completion_result *result) {
  int most = result->others != NULL ? result->n_others : 0;
  mail->n_others = 0;
  if (most > LSP__OTHERS_MAX) most = LSP__OTHERS_MAX;
  for (int i = 0; i < most; i++) {
    char *copy = lsp__strndup(result->others[i], strlen(result->others[i]));
    if (copy != NULL) mail->others[mail->n_others++] = copy;
  }
}

void lsp__mail_clear(lsp__mail *mail) {
  free(mail->text);
  mail->text = NULL;
  for (int i = 0; i < mail->n_others; i++) free(mail->others[i]);
  mail->n_others = 0;
  lsp__why_delete(mail->why);
  mail->why = NULL;
}

/* On the engine thread. */
static void post(lsp__request *r, lsp__mail *mail, const completion_result *result) {
  lsp__server *s = r->client->server;
  lsp__mail fresh = {.request = r,
                     .len = result->len,
                     .ended = uv_hrtime(),
                     .final = result->final,
                     .status = result->status,
                     .replace_start = result->replace_start,
                     .replace_end = result->replace_end,
                     .stop = result->stop,
                     .stats = result->stats};
  if (result->len > 0) fresh.text = lsp__strndup(result->text, result->len);
  if (result->len > 0 && fresh.text == NULL) {
    if (!result->final) return; /* the next one says it again */
    fresh.len = 0;
    fresh.status = COMPLETION_ENOMEM;
  }
  if (result->final && fresh.status == COMPLETION_OK) {
    copy_others(&fresh, result);
    fresh.why = lsp__why_new(&result->why);
  }
  snprintf(fresh.message, sizeof fresh.message, "%s",
           result->message != NULL ? result->message : completion_strstatus(fresh.status));
  uv_mutex_lock(&s->lock);
  lsp__mail_clear(mail);
  fresh.queued = true;
  fresh.next = mail->next;
  bool queued = mail->queued;
  *mail = fresh;
  if (!queued) {
    mail->next = NULL;
    *s->mail_end = mail;
    s->mail_end = &mail->next;
  }
  uv_async_send(&s->wake);
  uv_mutex_unlock(&s->lock);
}

void lsp__mail_update(void *user, const completion_result *result) {
  lsp__request *r = user;
  post(r, &r->partial, result);
}

void lsp__mail_done(void *user, const completion_result *result) {
  lsp__request *r = user;
  post(r, &r->last, result);
}

bool lsp__mail_take(lsp__server *s, lsp__mail *out) {
  uv_mutex_lock(&s->lock);
  lsp__mail *mail = s->mail_first;
  if (mail != NULL) {
    s->mail_first = mail->next;
    if (s->mail_first == NULL) s->mail_end = &s->mail_first;
    *out = *mail;
    mail->text = NULL;
    mail->n_others = 0;
    mail->why = NULL;
    mail->queued = false;
  }
  uv_mutex_unlock(&s->lock);
  return mail != NULL;
}

bool lsp__mail_fits(const lsp__request *r, const lsp__document *d, const lsp__mail *mail) {
  return d != NULL && mail->len > 0 && mail->replace_start <= r->offset &&
         r->offset <= mail->replace_end && mail->replace_end <= d->text.len;
}
