/* rpc.c - see rpc.h. */
#include "lsp/rpc.h"

#include <string.h>

#include "lsp/json.h"

/* ---- ids ------------------------------------------------------------------------------- */

bool lsp__id_equal(lsp__id a, lsp__id b) {
  if (a.kind != b.kind) return false;
  if (a.kind == LSP__ID_INT) return a.number == b.number;
  return a.kind != LSP__ID_STRING || strcmp(a.text, b.text) == 0;
}

bool lsp__id_parse(const cJSON *item, lsp__id *out) {
  *out = (lsp__id){.kind = LSP__ID_NULL};
  if (cJSON_IsString(item) && item->valuestring != NULL) {
    out->kind = LSP__ID_STRING;
    out->text = item->valuestring;
    return true;
  }
  if (!lsp__json_to_int(item, &out->number)) return false;
  out->kind = LSP__ID_INT;
  return true;
}

void lsp__id_write(lsp__buffer *b, lsp__id id) {
  if (id.kind == LSP__ID_INT)
    lsp__json_int(b, id.number);
  else if (id.kind == LSP__ID_STRING)
    lsp__json_string(b, id.text);
  else
    lsp__json_null(b);
}

bool lsp__id_copy(lsp__id from, lsp__id *to, char **owned) {
  *to = from;
  *owned = NULL;
  if (from.kind != LSP__ID_STRING) return true;
  to->text = *owned = lsp__strndup(from.text, strlen(from.text));
  return *owned != NULL;
}

/* ---- reading --------------------------------------------------------------------------- */

static void invalid(lsp__message *m, int code, const char *why) {
  m->kind = LSP__MESSAGE_INVALID;
  m->code = code;
  m->why = why;
}

void lsp__message_read(const cJSON *tree, lsp__message *m) {
  *m = (lsp__message){.id.kind = LSP__ID_NULL};
  if (cJSON_IsArray(tree)) {
    invalid(m, LSP__INVALID_REQUEST, "batches are not part of the Language Server Protocol");
    return;
  }
  if (!cJSON_IsObject(tree)) {
    invalid(m, LSP__INVALID_REQUEST, "a message is an object");
    return;
  }
  const cJSON *id = lsp__json_get(tree, "id"), *method = lsp__json_get(tree, "method");
  const char *version;
  bool good_id = id != NULL && lsp__id_parse(id, &m->id);
  m->result = lsp__json_get(tree, "result");
  m->error = lsp__json_get(tree, "error");
  if (!lsp__json_get_string(tree, "jsonrpc", &version) || strcmp(version, "2.0") != 0) {
    invalid(m, LSP__INVALID_REQUEST, "jsonrpc must be \"2.0\"");
  } else if (method == NULL && (m->result != NULL || m->error != NULL)) {
    m->kind = LSP__MESSAGE_RESPONSE; /* with a null id where our message was not understood */
  } else if (!lsp__json_get_string(tree, "method", &m->method)) {
    invalid(m, LSP__INVALID_REQUEST, "method must be a string");
  } else if (id != NULL && !good_id) {
    invalid(m, LSP__INVALID_REQUEST, "id must be a whole number or a string");
  } else {
    m->kind = id != NULL ? LSP__MESSAGE_REQUEST : LSP__MESSAGE_NOTIFICATION;
    m->params = lsp__json_get(tree, "params");
    if (cJSON_IsNull(m->params)) m->params = NULL;
    if (m->params != NULL && !cJSON_IsObject(m->params) && !cJSON_IsArray(m->params))
      invalid(m, LSP__INVALID_REQUEST, "params must be an object or an array");
  }
}

/* ---- writing --------------------------------------------------------------------------- */

static void begin(lsp__buffer *b) {
  lsp__json_begin(b, '{');
  lsp__json_key(b, "jsonrpc");
  lsp__json_string(b, "2.0");
}

void lsp__rpc_begin_result(lsp__buffer *b, lsp__id id) {
  begin(b);
  lsp__json_key(b, "id");
  lsp__id_write(b, id);
  lsp__json_key(b, "result");
}

void lsp__rpc_begin_request(lsp__buffer *b, int64_t id, const char *method) {
  begin(b);
  lsp__json_key(b, "id");
  lsp__json_int(b, id);
  lsp__json_key(b, "method");
  lsp__json_string(b, method);
  lsp__json_key(b, "params");
}

void lsp__rpc_begin_notification(lsp__buffer *b, const char *method) {
  begin(b);
  lsp__json_key(b, "method");
  lsp__json_string(b, method);
  lsp__json_key(b, "params");
}

void lsp__rpc_end(lsp__buffer *b) { lsp__json_end(b, '}'); }

void lsp__rpc_error(lsp__buffer *b, lsp__id id, int code, const char *message) {
  begin(b);
  lsp__json_key(b, "id");
  lsp__id_write(b, id);
  lsp__json_key(b, "error");
  lsp__json_begin(b, '{');
  lsp__json_key(b, "code");
  lsp__json_int(b, code);
  lsp__json_key(b, "message");
  lsp__json_string(b, message);
  lsp__json_end(b, '}');
  lsp__rpc_end(b);
}
