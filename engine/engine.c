/* engine.c - opening a model on a backend, and the one thread that runs jobs on it. */
#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/internal.h"

#define DEFAULT_CONTEXT 8192
#define MAX_CONTEXT (1 << 20)
#define MAX_BATCH 8192
#define DEFAULT_OUT 128 /* the logits of the largest drafts; memory that is touched when used */

const char *engine_strstatus(int status) {
  switch (status) {
  case ENGINE_OK: return "success";
  case ENGINE_ENOMEM: return "out of memory";
  case ENGINE_EINVAL: return "invalid argument";
  case ENGINE_ENOTFOUND: return "no such model";
  case ENGINE_EFORMAT: return "malformed model file";
  case ENGINE_EDEVICE: return "the device failed";
  case ENGINE_ECANCELLED: return "cancelled";
  case ENGINE_ETOOLONG: return "the prompt does not fit the context";
  case ENGINE_EFILE:
    return "the model's file was cut short or overwritten while in use; put the whole file back "
           "in its place, the next request reads it again";
  default: return "unknown error";
  }
}

double engine__now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- tokens ---------------------------------------------------------------------------- */

int engine_tokens_append(engine_tokens *t, const int32_t *ids, int n) {
  if (n < 0) return ENGINE_EINVAL;
  if (n > t->capacity - t->n) {
    int64_t want = (int64_t)t->n + n, capacity = t->capacity < 64 ? 64 : t->capacity;
    while (capacity < want) capacity += capacity / 2;
    if (capacity > INT32_MAX) return ENGINE_ENOMEM;
    int32_t *grown = realloc(t->ids, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return ENGINE_ENOMEM;
    t->ids = grown;
    t->capacity = (int)capacity;
  }
  if (n > 0) memcpy(t->ids + t->n, ids, (size_t)n * sizeof *ids);
  t->n += n;
  return ENGINE_OK;
}

int engine_tokens_push(engine_tokens *t, int32_t id) { return engine_tokens_append(t, &id, 1); }

void engine_tokens_free(engine_tokens *t) {
  free(t->ids);
  *t = (engine_tokens){0};
}

int engine_tokenize(const engine *e, const char *text, size_t len, bool parse_special,
                    engine_tokens *out) {
  if (e->model->tokenizer == NULL) return ENGINE_EINVAL;
  return tokenizer_encode(e->model->tokenizer, text, len, parse_special, out);
}

const char *engine_token_text(const engine *e, int32_t id, size_t *len) {
  if (e->model->tokenizer == NULL) {
    *len = 0;
    return "";
  }
  return tokenizer_text(e->model->tokenizer, id, len);
}

bool engine_token_is_special(const engine *e, int32_t id) {
  return e->model->tokenizer != NULL &&
         tokenizer_token_kind(e->model->tokenizer, id) == TOKENIZER_SPECIAL;
}

bool engine_token_is_stop(const engine *e, int32_t id) {
  const engine_special *s = &e->info[0].special;
  return id >= 0 && (id == s->endoftext || id == s->im_end || id == s->fim_prefix ||
                     id == s->fim_middle || id == s->fim_suffix || id == s->fim_pad ||
                     id == s->repo_name || id == s->file_sep);
}

/* ---- the engine thread ----------------------------------------------------------------- */

/* Sleeps until there is a job or the engine closes; gives the device's memory back if neither
 * comes within unload_after_ms of idle_from (0: there was no job yet). May return for no reason.
 * The mutex is held, and let go meanwhile. */
static void wait_for_job(engine *e, double idle_from) {
  if (e->unload_after_ms == 0 || idle_from == 0 || !atomic_load(&e->loaded)) {
    pthread_cond_wait(&e->wake, &e->mutex);
    return;
  }
  double until = idle_from + e->unload_after_ms;
  if (engine__now_ms() < until) {
    struct timespec t = {.tv_sec = (time_t)(until / 1e3)};
    t.tv_nsec = (long)((until - (double)t.tv_sec * 1e3) * 1e6);
    pthread_cond_timedwait(&e->wake, &e->mutex, &t);
    return;
  }
  pthread_mutex_unlock(&e->mutex);
  engine_unload(e);
  pthread_mutex_lock(&e->mutex);
}

static void *thread_main(void *arg) {
  engine *e = arg;
  double idle_from = 0;
  pthread_mutex_lock(&e->mutex);
  for (;;) {
    while (e->first == NULL && !e->closing) wait_for_job(e, idle_from);
    engine_job *job = e->first;
    if (job == NULL) break;
    e->first = job->next;
    if (e->first == NULL) e->last = &e->first;
    if (e->closing) atomic_store(&job->cancel, true);
    pthread_mutex_unlock(&e->mutex);
    job->run(job);
    idle_from = engine__now_ms();
    pthread_mutex_lock(&e->mutex);
  }
  pthread_mutex_unlock(&e->mutex);
  return NULL;
}

void engine_set_unload_after(engine *e, int ms) {
  pthread_mutex_lock(&e->mutex);
  e->unload_after_ms = ms > 0 ? ms : 0;
  pthread_cond_signal(&e->wake);
  pthread_mutex_unlock(&e->mutex);
}

void engine_post(engine *e, engine_job *job) {
  job->next = NULL;
  pthread_mutex_lock(&e->mutex);
  *e->last = job;
  e->last = &job->next;
  pthread_cond_signal(&e->wake);
  pthread_mutex_unlock(&e->mutex);
}

/* ---- opening --------------------------------------------------------------------------- */

static int32_t special_id(const engine *e, const char *name) {
  int32_t id = e->model->tokenizer ? tokenizer_find(e->model->tokenizer, name) : -1;
  return id < e->model->shape.vocab ? id : -1;
}

static void find_specials(engine *e) {
  engine_special *s = &e->info[0].special;
  s->endoftext = special_id(e, "<|endoftext|>");
  s->im_start = special_id(e, "<|im_start|>");
  s->im_end = special_id(e, "<|im_end|>");
  s->fim_prefix = special_id(e, "<|fim_prefix|>");
  s->fim_middle = special_id(e, "<|fim_middle|>");
  s->fim_suffix = special_id(e, "<|fim_suffix|>");
  s->fim_pad = special_id(e, "<|fim_pad|>");
  s->repo_name = special_id(e, "<|repo_name|>");
  s->file_sep = special_id(e, "<|file_sep|>");
}

static void fill_info(engine *e) {
  const model *m = e->model;
  engine_info *i = &e->info[0];
  i->model = m->name;
  i->path = m->path;
  i->types = m->types;
  i->layers = m->shape.layers;
  i->hidden = m->shape.hidden;
  i->heads = m->shape.heads;
  i->kv_heads = m->shape.kv_heads;
  i->head_dim = m->shape.head_dim;
  i->intermediate = m->shape.intermediate;
  i->vocab = m->shape.vocab;
  i->parameters = m->parameters;
  i->weight_bytes = m->weight_bytes;
  i->trained_context = m->trained_context;
  i->context = m->trained_context;
  if (i->context > DEFAULT_CONTEXT) i->context = DEFAULT_CONTEXT;
  if (e->options.context > 0) i->context = e->options.context;
  find_specials(e);
}

static int check_options(const engine_options *o, char *err, size_t errlen) {
  if (o->threads < 0 || o->threads > 1024)
    snprintf(err, errlen, "threads: %d is not in 0..1024", o->threads);
  else if (o->context < 0 || o->context > MAX_CONTEXT)
    snprintf(err, errlen, "context: %d is not in 0..%d", o->context, MAX_CONTEXT);
  else if (o->max_batch < 0 || o->max_batch > MAX_BATCH)
    snprintf(err, errlen, "max_batch: %d is not in 0..%d", o->max_batch, MAX_BATCH);
  else if (o->max_out < 0 || o->max_out > MAX_BATCH)
    snprintf(err, errlen, "max_out: %d is not in 0..%d", o->max_out, MAX_BATCH);
  else if (o->unload_after_ms < 0)
    snprintf(err, errlen, "unload_after_ms: %d is less than 0", o->unload_after_ms);
  else if (o->random_weights != NULL && o->model != NULL)
    snprintf(err, errlen, "random weights and a model: only one of them");
  else
    return ENGINE_OK;
  return ENGINE_EINVAL;
}

static void init_thread(engine *e) {
  pthread_condattr_t attr;
  e->last = &e->first;
  pthread_mutex_init(&e->mutex, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&e->wake, &attr);
  pthread_condattr_destroy(&attr);
}

int engine_open(engine **out, const engine_options *options, char *err, size_t errlen) {
  *out = NULL;
  engine_options o = options != NULL ? *options : (engine_options){0};
  if (errlen > 0) err[0] = '\0';
  double start = engine__now_ms();
  int rc = check_options(&o, err, errlen);
  if (rc != ENGINE_OK) return rc;
  engine *e = calloc(1, sizeof *e);
  if (e == NULL) {
    snprintf(err, errlen, "out of memory");
    return ENGINE_ENOMEM;
  }
  e->options = o;
  e->options.model = e->options.backend = NULL;
  e->options.random_weights = e->options.random_tokenizer = NULL;
  if (o.max_out == 0) e->options.max_out = DEFAULT_OUT;
  e->unload_after_ms = o.unload_after_ms;
  init_thread(e);
  rc = o.random_weights == NULL
           ? model_open(&e->model, o.model, err, errlen)
           : model_open_random(&e->model, o.random_weights, o.random_tokenizer, err, errlen);
  if (rc != ENGINE_OK) goto fail;
  fill_info(e);
  if ((rc = engine__device_open(e, o.backend, err, errlen)) != ENGINE_OK) goto fail;
  e->info[0].load_ms = engine__now_ms() - start;
  if (pthread_create(&e->thread, NULL, thread_main, e) != 0) {
    snprintf(err, errlen, "cannot start the engine thread");
    rc = ENGINE_ENOMEM;
    goto fail;
  }
  e->thread_started = true;
  *out = e;
  return ENGINE_OK;
fail:
  if (errlen > 0 && err[0] == '\0') snprintf(err, errlen, "%s", engine_strstatus(rc));
  engine_close(e);
  return rc;
}

void engine_close(engine *e) {
  if (e == NULL) return;
  if (e->thread_started) {
    pthread_mutex_lock(&e->mutex);
    e->closing = true;
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->mutex);
    pthread_join(e->thread, NULL);
  }
  engine__device_close(e);
  model_close(e->model);
  free(e->backend);
  free(e->fall_note);
  for (int i = 0; i < 2; i++) {
    free(e->notes[i]);
    free(e->descriptions[i]);
  }
  pthread_cond_destroy(&e->wake);
  pthread_mutex_destroy(&e->mutex);
  free(e);
}

const engine_info *engine_get_info(const engine *e) { return atomic_load(&e->info_now); }

engine_state engine_get_state(const engine *e) {
  return (engine_state){
      .loaded = atomic_load(&e->loaded),
      .fell_back = atomic_load(&e->fell_back),
      .loads = atomic_load(&e->loads),
      .unloads = atomic_load(&e->unloads),
      .failures = atomic_load(&e->failures),
      .load_ms = atomic_load(&e->load_ms),
  };
}
