/* held_fimd.c - fimd itself, with places where it can be stopped, and what its texts are.
 *
 * It is linked from fimd's own objects; the functions named __wrap_ stand in for those that the
 * linker finds in other files (held_fimd's rule in the Makefile). So a test can hold a thread where
 * it wants it, see what the rest of the daemon does meanwhile, and let it go.
 *
 * Lines on the descriptor FIMD_HOLD_FD, both ways; without it this is plain fimd:
 *   hold PLACE   the next thread that comes there stops; told by "holds PLACE". FIMD_HOLD names one
 *                for the start
 *   at PLACE     told: it has stopped
 *   go PLACE     it goes on, and the place stops nobody any more
 *   texts        from now on, told: "text CLIENT URI STATE" (text_state.h) after each didOpen and
 *                didChange, and "asked CLIENT URI same|other" where a request starts: whether the
 *                text that it is made on is the client's
 *
 * Places: load (before the model is), parse (a document that was opened), prefill (a chunk of it),
 * step (of decoding), update (a text so far was sent), told (all is written, not yet sent). */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "completion/job.h"
#include "engine/internal.h"
#include "lsp/internal.h"
#include "text_state.h"

typedef enum place { LOAD, PARSE, PREFILL, STEP, UPDATE, TOLD, PLACES } place;
static const char *const names[PLACES] = {"load", "parse", "prefill", "step", "update", "told"};

static struct {
  int fd; /* -1: none */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool holds[PLACES];
  atomic_bool texts;
} control = {.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- both ways ------------------------------------------------------------------------- */

static void tell(const char *line) {
  size_t n = strlen(line);
  while (n > 0) {
    ssize_t done = write(control.fd, line, n);
    if (done <= 0) return; /* nobody listens any more */
    line += done;
    n -= (size_t)done;
  }
}

static void tell_place(const char *what, place p) {
  char line[64];
  snprintf(line, sizeof line, "%s %s\n", what, names[p]);
  tell(line);
}

/* Stops here, if the place is to. */
static void pass(place p) {
  pthread_mutex_lock(&control.lock);
  if (control.holds[p]) tell_place("at", p);
  while (control.holds[p]) pthread_cond_wait(&control.changed, &control.lock);
  pthread_mutex_unlock(&control.lock);
}

static void set(place p, bool holds) {
  pthread_mutex_lock(&control.lock);
  control.holds[p] = holds;
  if (holds) tell_place("holds", p);
  pthread_cond_broadcast(&control.changed);
  pthread_mutex_unlock(&control.lock);
}

static void obey(const char *line) {
  if (strcmp(line, "texts") == 0) atomic_store(&control.texts, true);
  for (place p = 0; p < PLACES; p++) {
    if (strncmp(line, "hold ", 5) == 0 && strcmp(line + 5, names[p]) == 0) set(p, true);
    if (strncmp(line, "go ", 3) == 0 && strcmp(line + 3, names[p]) == 0) set(p, false);
  }
}

/* Where the test is gone, nothing is held. */
static void *listen_main(void *arg) {
  FILE *in = fdopen(dup(control.fd), "r");
  char line[64];
  while (in != NULL && fgets(line, sizeof line, in) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    obey(line);
  }
  for (place p = 0; p < PLACES; p++) set(p, false);
  if (in != NULL) fclose(in);
  return arg;
}

/* ---- places ---------------------------------------------------------------------------- */

int __real_lsp_serve(const lsp_options *options, char *err, size_t errlen);
int __wrap_lsp_serve(const lsp_options *options, char *err, size_t errlen);
int __wrap_lsp_serve(const lsp_options *options, char *err, size_t errlen) {
  const char *fd = getenv("FIMD_HOLD_FD"), *first = getenv("FIMD_HOLD");
  pthread_t thread;
  if (fd == NULL) return __real_lsp_serve(options, err, errlen);
  control.fd = atoi(fd);
  for (place p = 0; p < PLACES && first != NULL; p++)
    if (strcmp(first, names[p]) == 0) set(p, true);
  if (pthread_create(&thread, NULL, listen_main, NULL) == 0) pthread_detach(thread);
  return __real_lsp_serve(options, err, errlen);
}

int __real_engine_open(engine **out, const engine_options *options, char *err, size_t errlen);
int __wrap_engine_open(engine **out, const engine_options *options, char *err, size_t errlen);
int __wrap_engine_open(engine **out, const engine_options *options, char *err, size_t errlen) {
  pass(LOAD);
  return __real_engine_open(out, options, err, errlen);
}

/* A prefill wants no logits; a step that is only timed has no result. */
int __real_engine__device_step(engine *e, kernels_cache *cache, const kernels_batch *batch,
                               const forward_errand *errand, kernels_result *result);
int __wrap_engine__device_step(engine *e, kernels_cache *cache, const kernels_batch *batch,
                               const forward_errand *errand, kernels_result *result);
int __wrap_engine__device_step(engine *e, kernels_cache *cache, const kernels_batch *batch,
                               const forward_errand *errand, kernels_result *result) {
  if (batch->n_out == 0) pass(PREFILL);
  if (result != NULL) pass(STEP);
  return __real_engine__device_step(e, cache, batch, errand, result);
}

/* The thread that parses what is opened has documents without a name. */
int __real_completion__syntax_definitions(completion__parser *p, completion__document *d,
                                          completion__text *text, const atomic_bool *cancel,
                                          const completion__definition **definitions);
int __wrap_completion__syntax_definitions(completion__parser *p, completion__document *d,
                                          completion__text *text, const atomic_bool *cancel,
                                          const completion__definition **definitions);
int __wrap_completion__syntax_definitions(completion__parser *p, completion__document *d,
                                          completion__text *text, const atomic_bool *cancel,
                                          const completion__definition **definitions) {
  if (d->uri == NULL) pass(PARSE);
  return __real_completion__syntax_definitions(p, d, text, cancel, definitions);
}

void __real_lsp__mail_update(void *user, const completion_result *result);
void __wrap_lsp__mail_update(void *user, const completion_result *result);
void __wrap_lsp__mail_update(void *user, const completion_result *result) {
  __real_lsp__mail_update(user, result);
  pass(UPDATE);
}

void __real_lsp__mail_done(void *user, const completion_result *result);
void __wrap_lsp__mail_done(void *user, const completion_result *result);
void __wrap_lsp__mail_done(void *user, const completion_result *result) {
  pass(TOLD);
  __real_lsp__mail_done(user, result);
}

/* ---- texts ----------------------------------------------------------------------------- */

static void tell_text(const lsp__client *c, const lsp__document *d) {
  char state[64], line[4096];
  if (!atomic_load(&control.texts)) return;
  text_state(d->text.data, d->text.len, d->line_count, state, sizeof state);
  snprintf(line, sizeof line, "text %d %s %s\n", c->number, d->uri, state);
  tell(line);
}

void __real_lsp__did_open(lsp__client *c, const cJSON *params);
void __wrap_lsp__did_open(lsp__client *c, const cJSON *params);
void __wrap_lsp__did_open(lsp__client *c, const cJSON *params) {
  __real_lsp__did_open(c, params);
  if (c->documents != NULL) tell_text(c, c->documents); /* the newest */
}

void __real_lsp__requests_edited(lsp__client *c, const lsp__document *d, uint64_t edits);
void __wrap_lsp__requests_edited(lsp__client *c, const lsp__document *d, uint64_t edits);
void __wrap_lsp__requests_edited(lsp__client *c, const lsp__document *d, uint64_t edits) {
  __real_lsp__requests_edited(c, d, edits);
  tell_text(c, d);
}

/* The client's text as completion/ has it: half surrogate pairs as U+FFFD, "\n" for "\r\n". */
static bool is_same(const lsp__document *d, const completion__text *t) {
  const unsigned char *p = (const unsigned char *)d->text.data;
  size_t n = 0, len = d->text.len;
  for (size_t i = 0; i < len; i++) {
    unsigned char byte = p[i];
    if (byte == '\r' && i + 1 < len && p[i + 1] == '\n') continue;
    if (byte == 0xED && i + 2 < len && p[i + 1] >= 0xA0) {
      if (n + 3 > t->len || memcmp(t->bytes + n, "\xEF\xBF\xBD", 3) != 0) return false;
      n += 3;
      i += 2;
      continue;
    }
    if (n >= t->len || (unsigned char)t->bytes[n++] != byte) return false;
  }
  return n == t->len;
}

int __real_completion_start(completion *c, const completion_query *q, completion_job **job);
int __wrap_completion_start(completion *c, const completion_query *q, completion_job **job);
int __wrap_completion_start(completion *c, const completion_query *q, completion_job **job) {
  if (atomic_load(&control.texts)) {
    const lsp__request *r = q->user;
    const lsp__document *d = lsp__client_document(r->client, q->uri);
    const completion__document *seen = completion__documents_find(&c->documents, q->uri);
    char line[4096];
    snprintf(line, sizeof line, "asked %d %s %s\n", r->client->number, q->uri,
             d != NULL && seen != NULL && is_same(d, seen->text) ? "same" : "other");
    tell(line);
  }
  return __real_completion_start(c, q, job);
}
