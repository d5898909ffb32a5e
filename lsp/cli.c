/* cli.c - what the commands share: files, the engine, one completion run to its end. */
#include "lsp/cli.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_FILE ((size_t)64 << 20)

double cli_now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void on_event(void *user, engine_event event, const char *words) {
  (void)user;
  if (event != ENGINE_EVENT_UNLOADED && event != ENGINE_EVENT_LOADED)
    fprintf(stderr, "fimd: %s\n", words);
}

engine *cli_engine_open(const cli_options *o) {
  engine *e;
  char err[1024];
  engine_options options = o->engine;
  options.on_event = on_event;
  if (engine_open(&e, &options, err, sizeof err) != ENGINE_OK)
    fprintf(stderr, "fimd: %s\n", err);
  return e;
}

char *cli_read_file(const char *path, size_t *len) {
  bool standard = path == NULL || strcmp(path, "-") == 0;
  const char *name = standard ? "standard input" : path;
  FILE *f = standard ? stdin : fopen(path, "rb");
  if (f == NULL) {
    fprintf(stderr, "fimd: %s: %s\n", name, strerror(errno));
    return NULL;
  }
  char *text = NULL;
  size_t n = 0, capacity = 0, got;
  do {
    if (n + 1 >= capacity) {
      capacity = capacity == 0 ? 65536 : capacity * 2;
      char *grown = capacity > 2 * MAX_FILE ? NULL : realloc(text, capacity);
      if (grown == NULL) {
        fprintf(stderr, "fimd: %s: too large (over %zu MiB)\n", name, MAX_FILE >> 20);
        goto fail;
      }
      text = grown;
    }
    got = fread(text + n, 1, capacity - n - 1, f);
    n += got;
  } while (got > 0);
  if (ferror(f)) {
    fprintf(stderr, "fimd: %s: %s\n", name, strerror(errno));
    goto fail;
  }
  if (!standard) fclose(f);
  text[n] = '\0';
  *len = n;
  return text;
fail:
  if (!standard) fclose(f);
  free(text);
  return NULL;
}

int cli_print_json(cJSON *json) {
  char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
  cJSON_Delete(json);
  if (text == NULL) {
    fprintf(stderr, "fimd: out of memory\n");
    return 1;
  }
  puts(text);
  cJSON_free(text);
  return 0;
}

/* ---- one completion -------------------------------------------------------------------- */

typedef struct waiter {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  bool done;
  cli_result *out;
} waiter;

static cJSON *why_json(const completion_why *w) {
  cJSON *j = cJSON_CreateObject();
  cJSON_AddStringToObject(j, "source", completion_strsource(w->source));
  if (w->quiet != COMPLETION_QUIET_NO)
    cJSON_AddStringToObject(j, "quiet", completion_strquiet(w->quiet));
  cJSON_AddStringToObject(j, "language", w->language != NULL ? w->language : "");
  cJSON_AddStringToObject(j, "extent", w->extent != NULL ? w->extent : "");
  if (w->confidence > 0) cJSON_AddNumberToObject(j, "confidence", w->confidence);
  if (w->gated) cJSON_AddNumberToObject(j, "errorsAdded", w->errors);
  if (w->unjudged) cJSON_AddBoolToObject(j, "unjudged", true);
  cJSON_AddNumberToObject(j, "cut", w->cut);
  cJSON *pieces = cJSON_AddArrayToObject(j, "pieces");
  for (int i = 0; i < w->n_pieces; i++) {
    const completion_piece *p = &w->pieces[i];
    cJSON *piece = cJSON_CreateObject();
    cJSON_AddStringToObject(piece, "path", p->path);
    cJSON_AddNumberToObject(piece, "line", p->line + 1);
    cJSON_AddNumberToObject(piece, "lines", p->lines);
    cJSON_AddStringToObject(piece, "why", p->why);
    cJSON_AddNumberToObject(piece, "score", p->score);
    cJSON_AddBoolToObject(piece, "chosen", p->chosen);
    cJSON_AddItemToArray(pieces, piece);
  }
  return j;
}

static void on_done(void *user, const completion_result *r) {
  waiter *w = user;
  pthread_mutex_lock(&w->mutex);
  w->out->status = r->status;
  w->out->text = strdup(r->text != NULL ? r->text : "");
  w->out->message = r->message == NULL ? NULL : strdup(r->message);
  w->out->replace_start = r->replace_start;
  w->out->replace_end = r->replace_end;
  w->out->stop = r->stop;
  w->out->stats = r->stats;
  w->out->why = why_json(&r->why);
  w->out->others = cJSON_CreateStringArray(r->others, r->n_others);
  w->done = true;
  pthread_cond_signal(&w->cond);
  pthread_mutex_unlock(&w->mutex);
}

int cli_run(completion *c, const completion_query *query, cli_result *out) {
  *out = (cli_result){0};
  waiter w = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .out = out};
  completion_query q = *query;
  q.on_update = NULL;
  q.on_done = on_done;
  q.user = &w;
  int rc = completion_start(c, &q, NULL);
  if (rc != COMPLETION_OK) return out->status = rc;
  pthread_mutex_lock(&w.mutex);
  while (!w.done) pthread_cond_wait(&w.cond, &w.mutex);
  pthread_mutex_unlock(&w.mutex);
  pthread_cond_destroy(&w.cond);
  pthread_mutex_destroy(&w.mutex);
  if (out->text == NULL) out->status = COMPLETION_ENOMEM;
  return out->status;
}

void cli_result_free(cli_result *r) {
  free(r->text);
  free(r->message);
  cJSON_Delete(r->why);
  cJSON_Delete(r->others);
  *r = (cli_result){0};
}
