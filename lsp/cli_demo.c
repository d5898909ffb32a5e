/* cli_demo.c - `fimd demo`: ghost text in five languages, through the daemon.
 *
 * Starts this very program as an LSP daemon, opens a sample of each language with the cursor
 * where a programmer would be typing, asks for an inline completion as an editor does, and shows
 * the answer in grey where an editor would show it. The milliseconds are from the request's
 * first byte out to the answer's last byte in. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsp/cli.h"
#include "lsp/demo_samples.h"

#define MAX_MESSAGE ((size_t)16 << 20)
#define LINES_ABOVE 6
#define LINES_BELOW 2

/* ---- a small client ---------------------------------------------------------------------- */

typedef struct client {
  pid_t pid;
  FILE *in, *out; /* from and to the daemon */
  int next_id;
} client;

static void add_flag(const char **argv, int *n, const char *name, const char *value) {
  if (value == NULL) return;
  argv[(*n)++] = name;
  argv[(*n)++] = value;
}

/* Starts this program's daemon with the two descriptors as its standard input and output. */
static bool spawn_daemon(const cli_options *o, int in, int out, pid_t *pid) {
  char threads[16], context[16];
  const char *argv[16] = {"fimd", "lsp"};
  int n = 2;
  snprintf(threads, sizeof threads, "%d", o->engine.threads);
  snprintf(context, sizeof context, "%d", o->engine.context);
  add_flag(argv, &n, "--model", o->engine.model);
  add_flag(argv, &n, "--backend", o->engine.backend);
  add_flag(argv, &n, "--threads", threads);
  add_flag(argv, &n, "--context", context);
  posix_spawn_file_actions_t actions;
  if (posix_spawn_file_actions_init(&actions) != 0) return false;
  errno = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  if (errno == 0) errno = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (errno == 0)
    errno = posix_spawn(pid, "/proc/self/exe", &actions, NULL, (char *const *)argv, environ);
  int failed = errno;
  posix_spawn_file_actions_destroy(&actions);
  errno = failed;
  return failed == 0;
}

static bool client_start(client *c, const cli_options *o) {
  int to[2], from[2];
  *c = (client){.pid = -1};
  if (pipe2(to, O_CLOEXEC) != 0) return false;
  if (pipe2(from, O_CLOEXEC) != 0) {
    close(to[0]);
    close(to[1]);
    return false;
  }
  bool ok = spawn_daemon(o, to[0], from[1], &c->pid);
  close(to[0]);
  close(from[1]);
  c->out = fdopen(to[1], "wb");
  c->in = fdopen(from[0], "rb");
  return ok && c->out != NULL && c->in != NULL;
}

/* Sends and frees a message. */
static bool client_send(client *c, cJSON *message) {
  char *text = message == NULL ? NULL : cJSON_PrintUnformatted(message);
  cJSON_Delete(message);
  if (text == NULL) return false;
  bool ok = fprintf(c->out, "Content-Length: %zu\r\n\r\n%s", strlen(text), text) > 0 &&
            fflush(c->out) == 0;
  cJSON_free(text);
  return ok;
}

/* The next message, owned by the caller, or NULL at the end of the stream. */
static cJSON *client_receive(client *c) {
  char header[256];
  size_t len = 0;
  while (fgets(header, sizeof header, c->in) != NULL && strcmp(header, "\r\n") != 0)
    if (strncmp(header, "Content-Length: ", 16) == 0) len = strtoul(header + 16, NULL, 10);
  if (len == 0 || len > MAX_MESSAGE) return NULL;
  char *text = malloc(len);
  cJSON *message = NULL;
  if (text != NULL && fread(text, 1, len, c->in) == len) message = cJSON_ParseWithLength(text, len);
  free(text);
  return message;
}

static cJSON *message_new(const char *method, cJSON *params) {
  cJSON *m = cJSON_CreateObject();
  cJSON_AddStringToObject(m, "jsonrpc", "2.0");
  cJSON_AddStringToObject(m, "method", method);
  cJSON_AddItemToObject(m, "params", params);
  return m;
}

static bool client_notify(client *c, const char *method, cJSON *params) {
  return client_send(c, message_new(method, params));
}

/* Sends a request and waits for its answer: the result, owned by the caller, or NULL. */
static cJSON *client_request(client *c, const char *method, cJSON *params) {
  int id = ++c->next_id;
  cJSON *m = message_new(method, params);
  cJSON_AddNumberToObject(m, "id", id);
  if (!client_send(c, m)) return NULL;
  for (;;) {
    cJSON *answer = client_receive(c);
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

/* Returns the daemon's exit code, or -1. */
static int client_stop(client *c) {
  int status = 0;
  cJSON_Delete(client_request(c, "shutdown", cJSON_CreateNull()));
  client_notify(c, "exit", cJSON_CreateNull());
  if (c->out != NULL) fclose(c->out);
  if (c->in != NULL) fclose(c->in);
  if (c->pid <= 0 || waitpid(c->pid, &status, 0) < 0) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- a sample ---------------------------------------------------------------------------- */

/* A sample as the programmer has it: text up to the cursor, and what follows. */
typedef struct scene {
  char *text; /* owned */
  size_t cursor;
  int line, character; /* from 0, utf-8 */
} scene;

/* Cuts what is yet to be typed out of the sample. False if the sample lacks the marks. */
static bool scene_make(scene *s, const demo_sample *d) {
  const char *at = strstr(d->text, d->before);
  if (at == NULL) return false;
  at += strlen(d->before);
  const char *rest = strstr(at, d->after);
  if (rest == NULL) return false;
  size_t head = (size_t)(at - d->text);
  s->text = malloc(strlen(d->text) + 1);
  if (s->text == NULL) return false;
  memcpy(s->text, d->text, head);
  strcpy(s->text + head, rest);
  s->cursor = head;
  s->line = s->character = 0;
  for (size_t i = 0; i < head; i++) {
    s->character++;
    if (s->text[i] == '\n') {
      s->line++;
      s->character = 0;
    }
  }
  return true;
}

static cJSON *text_document(const char *uri) {
  cJSON *d = cJSON_CreateObject();
  cJSON_AddStringToObject(d, "uri", uri);
  return d;
}

static bool scene_open(client *c, const demo_sample *d, const scene *s, const char *uri) {
  cJSON *document = text_document(uri), *params = cJSON_CreateObject();
  cJSON_AddStringToObject(document, "languageId", d->language);
  cJSON_AddNumberToObject(document, "version", 1);
  cJSON_AddStringToObject(document, "text", s->text);
  cJSON_AddItemToObject(params, "textDocument", document);
  return client_notify(c, "textDocument/didOpen", params);
}

/* The ghost text at the cursor, owned by the caller; NULL when there is none. */
static char *scene_ask(client *c, const scene *s, const char *uri) {
  cJSON *params = cJSON_CreateObject(), *position, *context;
  cJSON_AddItemToObject(params, "textDocument", text_document(uri));
  position = cJSON_AddObjectToObject(params, "position");
  cJSON_AddNumberToObject(position, "line", s->line);
  cJSON_AddNumberToObject(position, "character", s->character);
  context = cJSON_AddObjectToObject(params, "context");
  cJSON_AddNumberToObject(context, "triggerKind", 2);
  cJSON *result = client_request(c, "textDocument/inlineCompletion", params);
  const cJSON *items = cJSON_GetObjectItemCaseSensitive(result, "items");
  const cJSON *item = cJSON_GetArrayItem(cJSON_IsArray(result) ? result : items, 0);
  const cJSON *insert = cJSON_GetObjectItemCaseSensitive(item, "insertText");
  const cJSON *range = cJSON_GetObjectItemCaseSensitive(item, "range");
  const cJSON *start = cJSON_GetObjectItemCaseSensitive(range, "start");
  const cJSON *from = cJSON_GetObjectItemCaseSensitive(start, "character");
  char *ghost = NULL;
  if (cJSON_IsString(insert)) {
    /* What stands between the range's start and the cursor is typed already. */
    size_t typed = cJSON_IsNumber(from) && from->valueint < s->character
                       ? (size_t)(s->character - from->valueint) : 0;
    const char *text = insert->valuestring;
    ghost = strdup(text + (typed < strlen(text) ? typed : strlen(text)));
  }
  cJSON_Delete(result);
  return ghost;
}

static void scene_print(const demo_sample *d, const scene *s, const char *ghost, double ms,
                        bool color) {
  const char *title = color ? "\033[1m" : "", *grey = color ? "\033[38;5;245;3m" : "\u2039";
  const char *plain = color ? "\033[0m" : "", *end = color ? "\033[0m" : "\u203a";
  printf("%s%s:%d%s  %.1f ms\n", title, d->name, s->line + 1, plain, ms);
  size_t from = s->cursor;
  for (int lines = 0; from > 0; from--)
    if (s->text[from - 1] == '\n' && ++lines > LINES_ABOVE) break;
  size_t to = s->cursor;
  for (int lines = 0; s->text[to] != '\0'; to++)
    if (s->text[to] == '\n' && ++lines > LINES_BELOW) break;
  printf("  ");
  for (size_t i = from; i < to; i++) {
    if (i == s->cursor) {
      printf("%s", grey);
      for (const char *g = ghost; *g != '\0'; g++) printf(*g == '\n' ? "\n  " : "%c", *g);
      printf("%s", end);
    }
    printf(s->text[i] == '\n' ? "\n  " : "%c", s->text[i]);
  }
  printf("\n\n");
}

/* Returns 1 if ghost text was shown, 0 if the daemon gave none, -1 on failure. */
static int show_sample(client *c, const demo_sample *d, bool color) {
  scene s = {0};
  char uri[128];
  if (!scene_make(&s, d)) {
    fprintf(stderr, "fimd: the sample %s lacks its marks\n", d->name);
    return -1;
  }
  snprintf(uri, sizeof uri, "file:///demo/%s", d->name);
  int shown = -1;
  if (scene_open(c, d, &s, uri)) {
    double start = cli_now_ms();
    char *ghost = scene_ask(c, &s, uri);
    double ms = cli_now_ms() - start;
    shown = ghost != NULL && ghost[0] != '\0';
    if (shown)
      scene_print(d, &s, ghost, ms, color);
    else
      printf("%s:%d: no ghost text\n", d->name, s.line + 1);
    free(ghost);
  }
  free(s.text);
  return shown;
}

/* Waits until the model is loaded, so that the first figure is a completion's: any request is
 * answered only then. */
static bool warm_up(client *c) {
  static const demo_sample blank = {"warm-up.txt", "plaintext", "fimd\n", "fimd\n", ""};
  scene s = {0};
  bool ok = scene_make(&s, &blank) && scene_open(c, &blank, &s, "file:///demo/warm-up.txt");
  if (ok) free(scene_ask(c, &s, "file:///demo/warm-up.txt"));
  free(s.text);
  return ok;
}

int cli_demo(const cli_options *o) {
  client c;
  bool color = o->color || isatty(STDOUT_FILENO);
  if (!client_start(&c, o)) {
    fprintf(stderr, "fimd: the daemon cannot be started: %s\n", strerror(errno));
    return 1;
  }
  cJSON *params = cJSON_CreateObject(), *capabilities = cJSON_AddObjectToObject(params, "capabilities");
  cJSON *general = cJSON_AddObjectToObject(capabilities, "general");
  static const char *const encodings[] = {"utf-8"};
  cJSON_AddItemToObject(general, "positionEncodings", cJSON_CreateStringArray(encodings, 1));
  cJSON_AddNumberToObject(params, "processId", getpid());
  cJSON *result = client_request(&c, "initialize", params);
  bool ok = result != NULL && client_notify(&c, "initialized", cJSON_CreateObject()) && warm_up(&c);
  cJSON_Delete(result);
  int shown = 0;
  for (int i = 0; ok && i < demo_samples_count; i++) {
    int n = show_sample(&c, &demo_samples[i], color);
    ok = n >= 0;
    shown += n > 0;
  }
  int code = client_stop(&c);
  if (ok && code == 0)
    printf("%d of %d places got ghost text. Your editor: see README.md.\n", shown, demo_samples_count);
  else
    fprintf(stderr, "fimd: the daemon failed (exit code %d)\n", code);
  return ok && code == 0 && shown > 0 ? 0 : 1;
}
