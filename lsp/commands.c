/* commands.c - fimd/status, fimd/why, fimd/document and workspace/executeCommand. */
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"

#define SHOW_STATISTICS "fimd.showStatistics"
#define WHY "fimd.why"

const char *const lsp__commands[LSP__COMMANDS] = {SHOW_STATISTICS, WHY};

static void write_device(const engine *e, const engine_info *info, lsp__buffer *b) {
  engine_state state = engine_get_state(e);
  lsp__json_put_bool(b, "loaded", state.loaded);
  lsp__json_put_bool(b, "fellBack", state.fell_back);
  lsp__json_put_int(b, "loads", state.loads);
  lsp__json_put_int(b, "unloads", state.unloads);
  lsp__json_put_int(b, "deviceFailures", state.failures);
  if (info->device_total == 0) return;
  lsp__json_put_int(b, "deviceBytes", (int64_t)info->device_total);
  lsp__json_put_int(b, "deviceBytesFree", (int64_t)info->device_free);
}

static void write_model(const lsp__server *s, lsp__buffer *b) {
  static const char *const states[] = {"loading", "ready", "failed"};
  lsp__json_key(b, "model");
  lsp__json_begin(b, '{');
  lsp__json_put_text(b, "state", states[s->model]);
  if (s->model == LSP__MODEL_FAILED) lsp__json_put_text(b, "error", s->model_error);
  if (s->model == LSP__MODEL_LOADING) lsp__json_put_double(b, "progress", s->progress);
  if (s->model == LSP__MODEL_READY) {
    const engine_info *info = engine_get_info(s->engine);
    lsp__json_put_text(b, "name", info->model);
    lsp__json_put_text(b, "path", info->path);
    lsp__json_put_text(b, "backend", info->backend);
    lsp__json_put_text(b, "backendNote", info->backend_note);
    lsp__json_put_text(b, "types", info->types);
    lsp__json_put_int(b, "parameters", info->parameters);
    lsp__json_put_int(b, "weightBytes", info->weight_bytes);
    lsp__json_put_int(b, "context", info->context);
    lsp__json_put_double(b, "loadMs", info->load_ms);
    write_device(s->engine, info, b);
  }
  lsp__json_end(b, '}');
}

/* The files that guesses come from, as far as they are read. */
static void write_workspace(const lsp__client *c, lsp__buffer *b) {
  completion_workspace_info info = {0};
  engine_pool_info pool = {0};
  if (c->completion != NULL) {
    info = completion_workspace_get_info(c->completion);
    pool = engine_pool_get_info(completion_pool(c->completion));
  } else { /* what is there to read waits for the model */
    info.busy = !c->unusable && c->roots != NULL && lsp__settings_reads_workspace(&c->settings);
  }
  lsp__json_key(b, "workspace");
  lsp__json_begin(b, '{');
  lsp__json_put_bool(b, "busy", info.busy);
  lsp__json_put_int(b, "files", (int64_t)pool.texts);
  lsp__json_put_double(b, "megabytes", (double)info.bytes / 1e6);
  lsp__json_put_int(b, "leftOut", info.left_out);
  lsp__json_put_bool(b, "cut", info.cut || pool.left_out > 0);
  lsp__json_put_int(b, "poolTokens", (int64_t)pool.tokens);
  lsp__json_put_double(b, "poolMegabytes", (double)pool.bytes / 1e6);
  lsp__json_put_double(b, "ms", info.ms);
  lsp__json_end(b, '}');
}

static void respond(lsp__client *c, lsp__id id, lsp__buffer *b) {
  lsp__rpc_end(b);
  if (b->failed)
    lsp__client_error(c, id, LSP__INTERNAL_ERROR, "out of memory");
  else
    lsp__client_send(c, b);
  lsp__buffer_free(b);
}

void lsp__status_request(lsp__client *c, lsp__id id) {
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, id);
  lsp__json_begin(&b, '{');
  lsp__json_put_text(&b, "version", FIMD_VERSION);
  write_model(c->server, &b);
  lsp__json_put_text(&b, "positionEncoding", lsp__encoding_name(c->encoding));
  lsp__json_put_int(&b, "documents", c->document_count);
  lsp__json_put_int(&b, "requests", c->request_count);
  lsp__json_put_int(&b, "clients", c->server->client_count);
  write_workspace(c, &b);
  lsp__json_key(&b, "settings");
  lsp__settings_write(&c->settings, &b);
  lsp__json_key(&b, "statistics");
  lsp__statistics_write(&c->statistics, &b);
  lsp__json_end(&b, '}');
  respond(c, id, &b);
}

/* The document that is asked about (NULL: the one whose request was the last), if there was a
 * request about it. */
static const lsp__document *accounted(const lsp__client *c, const char *uri) {
  const lsp__document *best = NULL;
  for (const lsp__document *d = c->documents; d != NULL; d = d->next) {
    if (d->why == NULL || (uri != NULL && strcmp(d->uri, uri) != 0)) continue;
    if (best == NULL || d->why->number > best->why->number) best = d;
  }
  return best;
}

/* null where there was no request. */
static void answer_why(lsp__client *c, lsp__id id, const lsp__document *d) {
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, id);
  if (d != NULL)
    lsp__why_write(d->why, d->uri, &b);
  else
    lsp__json_null(&b);
  respond(c, id, &b);
}

void lsp__why_request(lsp__client *c, lsp__id id, const cJSON *params) {
  const char *uri = NULL;
  if (!lsp__json_get_string(params, "uri", &uri))
    lsp__json_get_string(lsp__json_get(params, "textDocument"), "uri", &uri);
  answer_why(c, id, accounted(c, uri));
}

static void show_why(lsp__client *c, lsp__id id, const cJSON *arguments) {
  const cJSON *first = cJSON_IsArray(arguments) ? arguments->child : NULL;
  const lsp__document *d = accounted(c, cJSON_IsString(first) ? first->valuestring : NULL);
  char line[512] = "fimd: there was no request";
  if (d != NULL) lsp__why_line(d->why, line, sizeof line);
  lsp__client_show(c, LSP__LOG_INFO, "%s", line);
  answer_why(c, id, d);
}

/* FNV-1a, 32 bits. */
static uint32_t digest(const lsp__buffer *text) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < text->len; i++) h = (h ^ (unsigned char)text->data[i]) * 16777619u;
  return h;
}

/* What we take a document to be, without its text: who doubts can compare. */
void lsp__document_request(lsp__client *c, lsp__id id, const cJSON *params) {
  const char *uri = "";
  lsp__json_get_string(lsp__json_get(params, "textDocument"), "uri", &uri);
  const lsp__document *d = lsp__client_document(c, uri);
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, id);
  if (d == NULL) {
    lsp__json_null(&b);
  } else {
    lsp__json_begin(&b, '{');
    lsp__json_put_int(&b, "version", d->version);
    lsp__json_put_bool(&b, "lost", d->lost);
    lsp__json_put_int(&b, "bytes", (int64_t)d->text.len);
    lsp__json_put_int(&b, "fnv1a", digest(&d->text));
    lsp__json_end(&b, '}');
  }
  respond(c, id, &b);
}

void lsp__execute_command(lsp__client *c, lsp__id id, const cJSON *params) {
  const char *command = "";
  char line[256];
  lsp__json_get_string(params, "command", &command);
  if (strcmp(command, WHY) == 0) {
    show_why(c, id, lsp__json_get(params, "arguments"));
    return;
  }
  if (strcmp(command, SHOW_STATISTICS) != 0) {
    lsp__client_error(c, id, LSP__INVALID_PARAMS, "the commands are " SHOW_STATISTICS " and " WHY);
    return;
  }
  lsp__statistics_line(&c->statistics, line, sizeof line);
  lsp__client_show(c, LSP__LOG_INFO, "%s", line);
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, id);
  lsp__statistics_write(&c->statistics, &b);
  respond(c, id, &b);
}
