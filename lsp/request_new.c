/* request_new.c - the start of a request of either kind: what it asks, or why there is nothing to
 * ask. */
#include <stdlib.h>
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"

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

void lsp__why_keep(lsp__client *c, lsp__document *d, lsp__why *why) {
  if (why == NULL) return;
  why->number = ++c->whys;
  lsp__why_delete(d->why);
  d->why = why;
}

/* Why it is not even passed on. */
static void account(lsp__client *c, lsp__document *d, const lsp__handler *handler,
                    lsp__position at, lsp__outcome outcome, const char *refusal) {
  lsp__why *why = d != NULL ? lsp__why_new(NULL) : NULL;
  if (why == NULL) return;
  why->popup = handler->popup;
  why->at = at;
  why->outcome = outcome;
  why->refusal = refusal;
  why->said.source = COMPLETION_FROM_NOTHING;
  lsp__why_keep(c, d, why);
}

/* By hand only where the client says so: what nobody asked for must not be the louder one. */
static bool is_automatic(const cJSON *params) {
  int64_t kind;
  return !lsp__json_get_int(lsp__json_get(params, "context"), "triggerKind", &kind) || kind != 1;
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
    account(c, d, handler, position, outcome, why);
    lsp__request_empty(c, handler, id);
    return NULL;
  }
  lsp__request *r = calloc(1, sizeof *r);
  if (r != NULL) {
    r->client = c;
    c->owners++;
    r->handler = handler;
    r->partial.request = r->last.request = r;
    r->received = received;
    r->at = position;
    r->automatic = is_automatic(params);
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
