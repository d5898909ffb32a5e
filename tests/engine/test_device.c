/* test_device.c - the device comes and goes: idle unloading, failures, the fall back to the CPU.
 *
 * No GPU is needed: what is under test is who holds what, and a hook of the engine lets steps and
 * openings fail. Sessions must give the very same logits after all of it. The model is the small
 * random one, as it is opened dozens of times. */
#include "tests/engine/golden.h"

#include <pthread.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/internal.h"

#define EVENTS_MOST 64
#define MODEL "tests/data/tiny-random-hd128"

/* What the engine told, from whichever thread. */
typedef struct diary {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  int n;
  engine_event events[EVENTS_MOST];
  char words[2048]; /* of the last one */
} diary;

#define DIARY ((diary){.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER})

static void write_down(void *user, engine_event event, const char *words) {
  diary *d = user;
  pthread_mutex_lock(&d->mutex);
  assert_true(d->n < EVENTS_MOST);
  d->events[d->n++] = event;
  snprintf(d->words, sizeof d->words, "%s", words);
  pthread_cond_broadcast(&d->cond);
  pthread_mutex_unlock(&d->mutex);
}

static void wait_for_events(diary *d, int n) {
  pthread_mutex_lock(&d->mutex);
  while (d->n < n) pthread_cond_wait(&d->cond, &d->mutex);
  pthread_mutex_unlock(&d->mutex);
}

static engine *open_with(diary *d, const char *backend, int unload_after_ms) {
  engine *e;
  char err[512];
  engine_options o = {.model = MODEL, .context = 256, .threads = 1, .backend = backend, .max_batch = 16,
                      .unload_after_ms = unload_after_ms, .on_event = write_down, .user = d};
  if (engine_open(&e, &o, err, sizeof err) != ENGINE_OK) fail_msg("%s", err);
  return e;
}

static const int32_t prompt[40] = {7, 300, 12, 99, 444, 8, 8, 15, 200, 31, 5, 77, 410, 6};

/* The logits after the prompt's first n tokens, by a session that is there. */
static int logits_of(engine_session *s, int n, float *out, int *computed) {
  int rc = engine_session_sync(s, prompt, n, NULL, computed);
  return rc == ENGINE_OK ? engine_session_logits(s, out) : rc;
}

typedef struct fixture {
  diary diary;
  engine *e;
  engine_session *s;
  size_t bytes;
  float *want, *got; /* [vocab] */
} fixture;

static void begin(fixture *f, const char *backend) {
  *f = (fixture){.diary = DIARY};
  f->e = open_with(&f->diary, backend, 0);
  f->bytes = (size_t)engine_get_info(f->e)->vocab * sizeof(float);
  f->want = malloc(f->bytes);
  f->got = malloc(f->bytes);
  assert_int_equal(engine_session_new(f->e, &f->s), ENGINE_OK);
  assert_int_equal(logits_of(f->s, 40, f->want, NULL), ENGINE_OK);
}

static void end(fixture *f) {
  engine_session_delete(f->s);
  engine_close(f->e);
  free(f->want);
  free(f->got);
}

static void expect_events(const fixture *f, int n, const engine_event *events) {
  assert_int_equal(f->diary.n, n);
  for (int i = 0; i < n; i++) assert_int_equal(f->diary.events[i], events[i]);
}

/* All tokens are computed again, and give the same to the last bit. */
static void expect_recomputed(fixture *f) {
  int computed;
  assert_int_equal(logits_of(f->s, 40, f->got, &computed), ENGINE_OK);
  assert_int_equal(computed, 40);
  assert_memory_equal(f->got, f->want, f->bytes);
}

/* ---- unloading ---------------------------------------------------------------------------- */

static void test_unload_and_back(void **state) {
  (void)state;
  fixture f;
  int n;
  begin(&f, "cpu");
  engine_session *other, *late;
  assert_int_equal(engine_session_new(f.e, &other), ENGINE_OK);
  assert_true(engine_get_state(f.e).loaded);
  engine_unload(f.e);
  engine_unload(f.e); /* nothing is left to unload */
  assert_false(engine_get_state(f.e).loaded);
  assert_int_equal(engine_get_state(f.e).unloads, 1);
  engine_session_tokens(f.s, &n);
  assert_int_equal(n, 0);
  assert_int_equal(engine_session_new(f.e, &late), ENGINE_OK);
  assert_false(engine_get_state(f.e).loaded); /* a session alone is no reason to load */
  atomic_bool cancel = true;
  assert_int_equal(engine_session_sync(f.s, prompt, 40, &cancel, NULL), ENGINE_ECANCELLED);
  assert_false(engine_get_state(f.e).loaded);
  expect_recomputed(&f);
  assert_int_equal(engine_get_state(f.e).loads, 2);
  assert_int_equal(logits_of(late, 40, f.got, NULL), ENGINE_OK);
  assert_memory_equal(f.got, f.want, f.bytes);
  engine_session_delete(other);
  engine_session_delete(late);
  expect_events(&f, 2, (engine_event[]){ENGINE_EVENT_UNLOADED, ENGINE_EVENT_LOADED});
  end(&f);
}

static int take(void *user, const engine_step *step) {
  return engine_tokens_append(user, step->ids, step->n) != ENGINE_OK;
}

static void generate(engine_session *s, int n, engine_tokens *out) {
  engine_generate_params p = {.max_tokens = n, .ignore_stop = true};
  assert_int_equal(engine_session_generate(s, &p, NULL, take, out, NULL), ENGINE_OK);
}

static void count(void *user) { ++*(int *)user; }

/* Once, in the next step of whatever kind; not at all where it was taken back. */
static void test_meanwhile(void **state) {
  (void)state;
  fixture f;
  engine_tokens out = {0};
  int calls = 0;
  begin(&f, "cpu");
  assert_int_equal(engine_session_sync(f.s, prompt + 1, 1, NULL, NULL), ENGINE_OK);
  engine_session_meanwhile(f.s, count, &calls);
  assert_int_equal(calls, 0);
  assert_int_equal(engine_session_sync(f.s, prompt, 40, NULL, NULL), ENGINE_OK);
  assert_int_equal(calls, 1);
  generate(f.s, 3, &out);
  assert_int_equal(calls, 1);
  engine_session_meanwhile(f.s, count, &calls);
  assert_int_equal(engine_session_sync(f.s, prompt, 40, NULL, NULL), ENGINE_OK);
  assert_int_equal(calls, 1); /* nothing was computed */
  generate(f.s, 3, &out);
  assert_int_equal(calls, 2);
  engine_session_meanwhile(f.s, count, &calls);
  engine_session_meanwhile(f.s, NULL, NULL);
  generate(f.s, 3, &out);
  assert_int_equal(calls, 2);
  engine_tokens_free(&out);
  end(&f);
}

/* An unload between two decodes of one text: the second goes on as if nothing had been. */
static void test_decode_goes_on_after_an_unload(void **state) {
  (void)state;
  fixture f;
  engine_tokens whole = {0}, halves = {0};
  begin(&f, "cpu");
  assert_int_equal(engine_session_sync(f.s, prompt, 40, NULL, NULL), ENGINE_OK);
  generate(f.s, 20, &whole);
  assert_int_equal(engine_session_sync(f.s, prompt, 40, NULL, NULL), ENGINE_OK);
  generate(f.s, 9, &halves);
  engine_unload(f.e);
  generate(f.s, 11, &halves);
  assert_int_equal(halves.n, 20);
  assert_memory_equal(halves.ids, whole.ids, 20 * sizeof(int32_t));
  engine_tokens_free(&whole);
  engine_tokens_free(&halves);
  end(&f);
}

typedef struct logits_job {
  engine_job job; /* first */
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  engine *e;
  engine_session *s;
  float *out;
  int status;
  bool unload, done;
} logits_job;

static void run_logits(engine_job *job) {
  logits_job *j = (logits_job *)job;
  int status = j->s == NULL ? engine_session_new(j->e, &j->s) : ENGINE_OK;
  if (status == ENGINE_OK && j->out != NULL) status = logits_of(j->s, 40, j->out, NULL);
  if (j->unload) engine_unload(j->e);
  pthread_mutex_lock(&j->mutex);
  j->status = status;
  j->done = true;
  pthread_cond_signal(&j->cond);
  pthread_mutex_unlock(&j->mutex);
}

static void run_delete(engine_job *job) {
  logits_job *j = (logits_job *)job;
  engine_session_delete(j->s);
  j->out = NULL;
  j->s = NULL;
  pthread_mutex_lock(&j->mutex);
  j->done = true;
  pthread_cond_signal(&j->cond);
  pthread_mutex_unlock(&j->mutex);
}

static int post_and_wait(engine *e, logits_job *j, void (*run)(engine_job *)) {
  j->done = false;
  j->job.run = run;
  engine_post(e, &j->job);
  pthread_mutex_lock(&j->mutex);
  while (!j->done) pthread_cond_wait(&j->cond, &j->mutex);
  pthread_mutex_unlock(&j->mutex);
  return j->status;
}

/* The engine thread by itself: idle, unloaded, a job, loaded, idle again. */
static void test_idle_unloading(void **state) {
  (void)state;
  diary d = DIARY;
  engine *e = open_with(&d, "cpu", 1);
  size_t bytes = (size_t)engine_get_info(e)->vocab * sizeof(float);
  float *first = malloc(bytes), *then = malloc(bytes);
  logits_job j = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .e = e,
                  .out = first};
  assert_int_equal(post_and_wait(e, &j, run_logits), ENGINE_OK);
  for (int round = 1; round <= 3; round++) {
    wait_for_events(&d, 2 * round - 1);
    assert_int_equal(d.events[2 * round - 2], ENGINE_EVENT_UNLOADED);
    j.out = then;
    assert_int_equal(post_and_wait(e, &j, run_logits), ENGINE_OK);
    assert_int_equal(d.events[2 * round - 1], ENGINE_EVENT_LOADED);
    assert_memory_equal(first, then, bytes);
  }
  wait_for_events(&d, 7);
  assert_int_equal(engine_get_state(e).unloads, 4);
  assert_int_equal(engine_get_state(e).loads, 4);
  /* Switched off, a job's own unload is the only one. */
  engine_set_unload_after(e, 0);
  j.unload = true;
  assert_int_equal(post_and_wait(e, &j, run_logits), ENGINE_OK);
  assert_int_equal(engine_get_state(e).unloads, 5);
  post_and_wait(e, &j, run_delete);
  engine_close(e);
  free(first);
  free(then);
}

/* Switching it on reaches an engine that sleeps already; closing while unloaded is clean. */
static void test_unloading_switched_on_later(void **state) {
  (void)state;
  diary d = DIARY;
  engine *e = open_with(&d, "cpu", 0);
  logits_job j = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .e = e};
  assert_int_equal(post_and_wait(e, &j, run_logits), ENGINE_OK);
  assert_true(engine_get_state(e).loaded);
  engine_set_unload_after(e, 1);
  wait_for_events(&d, 1);
  assert_int_equal(d.events[0], ENGINE_EVENT_UNLOADED);
  post_and_wait(e, &j, run_delete);
  engine_close(e);
}

/* ---- failures ----------------------------------------------------------------------------- */

static void test_a_failure_restarts_the_device(void **state) {
  (void)state;
  fixture f;
  begin(&f, "cpu-reference");
  const engine_info *info = engine_get_info(f.e);
  engine_session *other;
  assert_int_equal(engine_session_new(f.e, &other), ENGINE_OK);
  assert_int_equal(logits_of(other, 30, f.got, NULL), ENGINE_OK);
  engine__fail_step(f.e, ENGINE_EDEVICE, 1); /* the second chunk of a prefill */
  engine_session_sync(f.s, prompt + 1, 1, NULL, NULL);
  assert_int_equal(engine_session_sync(f.s, prompt, 40, NULL, NULL), ENGINE_EDEVICE);
  assert_int_equal(engine_get_state(f.e).failures, 1);
  assert_int_equal(f.diary.n, 1);
  assert_string_equal(f.diary.words, "cpu-reference failed: the device failed");
  expect_recomputed(&f);
  int computed;
  assert_int_equal(logits_of(other, 40, f.got, &computed), ENGINE_OK); /* lost as well */
  assert_int_equal(computed, 40);
  assert_memory_equal(f.got, f.want, f.bytes);
  expect_events(&f, 2, (engine_event[]){ENGINE_EVENT_FAILED, ENGINE_EVENT_RESTARTED});
  assert_ptr_equal(engine_get_info(f.e), info); /* nothing in it has changed */
  assert_false(engine_get_state(f.e).fell_back);
  engine_session_delete(other);
  end(&f);
}

static void test_a_second_failure_falls_back(void **state) {
  (void)state;
  fixture f;
  float *cpu;
  begin(&f, "cpu-reference");
  const engine_info *before = engine_get_info(f.e);
  engine__fail_step(f.e, ENGINE_EDEVICE, 0);
  assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_EDEVICE);
  expect_recomputed(&f);
  engine__fail_step(f.e, ENGINE_EDEVICE, 0);
  assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_EDEVICE);
  int computed;
  assert_int_equal(logits_of(f.s, 40, f.got, &computed), ENGINE_OK);
  assert_int_equal(computed, 40);
  expect_events(&f, 4, (engine_event[]){ENGINE_EVENT_FAILED, ENGINE_EVENT_RESTARTED,
                                         ENGINE_EVENT_FAILED, ENGINE_EVENT_FELL_BACK});
  assert_non_null(strstr(f.diary.words, "CPU"));
  assert_non_null(strstr(f.diary.words, "cpu-reference"));
  const engine_info *after = engine_get_info(f.e);
  assert_ptr_not_equal(after, before);
  assert_string_equal(before->backend, "cpu-reference"); /* still whole for who holds it */
  assert_string_equal(before->backend_note, "");
  assert_null(strstr(after->backend, "reference"));
  assert_non_null(strstr(after->backend_note, "cpu-reference failed again"));
  assert_int_equal(after->vocab, before->vocab);
  assert_true(engine_get_state(f.e).fell_back);
  /* The CPU's own logits, as an engine has them that was opened so. */
  fixture plain;
  begin(&plain, "cpu");
  cpu = plain.want;
  assert_memory_equal(f.got, cpu, f.bytes);
  end(&plain);
  /* Behind the CPU there is nothing: it is started again as often as it takes. */
  for (int i = 0; i < 3; i++) {
    engine__fail_step(f.e, ENGINE_EDEVICE, 0);
    assert_int_equal(logits_of(f.s, 10, f.want, NULL), ENGINE_EDEVICE);
    assert_int_equal(logits_of(f.s, 40, f.want, NULL), ENGINE_OK);
    assert_memory_equal(f.got, f.want, f.bytes);
  }
  assert_ptr_equal(engine_get_info(f.e), after);
  engine_unload(f.e);
  assert_int_equal(logits_of(f.s, 40, f.want, NULL), ENGINE_OK);
  assert_memory_equal(f.got, f.want, f.bytes);
  end(&f);
}

/* Failures that lie far apart are each answered by a restart. */
static void test_a_failure_long_after_a_restart(void **state) {
  (void)state;
  fixture f;
  begin(&f, "cpu-reference");
  for (int i = 0; i < 3; i++) {
    engine__fail_step(f.e, ENGINE_EDEVICE, 0);
    assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_EDEVICE);
    expect_recomputed(&f);
    assert_true(f.e->steps_since > 0 && f.e->steps_since < 100);
    f.e->steps_since = 1 << 20; /* as if it had worked for hours */
  }
  assert_int_equal(f.diary.n, 6);
  assert_int_equal(engine_get_state(f.e).failures, 3);
  assert_false(engine_get_state(f.e).fell_back);
  end(&f);
}

static void test_a_device_that_does_not_restart(void **state) {
  (void)state;
  fixture f;
  begin(&f, "cpu-reference");
  engine__fail_step(f.e, ENGINE_EDEVICE, 0);
  assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_EDEVICE);
  engine__fail_open(f.e, 1);
  assert_int_equal(logits_of(f.s, 40, f.got, NULL), ENGINE_OK);
  expect_events(&f, 2, (engine_event[]){ENGINE_EVENT_FAILED, ENGINE_EVENT_FELL_BACK});
  assert_non_null(strstr(engine_get_info(f.e)->backend_note, "could not be restarted"));
  end(&f);
}

/* Memory that was given back is gone when it is needed again: an error, then one more try. */
static void test_a_reload_that_fails(void **state) {
  (void)state;
  fixture f;
  begin(&f, "cpu-reference");
  engine_unload(f.e);
  engine__fail_open(f.e, 1);
  assert_int_equal(logits_of(f.s, 40, f.got, NULL), ENGINE_EDEVICE);
  assert_false(engine_get_state(f.e).loaded);
  expect_recomputed(&f);
  expect_events(&f, 3, (engine_event[]){ENGINE_EVENT_UNLOADED, ENGINE_EVENT_FAILED,
                                         ENGINE_EVENT_RESTARTED});
  engine_unload(f.e);
  engine__fail_open(f.e, 2);
  assert_int_equal(logits_of(f.s, 40, f.got, NULL), ENGINE_EDEVICE);
  assert_int_equal(logits_of(f.s, 40, f.got, NULL), ENGINE_OK);
  assert_true(engine_get_state(f.e).fell_back);
  end(&f);
}

/* On the host, memory that runs out says nothing about the device. */
static void test_no_memory_is_no_failure_of_the_host(void **state) {
  (void)state;
  fixture f;
  begin(&f, "cpu-reference");
  engine__fail_step(f.e, ENGINE_ENOMEM, 0);
  assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_ENOMEM);
  expect_recomputed(&f);
  assert_int_equal(engine_get_state(f.e).failures, 0);
  assert_int_equal(f.diary.n, 0);
  end(&f);
}

/* A failure in the middle of a decode; then the prompt is synced anew, as completion/ does. */
static void test_a_failure_while_decoding(void **state) {
  (void)state;
  fixture f;
  engine_tokens whole = {0}, broken = {0}, again = {0};
  begin(&f, "cpu");
  engine_session_sync(f.s, prompt, 40, NULL, NULL);
  generate(f.s, 12, &whole);
  engine_session_sync(f.s, prompt, 40, NULL, NULL);
  engine__fail_step(f.e, ENGINE_EDEVICE, 5);
  engine_generate_params p = {.max_tokens = 12, .ignore_stop = true};
  engine_generate_result r;
  assert_int_equal(engine_session_generate(f.s, &p, NULL, take, &broken, &r), ENGINE_EDEVICE);
  assert_int_equal(broken.n, 5);
  assert_memory_equal(broken.ids, whole.ids, 5 * sizeof(int32_t));
  assert_int_equal(engine_session_generate(f.s, &p, NULL, take, &broken, &r), ENGINE_EINVAL);
  assert_int_equal(engine_session_sync(f.s, prompt, 40, NULL, NULL), ENGINE_OK);
  generate(f.s, 12, &again);
  assert_memory_equal(again.ids, whole.ids, 12 * sizeof(int32_t));
  engine_tokens_free(&whole);
  engine_tokens_free(&broken);
  engine_tokens_free(&again);
  end(&f);
}

/* ---- readers on other threads -------------------------------------------------------------- */

typedef struct reader {
  engine *e;
  atomic_bool stop;
  unsigned seen; /* keeps the reads from being optimized away */
} reader;

static void *read_info(void *arg) {
  reader *r = arg;
  do {
    const engine_info *i = engine_get_info(r->e);
    engine_state s = engine_get_state(r->e);
    r->seen += (unsigned)(strlen(i->backend) + strlen(i->backend_note)) + (unsigned)s.loads;
  } while (!atomic_load(&r->stop));
  return NULL;
}

/* Says nothing by itself: it is for the thread sanitizer. */
static void test_readers_while_the_device_changes(void **state) {
  (void)state;
  fixture f;
  begin(&f, "cpu-reference");
  reader r = {.e = f.e};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, read_info, &r), 0);
  for (int i = 0; i < 2; i++) {
    engine__fail_step(f.e, ENGINE_EDEVICE, 0);
    assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_EDEVICE);
    assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_OK);
    engine_unload(f.e);
    assert_int_equal(logits_of(f.s, 20, f.got, NULL), ENGINE_OK);
  }
  atomic_store(&r.stop, true);
  pthread_join(thread, NULL);
  assert_true(r.seen > 0);
  assert_true(engine_get_state(f.e).fell_back);
  end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unload_and_back),
      cmocka_unit_test(test_meanwhile),
      cmocka_unit_test(test_decode_goes_on_after_an_unload),
      cmocka_unit_test(test_idle_unloading),
      cmocka_unit_test(test_unloading_switched_on_later),
      cmocka_unit_test(test_a_failure_restarts_the_device),
      cmocka_unit_test(test_a_second_failure_falls_back),
      cmocka_unit_test(test_a_failure_long_after_a_restart),
      cmocka_unit_test(test_a_device_that_does_not_restart),
      cmocka_unit_test(test_a_reload_that_fails),
      cmocka_unit_test(test_no_memory_is_no_failure_of_the_host),
      cmocka_unit_test(test_a_failure_while_decoding),
      cmocka_unit_test(test_readers_while_the_device_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
