/* rpc.h - JSON-RPC 2.0 messages: what one is, and the envelopes of those we write. */
#ifndef FIMD_LSP_RPC_H
#define FIMD_LSP_RPC_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "lsp/buffer.h"

enum {
  LSP__PARSE_ERROR = -32700,
  LSP__INVALID_REQUEST = -32600,
  LSP__METHOD_NOT_FOUND = -32601,
  LSP__INVALID_PARAMS = -32602,
  LSP__INTERNAL_ERROR = -32603,
  LSP__NOT_INITIALIZED = -32002,
  LSP__REQUEST_CANCELLED = -32800,
  LSP__CONTENT_MODIFIED = -32801,
  LSP__REQUEST_FAILED = -32803,
};

typedef struct lsp__id {
  enum { LSP__ID_NONE = 0, LSP__ID_NULL, LSP__ID_INT, LSP__ID_STRING } kind;
  int64_t number;
  const char *text; /* as lsp/json.h keeps strings */
} lsp__id;

bool lsp__id_equal(lsp__id a, lsp__id b);
/* A whole number or a string, as ids and progress tokens are. */
bool lsp__id_parse(const cJSON *item, lsp__id *out);
void lsp__id_write(lsp__buffer *b, lsp__id id);
/* Copies a string id's text; *owned (to be freed) is NULL for other kinds. False: no memory. */
bool lsp__id_copy(lsp__id from, lsp__id *to, char **owned);

typedef struct lsp__message {
  enum {
    LSP__MESSAGE_INVALID = 0, /* answer with code and why, under id */
    LSP__MESSAGE_REQUEST,
    LSP__MESSAGE_NOTIFICATION,
    LSP__MESSAGE_RESPONSE,
  } kind;
  lsp__id id;
  const char *method;
  const cJSON *params; /* object or array; NULL where absent or null */
  const cJSON *result, *error;
  int code;
  const char *why;
} lsp__message;

/* All of it is borrowed from the tree. */
void lsp__message_read(const cJSON *tree, lsp__message *out);

/* Envelopes: between begin and end the caller writes one value (the result, the params). */
void lsp__rpc_begin_result(lsp__buffer *b, lsp__id id);
void lsp__rpc_begin_request(lsp__buffer *b, int64_t id, const char *method);
void lsp__rpc_begin_notification(lsp__buffer *b, const char *method);
void lsp__rpc_end(lsp__buffer *b);
void lsp__rpc_error(lsp__buffer *b, lsp__id id, int code, const char *message);

#endif
