/* Documents that are parsed on a thread of their own: whoever makes it, the engine thread gets the
 * same. */
#include "completion/opened.h"
#include "completion/tree_memory.h"
#include "helper.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define HANG_S 120 /* a wait that never ends fails */

static const char *const files[] = {
    "tests/data/samples/c/queue.c", "tests/data/samples/py/inventory.py",
    "tests/data/samples/ts/cache.ts", "tests/data/samples/go/limiter.go",
    "tests/data/samples/rs/tokens.rs"};
#define FILES (sizeof files / sizeof *files)

static completion__text *text_of(const char *file) {
  completion__buffer b = read_sample(file);
  completion__text *t = completion__text_new(b.s, b.len, grammars_find(NULL, file));
  assert_non_null(t);
  completion__buffer_free(&b);
  return t;
}

static void wait_until_idle(completion__opened *o) {
  while (completion__opened_busy(o)) sched_yield();
}

/* What was taken is the text's tree, with all definitions, and needs no look at either. */
static void assert_made(completion__parser *p, completion__document *d, completion__text *t) {
  assert_non_null(d->syntax);
  assert_non_null(d->syntax->tree);
  assert_ptr_equal(d->syntax->text, t);
  assert_true(d->syntax->definitions_done);
  completion__document fresh = {0};
  const completion__definition *a, *b;
  int n = completion__syntax_definitions(p, d, t, NULL, &a);
  assert_true(n > 0);
  p->opened = NULL;
  assert_int_equal(completion__syntax_definitions(p, &fresh, t, NULL, &b), n);
  for (int i = 0; i < n; i++) assert_true(a[i].start == b[i].start && a[i].end == b[i].end);
  char *x = ts_node_string(ts_tree_root_node(d->syntax->tree));
  char *y = ts_node_string(ts_tree_root_node(fresh.syntax->tree));
  assert_string_equal(x, y);
  free(x);
  free(y);
  completion__syntax_delete(fresh.syntax);
}

/* `waits`: the thread has done it; else it is taken at once: the first one is under way then, the
 * last one not begun. */
static void take_all(bool waits, bool last_first) {
  completion__opened *o = completion__opened_new(INFINITY);
  completion__parser *p = completion__parser_new(INFINITY);
  completion__document d[FILES] = {0};
  completion__text *texts[FILES];
  assert_true(o && p);
  for (size_t i = 0; i < FILES; i++) {
    texts[i] = text_of(files[i]);
    completion__opened_add(o, &d[i], texts[i]);
  }
  if (waits) wait_until_idle(o);
  for (size_t n = 0; n < FILES; n++) {
    size_t i = last_first ? FILES - 1 - n : n;
    p->opened = o;
    assert_non_null(completion__syntax_tree(p, &d[i], texts[i], NULL));
    assert_null(completion__opened_take(o, p, &d[i], NULL));
    assert_made(p, &d[i], texts[i]);
    completion__syntax_delete(d[i].syntax);
    completion__text_release(texts[i]);
  }
  completion__parser_delete(p);
  completion__opened_delete(o);
}

static void test_taken_when_done(void **state) {
  (void)state;
  take_all(true, false);
}

static void test_taken_at_once(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) take_all(false, i % 2);
}

/* A key before the first request: its text is parsed from that of the file as it was opened. */
static void test_edited_before_it_is_asked_about(void **state) {
  (void)state;
  completion__opened *o = completion__opened_new(INFINITY);
  completion__parser *p = completion__parser_new(INFINITY);
  completion__text *t = text_of(files[0]);
  char *bytes = malloc(t->len + 2);
  assert_true(o && p && bytes);
  bytes[0] = ';';
  memcpy(bytes + 1, t->bytes, t->len + 1);
  completion__text *edited = completion__text_new(bytes, t->len + 1, t->language);
  assert_non_null(edited);
  for (int waits = 0; waits < 2; waits++) {
    completion__document d = {0};
    completion__opened_add(o, &d, t);
    if (waits) wait_until_idle(o);
    p->opened = o;
    const TSTree *near = completion__syntax_near(p, &d, edited, NULL);
    assert_non_null(near);
    assert_true(d.syntax->stale.any); /* moved along, not parsed anew */
    assert_int_equal(ts_node_end_byte(ts_tree_root_node(near)), edited->len);
    completion__syntax_delete(d.syntax);
  }
  completion__parser_delete(p);
  completion__opened_delete(o);
  completion__text_release(edited);
  completion__text_release(t);
  free(bytes);
}

/* Closed, forgotten as one of too many, or never asked about: nothing is left (the sanitizers see
 * it), and nothing of it is given to another document. */
static void test_not_taken(void **state) {
  (void)state;
  completion__opened *o = completion__opened_new(INFINITY);
  completion__parser *p = completion__parser_new(INFINITY);
  completion__document d[40] = {0};
  completion__text *t = text_of(files[1]);
  assert_true(o && p);
  for (int i = 0; i < 40; i++) completion__opened_add(o, &d[i], t);
  completion__opened_remove(o, &d[39]);
  completion__opened_remove(o, &d[38]);
  wait_until_idle(o);
  assert_null(completion__opened_take(o, p, &d[39], NULL));
  completion__opened_remove(o, &d[37]);
  assert_null(completion__opened_take(o, p, &d[37], NULL));
  int left = 0, last = -1;
  for (int i = 0; i < 37; i++) {
    completion__syntax *s = completion__opened_take(o, p, &d[i], NULL);
    left += s != NULL;
    if (s) last = i;
    completion__syntax_delete(s);
  }
  assert_int_equal(last, 36);
  assert_int_equal(left, 32 - 3); /* 32 are kept, of which 3 were closed */
  completion__text *plain = completion__text_new("a", 1, NULL);
  assert_non_null(plain);
  completion__opened_add(o, &d[39], plain); /* no grammar */
  assert_null(completion__opened_take(o, p, &d[39], NULL));
  completion__opened_add(o, &d[39], t);
  completion__parser_delete(p);
  completion__opened_delete(o);
  completion__text_release(plain);
  completion__text_release(t);
}

/* ---- cancelled ------------------------------------------------------------------------- */

/* Stops every thread but the one that says so when it asks tree-sitter for memory. */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool holds, held;
  pthread_t front;
} at_malloc = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *malloc_that_holds(size_t n) {
  pthread_mutex_lock(&at_malloc.lock);
  while (at_malloc.holds && !pthread_equal(pthread_self(), at_malloc.front)) {
    at_malloc.held = true;
    pthread_cond_broadcast(&at_malloc.changed);
    pthread_cond_wait(&at_malloc.changed, &at_malloc.lock);
  }
  pthread_mutex_unlock(&at_malloc.lock);
  return malloc(n);
}

static void hold(bool on) {
  pthread_mutex_lock(&at_malloc.lock);
  at_malloc.front = pthread_self();
  at_malloc.holds = on;
  at_malloc.held = false;
  pthread_cond_broadcast(&at_malloc.changed);
  pthread_mutex_unlock(&at_malloc.lock);
}

static void wait_held(void) {
  pthread_mutex_lock(&at_malloc.lock);
  while (!at_malloc.held) pthread_cond_wait(&at_malloc.changed, &at_malloc.lock);
  pthread_mutex_unlock(&at_malloc.lock);
}

typedef struct taker {
  completion__opened *o;
  completion__parser *p;
  completion__document *d;
  completion__text *text;
  atomic_bool cancel, begun;
} taker;

static void *take_main(void *arg) {
  taker *t = arg;
  atomic_store(&t->begun, true);
  assert_null(completion__syntax_tree(t->p, t->d, t->text, &t->cancel));
  return NULL;
}

/* Whoever waits for a parse goes as soon as it is cancelled, and the next one gets it whole. */
static void test_cancelled_while_it_waits(void **state) {
  (void)state;
  alarm(HANG_S);
  for (int i = 0; i < 20; i++) {
    completion__opened *o = completion__opened_new(INFINITY);
    completion__parser *p = completion__parser_new(INFINITY);
    assert_true(o && p);
    completion__document d = {0};
    taker t = {.o = o, .p = p, .d = &d, .text = text_of(files[0])};
    pthread_t thread;
    p->opened = o;
    hold(true);
    completion__opened_add(o, &d, t.text);
    wait_held();
    assert_int_equal(pthread_create(&thread, NULL, take_main, &t), 0);
    while (!atomic_load(&t.begun)) sched_yield();
    for (int n = 0; n < 100 * i; n++) sched_yield(); /* it waits by now, mostly */
    atomic_store(&t.cancel, true);
    completion__opened_wake(o);
    pthread_join(thread, NULL);
    assert_true(completion__opened_busy(o));
    assert_null(d.syntax);
    hold(false);
    atomic_store(&t.cancel, false);
    assert_non_null(completion__syntax_tree(p, &d, t.text, &t.cancel));
    assert_made(p, &d, t.text);
    completion__syntax_delete(d.syntax);
    completion__parser_delete(p);
    completion__opened_delete(o);
    completion__text_release(t.text);
  }
  alarm(0);
}

int main(void) {
  completion__tree_memory_fill(); /* once, and then never again: what follows stays */
  ts_set_allocator(malloc_that_holds, NULL, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_taken_when_done),
      cmocka_unit_test(test_taken_at_once),
      cmocka_unit_test(test_edited_before_it_is_asked_about),
      cmocka_unit_test(test_not_taken),
      cmocka_unit_test(test_cancelled_while_it_waits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
