/* client.c - one client: its lifecycle, and where its messages go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"
#include "lsp/peek.h"

#define PROGRESS_TOKEN "fimd/model"

static void write_string(lsp__buffer *b, const char *key, const char *value) {
  lsp__json_key(b, key);
  lsp__json_string(b, value);
}

static void open_object(lsp__buffer *b, const char *key) {
  lsp__json_key(b, key);
  lsp__json_begin(b, '{');
}

/* ---- the model, as the client sees it -------------------------------------------------- */

static void send_progress(lsp__client *c, const char *kind, const char *message) {
  lsp__buffer b = {0};
  lsp__rpc_begin_notification(&b, "$/progress");
  lsp__json_begin(&b, '{');
  write_string(&b, "token", PROGRESS_TOKEN);
  open_object(&b, "value");
  write_string(&b, "kind", kind);
  if (strcmp(kind, "begin") == 0) {
    write_string(&b, "title", "fimd: loading the model");
    lsp__json_key(&b, "cancellable");
    lsp__json_bool(&b, false);
  }
  if (strcmp(kind, "end") != 0) {
    lsp__json_key(&b, "percentage");
    lsp__json_int(&b, c->percent);
  }
  if (message != NULL) write_string(&b, "message", message);
  lsp__json_end(&b, '}');
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  lsp__client_send(c, &b);
}

static void ask_for_progress(lsp__client *c) {
  lsp__buffer b = {0};
  c->progress = LSP__PROGRESS_ASKED;
  c->progress_id = ++c->next_id;
  lsp__rpc_begin_request(&b, c->progress_id, "window/workDoneProgress/create");
  lsp__json_begin(&b, '{');
  write_string(&b, "token", PROGRESS_TOKEN);
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  lsp__client_send(c, &b);
}

static void report_progress(lsp__client *c) {
  lsp__server *s = c->server;
  int percent = (int)(s->progress * 100);
  if (percent < 0 || percent > 100) percent = 100;
  if (c->progress != LSP__PROGRESS_BEGUN) return;
  if (s->model != LSP__MODEL_LOADING) {
    c->progress = LSP__PROGRESS_NONE;
    send_progress(c, "end", s->model == LSP__MODEL_READY ? "ready" : "failed");
  } else if (percent > c->percent) {
    c->percent = percent;
    send_progress(c, "report", NULL);
  }
}

static void on_progress_created(lsp__client *c, bool granted) {
  c->progress = granted ? LSP__PROGRESS_BEGUN : LSP__PROGRESS_NONE;
  if (!granted) return;
  c->percent = 0;
  send_progress(c, "begin", NULL);
  report_progress(c);
}

/* Once, when the client is there and what there is for it. */
static void tell_model(lsp__client *c) {
  lsp__server *s = c->server;
  if (!c->initialized || (c->completion == NULL && !c->unusable)) return;
  if (!c->unusable) {
    const engine_info *info = engine_get_info(s->engine);
    lsp__client_log(c, LSP__LOG_INFO, "%s (%s) is ready on %s, loaded in %.0f ms", info->model,
                    info->types, info->backend, info->load_ms);
    if (engine_get_state(s->engine).fell_back)
      lsp__client_log(c, LSP__LOG_WARNING, "%s", info->backend_note);
  } else if (!c->failure_told) {
    c->failure_told = true;
    lsp__client_log(c, LSP__LOG_ERROR, "no completions: %s", s->model_error);
    lsp__client_show(c, LSP__LOG_ERROR, "fimd has no model: %s. Put that right or choose another one with "
                    "--model, then restart fimd", s->model_error);
  }
}

/* ---- its completion object -------------------------------------------------------------- */

/* To make one and to delete it are errands of the engine thread, behind the jobs of all clients:
 * it is the thread pool that waits for them, and never the loop. */

static void delete_completion(uv_work_t *work) {
  lsp__client *c = work->data;
  completion_delete(c->completion);
}

static void on_completion_deleted(uv_work_t *work, int status) {
  (void)status;
  lsp__client *c = work->data;
  c->completion = NULL;
  lsp__client_unref(c);
}

/* In the thread pool, or here where that takes nothing more. */
static void run_errand(lsp__client *c, uv_work_cb work, uv_after_work_cb after) {
  c->owners++;
  c->errand.data = c;
  if (uv_queue_work(&c->server->loop, &c->errand, work, after) == 0) return;
  work(&c->errand);
  after(&c->errand, 0);
}

/* It is there, or there will be none. */
static void take_completion(lsp__client *c) {
  if (c->completion != NULL) {
    completion_set_options(c->completion, &c->settings.completion); /* they may have changed */
    lsp__folders_flush(c);
    lsp__documents_flush(c);
  }
  tell_model(c);
  lsp__requests_pump(c);
}

static void make_completion(uv_work_t *work) {
  lsp__client *c = work->data;
  if (completion_new(&c->made, c->server->engine, &c->made_with) != 0) c->made = NULL;
}

static void on_completion_made(uv_work_t *work, int status) {
  (void)status;
  lsp__client *c = work->data;
  c->making = false;
  c->completion = c->made;
  if (c->completion == NULL)
    lsp__requests_starve(c); /* the next request tries again */
  else if (!c->leaving)
    take_completion(c);
  else
    run_errand(c, delete_completion, on_completion_deleted);
  lsp__client_unref(c);
}

void lsp__client_model_news(lsp__client *c) {
  lsp__server *s = c->server;
  if (c->unproven) return; /* nothing is made for strangers */
  report_progress(c);
  if (s->model == LSP__MODEL_LOADING || c->leaving || c->completion != NULL || c->making ||
      c->unusable)
    return;
  if (s->model == LSP__MODEL_READY) {
    c->making = true;
    c->made_with = c->settings.completion;
    run_errand(c, make_completion, on_completion_made);
  } else {
    c->unusable = true;
    take_completion(c);
  }
}

/* ---- lifecycle ------------------------------------------------------------------------- */

static void choose_encoding(lsp__client *c, const cJSON *capabilities) {
  /* The client's first that we know: it is the one it counts in itself. */
  const cJSON *offered = lsp__json_path(capabilities, "general", "positionEncodings", NULL);
  if (!cJSON_IsArray(offered)) return;
  for (const cJSON *i = offered->child; i != NULL; i = i->next) {
    int e = cJSON_IsString(i) ? lsp__encoding_from_name(i->valuestring) : -1;
    if (e < 0) continue;
    c->encoding = (lsp__encoding)e;
    return;
  }
}

static void read_capabilities(lsp__client *c, const cJSON *capabilities) {
  choose_encoding(c, capabilities);
  const cJSON *window = lsp__json_get(capabilities, "window");
  const cJSON *workspace = lsp__json_get(capabilities, "workspace");
  lsp__json_get_bool(window, "workDoneProgress", &c->can_progress);
  lsp__json_get_bool(workspace, "configuration", &c->can_configuration);
  lsp__json_get_bool(lsp__json_get(workspace, "didChangeWatchedFiles"), "dynamicRegistration",
                     &c->can_watch);
  const cJSON *modes = lsp__json_path(capabilities, "textDocument", "completion", "completionItem",
                                      "insertTextModeSupport", "valueSet", NULL);
  int64_t mode;
  if (cJSON_IsArray(modes))
    for (const cJSON *i = modes->child; i != NULL; i = i->next)
      if (lsp__json_to_int(i, &mode) && mode == 1) c->can_insert_as_is = true;
  const cJSON *ours = lsp__json_path(capabilities, "experimental", "fimd", NULL);
  lsp__json_get_bool(ours, "streaming", &c->start_settings.streaming);
}

static void set_trace(lsp__client *c, const cJSON *params, const char *key) {
  const char *value;
  if (!lsp__json_get_string(params, key, &value)) return;
  c->trace = strcmp(value, "verbose") == 0    ? LSP__TRACE_VERBOSE
             : strcmp(value, "messages") == 0 ? LSP__TRACE_MESSAGES
                                              : LSP__TRACE_OFF;
}

static void write_flag(lsp__buffer *b, const char *key) {
  lsp__json_key(b, key);
  lsp__json_bool(b, true);
}

static void write_capabilities(const lsp__client *c, lsp__buffer *b) {
  write_string(b, "positionEncoding", lsp__encoding_name(c->encoding));
  open_object(b, "textDocumentSync");
  write_flag(b, "openClose");
  lsp__json_key(b, "change");
  lsp__json_int(b, 2); /* incremental */
  write_flag(b, "save");
  lsp__json_end(b, '}');
  write_flag(b, "inlineCompletionProvider");
  if (c->settings.popup) {
    open_object(b, "completionProvider");
    lsp__json_key(b, "triggerCharacters");
    lsp__json_begin(b, '[');
    lsp__json_string(b, ".");
    lsp__json_end(b, ']');
    lsp__json_end(b, '}');
  }
  open_object(b, "executeCommandProvider");
  lsp__json_key(b, "commands");
  lsp__json_begin(b, '[');
  for (size_t i = 0; i < LSP__COMMANDS; i++) lsp__json_string(b, lsp__commands[i]);
  lsp__json_end(b, ']');
  lsp__json_end(b, '}');
  open_object(b, "workspace");
  open_object(b, "workspaceFolders");
  write_flag(b, "supported");
  write_flag(b, "changeNotifications");
  lsp__json_end(b, '}');
  lsp__json_end(b, '}');
  open_object(b, "experimental");
  open_object(b, "fimd");
  lsp__json_key(b, "streaming");
  lsp__json_bool(b, c->settings.streaming);
  write_flag(b, "status");
  lsp__json_end(b, '}');
  lsp__json_end(b, '}');
}

static void initialize(lsp__client *c, lsp__id id, const cJSON *params) {
  if (c->phase != LSP__PHASE_NEW) {
    lsp__client_error(c, id, LSP__INVALID_REQUEST, "initialize was sent before");
    return;
  }
  int64_t parent;
  const cJSON *settings = lsp__json_path(params, "initializationOptions", "fimd", NULL);
  read_capabilities(c, lsp__json_get(params, "capabilities"));
  lsp__settings quiet = c->start_settings; /* what is wrong with them is said afterwards */
  lsp__settings_apply(&c->start_settings, settings, lsp__client_warn, c);
  c->settings = c->start_settings;
  set_trace(c, params, "trace");
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, id);
  lsp__json_begin(&b, '{');
  open_object(&b, "capabilities");
  write_capabilities(c, &b);
  lsp__json_end(&b, '}');
  open_object(&b, "serverInfo");
  write_string(&b, "name", "fimd");
  write_string(&b, "version", FIMD_VERSION);
  lsp__json_end(&b, '}');
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  if (b.failed) {
    lsp__buffer_free(&b);
    lsp__client_error(c, id, LSP__INTERNAL_ERROR, "out of memory");
    return;
  }
  c->phase = LSP__PHASE_RUNNING;
  /* Before the answer: until then the client waits, so it is there to be seen. */
  if (lsp__json_get_int(params, "processId", &parent)) lsp__server_watch_parent(c->server, parent);
  lsp__client_send(c, &b);
  lsp__settings_apply(&quiet, settings, lsp__client_warn, c);
  lsp__settings_changed(c);
  lsp__folders_init(c, params); /* they are read as the settings say */
}

static void initialized(lsp__client *c, const cJSON *params) {
  (void)params;
  if (c->initialized) return;
  c->initialized = true;
  if (c->server->model == LSP__MODEL_LOADING && c->can_progress) ask_for_progress(c);
  tell_model(c);
  lsp__files_watch(c);
  lsp__configuration_ask(c);
}

static void shut_down(lsp__client *c, lsp__id id) {
  c->phase = LSP__PHASE_SHUTDOWN;
  lsp__requests_cancel(c, NULL, LSP__CANCELLED, "the server shuts down");
  lsp__buffer b = {0};
  lsp__rpc_begin_result(&b, id);
  lsp__json_null(&b);
  lsp__rpc_end(&b);
  if (b.failed)
    lsp__client_error(c, id, LSP__INTERNAL_ERROR, "out of memory");
  else
    lsp__client_send(c, &b);
  lsp__buffer_free(&b);
}

/* The client is done: with standard input and output, so is the server. */
static void go(lsp__client *c) {
  int code = c->phase == LSP__PHASE_SHUTDOWN ? 0 : 1;
  if (c->server->options->transport == LSP_STDIO)
    lsp__server_stop(c->server, code);
  else
    lsp__client_leave(c);
}

/* ---- dispatch -------------------------------------------------------------------------- */

static void cancel_request(lsp__client *c, const cJSON *params) {
  lsp__id id;
  if (!lsp__id_parse(lsp__json_get(params, "id"), &id)) return;
  lsp__request_cancel_id(c, id);
}

static void trace(lsp__client *c, const cJSON *params) { set_trace(c, params, "value"); }

static void on_request(lsp__client *c, const lsp__message *m) {
  const char *method = m->method;
  if (c->phase == LSP__PHASE_NEW && strcmp(method, "initialize") != 0)
    lsp__client_error(c, m->id, LSP__NOT_INITIALIZED, "initialize comes first");
  else if (c->phase == LSP__PHASE_SHUTDOWN)
    lsp__client_error(c, m->id, LSP__INVALID_REQUEST, "after shutdown only exit is left");
  else if (strcmp(method, "initialize") == 0)
    initialize(c, m->id, m->params);
  else if (strcmp(method, "textDocument/inlineCompletion") == 0)
    lsp__inline_completion(c, m->id, m->params);
  else if (strcmp(method, "textDocument/completion") == 0)
    lsp__popup_completion(c, m->id, m->params);
  else if (strcmp(method, "shutdown") == 0)
    shut_down(c, m->id);
  else if (strcmp(method, "workspace/executeCommand") == 0)
    lsp__execute_command(c, m->id, m->params);
  else if (strcmp(method, "fimd/status") == 0)
    lsp__status_request(c, m->id);
  else if (strcmp(method, "fimd/why") == 0)
    lsp__why_request(c, m->id, m->params);
  else if (strcmp(method, "fimd/document") == 0)
    lsp__document_request(c, m->id, m->params);
  else
    lsp__client_error(c, m->id, LSP__METHOD_NOT_FOUND, "no such method");
}

static void on_notification(lsp__client *c, const lsp__message *m) {
  static const struct {
    const char *method;
    void (*take)(lsp__client *c, const cJSON *params);
  } table[] = {
      {"textDocument/didChange", lsp__did_change},
      {"$/cancelRequest", cancel_request},
      {"textDocument/didOpen", lsp__did_open},
      {"textDocument/didClose", lsp__did_close},
      {"textDocument/didSave", lsp__did_save},
      {"initialized", initialized},
      {"workspace/didChangeConfiguration", lsp__did_change_configuration},
      {"workspace/didChangeWatchedFiles", lsp__did_change_files},
      {"workspace/didChangeWorkspaceFolders", lsp__did_change_folders},
      {"$/setTrace", trace},
  };
  if (strcmp(m->method, "exit") == 0) {
    go(c);
    return;
  }
  for (size_t i = 0; i < sizeof table / sizeof *table && c->phase == LSP__PHASE_RUNNING; i++)
    if (strcmp(m->method, table[i].method) == 0) table[i].take(c, m->params);
}

static void on_response(lsp__client *c, const lsp__message *m) {
  if (m->id.kind != LSP__ID_INT || m->id.number == 0) return;
  if (m->id.number == c->progress_id) {
    c->progress_id = 0;
    on_progress_created(c, m->error == NULL);
  } else if (m->id.number == c->configuration_id) {
    c->configuration_id = 0;
    lsp__configuration_answer(c, m->result);
  }
}

static void dispatch(lsp__client *c, const lsp__message *m) {
  if (m->kind == LSP__MESSAGE_REQUEST)
    on_request(c, m);
  else if (m->kind == LSP__MESSAGE_NOTIFICATION)
    on_notification(c, m);
  else if (m->kind == LSP__MESSAGE_RESPONSE)
    on_response(c, m);
  else
    lsp__client_error(c, m->id, m->code, m->why);
}

/* Nothing that a port hears is answered before the token was told, and nobody gets a second try. */
static void refuse(lsp__client *c, lsp__id id) {
  lsp__client_error(c, id, LSP__INVALID_REQUEST,
                    "the first message on a port is initialize, with the token of the daemon's "
                    "token file as initializationOptions.fimd.token");
  lsp__client_leave(c);
}

static bool is_proof(const lsp__client *c, const lsp__message *m) {
  const char *said = NULL;
  return m->kind == LSP__MESSAGE_REQUEST && strcmp(m->method, "initialize") == 0 &&
         lsp__json_get_string(lsp__json_path(m->params, "initializationOptions", "fimd", NULL),
                              "token", &said) &&
         lsp__token_is(&c->server->token, said);
}

/* The recording has the message, but not the token. */
static void record_proof(lsp__client *c, const char *text, size_t len) {
  char *copy = c->server->recording != NULL ? lsp__strndup(text, len) : NULL;
  if (copy == NULL) return;
  lsp__token_mask(&c->server->token, copy, len);
  lsp__recording_add(c->server->recording, c->number, true, true, copy, len);
  free(copy);
}

/* The first message on a port. True: the client may go on. */
static bool prove(lsp__client *c, const lsp__message *m, const char *text, size_t len) {
  if (!is_proof(c, m)) {
    refuse(c, m->kind == LSP__MESSAGE_REQUEST ? m->id : (lsp__id){.kind = LSP__ID_NULL});
    return false;
  }
  c->unproven = false;
  lsp__connection_trust(c->connection);
  record_proof(c, text, len);
  if (c->server->model != LSP__MODEL_LOADING) lsp__client_model_news(c);
  return true;
}

/* A message that cannot be taken, as far as it is known: answers it where it is a request, and
 * counts no text that it may have changed as known. */
static void pass_over(lsp__client *c, int code, const char *why, const char *head, size_t len) {
  lsp__peek peek;
  lsp__peek_read(&peek, head, len);
  if (peek.may_edit) lsp__documents_lose(c, peek.uri[0] != '\0' ? peek.uri : NULL, why);
  lsp__client_error(c, peek.id, code, why);
}

static void on_message(void *user, const char *text, size_t len) {
  lsp__client *c = user;
  cJSON *tree;
  const char *why;
  size_t where;
  int status = lsp__json_parse(text, len, &tree, &why, &where);
  if (status != LSP__OK && c->unproven) {
    refuse(c, (lsp__id){.kind = LSP__ID_NULL});
    return;
  }
  if (!c->unproven)
    lsp__recording_add(c->server->recording, c->number, true, status == LSP__OK, text, len);
  if (status != LSP__OK) {
    char message[160];
    snprintf(message, sizeof message, "%s at byte %zu", why, where);
    if (status == LSP__EINVAL)
      lsp__client_error(c, (lsp__id){.kind = LSP__ID_NULL}, LSP__PARSE_ERROR, message);
    else
      pass_over(c, status == LSP__ELIMIT ? LSP__INVALID_REQUEST : LSP__INTERNAL_ERROR, message,
                text, len);
    return;
  }
  lsp__message m;
  lsp__message_read(tree, &m);
  if (!c->unproven || prove(c, &m, text, len)) dispatch(c, &m);
  cJSON_Delete(tree);
}

/* ---- the connection -------------------------------------------------------------------- */

static void on_problem(void *user, lsp__framing_event problem, const char *head, size_t len) {
  lsp__client *c = user;
  if (c->unproven) {
    refuse(c, (lsp__id){.kind = LSP__ID_NULL});
    return;
  }
  const char *what = problem == LSP__FRAMING_TOO_LARGE    ? "a message over 64 MiB was skipped"
                     : problem == LSP__FRAMING_BAD_HEADER ? "a header without a readable Content-Length"
                                                          : "out of memory, a message was skipped";
  int code = problem == LSP__FRAMING_NOMEM ? LSP__INTERNAL_ERROR : LSP__INVALID_REQUEST;
  if (problem == LSP__FRAMING_BAD_HEADER)
    lsp__client_error(c, (lsp__id){.kind = LSP__ID_NULL}, code, what);
  else
    pass_over(c, code, what, head, len);
  /* Whatever reaches a port may come from a web page: no second chance there. */
  if (c->server->options->transport == LSP_PORT && problem == LSP__FRAMING_BAD_HEADER)
    lsp__client_leave(c);
}

static void on_end(void *user, const char *why) {
  lsp__client *c = user;
  if (why != NULL) lsp__say("a client is gone: %s", why);
  go(c);
}

static void on_closed(void *user) {
  lsp__client *c = user;
  c->connection = NULL;
  lsp__client_unref(c);
}

const lsp__connection_events lsp__client_events = {on_message, on_problem, on_end, on_closed};

/* ---- life ------------------------------------------------------------------------------ */

lsp__client *lsp__client_new(lsp__server *s) {
  lsp__client *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->server = s;
  c->owners = 2;
  uv_timer_init(&s->loop, &c->clock);
  c->clock.data = c;
  lsp__settings_init(&c->start_settings, &s->options->completion);
  c->unload_after = c->start_settings.unload_after =
      (float)s->options->engine.unload_after_ms / 60e3f;
  c->settings = c->start_settings;
  c->next = s->clients;
  s->clients = c;
  s->client_count++;
  c->number = ++s->clients_so_far;
  c->unproven = s->options->transport == LSP_PORT;
  return c;
}

static void on_clock_closed(uv_handle_t *clock) { lsp__client_unref(clock->data); }

void lsp__client_leave(lsp__client *c) {
  if (c->leaving) return;
  c->leaving = true;
  c->owners++;
  lsp__requests_cancel(c, NULL, LSP__CANCELLED, "the server ends");
  uv_close((uv_handle_t *)&c->clock, on_clock_closed);
  if (c->connection != NULL) lsp__connection_close(c->connection);
  if (c->completion != NULL) run_errand(c, delete_completion, on_completion_deleted);
  lsp__client_unref(c);
}
