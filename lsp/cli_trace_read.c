/* cli_trace_read.c - a recording's lines, and what they say about completion requests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli.h"
#include "lsp/cli_trace.h"
#include "lsp/json.h"
#include "lsp/recording.h"

/* ---- lines ------------------------------------------------------------------------------- */

static bool complain(const char *path, size_t line, const char *what) {
  fprintf(stderr, "fimd: %s: line %zu: %s\n", path, line, what);
  return false;
}

/* The first line, which says what the file is. */
static bool read_head(const char *path, const char *text, size_t len) {
  static const char none[] = "this is no recording of fimd lsp --trace-file";
  cJSON *head;
  const char *why, *version;
  size_t where;
  int64_t format = 0;
  if (lsp__json_parse(text, len, &head, &why, &where) != LSP__OK) return complain(path, 1, none);
  bool ours = lsp__json_get_string(head, "fimd", &version) &&
              lsp__json_get_int(head, "trace", &format) && format > 0;
  cJSON_Delete(head);
  if (!ours) return complain(path, 1, none);
  return format == LSP__RECORDING_FORMAT ||
         complain(path, 1, "it was recorded by another version of fimd, in a form not known here");
}

/* Where the last member's value stands, which is the message as it was sent. */
static bool find_raw(trace_entry *e, const char *line, size_t len) {
  static const char key[] = "\"message\":";
  const char *at = strstr(line, key), *why;
  cJSON *tree = NULL;
  size_t where;
  if (at == NULL || line[len - 1] != '}') return false;
  e->raw = at + strlen(key);
  e->raw_len = (size_t)(line + len - e->raw) - 1;
  bool good = lsp__json_parse(e->raw, e->raw_len, &tree, &why, &where) == LSP__OK;
  cJSON_Delete(tree);
  return good;
}

/* A line that is whole: zero-terminated in the place of its end. */
static bool read_line(trace_file *f, const char *path, size_t number, char *line, size_t len,
                      int64_t *played) {
  trace_entry e = {0};
  cJSON *tree;
  const char *why, *from;
  size_t where;
  int64_t client;
  char what[200];
  if (lsp__json_parse(line, len, &tree, &why, &where) != LSP__OK) {
    snprintf(what, sizeof what, "%s at byte %zu", why, where);
    return complain(path, number, what);
  }
  const cJSON *ms = lsp__json_get(tree, "ms");
  bool is_json = false, good = cJSON_IsNumber(ms) && lsp__json_get_int(tree, "client", &client) &&
              lsp__json_get_string(tree, "from", &from) &&
              (strcmp(from, "client") == 0 || strcmp(from, "server") == 0);
  if (good) {
    e.ms = ms->valuedouble;
    e.from_client = strcmp(from, "client") == 0;
    e.message = cJSON_DetachItemFromObjectCaseSensitive(tree, "message");
    is_json = e.message != NULL;
    good = is_json ? find_raw(&e, line, len) : lsp__json_get(tree, "text") != NULL;
  }
  cJSON_Delete(tree);
  if (!good) {
    cJSON_Delete(e.message);
    return complain(path, number, "it has no ms, client, from and, last, message");
  }
  if (*played == 0) *played = client;
  if (client != *played || !is_json) {
    f->others += client != *played;
    cJSON_Delete(e.message);
    return true;
  }
  f->entries[f->n++] = e;
  return true;
}

static bool read_lines(trace_file *f, const char *path, size_t len) {
  size_t lines = 0, number = 1;
  int64_t played = 0;
  for (size_t i = 0; i < len; i++) lines += f->text[i] == '\n';
  f->entries = calloc(lines + 1, sizeof *f->entries);
  f->requests = calloc(lines + 1, sizeof *f->requests);
  if (f->entries == NULL || f->requests == NULL) {
    fprintf(stderr, "fimd: out of memory\n");
    return false;
  }
  char *line = f->text, *stop = f->text + len;
  for (char *end; line < stop; line = end + 1, number++) {
    end = memchr(line, '\n', (size_t)(stop - line));
    if (end == NULL && number > 1) { /* as when the daemon was killed */
      fprintf(stderr, "fimd: %s: line %zu is cut short and left out\n", path, number);
      return true;
    }
    if (end == NULL) end = stop;
    *end = '\0';
    if (number == 1 && !read_head(path, line, (size_t)(end - line))) return false;
    if (number > 1 && !read_line(f, path, number, line, (size_t)(end - line), &played))
      return false;
  }
  return number > 1 || complain(path, 1, "the file is empty");
}

/* ---- requests ---------------------------------------------------------------------------- */

static char *as_json(const cJSON *item) {
  return item != NULL ? cJSON_PrintUnformatted(item) : NULL;
}

/* The newest that has this id, or this token. */
static trace_request *find(trace_file *f, const cJSON *id, const cJSON *token, bool now) {
  char *text = as_json(id != NULL ? id : token);
  trace_request *found = NULL;
  for (size_t i = f->n_requests; i > 0 && found == NULL && text != NULL; i--) {
    trace_request *r = &f->requests[i - 1];
    const char *own = id != NULL ? r->id : r->token;
    if (own != NULL && strcmp(own, text) == 0 && (!now || r->sent > 0)) found = r;
  }
  cJSON_free(text);
  return found;
}

trace_request *trace__find(trace_file *f, const cJSON *id) { return find(f, id, NULL, true); }

/* The texts of a list of items. Owned; NULL: no memory. */
static char *texts_of(const cJSON *items) {
  lsp__buffer b = {0};
  lsp__buffer_append(&b, "", 0);
  for (const cJSON *i = cJSON_IsArray(items) ? items->child : NULL; i != NULL; i = i->next) {
    const char *text = "";
    if (!lsp__json_get_string(i, "insertText", &text))
      lsp__json_get_string(lsp__json_get(i, "textEdit"), "newText", &text);
    if (b.len > 0) lsp__buffer_puts(&b, "\x1e");
    lsp__buffer_puts(&b, text);
  }
  return b.data;
}

static void set_text(trace_outcome *o, const cJSON *items, double ms) {
  free(o->text);
  o->text = texts_of(items);
  o->ms = ms;
}

static const cJSON *items_of(const cJSON *result) {
  return cJSON_IsArray(result) ? result : lsp__json_get(result, "items");
}

/* The answer to a request, or more of it. */
bool trace__take(trace_file *f, const cJSON *message, bool now, double at) {
  const cJSON *params = lsp__json_get(message, "params");
  const cJSON *result = lsp__json_get(message, "result");
  const char *method = "";
  bool flag = false, answer = !lsp__json_get_string(message, "method", &method);
  bool update = strcmp(method, "fimd/inlineCompletion/didUpdate") == 0;
  bool part = strcmp(method, "$/progress") == 0;
  trace_request *r = answer   ? find(f, lsp__json_get(message, "id"), NULL, now)
                     : update ? find(f, lsp__json_get(params, "id"), NULL, now)
                     : part   ? find(f, NULL, lsp__json_get(params, "token"), now)
                              : NULL;
  if (r == NULL) return false;
  trace_outcome *o = now ? &r->now : &r->then;
  double ms = at - (now ? r->sent : r->at);
  if (update) {
    set_text(o, lsp__json_get(params, "items"), ms);
    if (lsp__json_get_bool(params, "final", &flag) && flag) o->whole = true;
  } else if (part) {
    const cJSON *items = lsp__json_get(params, "value");
    set_text(o, items, ms);
  } else {
    o->answered = true;
    o->failed = result == NULL;
    o->whole = !o->failed && !(lsp__json_get_bool(result, "more", &flag) && flag);
    if (o->text == NULL) set_text(o, items_of(result), ms);
    o->ms = ms;
  }
  return true;
}

static bool is_completion(const char *method) {
  return strcmp(method, "textDocument/inlineCompletion") == 0 ||
         strcmp(method, "textDocument/completion") == 0;
}

static bool find_requests(trace_file *f) {
  for (size_t i = 0; i < f->n; i++) {
    const trace_entry *e = &f->entries[i];
    const cJSON *id = lsp__json_get(e->message, "id");
    const char *method;
    if (!e->from_client) {
      trace__take(f, e->message, false, e->ms);
      continue;
    }
    if (id == NULL || !lsp__json_get_string(e->message, "method", &method) ||
        !is_completion(method))
      continue;
    const cJSON *token = lsp__json_path(e->message, "params", "partialResultToken", NULL);
    trace_request *r = &f->requests[f->n_requests];
    *r = (trace_request){
        .entry = i, .id = as_json(id), .method = method, .token = as_json(token), .at = e->ms};
    if (r->id == NULL) {
      cJSON_free(r->token);
      fprintf(stderr, "fimd: out of memory\n");
      return false;
    }
    f->n_requests++;
  }
  return true;
}

/* ---- life -------------------------------------------------------------------------------- */

bool trace__open(trace_file *f, const char *path) {
  size_t len;
  *f = (trace_file){0};
  f->text = cli_read_file(path, &len);
  return f->text != NULL && read_lines(f, path, len) && find_requests(f);
}

void trace__close(trace_file *f) {
  for (size_t i = 0; i < f->n; i++) cJSON_Delete(f->entries[i].message);
  for (size_t i = 0; i < f->n_requests; i++) {
    cJSON_free(f->requests[i].id);
    cJSON_free(f->requests[i].token);
    free(f->requests[i].then.text);
    free(f->requests[i].now.text);
  }
  free(f->entries);
  free(f->requests);
  free(f->text);
}
