/* cli_trace.c - fimd trace: a recording of lsp --trace-file, played to a fresh daemon.
 *
 * What a daemon answers hangs on the order in which messages come, not on when. So the messages of
 * the client are sent as fast as they can be, but none before the daemon has said what it had said
 * before it in the recording: the answers to requests, and the last of their text. What the daemon
 * asks is answered as it was then. Times are those of each daemon, for comparing; the pauses
 * between messages are not repeated. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/cli_client.h"
#include "lsp/cli_trace.h"
#include "lsp/json.h"

#define SHOWN 56 /* bytes of a text in the table */

typedef struct player {
  trace_file *file;
  cli_client client;
  bool *used;   /* [entries] the daemon's question that was answered from here */
  cJSON *heard; /* an object: the ids that were answered, other requests than for completions */
} player;

/* ---- what the daemon asks ---------------------------------------------------------------- */

static bool is_question(const trace_entry *e, const char *method) {
  const char *name;
  return !e->from_client && lsp__json_get(e->message, "id") != NULL &&
         lsp__json_get_string(e->message, "method", &name) &&
         (method == NULL || strcmp(name, method) == 0);
}

/* The recorded answer to a question, or NULL. */
static const cJSON *answer_to(const trace_file *f, const trace_entry *question) {
  const cJSON *id = lsp__json_get(question->message, "id");
  for (const trace_entry *e = question; e < f->entries + f->n; e++)
    if (e->from_client && lsp__json_get(e->message, "method") == NULL &&
        cJSON_Compare(lsp__json_get(e->message, "id"), id, true))
      return e->message;
  return NULL;
}

/* Answers as the client did the first time that the same was asked. */
static bool reply(player *p, const cJSON *question, const char *method) {
  const trace_file *f = p->file;
  const cJSON *recorded = NULL;
  for (size_t i = 0; i < f->n && recorded == NULL; i++) {
    if (p->used[i] || !is_question(&f->entries[i], method)) continue;
    p->used[i] = true;
    recorded = answer_to(f, &f->entries[i]);
  }
  cJSON *answer = cJSON_CreateObject();
  const cJSON *result = lsp__json_get(recorded, "result");
  const cJSON *error = lsp__json_get(recorded, "error");
  cJSON_AddStringToObject(answer, "jsonrpc", "2.0");
  cJSON_AddItemToObject(answer, "id", cJSON_Duplicate(lsp__json_get(question, "id"), true));
  cJSON_AddItemToObject(answer, error != NULL ? "error" : "result",
                        error != NULL    ? cJSON_Duplicate(error, true)
                        : result != NULL ? cJSON_Duplicate(result, true)
                                         : cJSON_CreateNull());
  char *text = cJSON_PrintUnformatted(answer);
  cJSON_Delete(answer);
  bool ok = text != NULL && cli_client_send(&p->client, text, strlen(text));
  cJSON_free(text);
  return ok;
}

/* ---- playing ----------------------------------------------------------------------------- */

/* Takes the daemon's next message. */
static bool listen_once(player *p) {
  const char *method;
  cJSON *m = cli_client_receive(&p->client);
  if (m == NULL) return false;
  bool ok = true, known = trace__take(p->file, m, true, p->client.received_ms);
  const cJSON *id = lsp__json_get(m, "id");
  if (id != NULL && lsp__json_get_string(m, "method", &method)) {
    ok = reply(p, m, method);
  } else if (id != NULL && !known) {
    char *text = cJSON_PrintUnformatted(id);
    ok = text != NULL && cJSON_AddTrueToObject(p->heard, text) != NULL;
    cJSON_free(text);
  }
  cJSON_Delete(m);
  return ok;
}

/* Waits for what the daemon had said at this entry, where it is an answer or the last of a text. */
static bool hear(player *p, const trace_entry *e) {
  const cJSON *id = lsp__json_get(e->message, "id"), *params = lsp__json_get(e->message, "params");
  const char *method = "";
  bool last = false, question = lsp__json_get_string(e->message, "method", &method);
  lsp__json_get_bool(params, "final", &last);
  if (question && !last) return true;
  trace_request *r = trace__find(p->file, question ? lsp__json_get(params, "id") : id);
  if (r != NULL) {
    while (!r->now.answered || (last && !r->now.failed && !r->now.whole))
      if (!listen_once(p)) return false;
    return true;
  }
  if (question || id == NULL || cJSON_IsNull(id)) return true;
  char *wanted = cJSON_PrintUnformatted(id);
  bool ok = wanted != NULL;
  while (ok && !cJSON_HasObjectItem(p->heard, wanted)) ok = listen_once(p);
  if (ok) cJSON_DeleteItemFromObjectCaseSensitive(p->heard, wanted);
  cJSON_free(wanted);
  return ok;
}

/* The client of now is another process. */
static bool send_initialize(player *p, const trace_entry *e) {
  cJSON *m = cJSON_Duplicate(e->message, true);
  cJSON *params = cJSON_GetObjectItemCaseSensitive(m, "params");
  if (cJSON_IsObject(params)) {
    cJSON_DeleteItemFromObjectCaseSensitive(params, "processId");
    cJSON_AddNumberToObject(params, "processId", getpid());
  }
  char *text = m != NULL ? cJSON_PrintUnformatted(m) : NULL;
  cJSON_Delete(m);
  bool ok = text != NULL && cli_client_send(&p->client, text, strlen(text));
  cJSON_free(text);
  return ok;
}

/* What the client answered then is said when the daemon asks; only what it settles is waited for:
 * whether the loading of the model is shown hangs on how fast it loads. */
static bool wait_for_question(player *p, const trace_entry *answer) {
  const trace_file *f = p->file;
  const char *method = "";
  for (size_t i = 0; i < f->n && &f->entries[i] < answer; i++) {
    if (!is_question(&f->entries[i], NULL) ||
        !cJSON_Compare(lsp__json_get(f->entries[i].message, "id"),
                       lsp__json_get(answer->message, "id"), true))
      continue;
    lsp__json_get_string(f->entries[i].message, "method", &method);
    while (strcmp(method, "workspace/configuration") == 0 && !p->used[i])
      if (!listen_once(p)) return false;
  }
  return true;
}

static bool say(player *p, const trace_entry *e) {
  const char *method;
  if (!lsp__json_get_string(e->message, "method", &method)) return wait_for_question(p, e);
  if (strcmp(method, "initialize") == 0) return send_initialize(p, e);
  bool ok = cli_client_send(&p->client, e->raw, e->raw_len);
  for (size_t i = 0; i < p->file->n_requests; i++)
    if (&p->file->entries[p->file->requests[i].entry] == e)
      p->file->requests[i].sent = p->client.sent_ms;
  return ok;
}

static bool is_end(const trace_entry *e) {
  const char *method;
  return e->from_client && lsp__json_get_string(e->message, "method", &method) &&
         (strcmp(method, "shutdown") == 0 || strcmp(method, "exit") == 0);
}

static bool play(player *p) {
  trace_file *f = p->file;
  for (size_t i = 0; i < f->n && !is_end(&f->entries[i]); i++)
    if (!(f->entries[i].from_client ? say(p, &f->entries[i]) : hear(p, &f->entries[i])))
      return false;
  for (size_t i = 0; i < f->n_requests; i++)
    while (f->requests[i].sent > 0 && !f->requests[i].now.answered)
      if (!listen_once(p)) return false;
  return true;
}

/* ---- telling ----------------------------------------------------------------------------- */

typedef struct figures {
  int requests, compared, differ, unfinished;
} figures;

static bool comparable(const trace_request *r) {
  return r->then.whole && r->now.whole && r->then.text != NULL && r->now.text != NULL;
}

static bool differs(const trace_request *r) { return strcmp(r->then.text, r->now.text) != 0; }

/* A text on one line, cut, with how many others there are. */
static void print_text(const char *mark, const trace_outcome *o) {
  if (!o->answered || o->failed) {
    printf("  %s%s\n", mark, o->answered ? "cancelled or failed" : "not answered");
    return;
  }
  const char *text = o->text != NULL ? o->text : "";
  size_t first = strcspn(text, "\x1e"), others = 0;
  for (const char *t = text; *t != '\0'; t++) others += *t == '\x1e';
  lsp__buffer b = {0};
  size_t cut = first;
  if (cut > SHOWN)
    for (cut = SHOWN; cut > 0 && ((unsigned char)text[cut] & 0xC0) == 0x80;) cut--;
  lsp__json_string_n(&b, text, cut);
  printf("  %s%s%s%s", mark, first == 0 ? "nothing" : b.data != NULL ? b.data : "",
         cut < first ? "..." : "", o->whole ? "" : " (and more to come)");
  if (others > 0) printf(" and %zu others", others);
  printf("\n");
  lsp__buffer_free(&b);
}

static void print_request(const trace_request *r) {
  bool compared = comparable(r), differ = compared && differs(r);
  printf("%10.1f  %-6s %8.1f %8.1f", r->at,
         strcmp(r->method, "textDocument/completion") == 0 ? "popup" : "inline", r->then.ms,
         r->now.ms);
  if (compared && !differ) {
    print_text("", &r->now);
    return;
  }
  print_text(differ ? "differs: then " : "then ", &r->then);
  printf("%36s", "");
  print_text(differ ? "          now " : " now ", &r->now);
}

static figures count(const trace_file *f) {
  figures n = {0};
  for (size_t i = 0; i < f->n_requests; i++) {
    const trace_request *r = &f->requests[i];
    bool compared = comparable(r);
    n.requests++;
    n.compared += compared;
    n.differ += compared && differs(r);
    n.unfinished += !compared;
  }
  return n;
}

static void add_outcome(cJSON *to, const char *name, const trace_outcome *o) {
  cJSON *j = cJSON_AddObjectToObject(to, name);
  cJSON_AddBoolToObject(j, "answered", o->answered && !o->failed);
  cJSON_AddBoolToObject(j, "whole", o->whole);
  cJSON_AddNumberToObject(j, "ms", o->ms);
  cJSON *texts = cJSON_AddArrayToObject(j, "texts");
  for (const char *t = o->text; t != NULL && *t != '\0';) {
    size_t n = strcspn(t, "\x1e");
    char *one = lsp__strndup(t, n);
    if (one != NULL) cJSON_AddItemToArray(texts, cJSON_CreateString(one));
    free(one);
    t += n + (t[n] != '\0');
  }
}

static int print_json(const trace_file *f) {
  figures n = count(f);
  cJSON *j = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(j, "requests");
  for (size_t i = 0; i < f->n_requests; i++) {
    const trace_request *r = &f->requests[i];
    cJSON *one = cJSON_CreateObject();
    cJSON_AddNumberToObject(one, "at", r->at);
    cJSON_AddStringToObject(one, "method", r->method);
    add_outcome(one, "then", &r->then);
    add_outcome(one, "now", &r->now);
    cJSON_AddItemToArray(list, one);
  }
  cJSON_AddNumberToObject(j, "compared", n.compared);
  cJSON_AddNumberToObject(j, "differ", n.differ);
  return cli_print_json(j);
}

static int print_table(const trace_file *f) {
  figures n = count(f);
  printf("     at ms  kind    ms then   ms now  text\n");
  for (size_t i = 0; i < f->n_requests; i++) print_request(&f->requests[i]);
  printf("%d requests; %d texts compared, %d differ; %d were cancelled or not finished, then or "
         "now\n",
         n.requests, n.compared, n.differ, n.unfinished);
  if (f->others > 0) printf("%d messages of other clients were not played\n", f->others);
  return 0;
}

/* Plays it to a daemon from its start to its end. */
static bool play_all(player *p, const cli_options *o) {
  p->used = calloc(p->file->n + 1, sizeof *p->used);
  p->heard = cJSON_CreateObject();
  if (p->used == NULL || p->heard == NULL) {
    fprintf(stderr, "fimd: out of memory\n");
    return false;
  }
  if (!cli_client_start(&p->client, o)) {
    fprintf(stderr, "fimd: the daemon cannot be started: %s\n", strerror(errno));
    return false;
  }
  bool ok = play(p);
  int code = cli_client_stop(&p->client);
  if (!ok || code != 0) fprintf(stderr, "fimd: the daemon failed (exit code %d)\n", code);
  return ok && code == 0;
}

static bool begins_session(const trace_file *f) {
  const char *method = "";
  lsp__json_get_string(f->entries[0].message, "method", &method);
  return f->entries[0].from_client && strcmp(method, "initialize") == 0;
}

int cli_trace(const cli_options *o) {
  trace_file file;
  if (o->n_args != 1) {
    fprintf(stderr, "fimd: usage: fimd trace FILE [--json], a file that lsp --trace-file wrote\n");
    return 2;
  }
  player p = {.file = &file};
  bool ok = trace__open(&file, o->args[0]);
  if (ok && file.n > 0 && !begins_session(&file)) {
    fprintf(stderr, "fimd: %s: it does not begin with initialize\n", o->args[0]);
    ok = false;
  }
  if (ok && file.n > 0) ok = play_all(&p, o);
  int rc = !ok ? 1 : o->json ? print_json(&file) : print_table(&file);
  cJSON_Delete(p.heard);
  free(p.used);
  trace__close(&file);
  return rc;
}
