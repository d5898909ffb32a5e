/* inline_completion.c - textDocument/inlineCompletion (LSP 3.18): ghost text.
 *
 * Items always have a range, the same for all, as VS Code shows none without it. There is one;
 * where the user asked by hand (triggerKind 1) others may follow it, the best first. When nothing
 * is to be shown the answer is {"items": []}, never null, on which Neovim leaves the old ghost text.
 *
 * Two ways to see text before the end:
 * - partialResultToken, as the protocol has it: partial results add up, so the first whole line
 *   is reported as one item and, if it grew, the whole text as another; the answer is then
 *   empty, as the protocol wants it.
 * - fimd.streaming, for our own plug-ins: the answer itself comes with the first line; it then
 *   has "more": true and a "token", and fimd/inlineCompletion/didUpdate {token, id, items, final}
 *   replaces its items until final is true. The id is the request's, which clients' libraries hide.
 *   A request that is cancelled or superseded after its answer just stops. */
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"
#include "lsp/utf8.h"

/* VS Code shows an item only while the text it would replace begins filterText (insertText
 * where there is none). They differ where the popup's item does not begin with what was typed. */
static void write_item(const lsp__request *r, const lsp__document *d, const lsp__mail *mail,
                       const char *text, size_t len, lsp__buffer *b) {
  size_t start = mail->replace_start, end = mail->replace_end;
  const char *typed = d->text.data + start;
  size_t typed_len = r->offset - start;
  bool begins = typed_len <= len && memcmp(text, typed, typed_len) == 0;
  lsp__json_begin(b, '{');
  lsp__json_key(b, "insertText");
  lsp__json_string_n(b, text, len);
  if (!begins) {
    lsp__buffer filter = {0};
    lsp__buffer_append(&filter, typed, typed_len);
    lsp__buffer_append(&filter, text, len);
    lsp__json_key(b, "filterText");
    lsp__json_string_n(b, filter.data != NULL ? filter.data : "", filter.len);
    b->failed = b->failed || filter.failed;
    lsp__buffer_free(&filter);
  }
  lsp__json_key(b, "range");
  lsp__range_write(r, d, start, end, b);
  lsp__json_end(b, '}');
}

/* Whether others[i] is none of the texts before it. */
static bool is_new(const lsp__mail *mail, int i) {
  const char *text = mail->others[i];
  if (text[0] == '\0' || strcmp(text, mail->text) == 0) return false;
  for (int j = 0; j < i; j++)
    if (strcmp(text, mail->others[j]) == 0) return false;
  return true;
}

/* The items from the given one on: 0 is the text, then the others. */
static bool write_items(const lsp__request *r, const lsp__mail *mail, int from, lsp__buffer *b) {
  const lsp__document *d = lsp__client_document(r->client, r->uri);
  bool shown = lsp__mail_fits(r, d, mail);
  lsp__json_begin(b, '[');
  if (shown && from == 0) write_item(r, d, mail, mail->text, mail->len, b);
  for (int i = 0; i < mail->n_others && shown; i++)
    if (is_new(mail, i)) write_item(r, d, mail, mail->others[i], strlen(mail->others[i]), b);
  lsp__json_end(b, ']');
  return shown;
}

static void write_empty(lsp__buffer *b) {
  lsp__json_begin(b, '{');
  lsp__json_key(b, "items");
  lsp__json_begin(b, '[');
  lsp__json_end(b, ']');
  lsp__json_end(b, '}');
}

static void send_partial(lsp__request *r, const lsp__mail *mail) {
  lsp__buffer b = {0};
  lsp__rpc_begin_notification(&b, "$/progress");
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "token");
  lsp__id_write(&b, r->partial_token);
  lsp__json_key(&b, "value");
  write_items(r, mail, mail->len == r->reported, &b);
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  r->reported = mail->len;
  lsp__client_send(r->client, &b);
}

static void send_update(lsp__request *r, const lsp__mail *mail) {
  lsp__buffer b = {0};
  lsp__rpc_begin_notification(&b, "fimd/inlineCompletion/didUpdate");
  lsp__json_begin(&b, '{');
  lsp__json_put_int(&b, "token", r->token);
  lsp__json_key(&b, "id");
  lsp__id_write(&b, r->id);
  lsp__json_key(&b, "items");
  write_items(r, mail, 0, &b);
  lsp__json_key(&b, "final");
  lsp__json_bool(&b, mail->final);
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  lsp__client_send(r->client, &b);
}

static bool write_result(lsp__request *r, const lsp__mail *mail, lsp__buffer *b) {
  if (r->reported > 0) {
    if (mail->len != r->reported || mail->n_others > 0) send_partial(r, mail);
    write_empty(b);
    return true;
  }
  lsp__json_begin(b, '{');
  lsp__json_key(b, "items");
  bool shown = write_items(r, mail, 0, b);
  if (!mail->final) {
    lsp__json_key(b, "more");
    lsp__json_bool(b, true);
    r->token = ++r->client->tokens;
    lsp__json_put_int(b, "token", r->token);
  }
  lsp__json_end(b, '}');
  return shown;
}

static void on_update(lsp__request *r, const lsp__mail *mail) {
  if (r->partial_token.kind != LSP__ID_NONE) {
    if (r->reported == 0) send_partial(r, mail);
  } else if (!r->answered) {
    lsp__request_answer(r, mail);
  } else {
    send_update(r, mail);
  }
}

static const lsp__handler handler = {
    .popup = false,
    .write_result = write_result,
    .write_empty = write_empty,
    .on_update = on_update,
    .on_rest = send_update,
};

/* The popup's item, where it is of any use: on the cursor's line and around the cursor. */
static bool take_selected(lsp__request *r, const lsp__document *d, const cJSON *info) {
  lsp__range range;
  size_t len;
  const char *text = lsp__json_take_text(lsp__json_get(info, "text"), &len);
  if (text == NULL || !lsp__range_parse(lsp__json_get(info, "range"), &range)) return true;
  size_t start = lsp__document_offset(d, range.start, r->client->encoding);
  size_t end = lsp__document_offset(d, range.end, r->client->encoding);
  if (start > r->offset || end < r->offset || memchr(text, '\0', len) != NULL ||
      lsp__document_line(d, start) != lsp__document_line(d, end))
    return true;
  r->selected = lsp__strndup(text, len);
  if (r->selected != NULL) lsp__utf8_replace_surrogates(r->selected, len);
  r->selected_start = start;
  r->selected_end = end;
  return r->selected != NULL;
}

/* For measuring. */
static void take_without(lsp__request *r, const cJSON *what) {
  static const char *const all[] = {"", "gate", "polish"};
  if (!r->client->server->options->measured || !cJSON_IsString(what)) return;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strcmp(what->valuestring, all[i]) == 0) r->without = all[i];
}

static bool take_replay(lsp__request *r, const cJSON *text) {
  size_t len;
  const char *s = r->client->server->options->measured ? lsp__json_take_text(text, &len) : NULL;
  if (s == NULL || memchr(s, '\0', len) != NULL) return true;
  r->replay = lsp__strndup(s, len);
  return r->replay != NULL;
}

void lsp__inline_completion(lsp__client *c, lsp__id id, const cJSON *params) {
  lsp__document *d;
  lsp__request *r = lsp__request_new(c, &handler, id, params, &d);
  if (r == NULL) return;
  lsp__id token;
  const cJSON *selected = lsp__json_path(params, "context", "selectedCompletionInfo", NULL);
  bool memory = take_selected(r, d, selected) &&
                take_replay(r, lsp__json_path(params, "context", "fimdReplay", NULL));
  take_without(r, lsp__json_path(params, "context", "fimdWithout", NULL));
  if (lsp__id_parse(lsp__json_get(params, "partialResultToken"), &token))
    memory = lsp__id_copy(token, &r->partial_token, &r->partial_text) && memory;
  if (!memory) {
    lsp__request_free(r);
    lsp__client_error(c, id, LSP__INTERNAL_ERROR, "out of memory");
    return;
  }
  if (!r->automatic) r->candidates = c->settings.candidates;
  r->wants_updates = c->settings.streaming || r->partial_token.kind != LSP__ID_NONE;
  lsp__request_submit(r);
}
