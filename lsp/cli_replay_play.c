/* cli_replay_play.c - one hole through the daemon: what an editor would send while somebody types,
 * and what it would show. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "completion/completion.h"
#include "lsp/cli_client.h"
#include "lsp/cli_replay.h"
#include "lsp/utf8.h"

#define NEIGHBOURS 3 /* files beside it that are open, too */

static const cJSON *get(const cJSON *j, const char *name) {
  return cJSON_GetObjectItemCaseSensitive(j, name);
}

bool replay__wait_ready(cli_client *c) {
  for (;;) {
    cJSON *status = cli_client_request(c, "fimd/status", cJSON_CreateObject());
    if (status == NULL) return false;
    const char *state = cJSON_GetStringValue(get(get(status, "model"), "state"));
    const char *error = cJSON_GetStringValue(get(get(status, "model"), "error"));
    bool failed = state == NULL || strcmp(state, "failed") == 0;
    bool ready = !failed && strcmp(state, "ready") == 0 &&
                 !cJSON_IsTrue(get(get(status, "workspace"), "busy"));
    if (failed) fprintf(stderr, "fimd: %s\n", error != NULL ? error : "no model");
    cJSON_Delete(status);
    if (ready || failed) return ready;
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
  }
}

/* Tokens prefilled since the start, or -1. */
static double prefilled(cli_client *c) {
  cJSON *status = cli_client_request(c, "fimd/status", cJSON_CreateObject());
  const cJSON *tokens = get(get(status, "statistics"), "prefilledTokens");
  double n = cJSON_IsNumber(tokens) ? tokens->valuedouble : -1;
  cJSON_Delete(status);
  return n;
}

static char *uri_of(const replay_source *s, const char *path) {
  size_t size = strlen(s->root) + strlen(path) + 2;
  char *whole = malloc(size);
  if (whole == NULL) return NULL;
  snprintf(whole, size, "%s/%s", s->root, path);
  char *uri = cli_file_uri(whole);
  free(whole);
  return uri;
}

/* ---- files beside it --------------------------------------------------------------------- */

/* Opens some; their uris, owned by the caller, in uris. Returns how many, or -1. */
static int open_neighbours(cli_client *c, const replay_source *s, const replay_find *f,
                           char *uris[NEIGHBOURS]) {
  char *paths[NEIGHBOURS];
  int n = replay__neighbours(s, f, paths, NEIGHBOURS), opened = 0;
  bool ok = true;
  for (int i = 0; i < n; i++) {
    size_t len;
    char *text = ok ? replay__git_file(s->root, f->revision, paths[i], &len) : NULL;
    if (text != NULL && replay__text_is_fit(text, len)) {
      uris[opened] = uri_of(s, paths[i]);
      ok = uris[opened] != NULL;
      if (ok) ok = cli_client_open(c, uris[opened++], f->language, text);
    }
    free(text);
    free(paths[i]);
  }
  if (ok) return opened;
  while (opened > 0) free(uris[--opened]);
  return -1;
}

static void close_neighbours(cli_client *c, char *uris[NEIGHBOURS], int n) {
  for (int i = 0; i < n; i++) {
    cli_client_close(c, uris[i]);
    free(uris[i]);
  }
}

/* ---- one hole ---------------------------------------------------------------------------- */

/* a[0..from), then the middle, then a from `to` on; owned by the caller. */
static char *join(const char *a, size_t len, size_t from, size_t to, const char *middle,
                  size_t middle_len) {
  char *text = malloc(from + middle_len + (len - to) + 1);
  if (text == NULL) return NULL;
  memcpy(text, a, from);
  memcpy(text + from, middle, middle_len);
  memcpy(text + from + middle_len, a + to, len - to);
  text[from + middle_len + (len - to)] = '\0';
  return text;
}

size_t replay__typed(const replay_hole *h) {
  size_t n = 0;
  for (int i = 0; i < REPLAY_KEYS; i++)
    n += lsp__utf8_length((unsigned char)h->text[h->from + n]);
  return n;
}

static int errors_in(const replay_find *f, const char *text) {
  return completion_parse_errors(f->language, f->path, text, strlen(text));
}

/* What the answer is worth. ghost->text is NULL where nothing was shown. */
static bool judge(const replay_find *f, const cli_ghost *ghost, cli_position cursor,
                  replay_outcome *out, char **shown) {
  const replay_hole *h = &f->hole;
  size_t at = h->from + replay__typed(h), line = at - (size_t)cursor.character;
  *shown = NULL;
  if (ghost->text == NULL) return true;
  char *asked = join(h->text, h->len, at, h->to, "", 0);
  if (asked == NULL) return false;
  size_t len = strlen(asked), end = at + strcspn(asked + at, "\n");
  size_t from = line + (size_t)(ghost->from < 0 ? 0 : ghost->from), to = line + (size_t)ghost->to;
  if (from > at) from = at;
  if (ghost->to < cursor.character) to = at;
  if (to > end) to = end;
  char *accepted = join(asked, len, from, to, ghost->text, strlen(ghost->text));
  /* What stands before the cursor is typed already, unless another text is to replace it. */
  bool begins = strncmp(ghost->text, asked + from, at - from) == 0;
  *shown = strdup(ghost->text + (begins ? at - from : 0));
  size_t absorbed = to - at, after = h->to + absorbed;
  bool ok = accepted != NULL && *shown != NULL &&
            replay__score(*shown, h->text + at, h->to - at + absorbed, absorbed, h->text + after,
                          h->len - after, &out->score);
  if (ok) {
    out->errors_asked = errors_in(f, asked);
    out->errors_after = errors_in(f, accepted);
    out->errors_true = errors_in(f, h->text);
  }
  free(accepted);
  free(asked);
  return ok;
}

/* The last request again, in each way. */
static bool ask_variants(cli_client *c, const replay_find *f, const char *uri, cli_position cursor,
                         replay_outcome *variants) {
  static const char *const without[REPLAY_VARIANTS] = {"", "gate", "polish"};
  bool ok = true;
  for (int v = 0; ok && v < REPLAY_VARIANTS; v++) {
    cli_ghost ghost;
    char *shown = NULL;
    variants[v] = (replay_outcome){.errors_asked = -1, .errors_after = -1, .errors_true = -1};
    ok = cli_client_ask_measured(c, uri, cursor, NULL, without[v], &ghost) >= 0 &&
         judge(f, &ghost, cursor, &variants[v], &shown);
    free(shown);
    free(ghost.text);
  }
  return ok;
}

/* Asks, types, asks; the last answer is judged. */
static bool type_and_ask(cli_client *c, const replay_find *f, const char *uri,
                         replay_outcome *out, replay_outcome *variants, char **shown) {
  const replay_hole *h = &f->hole;
  cli_position cursor = cli_position_of(h->text, h->from);
  size_t at = h->from;
  double before = prefilled(c);
  for (int key = 0; key <= REPLAY_KEYS; key++) {
    if (key > 0) {
      char typed[5] = "";
      size_t n = lsp__utf8_length((unsigned char)h->text[at]);
      memcpy(typed, h->text + at, n);
      if (!cli_client_type(c, uri, key + 1, cursor, typed)) return false;
      at += n;
      cursor.character += (int)n;
    }
    cli_ghost ghost;
    if (cli_client_ask(c, uri, cursor, &ghost) < 0) return false;
    if (key == 0)
      out->first_ms = ghost.ms;
    else
      out->typed_ms[key - 1] = ghost.ms;
    bool ok = key < REPLAY_KEYS || judge(f, &ghost, cursor, out, shown);
    free(ghost.text);
    double now = prefilled(c);
    if (!ok || now < 0 || before < 0) return false;
    *(key == 0 ? &out->prefilled_first : &out->prefilled_typed) += now - before;
    before = now;
  }
  if (variants != NULL) return ask_variants(c, f, uri, cursor, variants);
  return true;
}

bool replay__play(cli_client *c, const replay_source *s, const replay_find *f,
                  replay_outcome *out, replay_outcome *variants, char **shown) {
  const replay_hole *h = &f->hole;
  char *beside[NEIGHBOURS], *uri = uri_of(s, f->path);
  char *cut = join(h->text, h->len, h->from, h->to, "", 0);
  *out = (replay_outcome){.errors_asked = -1, .errors_after = -1, .errors_true = -1};
  *shown = NULL;
  int n = uri != NULL && cut != NULL ? open_neighbours(c, s, f, beside) : -1;
  bool ok = n >= 0 && cli_client_open(c, uri, f->language, cut) &&
            type_and_ask(c, f, uri, out, variants, shown);
  if (uri != NULL) ok = cli_client_close(c, uri) && ok;
  close_neighbours(c, beside, n);
  free(cut);
  free(uri);
  return ok;
}
