/* Typing while a request runs, on the embedded model: held after a line, typed into, let go. */
#include "completion/completion.h"
#include "completion/through.h"
#include "helper.h"

#include <pthread.h>

#define URI "file:///w/a.py"
/* Several lines are to come here. */
#define THREE "class Box:\n    def __init__(self, width, height, depth):\n        "

static engine *the_engine;
static completion *c;
/* No guesses: as many steps as tokens, whatever the machine. */
static const completion_options plain = {.prompt_tokens = 128, .max_tokens = 64, .no_draft = true};

static int open_all(void **state) {
  (void)state;
  char err[256] = "";
  engine_options embedded = {0};
  if (engine_open(&the_engine, &embedded, err, sizeof err)) fail_msg("%s", err);
  return 0;
}

static int close_all(void **state) {
  (void)state;
  engine_close(the_engine);
  return 0;
}

static int setup(void **state) {
  (void)state;
  return completion_new(&c, the_engine, &plain);
}

static int teardown(void **state) {
  (void)state;
  completion_delete(c);
  return 0;
}

/* A request that waits in its first update until it is let go. */
typedef struct asked {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool holds, held;
  int done, updates, status;
  char text[2048], update[2048];
  completion_stats stats, stats_held;
  completion_job *job;
} asked;

static void on_update(void *user, const completion_result *r) {
  asked *a = user;
  pthread_mutex_lock(&a->lock);
  assert_int_equal(a->done, 0);
  a->updates++;
  snprintf(a->update, sizeof a->update, "%s", r->text);
  a->stats_held = r->stats;
  a->held = a->holds;
  pthread_cond_broadcast(&a->changed);
  while (a->holds) pthread_cond_wait(&a->changed, &a->lock);
  pthread_mutex_unlock(&a->lock);
}

static void on_done(void *user, const completion_result *r) {
  asked *a = user;
  pthread_mutex_lock(&a->lock);
  a->done++;
  a->status = r->status;
  a->stats = r->stats;
  snprintf(a->text, sizeof a->text, "%s", r->text);
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

static void start(asked *a, const char *text, bool holds, completion_job *follows) {
  memset(a, 0, sizeof *a);
  pthread_mutex_init(&a->lock, NULL);
  pthread_cond_init(&a->changed, NULL);
  a->holds = holds;
  completion_document d = {.uri = URI, .text = text, .len = strlen(text)};
  assert_int_equal(completion_document_set(c, &d), 0);
  completion_query q = {.uri = URI,
                        .offset = strlen(text),
                        .mode = COMPLETION_MULTI_LINE,
                        .on_update = on_update,
                        .on_done = on_done,
                        .follows = follows,
                        .user = a};
  assert_int_equal(completion_start(c, &q, &a->job), 0);
}

static void wait_held(asked *a) {
  pthread_mutex_lock(&a->lock);
  while (!a->held && !a->done) pthread_cond_wait(&a->changed, &a->lock);
  assert_int_equal(a->done, 0);
  pthread_mutex_unlock(&a->lock);
}

static void let_go(asked *a) {
  pthread_mutex_lock(&a->lock);
  a->holds = false;
  pthread_cond_broadcast(&a->changed);
  pthread_mutex_unlock(&a->lock);
}

static void wait_done(asked *a) {
  pthread_mutex_lock(&a->lock);
  while (!a->done) pthread_cond_wait(&a->changed, &a->lock);
  pthread_mutex_unlock(&a->lock);
  assert_int_equal(a->done, 1);
  completion_job_release(a->job);
}

static long type(asked *a, const char *text) {
  return completion_job_type(a->job, text, strlen(text));
}

/* What THREE is answered with when nobody types. */
static void undisturbed(asked *a) {
  start(a, THREE, false, NULL);
  wait_done(a);
  assert_int_equal(a->status, 0);
  assert_true(a->updates > 1 && a->stats.steps > 4);
  completion_delete(c);
  assert_int_equal(completion_new(&c, the_engine, &plain), 0);
}

static void test_agreeing_text_stops_nothing(void **state) {
  (void)state;
  asked alone, first, second, third;
  undisturbed(&alone);
  start(&first, THREE, true, NULL);
  wait_held(&first);
  char text[4096];
  snprintf(text, sizeof text, THREE "%.3s", alone.text);
  assert_int_equal(type(&first, text + strlen(THREE)), 3);
  start(&second, text, false, first.job);
  /* The second has not begun: it cannot be typed into, but the one that runs can. */
  assert_int_equal(type(&second, "x"), COMPLETION_ECANCELLED);
  completion_job_cancel(second.job);
  char more[4096];
  snprintf(more, sizeof more, THREE "%.7s", alone.text);
  assert_int_equal(type(&first, more + strlen(text)), 4);
  start(&third, more, false, first.job);
  let_go(&first);
  wait_done(&first);
  wait_done(&second);
  wait_done(&third);
  assert_int_equal(first.status, 0);
  assert_string_equal(first.text, alone.text);
  assert_int_equal(first.stats.steps, alone.stats.steps);
  assert_int_equal(first.updates, 1); /* the later lines are for the third */
  assert_int_equal(second.status, COMPLETION_ECANCELLED);
  assert_int_equal(second.updates, 0);
  assert_int_equal(third.status, 0);
  assert_string_equal(third.text, alone.text + 7);
  assert_true(third.updates > 0);
  assert_int_equal(strncmp(third.text, third.update, strlen(third.update)), 0);
  assert_int_equal(third.stats.steps + third.stats.tokens + third.stats.prefilled_tokens, 0);
}

/* What cannot be known yet is waited for, and found wrong after one step. */
static void test_text_ahead_of_the_model(void **state) {
  (void)state;
  asked alone, first, second;
  undisturbed(&alone);
  start(&first, THREE, true, NULL);
  wait_held(&first);
  char text[4096], written[4096];
  snprintf(written, sizeof written, "%s\n", first.update);
  assert_int_equal(strncmp(alone.text, written, strlen(written)), 0);
  assert_int_equal(type(&first, written), strlen(written));
  /* As far as the step that made the line whole went on, it is written already. */
  assert_int_equal(type(&first, "               #\x01#"), 18);
  snprintf(text, sizeof text, THREE "%s               #\x01#", written);
  start(&second, text, false, first.job);
  let_go(&first);
  wait_done(&first);
  wait_done(&second);
  assert_int_equal(first.status, COMPLETION_ECANCELLED);
  assert_true(first.stats.tokens < alone.stats.tokens);
  assert_int_equal(second.status, 0);
}

static void test_disagreeing_text_is_refused(void **state) {
  (void)state;
  asked first, again;
  start(&first, THREE, true, NULL);
  wait_held(&first);
  assert_int_equal(type(&first, "\x01"), COMPLETION_ECANCELLED);
  char text[4096];
  snprintf(text, sizeof text, "%s\n@\n", first.update); /* a line end that is not written yet */
  assert_int_equal(type(&first, text), COMPLETION_ECANCELLED);
  assert_int_equal(type(&first, ""), 0); /* nothing of it was kept */
  completion_job_cancel(first.job);
  assert_int_equal(type(&first, ""), COMPLETION_ECANCELLED);
  let_go(&first);
  pthread_mutex_lock(&first.lock);
  while (!first.done) pthread_cond_wait(&first.changed, &first.lock);
  pthread_mutex_unlock(&first.lock);
  assert_int_equal(first.status, COMPLETION_ECANCELLED);
  assert_int_equal(first.stats.tokens, first.stats_held.tokens);
  start(&again, THREE, false, NULL);
  wait_done(&again);
  assert_int_equal(again.status, 0);
  assert_int_equal(type(&first, ""), COMPLETION_ECANCELLED); /* it is over */
  completion_job_release(first.job);
  assert_int_equal(completion_job_type(NULL, "", 0), COMPLETION_EINVAL);
}

/* Whoever asks for something else does not wait for it. */
static void test_other_options_do_not_follow(void **state) {
  (void)state;
  asked first, second;
  start(&first, THREE, true, NULL);
  wait_held(&first);
  assert_int_equal(type(&first, ""), 0);
  completion_options other = plain;
  other.max_lines = 1;
  assert_int_equal(completion_set_options(c, &other), 0);
  start(&second, THREE, false, first.job);
  let_go(&first);
  wait_done(&first);
  wait_done(&second);
  assert_int_equal(first.status, COMPLETION_ECANCELLED);
  assert_int_equal(second.status, 0);
  assert_null(strchr(second.text, '\n'));
}

/* The heir is cancelled and let go while the text is written for it. */
static void test_heir_that_leaves(void **state) {
  (void)state;
  asked first, second;
  start(&first, THREE, true, NULL);
  wait_held(&first);
  assert_int_equal(type(&first, ""), 0);
  start(&second, THREE, false, first.job);
  completion_job_cancel(second.job);
  let_go(&first);
  wait_done(&second);
  assert_int_equal(second.status, COMPLETION_ECANCELLED);
  assert_int_equal(second.updates, 0);
  wait_done(&first);
  assert_int_equal(first.status, 0);
}

static void test_pairs(void **state) {
  (void)state;
  static const char *const one[] = {"()", "[]", "{}", "\"\"", "''", "(", "x"};
  for (size_t i = 0; i < sizeof one / sizeof *one; i++)
    assert_int_equal(completion__through_length(slice(one[i])), 1);
  assert_int_equal(completion__through_length(slice("(]")), 2);
  assert_int_equal(completion__through_length(slice("f()")), 3);
  assert_int_equal(completion__through_length(slice("")), 0);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_agreeing_text_stops_nothing),
      TEST(test_text_ahead_of_the_model),
      TEST(test_disagreeing_text_is_refused),
      TEST(test_other_options_do_not_follow),
      TEST(test_heir_that_leaves),
      cmocka_unit_test(test_pairs),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
