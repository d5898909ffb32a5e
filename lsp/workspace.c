/* workspace.c - a client's documents, folders and settings: what it tells us, unasked. */
#include <stdlib.h>
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"
#include "lsp/uri.h"
#include "lsp/utf8.h"

/* ---- documents ------------------------------------------------------------------------- */

/* The one asked for comes first: the next question is about it, too. */
lsp__document *lsp__client_document(lsp__client *c, const char *uri) {
  for (lsp__document **p = &c->documents; *p != NULL; p = &(*p)->next) {
    lsp__document *d = *p;
    if (strcmp(d->uri, uri) != 0) continue;
    *p = d->next;
    d->next = c->documents;
    c->documents = d;
    return d;
  }
  return NULL;
}

static void delete_document(lsp__document *d) {
  lsp__why_delete(d->why);
  lsp__document_delete(d);
}

static void remove_document(lsp__client *c, lsp__document *d) {
  for (lsp__document **p = &c->documents; *p != NULL; p = &(*p)->next)
    if (*p == d) {
      *p = d->next;
      c->document_count--;
      c->text_bytes -= d->text.len;
      break;
    }
  if (c->completion != NULL) completion_document_remove(c->completion, d->uri);
  if (c->offer.uri != NULL && strcmp(c->offer.uri, d->uri) == 0) lsp__offer_clear(&c->offer);
  delete_document(d);
}

/* Half surrogate pairs leave as U+FFFD, of the same length. */
static int hand_over(lsp__client *c, const lsp__document *d) {
  char *copy = NULL;
  completion_document out = {d->uri, d->language, d->text.data, d->text.len};
  if (lsp__utf8_has_surrogates(d->text.data, d->text.len)) {
    copy = lsp__strndup(d->text.data, d->text.len);
    if (copy == NULL) return COMPLETION_ENOMEM;
    lsp__utf8_replace_surrogates(copy, d->text.len);
    out.text = copy;
  }
  int status = completion_document_set(c->completion, &out);
  free(copy);
  return status;
}

static void flush(lsp__client *c, lsp__document *d) {
  if (!d->dirty) return;
  if (d->lost || d->text.len > LSP__COMPLETE_MAX) { /* an old text is no context either */
    completion_document_remove(c->completion, d->uri);
    return;
  }
  int status = hand_over(c, d);
  d->dirty = status != COMPLETION_OK;
  if (d->dirty) lsp__client_log(c, LSP__LOG_ERROR, "%s: %s", d->uri, completion_strstatus(status));
}

void lsp__documents_flush(lsp__client *c) {
  for (lsp__document *d = c->documents; d != NULL; d = d->next) flush(c, d);
}

void lsp__did_open(lsp__client *c, const cJSON *params) {
  const cJSON *item = lsp__json_get(params, "textDocument");
  const char *uri, *language = "";
  int64_t version = 0;
  size_t len;
  if (!lsp__json_get_string(item, "uri", &uri)) {
    lsp__client_log(c, LSP__LOG_WARNING, "didOpen without textDocument.uri");
    return;
  }
  lsp__json_get_string(item, "languageId", &language);
  lsp__json_get_int(item, "version", &version);
  lsp__document *old = lsp__client_document(c, uri), *d;
  if (old != NULL) {
    lsp__client_log(c, LSP__LOG_WARNING, "%s is open already; its text is replaced", uri);
    lsp__requests_cancel(c, uri, LSP__SUPERSEDED, "the document was opened anew");
    remove_document(c, old);
  }
  const char *text = lsp__json_take_text(lsp__json_get(item, "text"), &len);
  if (text == NULL) {
    lsp__client_log(c, LSP__LOG_WARNING, "didOpen of %s without a text", uri);
    return;
  }
  if (c->document_count >= LSP__DOCUMENTS_MAX) {
    lsp__client_log(c, LSP__LOG_WARNING, "%d documents are open; %s is left out",
                    c->document_count, uri);
    return;
  }
  if (len > LSP__TEXTS_MAX - c->text_bytes) {
    lsp__client_log(c, LSP__LOG_WARNING, "the open documents come to %zu MiB; %s is left out",
                    c->text_bytes >> 20, uri);
    return;
  }
  int status = lsp__document_new(&d, uri, language, version, text, len);
  if (status != LSP__OK) {
    lsp__client_log(c, LSP__LOG_ERROR, "cannot hold %s: %s", uri,
                    status == LSP__ELIMIT ? "it is too large" : "out of memory");
    return;
  }
  d->next = c->documents;
  c->documents = d;
  c->document_count++;
  c->text_bytes += d->text.len;
  if (c->completion != NULL) flush(c, d); /* it is parsed before somebody asks */
}

void lsp__documents_lose(lsp__client *c, const char *uri, const char *why) {
  for (lsp__document *d = c->documents; d != NULL; d = d->next) {
    if (uri != NULL && strcmp(d->uri, uri) != 0) continue;
    d->lost = d->dirty = true;
    lsp__requests_cancel(c, d->uri, LSP__SUPERSEDED, "the document's text is not known any more");
    lsp__client_log(c, LSP__LOG_ERROR, "%s: %s; no completions until its whole text comes", d->uri,
                    why);
  }
}

/* For the statistics, and for how long a request waits. */
static void note_change(lsp__client *c, lsp__document *d, uint64_t edits) {
  uint64_t now = uv_hrtime();
  if (d->edits == edits) return;
  if (d->changed != 0) lsp__window_add(&d->pauses, (double)(now - d->changed) / 1e6);
  d->changed = now;
  lsp__statistics_key(&c->statistics);
  lsp__offer_edited(&c->offer, &c->statistics.acceptance, d, edits);
}

/* Whether all documents together stay within their bound, even if the changes take nothing out. */
static bool has_room(const lsp__client *c, const cJSON *changes) {
  size_t left = LSP__TEXTS_MAX - c->text_bytes;
  if (left >= LSP__MESSAGE_MAX || !cJSON_IsArray(changes)) return true;
  for (const cJSON *i = changes->child; i != NULL; i = i->next) {
    const char *text;
    size_t len = lsp__json_get_string(i, "text", &text) ? strlen(text) : 0;
    if (len > left) return false;
    left -= len;
  }
  return true;
}

void lsp__did_change(lsp__client *c, const cJSON *params) {
  const cJSON *item = lsp__json_get(params, "textDocument");
  const char *uri, *why;
  int64_t version;
  if (!lsp__json_get_string(item, "uri", &uri)) {
    lsp__client_log(c, LSP__LOG_WARNING, "didChange without textDocument.uri");
    return;
  }
  lsp__document *d = lsp__client_document(c, uri);
  if (d == NULL) {
    lsp__client_log(c, LSP__LOG_WARNING, "didChange of %s, which is not open", uri);
    return;
  }
  const cJSON *changes = lsp__json_get(params, "contentChanges");
  uint64_t edits = d->edits;
  if (lsp__json_get_int(item, "version", &version)) {
    /* The order of arrival is the truth; a number that does not grow is only odd. */
    if (version <= d->version)
      lsp__client_log(c, LSP__LOG_WARNING, "%s: version %lld after %lld", uri, (long long)version,
                      (long long)d->version);
    d->version = version;
  }
  if (!has_room(c, changes)) {
    lsp__documents_lose(c, uri, "the open documents are too large together");
    return;
  }
  size_t before = d->text.len;
  int status = lsp__document_change(d, changes, c->encoding, &why);
  c->text_bytes = c->text_bytes - before + d->text.len;
  if (status != LSP__OK)
    lsp__client_log(c, LSP__LOG_ERROR, "%s: %s; no completions until its whole text comes", uri,
                    why);
  if (!cJSON_IsArray(changes) || changes->child != NULL) {
    note_change(c, d, edits);
    lsp__requests_edited(c, d, edits);
  }
}

void lsp__did_close(lsp__client *c, const cJSON *params) {
  const char *uri;
  if (!lsp__json_get_string(lsp__json_get(params, "textDocument"), "uri", &uri)) return;
  lsp__document *d = lsp__client_document(c, uri);
  if (d == NULL) {
    lsp__client_log(c, LSP__LOG_WARNING, "didClose of %s, which is not open", uri);
    return;
  }
  lsp__requests_cancel(c, uri, LSP__CANCELLED, "the document was closed");
  remove_document(c, d);
}

/* ---- folders --------------------------------------------------------------------------- */

/* "/a/" and "/a" are the same folder. */
static void cut_slashes(char *path) {
  for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--) path[n - 1] = '\0';
}

/* Takes the path over; NULL is passed over. The first folder is the first to be read. */
static void add_root(lsp__client *c, char *path) {
  if (path == NULL) return;
  cut_slashes(path);
  struct lsp__root **end = &c->roots;
  int n = 0;
  for (; *end != NULL && strcmp((*end)->path, path) != 0; n++) end = &(*end)->next;
  if (*end == NULL && n >= LSP__ROOTS_MAX)
    lsp__client_log(c, LSP__LOG_WARNING, "%d folders are open; %s is left out", n, path);
  struct lsp__root *r = *end == NULL && n < LSP__ROOTS_MAX ? calloc(1, sizeof *r) : NULL;
  if (r == NULL) {
    free(path);
    return;
  }
  r->path = path;
  *end = r;
  if (c->completion != NULL) completion_root_add(c->completion, path);
}

static void remove_root(lsp__client *c, const char *path) {
  for (struct lsp__root **p = &c->roots; *p != NULL; p = &(*p)->next) {
    struct lsp__root *r = *p;
    if (strcmp(r->path, path) != 0) continue;
    if (c->completion != NULL) completion_root_remove(c->completion, r->path);
    *p = r->next;
    free(r->path);
    free(r);
    return;
  }
}

/* The path of an object's "uri", owned, or NULL. */
static char *path_of(const cJSON *object) {
  const char *uri;
  return lsp__json_get_string(object, "uri", &uri) ? lsp__uri_to_path(uri) : NULL;
}

static void add_folders(lsp__client *c, const cJSON *list) {
  if (!cJSON_IsArray(list)) return;
  for (const cJSON *i = list->child; i != NULL; i = i->next) add_root(c, path_of(i));
}

void lsp__folders_init(lsp__client *c, const cJSON *params) {
  const cJSON *list = lsp__json_get(params, "workspaceFolders");
  const char *root;
  if (cJSON_IsArray(list)) {
    add_folders(c, list);
  } else if (lsp__json_get_string(params, "rootUri", &root)) {
    add_root(c, lsp__uri_to_path(root));
  } else if (lsp__json_get_string(params, "rootPath", &root)) {
    add_root(c, lsp__strndup(root, strlen(root)));
  }
}

void lsp__did_change_folders(lsp__client *c, const cJSON *params) {
  const cJSON *event = lsp__json_get(params, "event");
  const cJSON *removed = lsp__json_get(event, "removed");
  if (cJSON_IsArray(removed))
    for (const cJSON *i = removed->child; i != NULL; i = i->next) {
      char *path = path_of(i);
      if (path == NULL) continue;
      cut_slashes(path);
      remove_root(c, path);
      free(path);
    }
  add_folders(c, lsp__json_get(event, "added"));
}

void lsp__folders_flush(lsp__client *c) {
  c->reads_workspace = lsp__settings_reads_workspace(&c->settings);
  for (struct lsp__root *r = c->roots; r != NULL; r = r->next)
    completion_root_add(c->completion, r->path);
}

/* ---- files on the disk ----------------------------------------------------------------- */

/* What is known of the folder's files is dropped, and all of them are read, if any are. */
static void read_anew(lsp__client *c, const struct lsp__root *r) {
  completion_root_remove(c->completion, r->path);
  completion_root_add(c->completion, r->path);
}

/* The innermost folder that the file is in; NULL where it is in none, or below a name that begins
 * with a dot, where nothing is ever read: git alone writes hundreds of files there. */
static struct lsp__root *root_of(lsp__client *c, const char *path) {
  struct lsp__root *best = NULL;
  size_t longest = 0;
  for (struct lsp__root *r = c->roots; r != NULL; r = r->next) {
    size_t n = strlen(r->path);
    if (n < longest || strncmp(path, r->path, n) != 0 || path[n] != '/') continue;
    best = r;
    longest = n;
  }
  for (const char *p = path + longest; best != NULL && (p = strstr(p, "/.")) != NULL; p++)
    if (strchr(p + 1, '/') != NULL) return NULL;
  return best;
}

static void count_change(lsp__client *c, const char *path) {
  struct lsp__root *r = root_of(c, path);
  if (r == NULL) return;
  if (completion_is_rules(path))
    r->changes = LSP__CHANGES_MAX + 1;
  else if (r->changes <= LSP__CHANGES_MAX)
    r->changes++;
}

static void read_change(lsp__client *c, const char *path) {
  struct lsp__root *r = root_of(c, path);
  bool wanted = r != NULL ? r->changes <= LSP__CHANGES_MAX : completion_is_rules(path);
  if (wanted) completion_file_changed(c->completion, path);
}

typedef void take_path(lsp__client *c, const char *path);

static void one_path(lsp__client *c, const cJSON *item, take_path *take) {
  char *path = path_of(item);
  if (path != NULL) take(c, path);
  free(path);
}

/* Takes the path of each object with a uri in a list, or of the one object. */
static void each_path(lsp__client *c, const cJSON *items, take_path *take) {
  if (!cJSON_IsArray(items)) {
    one_path(c, items, take);
    return;
  }
  for (const cJSON *i = items->child; i != NULL; i = i->next) one_path(c, i, take);
}

/* A few files are read one by one. After many, as when git changes the branch, the folder is. */
static void files_changed(lsp__client *c, const cJSON *items) {
  if (c->completion == NULL) return;
  for (struct lsp__root *r = c->roots; r != NULL; r = r->next) r->changes = 0;
  each_path(c, items, count_change);
  for (struct lsp__root *r = c->roots; r != NULL; r = r->next)
    if (r->changes > LSP__CHANGES_MAX) completion_root_changed(c->completion, r->path);
  each_path(c, items, read_change);
}

void lsp__did_save(lsp__client *c, const cJSON *params) {
  files_changed(c, lsp__json_get(params, "textDocument"));
}

void lsp__did_change_files(lsp__client *c, const cJSON *params) {
  files_changed(c, lsp__json_get(params, "changes"));
}

/* A client that refuses tells us of no files; the answer changes nothing. */
void lsp__files_watch(lsp__client *c) {
  if (!c->can_watch) return;
  lsp__buffer b = {0};
  lsp__rpc_begin_request(&b, ++c->next_id, "client/registerCapability");
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "registrations");
  lsp__json_begin(&b, '[');
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "id");
  lsp__json_string(&b, "fimd/files");
  lsp__json_key(&b, "method");
  lsp__json_string(&b, "workspace/didChangeWatchedFiles");
  lsp__json_key(&b, "registerOptions");
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "watchers");
  lsp__json_begin(&b, '[');
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "globPattern");
  lsp__json_string(&b, "**/*");
  lsp__json_end(&b, '}');
  lsp__json_end(&b, ']');
  lsp__json_end(&b, '}');
  lsp__json_end(&b, '}');
  lsp__json_end(&b, ']');
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  lsp__client_send(c, &b);
}

/* ---- settings -------------------------------------------------------------------------- */

void lsp__client_warn(void *user, const char *text) {
  lsp__client_log(user, LSP__LOG_WARNING, "%s", text);
}

/* Folders are read, or not, as the settings are when completion/ gets them. */
void lsp__settings_changed(lsp__client *c) {
  bool reads = lsp__settings_reads_workspace(&c->settings);
  if (c->completion != NULL) {
    completion_set_options(c->completion, &c->settings.completion);
    for (struct lsp__root *r = c->roots; r != NULL && reads != c->reads_workspace; r = r->next)
      read_anew(c, r);
    c->reads_workspace = reads;
  }
  lsp__server_settings_changed(c);
}

/* What the client says replaces what it said before: a setting that is gone is as it was at
 * the start. What initialize has promised stays. */
static void replace_settings(lsp__client *c, const cJSON *object) {
  lsp__settings fresh = c->start_settings;
  lsp__settings_apply(&fresh, object, lsp__client_warn, c);
  fresh.popup = c->settings.popup;
  fresh.streaming = c->settings.streaming;
  c->settings = fresh;
  lsp__settings_changed(c);
}

void lsp__did_change_configuration(lsp__client *c, const cJSON *params) {
  const cJSON *settings = lsp__json_get(params, "settings");
  const cJSON *ours = lsp__json_get(settings, "fimd");
  if (ours != NULL)
    replace_settings(c, ours);
  else if (settings == NULL || cJSON_IsNull(settings))
    lsp__configuration_ask(c); /* as clients do that are to be asked */
}

void lsp__configuration_ask(lsp__client *c) {
  if (!c->can_configuration) return;
  lsp__buffer b = {0};
  c->configuration_id = ++c->next_id;
  lsp__rpc_begin_request(&b, c->configuration_id, "workspace/configuration");
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "items");
  lsp__json_begin(&b, '[');
  lsp__json_begin(&b, '{');
  lsp__json_key(&b, "section");
  lsp__json_string(&b, "fimd");
  lsp__json_end(&b, '}');
  lsp__json_end(&b, ']');
  lsp__json_end(&b, '}');
  lsp__rpc_end(&b);
  lsp__client_send(c, &b);
}

void lsp__configuration_answer(lsp__client *c, const cJSON *result) {
  const cJSON *ours = cJSON_IsArray(result) ? result->child : NULL;
  if (ours != NULL && !cJSON_IsNull(ours)) replace_settings(c, ours);
}

/* ---- the end --------------------------------------------------------------------------- */

void lsp__workspace_free(lsp__client *c) {
  for (lsp__document *d = c->documents, *next; d != NULL; d = next) {
    next = d->next;
    delete_document(d);
  }
  for (struct lsp__root *r = c->roots, *next; r != NULL; r = next) {
    next = r->next;
    free(r->path);
    free(r);
  }
  lsp__offer_clear(&c->offer);
  c->documents = NULL;
  c->roots = NULL;
}
