/* test_pool.c - the n-gram pool: documents that are edited against plain arrays, where places are
 * from, limits and bad arguments, two threads at once. */
#include "tests/engine/golden.h"
#include "tests/engine/random.h"

#include <limits.h>
#include <string.h>

#include "engine/pool.h"

static void fill(uint64_t *x, int32_t *tokens, int n, int alphabet) {
  for (int i = 0; i < n; i++) tokens[i] = below(x, alphabet);
}

#define DOCUMENTS 6
#define TOKENS_MAX 2000
#define RING 64
#define FOUND_MAX 10000
#define ALL_HOPS (1 << 20)

typedef struct document {
  int64_t id;
  int n;
  int32_t tokens[TOKENS_MAX];
} document;

typedef struct world {
  engine_pool *p;
  uint64_t rng;
  document documents[DOCUMENTS];
  int32_t accepted[RING][40];
  int accepted_n[RING], n_accepted;
} world;

/* The spans, in order, are the document; they are its own blocks'. */
static void check_document(const world *w, const document *d) {
  const engine_pool *p = w->p;
  const pool_text *t = &p->texts[d->id];
  uint32_t at = 0;
  assert_true(t->kind == ENGINE_POOL_OPEN && !t->gone);
  assert_int_equal(t->n, d->n);
  if (d->n) assert_memory_equal(t->tokens, d->tokens, (size_t)d->n * sizeof *d->tokens);
  for (uint32_t s = 0; s < t->n_spans; s++) {
    const struct pool_span *span = &t->spans[s];
    assert_true(span->n > 0 && span->place + span->n < p->live.grams.n);
    assert_true(at + span->n <= t->n);
    assert_memory_equal(p->live.grams.tokens + span->place, d->tokens + at,
                        span->n * sizeof *d->tokens);
    for (uint32_t i = 0; i < span->n; i++)
      assert_int_equal(p->live.text_of_block[(span->place + i) / POOL_BLOCK], d->id);
    at += span->n;
  }
  assert_int_equal(at, d->n);
}

/* What leads to a token of the document finds that token in it. */
static void check_look_up(const world *w, const document *d, int at) {
  static ngrams_match found[FOUND_MAX];
  engine_pool *p = w->p;
  int len = at < 8 ? at : 8, least = len < 2 ? 1 : len < 4 ? 2 : 4;
  if (len == 0) return;
  int n = ngrams_find(&p->live.grams, d->tokens + at - len, len, least, ALL_HOPS, found, FOUND_MAX);
  for (int i = 0; i < n; i++)
    if (p->live.text_of_block[found[i].place / POOL_BLOCK] == (uint32_t)d->id &&
        p->live.grams.tokens[found[i].place] == d->tokens[at])
      return;
  fail_msg("token %d of %d of document %d is not found", at, d->n, (int)d->id);
}

/* All of the live index: nothing stands in it but what is of texts that are there. */
static void check_world(world *w) {
  const engine_pool *p = w->p;
  size_t tokens = 0;
  for (int i = 0; i < DOCUMENTS; i++) {
    check_document(w, &w->documents[i]);
    tokens += (size_t)w->documents[i].n;
    for (int k = 0; k < 5 && w->documents[i].n > 0; k++)
      check_look_up(w, &w->documents[i], below(&w->rng, w->documents[i].n));
  }
  int n = w->n_accepted < RING ? w->n_accepted : RING;
  for (int i = 0; i < n; i++) {
    const pool_text *t = &p->texts[p->accepted[i]];
    assert_true(t->kind == ENGINE_POOL_ACCEPTED && !t->gone);
    assert_int_equal(t->n, w->accepted_n[i]);
    assert_memory_equal(p->live.grams.tokens + t->start, w->accepted[i], t->n * sizeof(int32_t));
    assert_int_equal(p->live.grams.tokens[t->start + t->n], NGRAMS_BORDER);
    assert_int_equal(p->live.text_of_block[t->start / POOL_BLOCK], p->accepted[i]);
    tokens += t->n;
  }
  assert_int_equal(engine_pool_get_info(w->p).live_tokens, tokens);
  for (uint32_t i = 0; i < p->live.grams.n; i++) {
    if (p->live.grams.tokens[i] == NGRAMS_BORDER) continue;
    uint32_t text = p->live.text_of_block[i / POOL_BLOCK];
    assert_true(text >= 1 && text < p->n_texts && !p->texts[text].gone);
  }
  for (uint32_t i = p->unused, hops = 0; i != 0; i = p->texts[i].start)
    assert_true(i < p->n_texts && p->texts[i].gone && ++hops < p->n_texts);
}

static void splice(world *w, document *d, int at, int removed, const int32_t *tokens, int n) {
  assert_int_equal(engine_pool_splice(w->p, d->id, at, removed, tokens, n), ENGINE_OK);
  memmove(d->tokens + at + n, d->tokens + at + removed,
          (size_t)(d->n - at - removed) * sizeof *tokens);
  if (n) memcpy(d->tokens + at, tokens, (size_t)n * sizeof *tokens);
  d->n += n - removed;
}

static void random_splice(world *w, document *d, bool small) {
  int32_t tokens[TOKENS_MAX];
  int kind = below(&w->rng, small ? 80 : 100), at = below(&w->rng, d->n + 1), left = d->n - at;
  int most = kind < 80 ? 4 : kind < 95 ? 60 : TOKENS_MAX;
  if (kind == 99) at = 0, left = d->n;
  int removed = kind == 99 ? left : below(&w->rng, (left < most ? left : most) + 1);
  int room = TOKENS_MAX - d->n + removed, n = below(&w->rng, (room < most ? room : most) + 1);
  if (kind == 99 && below(&w->rng, 2)) n = 0;
  fill(&w->rng, tokens, n, 60);
  splice(w, d, at, removed, n || below(&w->rng, 2) ? tokens : NULL, n);
}

static void random_accept(world *w) {
  int i = w->n_accepted++ % RING;
  w->accepted_n[i] = 1 + below(&w->rng, 40);
  fill(&w->rng, w->accepted[i], w->accepted_n[i], 60);
  assert_int_equal(engine_pool_accept(w->p, w->accepted[i], w->accepted_n[i]), ENGINE_OK);
}

static void test_documents(void **state) {
  (void)state;
  world *w = calloc(1, sizeof *w);
  assert_non_null(w);
  w->rng = 3;
  int renewed = 0, most_spans = 0;
  assert_int_equal(engine_pool_new(&w->p, 0), ENGINE_OK);
  for (int i = 0; i < DOCUMENTS; i++)
    assert_int_equal(engine_pool_open(w->p, &w->documents[i].id), ENGINE_OK);
  for (int step = 0; step < 20000; step++) {
    bool small = step / 4000 % 2; /* one that is typed in, until it is in hundreds of pieces */
    document *d = &w->documents[small ? 0 : below(&w->rng, DOCUMENTS)];
    uint32_t before = w->p->live.grams.n;
    random_splice(w, d, small);
    check_document(w, d);
    if (below(&w->rng, 40) == 0) random_accept(w);
    if (w->p->live.grams.n < before) {
      renewed++;
      check_world(w);
    }
    int spans = (int)w->p->texts[d->id].n_spans;
    if (spans > most_spans) most_spans = spans;
    if (!small && below(&w->rng, 400) == 0) { /* closed, and another one opened */
      engine_pool_remove(w->p, d->id);
      d->n = 0;
      assert_int_equal(engine_pool_open(w->p, &d->id), ENGINE_OK);
      check_world(w);
    }
    if (step % 100 == 0) check_world(w);
    assert_true(w->p->n_texts <= 1 + DOCUMENTS + RING); /* numbers are used again */
  }
  assert_true(renewed >= 5 && most_spans >= 512);
  for (int i = 0; i < DOCUMENTS; i++) engine_pool_remove(w->p, w->documents[i].id);
  for (uint32_t i = 0; i < w->p->live.grams.n; i++)
    if (w->p->live.grams.tokens[i] != NGRAMS_BORDER)
      assert_int_equal(w->p->texts[w->p->live.text_of_block[i / POOL_BLOCK]].kind,
                       ENGINE_POOL_ACCEPTED);
  engine_pool_delete(w->p);
  free(w);
}

/* What is not a document, or not a range of it, changes nothing. */
static void test_arguments(void **state) {
  (void)state;
  engine_pool *p;
  int32_t tokens[] = {1, 2, 3, 4, 5};
  int64_t file = 7, open = 0, gone = 0, none = 9;
  assert_int_equal(engine_pool_new(&p, 0), ENGINE_OK);
  assert_int_equal(engine_pool_add(p, tokens, 0, &none), ENGINE_EINVAL);
  assert_int_equal(none, 0);
  assert_int_equal(engine_pool_add(p, tokens, -1, &none), ENGINE_EINVAL);
  assert_int_equal(engine_pool_add(p, tokens, 5, &file), ENGINE_OK);
  assert_int_equal(engine_pool_open(p, &open), ENGINE_OK);
  assert_int_equal(engine_pool_open(p, &gone), ENGINE_OK);
  assert_true(file > 0 && open > 0 && gone > 0 && file != open && open != gone);
  engine_pool_remove(p, gone);
  assert_int_equal(engine_pool_splice(p, open, 0, 0, tokens, 5), ENGINE_OK);
  uint32_t places = p->live.grams.n;
  const int64_t bad_ids[] = {0, -1, file, gone, 99, INT64_MAX, INT64_MIN, open + (1LL << 32)};
  for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++)
    assert_int_equal(engine_pool_splice(p, bad_ids[i], 0, 0, tokens, 1), ENGINE_EINVAL);
  const int bad[][3] = {{-1, 0, 1}, {6, 0, 1},       {0, 6, 1},       {3, 3, 0},
                        {0, -1, 1}, {0, 0, INT_MAX}, {0, INT_MAX, 1}, {INT_MAX, INT_MAX, 1},
                        {0, 0, -1}, {5, 1, 0}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(engine_pool_splice(p, open, bad[i][0], bad[i][1], tokens, bad[i][2]),
                     ENGINE_EINVAL);
  assert_int_equal(engine_pool_accept(p, tokens, 0), ENGINE_EINVAL);
  assert_int_equal(engine_pool_accept(p, tokens, -5), ENGINE_EINVAL);
  assert_int_equal(engine_pool_accept(p, tokens, INT_MAX), ENGINE_EINVAL);
  assert_int_equal(p->live.grams.n, places);
  /* Ids that name nothing (an accepted completion's is nobody's) take nothing out. */
  assert_int_equal(engine_pool_accept(p, tokens, 3), ENGINE_OK);
  const int64_t removed[] = {0, -1, 99, INT64_MAX, INT64_MIN, gone, p->accepted[0]};
  for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) {
    engine_pool_remove(p, removed[i]);
    engine_pool_hide(p, removed[i], i % 2);
    engine_pool_focus(p, removed[i], removed, (int)i);
  }
  engine_pool_info info = engine_pool_get_info(p);
  assert_int_equal(info.texts, 1);
  assert_int_equal(info.tokens, 5);
  assert_int_equal(info.live_tokens, 8);
  assert_int_equal(info.left_out, 0);
  engine_pool_delete(p);
  engine_pool_delete(NULL);
}

/* ---- where a place is from ----------------------------------------------------------------- */

static engine_source source_of(const engine_pool *p, int64_t id) {
  const pool_text *t = &p->texts[id];
  bool open = t->kind == ENGINE_POOL_OPEN;
  return pool__source(p, open ? &p->live : &p->workspace, open ? t->spans[0].place : t->start);
}

static void test_sources(void **state) {
  (void)state;
  engine_pool *p;
  int32_t tokens[100];
  int64_t files[3], documents[2];
  uint64_t rng = 4;
  fill(&rng, tokens, 100, 50);
  assert_int_equal(engine_pool_new(&p, 0), ENGINE_OK);
  for (int i = 0; i < 3; i++) /* one that fills its blocks to the brim, too */
    assert_int_equal(engine_pool_add(p, tokens, i ? 64 : 33, &files[i]), ENGINE_OK);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(engine_pool_open(p, &documents[i]), ENGINE_OK);
    assert_int_equal(engine_pool_splice(p, documents[i], 0, 0, tokens, 96), ENGINE_OK);
  }
  assert_int_equal(engine_pool_accept(p, tokens, 32), ENGINE_OK);
  assert_int_equal(pool__source(p, &p->live, p->texts[p->accepted[0]].start + 31),
                   ENGINE_SOURCE_ACCEPTED);
  for (int i = 0; i < 3; i++)
    for (uint32_t k = 0; k < p->texts[files[i]].n; k++) {
      uint32_t place = p->texts[files[i]].start + k;
      assert_int_equal(p->workspace.grams.tokens[place], tokens[k]);
      assert_int_equal(p->workspace.text_of_block[place / POOL_BLOCK], files[i]);
    }
  assert_int_equal(source_of(p, files[1]), ENGINE_SOURCE_WORKSPACE);
  assert_int_equal(source_of(p, documents[0]), ENGINE_SOURCE_OPEN);
  int64_t imported[] = {files[1], files[2], 0, -4, 1000};
  engine_pool_focus(p, documents[0], imported, 5);
  assert_int_equal(source_of(p, documents[0]), ENGINE_SOURCE_FILE);
  assert_int_equal(source_of(p, documents[1]), ENGINE_SOURCE_OPEN);
  assert_int_equal(source_of(p, files[0]), ENGINE_SOURCE_WORKSPACE);
  assert_int_equal(source_of(p, files[1]), ENGINE_SOURCE_IMPORTED);
  assert_int_equal(source_of(p, files[2]), ENGINE_SOURCE_IMPORTED);
  engine_pool_hide(p, files[1], true);
  assert_int_equal(source_of(p, files[1]), ENGINE_SOURCES);
  engine_pool_hide(p, files[1], false);
  assert_int_equal(source_of(p, files[1]), ENGINE_SOURCE_IMPORTED);
  engine_pool_remove(p, files[2]);
  assert_int_equal(source_of(p, files[2]), ENGINE_SOURCES);
  engine_pool_focus(p, documents[1], imported, 0);
  assert_int_equal(source_of(p, files[1]), ENGINE_SOURCE_WORKSPACE);
  assert_int_equal(source_of(p, documents[0]), ENGINE_SOURCE_OPEN);
  assert_int_equal(source_of(p, documents[1]), ENGINE_SOURCE_FILE);
  int64_t old = documents[1]; /* its number comes again, and the focus does not come with it */
  engine_pool_remove(p, old);
  engine_pool_focus(p, old, NULL, 0);
  assert_int_equal(engine_pool_open(p, &documents[1]), ENGINE_OK);
  assert_int_equal(engine_pool_splice(p, documents[1], 0, 0, tokens, 9), ENGINE_OK);
  assert_int_equal(documents[1], old);
  assert_int_equal(source_of(p, documents[1]), ENGINE_SOURCE_OPEN);
  engine_pool_info info = engine_pool_get_info(p);
  assert_int_equal(info.texts, 2);
  assert_int_equal(info.tokens, 33 + 64);
  assert_int_equal(info.live_tokens, 96 + 9 + 32);
  engine_pool_delete(p);
}

/* Files that are replaced many times, as when they are saved: what is there stays findable, and the
 * index does not grow without end. */
static void test_replaced_files(void **state) {
  (void)state;
  enum { FILES = 40, LENGTH = 1500, ROUNDS = 60 };
  static int32_t tokens[FILES][LENGTH];
  int64_t id[FILES];
  uint64_t rng = 9;
  engine_pool *p;
  assert_int_equal(engine_pool_new(&p, 0), ENGINE_OK);
  for (int round = 0; round < ROUNDS; round++)
    for (int f = 0; f < FILES; f++) {
      if (round > 0) engine_pool_remove(p, id[f]);
      fill(&rng, tokens[f], LENGTH, 1 << 20);
      assert_int_equal(engine_pool_add(p, tokens[f], LENGTH, &id[f]), ENGINE_OK);
    }
  assert_true(p->workspace.grams.n < FILES * LENGTH * 6);
  assert_true(p->n_texts < FILES * ROUNDS / 4);
  engine_pool_info info = engine_pool_get_info(p);
  assert_int_equal(info.texts, FILES);
  assert_int_equal(info.tokens, FILES * LENGTH);
  for (int f = 0; f < FILES; f++) {
    const pool_text *t = &p->texts[id[f]];
    assert_false(t->gone);
    assert_int_equal(t->n, LENGTH);
    assert_memory_equal(p->workspace.grams.tokens + t->start, tokens[f], sizeof tokens[f]);
    for (int at = 8; at < LENGTH; at += 97) {
      ngrams_match found[4];
      int n = ngrams_find(&p->workspace.grams, tokens[f], at, 4, 8, found, 4);
      assert_int_equal(n, 1);
      assert_int_equal(found[0].place, t->start + (uint32_t)at);
      assert_int_equal(pool__source(p, &p->workspace, found[0].place), ENGINE_SOURCE_WORKSPACE);
    }
  }
  engine_pool_delete(p);
}

/* What the workspace's files may take is what they take, about. */
static void test_max_bytes(void **state) {
  (void)state;
  static int32_t tokens[3000];
  const size_t max = (size_t)1 << 20;
  engine_pool *p;
  int64_t id;
  uint64_t rng = 5;
  int n, rc = ENGINE_OK;
  size_t sum = 0, texts = 0;
  assert_int_equal(engine_pool_new(&p, max), ENGINE_OK);
  while (rc == ENGINE_OK && texts < 1000) {
    fill(&rng, tokens, n = 1 + below(&rng, 3000), 500);
    rc = engine_pool_add(p, tokens, n, &id);
    if (rc == ENGINE_OK) sum += (size_t)n, texts++;
  }
  assert_int_equal(rc, ENGINE_ETOOLONG);
  assert_int_equal(id, 0);
  assert_int_equal(engine_pool_add(p, tokens, INT_MAX, &id), ENGINE_ETOOLONG);
  engine_pool_info info = engine_pool_get_info(p);
  assert_int_equal(info.left_out, 2);
  assert_int_equal(info.texts, texts);
  assert_int_equal(info.tokens, sum);
  assert_true(sum > max / 24 / 3 && ngrams_bytes(&p->workspace.grams) <= max);
  assert_int_equal(engine_pool_open(p, &id), ENGINE_OK); /* documents have theirs */
  assert_int_equal(engine_pool_splice(p, id, 0, 0, tokens, 3000), ENGINE_OK);
  engine_pool_delete(p);
}

/* ---- two threads --------------------------------------------------------------------------- */

static void *add_files(void *arg) {
  engine_pool *p = arg;
  static int32_t tokens[20000];
  uint64_t rng = 6;
  intptr_t added = 0;
  int64_t id, old = 0;
  for (int i = 0; i < 60; i++) {
    int n = 1 + below(&rng, i % 10 ? 3000 : 20000);
    fill(&rng, tokens, n, 300);
    if (engine_pool_add(p, tokens, n, &id) != ENGINE_OK) break;
    engine_pool_hide(p, id, i % 3 == 0);
    if (i % 4 == 0) engine_pool_remove(p, old);
    old = id;
    added++;
  }
  return (void *)added;
}

static int agreement(const int32_t *text, uint32_t place, const int32_t *context, int len) {
  int n = 0;
  while (n < len && n < NGRAMS_MATCH_MAX && (uint32_t)n < place &&
         text[place - 1 - (uint32_t)n] == context[len - 1 - n] &&
         context[len - 1 - n] != NGRAMS_BORDER)
    n++;
  return n;
}

/* As a drafter does it; nothing that is found may be wrong, whatever is being added. */
static int follow(engine_pool *p, pool_index *x, const int32_t *context, int len) {
  ngrams_match found[40];
  int used = 0;
  pool__lock(p);
  int n = ngrams_find(&x->grams, context, len, 1, 24, found, 40);
  for (int i = 0; i < n; i++) {
    uint32_t place = found[i].place;
    if (pool__source(p, x, place) == ENGINE_SOURCES) continue;
    assert_int_equal(agreement(x->grams.tokens, place, context, len), found[i].length);
    while (place < x->grams.n && x->grams.tokens[place] != NGRAMS_BORDER) place++;
    assert_int_equal(x->grams.tokens[place], NGRAMS_BORDER);
    used++;
  }
  pool__unlock(p);
  return used;
}

static void test_two_threads(void **state) {
  (void)state;
  world *w = calloc(1, sizeof *w);
  pthread_t thread;
  void *added;
  long used = 0;
  assert_non_null(w);
  w->rng = 7;
  assert_int_equal(engine_pool_new(&w->p, 0), ENGINE_OK);
  for (int i = 0; i < DOCUMENTS; i++)
    assert_int_equal(engine_pool_open(w->p, &w->documents[i].id), ENGINE_OK);
  assert_int_equal(pthread_create(&thread, NULL, add_files, w->p), 0);
  for (int step = 0; step < 3000; step++) {
    document *d = &w->documents[below(&w->rng, DOCUMENTS)];
    int32_t context[8];
    int64_t imported[] = {1 + below(&w->rng, 80), 1 + below(&w->rng, 80)};
    random_splice(w, d, false);
    if (step % 50 == 0) random_accept(w);
    engine_pool_focus(w->p, d->id, imported, 2);
    fill(&w->rng, context, 8, 60);
    used += follow(w->p, &w->p->live, context, 8) + follow(w->p, &w->p->workspace, context, 8);
    if (step % 100 == 0) assert_true(engine_pool_get_info(w->p).texts <= 60);
  }
  assert_int_equal(pthread_join(thread, &added), 0);
  assert_int_equal((intptr_t)added, 60);
  assert_int_equal(engine_pool_get_info(w->p).texts, 60 - 14);
  assert_true(used > 1000);
  check_world(w);
  engine_pool_delete(w->p);
  free(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_documents),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_sources),
      cmocka_unit_test(test_replaced_files),
      cmocka_unit_test(test_max_bytes),
      cmocka_unit_test(test_two_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
