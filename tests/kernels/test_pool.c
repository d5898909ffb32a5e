/* test_pool.c - every item of every loop runs exactly once, and its effects are seen. */
#include "kernels/cpu/pool.h"
#include "tests/kernels/toy.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ITEMS = 3000, THREADS = 5 };

typedef struct loop {
  int count[ITEMS]; /* not atomic on purpose: a second visit would race */
  int threads;
  int round;
} loop;

static void visit(void *arg, int item, int thread) {
  loop *l = arg;
  if (thread >= 0 && thread < l->threads) l->count[item] += l->round;
}

static void every_item_once(void **state) {
  (void)state;
  toy_random r = {toy_seed()};
  for (int threads = 1; threads <= THREADS; threads++) {
    pool *p = pool__new(threads);
    assert_non_null(p);
    assert_int_equal(pool__threads(p), threads);
    static loop l;
    memset(&l, 0, sizeof l);
    l.threads = threads;
    int want[ITEMS] = {0};
    for (int round = 1; round <= 300; round++) {
      int items = toy_below(&r, 4) == 0 ? toy_below(&r, ITEMS) : toy_below(&r, 8);
      l.round = round;
      pool__run(p, items, visit, &l);
      for (int i = 0; i < items; i++) want[i] += round;
    }
    assert_memory_equal(l.count, want, sizeof want);
    pool__delete(p);
  }
}

static void ends_while_workers_sleep_or_spin(void **state) {
  (void)state;
  for (int i = 0; i < 50; i++) {
    pool *p = pool__new(3);
    static loop l;
    l.threads = 3;
    if (i % 2) pool__run(p, 10, visit, &l);
    pool__delete(p);
  }
  pool__delete(NULL);
  assert_true(pool__cores() >= 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_item_once),
      cmocka_unit_test(ends_while_workers_sleep_or_spin),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
