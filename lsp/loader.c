/* loader.c - see loader.h. Owned by two: whoever started it, and its thread. */
#include "lsp/loader.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/buffer.h"

#define EVENTS 8

struct lsp__loader {
  uv_mutex_t lock;
  /* under lock */
  int owners;
  uv_async_t *wake; /* NULL once released */
  lsp__model_state state;
  double progress;
  engine *engine;
  struct {
    engine_event event;
    char words[512];
  } events[EVENTS];
  unsigned event_first, event_count; /* events[event_first % EVENTS] is the oldest */
  /* the thread's until state is no more LOADING */
  engine_options options;
  char *model, *backend;
  char message[1024];
};

static void drop(lsp__loader *l) {
  uv_mutex_lock(&l->lock);
  bool last = --l->owners == 0;
  uv_mutex_unlock(&l->lock);
  if (!last) return;
  engine_close(l->engine);
  uv_mutex_destroy(&l->lock);
  free(l->model);
  free(l->backend);
  free(l);
}

static void on_progress(void *user, double done) {
  lsp__loader *l = user;
  uv_mutex_lock(&l->lock);
  bool news = done >= l->progress + 0.01;
  if (news) l->progress = done;
  if (news && l->wake != NULL) uv_async_send(l->wake);
  uv_mutex_unlock(&l->lock);
}

static void on_event(void *user, engine_event event, const char *words) {
  lsp__loader *l = user;
  uv_mutex_lock(&l->lock);
  if (l->event_count == EVENTS) {
    l->event_first++;
    l->event_count--;
  }
  unsigned i = (l->event_first + l->event_count++) % EVENTS;
  l->events[i].event = event;
  snprintf(l->events[i].words, sizeof l->events[i].words, "%s", words);
  if (l->wake != NULL) uv_async_send(l->wake);
  uv_mutex_unlock(&l->lock);
}

bool lsp__loader_event(lsp__loader *l, engine_event *event, char *words, size_t size) {
  uv_mutex_lock(&l->lock);
  bool some = l->event_count > 0;
  if (some) {
    unsigned i = l->event_first++ % EVENTS;
    l->event_count--;
    *event = l->events[i].event;
    snprintf(words, size, "%s", l->events[i].words);
  }
  uv_mutex_unlock(&l->lock);
  return some;
}

static void *run(void *arg) {
  lsp__loader *l = arg;
  engine *e = NULL;
  int status = engine_open(&e, &l->options, l->message, sizeof l->message);
  if (status != ENGINE_OK && l->message[0] == '\0')
    strncpy(l->message, engine_strstatus(status), sizeof l->message - 1);
  uv_mutex_lock(&l->lock);
  l->engine = e;
  l->state = status == ENGINE_OK ? LSP__MODEL_READY : LSP__MODEL_FAILED;
  if (l->wake != NULL) uv_async_send(l->wake);
  uv_mutex_unlock(&l->lock);
  drop(l);
  return NULL;
}

static bool copy_string(char **out, const char *text) {
  *out = text != NULL ? lsp__strndup(text, strlen(text)) : NULL;
  return text == NULL || *out != NULL;
}

static int start_thread(lsp__loader *l) {
  pthread_attr_t attr;
  pthread_t thread;
  int error = pthread_attr_init(&attr);
  if (error != 0) return error;
  error = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  if (error == 0) error = pthread_create(&thread, &attr, run, l);
  pthread_attr_destroy(&attr);
  return error;
}

int lsp__loader_start(lsp__loader **out, const engine_options *options, uv_async_t *wake) {
  *out = NULL;
  lsp__loader *l = calloc(1, sizeof *l);
  if (l == NULL) return UV_ENOMEM;
  if (uv_mutex_init(&l->lock) != 0) {
    free(l);
    return UV_ENOMEM;
  }
  l->options = *options;
  l->options.on_progress = on_progress;
  l->options.on_event = on_event;
  l->options.user = l;
  l->owners = 1;
  l->wake = wake;
  bool copied = copy_string(&l->model, options->model);
  copied = copy_string(&l->backend, options->backend) && copied;
  l->options.model = l->model;
  l->options.backend = l->backend;
  l->owners++;
  int error = copied ? start_thread(l) : ENOMEM;
  if (error != 0) {
    l->owners--;
    drop(l);
    return uv_translate_sys_error(error);
  }
  *out = l;
  return 0;
}

lsp__model_state lsp__loader_state(lsp__loader *l, double *progress, engine **e,
                                   const char **message) {
  uv_mutex_lock(&l->lock);
  lsp__model_state state = l->state;
  *progress = l->progress;
  *e = l->engine;
  *message = state == LSP__MODEL_FAILED ? l->message : NULL;
  uv_mutex_unlock(&l->lock);
  return state;
}

void lsp__loader_release(lsp__loader *l) {
  if (l == NULL) return;
  uv_mutex_lock(&l->lock);
  l->wake = NULL;
  uv_mutex_unlock(&l->lock);
  drop(l);
}
