/* test_bounds.c - bounds of completion/ that no request reaches by itself: documents of which more
 * is kept than the text, files that wait to be read again, lines of megabytes. */
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "completion/gate.h"
#include "completion/scan.h"
#include "completion/workspace_internal.h"
#include "completion/workspace.h"
#include "folder_engine.h"

#include "grammars/grammars.h"

#define VIEWS 24
#define DOCUMENTS 300

/* Requests in one document after the other: those beyond the bound are named, the longest unused
 * first, each once, and never one that the request sees. */
static void test_documents(void **state) {
  (void)state;
  completion__documents all = {0};
  completion__view views[VIEWS];
  completion__document *rest[VIEWS];
  int named = 0, kept = 0;
  for (int i = 0; i < DOCUMENTS; i++) {
    char uri[32];
    snprintf(uri, sizeof uri, "file:///d%d.c", i);
    assert_int_equal(completion__documents_set(&all, &(completion_document){uri, "c", "int a;", 6}), 0);
  }
  for (int i = 0; i < DOCUMENTS; i++) {
    int n = completion__documents_view(&all, all.items[i], views, VIEWS);
    int m = completion__documents_rest(&all, rest, VIEWS);
    assert_int_equal(n, VIEWS);
    for (int k = 0; k < m; k++) {
      for (int v = 0; v < n; v++) assert_ptr_not_equal(rest[k], views[v].document);
      for (int d = 0; d < all.n; d++)
        if (all.items[d]->viewed) assert_true(all.items[d]->used > rest[k]->used);
      completion__document_release(rest[k]);
    }
    named += m;
    for (int v = 0; v < n; v++) completion__view_release(&views[v]);
    kept = 0;
    for (int d = 0; d < all.n; d++) kept += all.items[d]->viewed;
    assert_true(kept <= COMPLETION__TREES_MAX);
  }
  assert_int_equal(kept, COMPLETION__TREES_MAX);
  assert_true(named >= DOCUMENTS - COMPLETION__TREES_MAX);
  completion__documents_free(&all);
}

/* A hundred thousand changes at once: the queue stays within its bound, and what is on the disk at
 * the end is what is known. */
static void test_changes(void **state) {
  (void)state;
  engine_pool *pool;
  assert_int_equal(mkdir(at(""), 0700), 0);
  write_file(at("a.c"), "int first;\n", 11);
  assert_int_equal(engine_pool_new(&pool, 0), 0);
  completion__workspace *w = completion__workspace_new(the_engine, pool);
  assert_int_equal(completion__workspace_add(w, at("")), 0);
  completion__workspace_wait(w);
  int most = 0;
  for (int i = 0; i < 100000; i++) {
    completion__workspace_changed(w, at("a.c"));
    if (i % 100) continue;
    pthread_mutex_lock(&w->lock);
    if (w->n_tasks > most) most = w->n_tasks;
    pthread_mutex_unlock(&w->lock);
  }
  assert_true(most > COMPLETION__TASKS_MAX / 2); /* else nothing was tried */
  assert_true(most <= COMPLETION__TASKS_MAX + 2);
  write_file(at("a.c"), "int second_and_last;\n", 21);
  completion__workspace_changed(w, at("a.c"));
  completion__workspace_wait(w);
  assert_int_equal(w->n_tasks, 0);
  assert_int_equal(w->n_files, 1);
  assert_int_equal(completion__workspace_get_info(w).busy, false);
  completion__workspace_delete(w);
  engine_pool_delete(pool);
}

/* A line of megabytes is no stretch for the gate, neither the cursor's nor one beside it. */
static void test_stretch(void **state) {
  (void)state;
  size_t len = (size_t)4 << 20, from, to;
  char *text = malloc(len + 64);
  assert_non_null(text);
  memset(text, 'x', len);
  strcpy(text + len, "\nint a;\nint b;\n");
  completion__slice all = completion__slice_of(text, strlen(text));
  completion__gate_stretch(all, len + 5, len + 5, COMPLETION__GATE_BYTES, &from, &to);
  assert_int_equal(from, len + 1);
  assert_true(to > len + 8);
  completion__gate_budget b = {.steps = 1000, .until_ms = 1e300};
  completion__gate g;
  b.parser = completion__parser_new(1e9);
  assert_non_null(b.parser);
  assert_false(completion__gate_open(&g, &b, grammars_find("c", NULL), all, len / 2, len / 2));
  assert_true(completion__gate_open(&g, &b, grammars_find("c", NULL), all, len + 5, len + 5));
  completion__gate_close(&g);
  completion__parser_delete(b.parser);
  free(text);
}

/* Nor is it read up to the cursor: a quote at its start says nothing any more. */
static void test_scan(void **state) {
  (void)state;
  size_t len = (size_t)1 << 20;
  char *text = malloc(len);
  assert_non_null(text);
  memset(text, 'x', len);
  text[0] = '"';
  completion__scan s;
  completion__scan_before(&s, grammars_find("c", NULL), completion__slice_of(text, len));
  assert_true(completion__scan_in_code(&s));
  completion__scan_before(&s, grammars_find("c", NULL), completion__slice_of(text, 20000));
  assert_false(completion__scan_in_code(&s));
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_documents),
      cmocka_unit_test(test_changes),
      cmocka_unit_test(test_stretch),
      cmocka_unit_test(test_scan),
  };
  return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
