/* cli_client.c - see cli_client.h. */
#include "lsp/cli_client.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsp/json.h"

#define MAX_MESSAGE ((size_t)64 << 20)

/* ---- the child ------------------------------------------------------------------------- */

typedef struct arguments {
  const char *argv[40];
  int n;
  char numbers[12][48];
  int n_numbers;
} arguments;

static void add_text(arguments *a, const char *name, const char *value) {
  if (value == NULL) return;
  a->argv[a->n++] = name;
  a->argv[a->n++] = value;
}

/* What is 0 is left to its default. */
static void add_number(arguments *a, const char *name, double value, const char *unit) {
  if (value == 0) return;
  char *text = a->numbers[a->n_numbers++];
  snprintf(text, sizeof a->numbers[0], "%.15g%s", value, unit);
  add_text(a, name, text);
}

static void add_options(arguments *a, const cli_options *o) {
  const completion_options *c = &o->completion;
  add_text(a, "--model", o->engine.model);
  add_text(a, "--backend", o->engine.backend);
  add_text(a, "--random-weights", o->engine.random_weights);
  add_text(a, "--random-tokenizer", o->engine.random_tokenizer);
  add_text(a, "--draft", o->draft);
  add_number(a, "--threads", o->engine.threads, "");
  add_number(a, "--context", o->engine.context, "");
  add_number(a, "--gpu-memory", (double)o->engine.gpu_memory / 1e6, "MB");
  add_number(a, "--max-tokens", c->max_tokens, "");
  add_number(a, "--max-lines", c->max_lines, "");
  add_number(a, "--prompt-tokens", c->prompt_tokens, "");
  add_number(a, "--temperature", (double)c->temperature, "");
  add_number(a, "--top-p", (double)c->top_p, "");
  add_number(a, "--confidence", (double)c->confidence, "");
  if (c->no_context) a->argv[a->n++] = "--no-context";
  if (c->no_gate) a->argv[a->n++] = "--no-gate";
  if (o->lsp.measured) a->argv[a->n++] = "--measured";
  if (c->no_polish) a->argv[a->n++] = "--no-polish";
  if (c->no_comments) a->argv[a->n++] = "--no-comments";
  if (c->no_strings) a->argv[a->n++] = "--no-strings";
  if (c->mid_line) a->argv[a->n++] = "--mid-line";
}

/* Starts this program's daemon with the two descriptors as its standard input and output. */
static bool spawn_daemon(const cli_options *o, int in, int out, pid_t *pid) {
  arguments a = {.argv = {"fimd", "lsp"}, .n = 2};
  add_options(&a, o);
  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions) != 0) return false;
  errno = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  if (errno == 0) errno = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (errno == 0)
    errno = posix_spawn(pid, "/proc/self/exe", &actions, NULL, (char *const *)a.argv, environ);
  int failed = errno;
  posix_spawn_file_actions_destroy(&actions);
  errno = failed;
  return failed == 0;
}

bool cli_client_start(cli_client *c, const cli_options *o) {
  int to[2], from[2];
  *c = (cli_client){.pid = -1};
  if (pipe2(to, O_CLOEXEC) != 0) return false;
  if (pipe2(from, O_CLOEXEC) != 0) {
    close(to[0]);
    close(to[1]);
    return false;
  }
  bool ok = spawn_daemon(o, to[0], from[1], &c->pid);
  int failed = errno;
  close(to[0]);
  close(from[1]);
  c->out = fdopen(to[1], "wb");
  if (c->out == NULL) close(to[1]);
  c->in = fdopen(from[0], "rb");
  if (c->in == NULL) close(from[0]);
  if (!ok) {
    c->pid = -1;
    cli_client_stop(c);
    errno = failed;
  }
  return ok && c->out != NULL && c->in != NULL;
}

int cli_client_stop(cli_client *c) {
  int status = 0;
  if (c->pid > 0 && c->in != NULL && c->out != NULL) {
    cJSON_Delete(cli_client_request(c, "shutdown", cJSON_CreateNull()));
    cli_client_notify(c, "exit", cJSON_CreateNull());
  }
  if (c->out != NULL) fclose(c->out);
  if (c->in != NULL) fclose(c->in);
  c->in = c->out = NULL;
  if (c->pid <= 0 || waitpid(c->pid, &status, 0) < 0) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- messages -------------------------------------------------------------------------- */

bool cli_client_send(cli_client *c, const char *text, size_t len) {
  c->sent_ms = cli_now_ms();
  return fprintf(c->out, "Content-Length: %zu\r\n\r\n", len) > 0 &&
         fwrite(text, 1, len, c->out) == len && fflush(c->out) == 0;
}

/* Sends and frees a message. */
static bool send_message(cli_client *c, cJSON *message) {
  char *text = message == NULL ? NULL : cJSON_PrintUnformatted(message);
  cJSON_Delete(message);
  if (text == NULL) return false;
  bool ok = cli_client_send(c, text, strlen(text));
  cJSON_free(text);
  return ok;
}

cJSON *cli_client_receive(cli_client *c) {
  char header[256];
  size_t len = 0;
  while (fgets(header, sizeof header, c->in) != NULL && strcmp(header, "\r\n") != 0)
    if (strncmp(header, "Content-Length: ", 16) == 0) len = strtoul(header + 16, NULL, 10);
  if (len == 0 || len > MAX_MESSAGE) return NULL;
  char *text = malloc(len);
  cJSON *message = NULL;
  const char *why;
  size_t where;
  if (text != NULL && fread(text, 1, len, c->in) == len) {
    c->received_ms = cli_now_ms();
    if (lsp__json_parse(text, len, &message, &why, &where) != LSP__OK) message = NULL;
  }
  free(text);
  return message;
}

static cJSON *message_new(const char *method, cJSON *params) {
  cJSON *m = cJSON_CreateObject();
  cJSON_AddStringToObject(m, "jsonrpc", "2.0");
  cJSON_AddStringToObject(m, "method", method);
  if (!cJSON_AddItemToObject(m, "params", params)) cJSON_Delete(params);
  return m;
}

bool cli_client_notify(cli_client *c, const char *method, cJSON *params) {
  return send_message(c, message_new(method, params));
}

cJSON *cli_client_request(cli_client *c, const char *method, cJSON *params) {
  int id = ++c->next_id;
  cJSON *m = message_new(method, params);
  cJSON_AddNumberToObject(m, "id", id);
  if (!send_message(c, m)) return NULL;
  for (;;) {
    cJSON *answer = cli_client_receive(c);
    if (answer == NULL) return NULL;
    const cJSON *answered = cJSON_GetObjectItemCaseSensitive(answer, "id");
    if (cJSON_IsNumber(answered) && answered->valueint == id &&
        !cJSON_HasObjectItem(answer, "method")) {
      cJSON *result = cJSON_DetachItemFromObjectCaseSensitive(answer, "result");
      const cJSON *error = cJSON_GetObjectItemCaseSensitive(answer, "error");
      const cJSON *why = cJSON_GetObjectItemCaseSensitive(error, "message");
      if (cJSON_IsString(why)) fprintf(stderr, "fimd: %s: %s\n", method, why->valuestring);
      cJSON_Delete(answer);
      return result;
    }
    cJSON_Delete(answer);
  }
}

/* ---- what an editor does --------------------------------------------------------------- */

bool cli_client_initialize(cli_client *c, const char *root) {
  static const char *const encodings[] = {"utf-8"};
  cJSON *params = cJSON_CreateObject();
  cJSON *capabilities = cJSON_AddObjectToObject(params, "capabilities");
  cJSON *general = cJSON_AddObjectToObject(capabilities, "general");
  cJSON_AddItemToObject(general, "positionEncodings", cJSON_CreateStringArray(encodings, 1));
  cJSON_AddNumberToObject(params, "processId", getpid());
  /* Who waits for every answer makes pauses that are no person's. */
  cJSON *options = cJSON_AddObjectToObject(params, "initializationOptions");
  cJSON_AddNumberToObject(cJSON_AddObjectToObject(options, "fimd"), "debounce", 0);
  char *uri = root != NULL ? cli_file_uri(root) : NULL;
  if (root != NULL) {
    cJSON *folders = cJSON_AddArrayToObject(params, "workspaceFolders");
    cJSON *folder = cJSON_CreateObject();
    cJSON_AddStringToObject(folder, "uri", uri != NULL ? uri : "");
    cJSON_AddStringToObject(folder, "name", root);
    cJSON_AddItemToArray(folders, folder);
  }
  cJSON *result = cli_client_request(c, "initialize", params);
  bool ok = result != NULL && (root == NULL || uri != NULL) &&
            cli_client_notify(c, "initialized", cJSON_CreateObject());
  cJSON_Delete(result);
  free(uri);
  return ok;
}

static cJSON *add_document(cJSON *params, const char *uri) {
  cJSON *document = cJSON_AddObjectToObject(params, "textDocument");
  cJSON_AddStringToObject(document, "uri", uri);
  return document;
}

static void add_position(cJSON *to, const char *name, cli_position at) {
  cJSON *position = cJSON_AddObjectToObject(to, name);
  cJSON_AddNumberToObject(position, "line", at.line);
  cJSON_AddNumberToObject(position, "character", at.character);
}

bool cli_client_open(cli_client *c, const char *uri, const char *language, const char *text) {
  cJSON *params = cJSON_CreateObject(), *document = add_document(params, uri);
  cJSON_AddStringToObject(document, "languageId", language);
  cJSON_AddNumberToObject(document, "version", 1);
  cJSON_AddStringToObject(document, "text", text);
  return cli_client_notify(c, "textDocument/didOpen", params);
}

bool cli_client_close(cli_client *c, const char *uri) {
  cJSON *params = cJSON_CreateObject();
  add_document(params, uri);
  return cli_client_notify(c, "textDocument/didClose", params);
}

bool cli_client_type(cli_client *c, const char *uri, int version, cli_position at,
                     const char *text) {
  cJSON *params = cJSON_CreateObject(), *change = cJSON_CreateObject();
  cJSON_AddNumberToObject(add_document(params, uri), "version", version);
  cJSON *range = cJSON_AddObjectToObject(change, "range");
  add_position(range, "start", at);
  add_position(range, "end", at);
  cJSON_AddStringToObject(change, "text", text);
  cJSON_AddItemToArray(cJSON_AddArrayToObject(params, "contentChanges"), change);
  return cli_client_notify(c, "textDocument/didChange", params);
}

/* The character of an end of the item's range; the cursor's where there is none. */
static int range_end(const cJSON *item, const char *end, cli_position at) {
  const cJSON *range = cJSON_GetObjectItemCaseSensitive(item, "range");
  const cJSON *position = cJSON_GetObjectItemCaseSensitive(range, end);
  const cJSON *character = cJSON_GetObjectItemCaseSensitive(position, "character");
  return cJSON_IsNumber(character) ? character->valueint : at.character;
}

int cli_client_ask(cli_client *c, const char *uri, cli_position at, cli_ghost *out) {
  return cli_client_ask_measured(c, uri, at, NULL, NULL, out);
}

int cli_client_ask_measured(cli_client *c, const char *uri, cli_position at, const char *replay,
                            const char *without, cli_ghost *out) {
  cJSON *params = cJSON_CreateObject();
  add_document(params, uri);
  add_position(params, "position", at);
  cJSON *context = cJSON_AddObjectToObject(params, "context");
  cJSON_AddNumberToObject(context, "triggerKind", 2);
  if (replay != NULL) cJSON_AddStringToObject(context, "fimdReplay", replay);
  if (without != NULL) cJSON_AddStringToObject(context, "fimdWithout", without);
  *out = (cli_ghost){0};
  cJSON *result = cli_client_request(c, "textDocument/inlineCompletion", params);
  if (result == NULL) return -1;
  out->ms = c->received_ms - c->sent_ms;
  const cJSON *items = cJSON_GetObjectItemCaseSensitive(result, "items");
  const cJSON *item = cJSON_GetArrayItem(cJSON_IsArray(result) ? result : items, 0);
  const cJSON *insert = cJSON_GetObjectItemCaseSensitive(item, "insertText");
  int rc = 0;
  if (cJSON_IsString(insert) && insert->valuestring[0] != '\0') {
    out->text = strdup(insert->valuestring);
    out->from = range_end(item, "start", at);
    out->to = range_end(item, "end", at);
    rc = out->text != NULL ? 1 : -1;
  }
  cJSON_Delete(result);
  return rc;
}

cli_position cli_position_of(const char *text, size_t offset) {
  cli_position at = {0};
  for (size_t i = 0; i < offset; i++) {
    at.character++;
    if (text[i] == '\n') at = (cli_position){.line = at.line + 1};
  }
  return at;
}

char *cli_file_uri(const char *path) {
  char *uri = malloc(strlen(path) * 3 + 8), *o = uri;
  if (uri == NULL) return NULL;
  o += sprintf(o, "file://");
  for (const char *p = path; *p != '\0'; p++)
    if (isalnum((unsigned char)*p) || strchr("/-._~", *p) != NULL)
      *o++ = *p;
    else
      o += sprintf(o, "%%%02X", (unsigned char)*p);
  *o = '\0';
  return uri;
}
