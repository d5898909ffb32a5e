/* client_send.c - what goes out to a client: messages, errors, words for a person. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "lsp/internal.h"
#include "lsp/json.h"

static void write_string(lsp__buffer *b, const char *key, const char *value) {
  lsp__json_key(b, key);
  lsp__json_string(b, value);
}

void lsp__client_send(lsp__client *c, lsp__buffer *b) {
  if (c->connection != NULL) {
    if (!b->failed)
      lsp__recording_add(c->server->recording, c->number, false, true, b->data, b->len);
    lsp__connection_send(c->connection, b);
  } else {
    lsp__buffer_free(b);
  }
}

/* message: a constant phrase. Where even this cannot be sent the connection ends: a client that gets
 * no answer must not wait for one. */
static void send_error_without_memory(lsp__client *c, lsp__id id, int code, const char *message) {
  char name[LSP__SPARE_MAX / 2] = "null", text[LSP__SPARE_MAX + 1];
  int n = id.kind == LSP__ID_INT      ? snprintf(name, sizeof name, "%" PRId64, id.number)
          : id.kind == LSP__ID_STRING ? snprintf(name, sizeof name, "\"%s\"", id.text)
                                      : 4;
  bool plain = n > 0 && (size_t)n < sizeof name;
  for (const char *p = id.kind == LSP__ID_STRING ? id.text : ""; *p != '\0' && plain; p++)
    plain = *p >= ' ' && *p <= '~' && *p != '"' && *p != '\\';
  n = snprintf(text, sizeof text,
               "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,\"message\":\"%s\"}}", name, code,
               message);
  if (c->connection == NULL) return;
  if (plain && n > 0)
    lsp__connection_send_spare(c->connection, text, (size_t)n);
  else
    lsp__connection_end(c->connection, "out of memory");
}

void lsp__client_error(lsp__client *c, lsp__id id, int code, const char *message) {
  lsp__buffer b = {0};
  lsp__rpc_error(&b, id, code, message);
  if (!b.failed) {
    lsp__client_send(c, &b);
    return;
  }
  lsp__buffer_free(&b);
  send_error_without_memory(c, id, code, message);
}

static void send_message(lsp__client *c, const char *method, int type, const char *message) {
  lsp__buffer b = {0};
  lsp__rpc_begin_notification(&b, method);
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "type");
  lsp__json_int(&b, type);
  write_string(&b, "message", message);
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  lsp__client_send(c, &b);
}

/* Before initialize is answered there is nobody to tell. */
static void say(lsp__client *c, const char *method, int level, const char *format, va_list args) {
  char text[1536];
  vsnprintf(text, sizeof text, format, args);
  if (c->phase != LSP__PHASE_NEW) send_message(c, method, level, text);
}

void lsp__client_log(lsp__client *c, int level, const char *format, ...) {
  va_list args;
  va_start(args, format);
  say(c, "window/logMessage", level, format, args);
  va_end(args);
}

void lsp__client_show(lsp__client *c, int level, const char *format, ...) {
  va_list args;
  va_start(args, format);
  say(c, "window/showMessage", level, format, args);
  va_end(args);
}

void lsp__client_trace(lsp__client *c, const char *message, const char *verbose) {
  if (c->trace == LSP__TRACE_OFF) return;
  lsp__buffer b = {0};
  lsp__rpc_begin_notification(&b, "$/logTrace");
  lsp__json_begin(&b, '{');
  write_string(&b, "message", message);
  if (c->trace == LSP__TRACE_VERBOSE) write_string(&b, "verbose", verbose);
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  lsp__client_send(c, &b);
}
