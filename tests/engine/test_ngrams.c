/* test_ngrams.c - places in an index of texts, against a scan of all of the text: while tokens are
 * pushed, cut off and erased, and while its tables grow. */
#include "tests/engine/golden.h"
#include "tests/engine/random.h"

#include <limits.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/ngrams.h"

#define TEXT_MAX 12000
#define ALL_HOPS (1 << 20)

/* An index, and the same as a plain text. */
typedef struct twin {
  ngrams x;
  int levels[NGRAMS_LEVELS_MAX], n_levels;
  int32_t text[TEXT_MAX];
  bool quiet[TEXT_MAX];
  uint32_t n;
} twin;

static twin *twin_new(const int *levels, int n_levels) {
  twin *t = calloc(1, sizeof *t);
  assert_non_null(t);
  t->n_levels = n_levels;
  memcpy(t->levels, levels, (size_t)n_levels * sizeof *levels);
  assert_int_equal(ngrams_init(&t->x, levels, n_levels), ENGINE_OK);
  t->text[t->n++] = NGRAMS_BORDER;
  return t;
}

static void twin_delete(twin *t) {
  ngrams_free(&t->x);
  free(t);
}

static void twin_push(twin *t, int32_t token, bool quiet) {
  if (quiet) ngrams_push_across(&t->x, token, NGRAMS_MATCH_MAX);
  else ngrams_push(&t->x, token);
  t->quiet[t->n] = quiet;
  t->text[t->n++] = token;
}

static int agreement(const int32_t *text, uint32_t place, const int32_t *context, int len) {
  int n = 0;
  while (n < len && n < NGRAMS_MATCH_MAX && (uint32_t)n < place &&
         text[place - 1 - (uint32_t)n] == context[len - 1 - n] &&
         context[len - 1 - n] != NGRAMS_BORDER)
    n++;
  return n;
}

/* What ngrams_find gives if it looks at every place. */
static int scan(const twin *t, const int32_t *context, int len, int least, ngrams_match *out,
                int max) {
  int n = 0;
  for (int l = t->n_levels - 1; l >= 0; l--) {
    int level = t->levels[l], longer = l + 1 < t->n_levels ? t->levels[l + 1] : INT_MAX;
    if (level > len || level < least) continue;
    if (longer > len) longer = INT_MAX;
    for (uint32_t i = t->n - 1; i > 0 && n < max; i--) {
      if (t->quiet[i] || t->text[i] == NGRAMS_BORDER) continue;
      int agrees = agreement(t->text, i, context, len);
      if (agrees >= level && agrees < longer) out[n++] = (ngrams_match){i, agrees};
    }
  }
  return n;
}

/* Looks up what ends at some place of the text, now and then with a token changed. */
static void twin_look_up(twin *t, uint64_t *rng, int alphabet) {
  static ngrams_match found[TEXT_MAX], expected[TEXT_MAX];
  int32_t context[30];
  int len = 1 + below(rng, 30);
  uint32_t end = 1 + (uint32_t)below(rng, (int)t->n);
  if ((uint32_t)len > end) len = (int)end;
  memcpy(context, t->text + end - len, (size_t)len * sizeof *context);
  if (below(rng, 4) == 0) context[below(rng, len)] = below(rng, alphabet);
  int least = below(rng, 6), max = 1 + below(rng, below(rng, 2) ? 8 : 80);
  int n = ngrams_find(&t->x, context, len, least, ALL_HOPS, found, max);
  assert_int_equal(n, scan(t, context, len, least, expected, max));
  for (int i = 0; i < n; i++) {
    assert_int_equal(found[i].place, expected[i].place);
    assert_int_equal(found[i].length, expected[i].length);
  }
  /* Fewer hops: of the same places, newest first in each level, each once. */
  int hops = 1 + below(rng, 5), few, back = 0;
  few = ngrams_find(&t->x, context, len, least, hops, found, max);
  for (int i = 0; i < few; i++) {
    uint32_t place = found[i].place;
    assert_true(place > 0 && place < t->n && !t->quiet[place] && t->text[place] != NGRAMS_BORDER);
    assert_int_equal(found[i].length, agreement(t->text, place, context, len));
    assert_true(found[i].length >= least);
    back += i > 0 && place > found[i - 1].place;
    for (int k = 0; k < i; k++) assert_int_not_equal(found[k].place, place);
  }
  assert_true(few <= max && few <= hops * t->n_levels && back < t->n_levels);
  uint32_t run = 1 + (uint32_t)below(rng, (int)t->n); /* any run ends in a border */
  while (run < t->n && t->x.tokens[run] != NGRAMS_BORDER) run++;
  assert_int_equal(t->x.tokens[run], NGRAMS_BORDER);
}

static void twin_check(twin *t, uint64_t *rng, int alphabet, int times) {
  assert_int_equal(t->x.n, t->n);
  assert_true(t->n < t->x.capacity && t->x.tokens[t->n] == NGRAMS_BORDER);
  assert_memory_equal(t->x.tokens, t->text, t->n * sizeof *t->text);
  for (int i = 0; i < times; i++) twin_look_up(t, rng, alphabet);
}

/* Room in two steps, with look-ups between them. */
static void twin_grow(twin *t, uint64_t *rng, int alphabet, uint32_t more) {
  ngrams_growth growth;
  assert_int_equal(ngrams_prepare(&t->x, more, &growth), ENGINE_OK);
  twin_check(t, rng, alphabet, 3);
  assert_int_equal(ngrams_commit(&t->x, &growth), ENGINE_OK);
  ngrams_drop(&growth);
  assert_true(t->x.capacity - t->x.n > more);
  twin_check(t, rng, alphabet, 6);
}

static const int levels[][NGRAMS_LEVELS_MAX] = {{1, 2, 4}, {2, 4}, {1}, {1, 3, 7, 20}, {3}};
static const int n_of_levels[] = {3, 2, 1, 4, 1};
enum { N_LEVELS = sizeof n_of_levels / sizeof *n_of_levels };

/* What is pushed, quietly or not, is found by what stands before it; what is taken out at the end
 * or in the middle is not, and the rest is found as before. */
static void test_places(void **state) {
  (void)state;
  uint64_t rng = 1;
  for (int round = 0; round < 60; round++) {
    int shape = round % N_LEVELS, alphabet = 2 + below(&rng, 18);
    bool erases = round & 1; /* else it truncates; together they are not used */
    twin *t = twin_new(levels[shape], n_of_levels[shape]);
    while (t->n < 4500) {
      int n = 1 + below(&rng, 700);
      if (below(&rng, 4) == 0) twin_grow(t, &rng, alphabet, (uint32_t)n);
      else assert_int_equal(ngrams_reserve(&t->x, (uint32_t)n), ENGINE_OK);
      int quiet = below(&rng, 3) == 0, borders = below(&rng, 50);
      for (int i = 0; i < n; i++)
        twin_push(t, below(&rng, 200) < borders ? NGRAMS_BORDER : below(&rng, alphabet),
                  quiet && below(&rng, 2));
      twin_check(t, &rng, alphabet, 2);
      uint32_t cut = (uint32_t)below(&rng, (int)t->n / 3 + 1);
      if (erases && cut > 0) {
        uint32_t from = 1 + (uint32_t)below(&rng, (int)(t->n - cut));
        cut = cut / 8 + 1 < t->n - from ? cut / 8 + 1 : t->n - from;
        ngrams_erase(&t->x, from, cut);
        for (uint32_t i = from; i < from + cut; i++) t->text[i] = NGRAMS_BORDER;
      } else if (!erases && below(&rng, 2)) {
        ngrams_truncate(&t->x, t->n -= cut);
      }
      twin_check(t, &rng, alphabet, 2);
    }
    ngrams_clear(&t->x);
    t->n = 1;
    twin_check(t, &rng, alphabet, 2);
    assert_int_equal(ngrams_reserve(&t->x, 500), ENGINE_OK);
    for (int i = 0; i < 500; i++) twin_push(t, below(&rng, alphabet), false);
    twin_check(t, &rng, alphabet, 10);
    ngrams_truncate(&t->x, 0); /* the first border stays */
    t->n = 1;
    twin_check(t, &rng, alphabet, 2);
    twin_delete(t);
  }
}

/* Many look-ups at once, in two indexes, are as each by itself; also while much of what their lists
 * hold is gone, and several of them clear the same list. */
static void test_together(void **state) {
  (void)state;
  enum { MOST = 30, FOUND = 24 };
  static ngrams_match found[MOST][FOUND], alone[FOUND];
  uint64_t rng = 3;
  for (int round = 0; round < 40; round++) {
    int shape = round % N_LEVELS, alphabet = 2 + below(&rng, 9);
    twin *t[2] = {twin_new(levels[shape], n_of_levels[shape]), twin_new(levels[0], n_of_levels[0])};
    for (int k = 0; k < 2; k++) {
      assert_int_equal(ngrams_reserve(&t[k]->x, 3000), ENGINE_OK);
      for (int i = 0; i < 3000; i++)
        twin_push(t[k], below(&rng, 60) == 0 ? NGRAMS_BORDER : below(&rng, alphabet), false);
      for (int i = 0; i < 20; i++) {
        uint32_t from = 1 + (uint32_t)below(&rng, 2900);
        ngrams_erase(&t[k]->x, from, 40);
        for (uint32_t m = from; m < from + 40; m++) t[k]->text[m] = NGRAMS_BORDER;
      }
    }
    ngrams_search s[MOST];
    int n = 1 + below(&rng, MOST), least = 1 + below(&rng, 3);
    for (int i = 0; i < n; i++) {
      twin *of = t[below(&rng, 2)];
      int len = 1 + below(&rng, 24);
      s[i] = (ngrams_search){.x = &of->x, .context = of->text + 1 + below(&rng, 2900), .len = len,
                             .hops = 1 + below(&rng, 30), .max = below(&rng, FOUND + 1),
                             .out = found[i]};
    }
    ngrams_find_all(s, n, least);
    for (int i = 0; i < n; i++) {
      int count = ngrams_find(s[i].x, s[i].context, s[i].len, least, s[i].hops, alone, s[i].max);
      assert_int_equal(count, s[i].n);
      for (int k = 0; k < count; k++) {
        assert_int_equal(alone[k].place, found[i][k].place);
        assert_int_equal(alone[k].length, found[i][k].length);
      }
    }
    for (int k = 0; k < 2; k++) {
      twin_check(t[k], &rng, alphabet, 20);
      twin_delete(t[k]);
    }
  }
}

static void test_places_limits(void **state) {
  (void)state;
  uint64_t rng = 2;
  ngrams_growth growth;
  twin *t = twin_new(levels[0], n_of_levels[0]);
  size_t bytes = ngrams_bytes(&t->x);
  assert_int_equal(ngrams_prepare(&t->x, NGRAMS_PLACES_MAX, &growth), ENGINE_ENOMEM);
  assert_int_equal(ngrams_reserve(&t->x, UINT32_MAX), ENGINE_ENOMEM);
  assert_int_equal(ngrams_bytes(&t->x), bytes);
  assert_int_equal(ngrams_reserve(&t->x, 100), ENGINE_OK);
  for (int i = 0; i < 100; i++) twin_push(t, below(&rng, 3), false);
  twin_check(t, &rng, 3, 20);
  ngrams_match one;
  assert_int_equal(ngrams_find(&t->x, t->text + 1, 50, 0, ALL_HOPS, &one, 0), 0);
  assert_int_equal(ngrams_find(&t->x, t->text + 1, 50, 5, ALL_HOPS, &one, 1), 0); /* no level */
  assert_int_equal(ngrams_find(&t->x, t->text + 1, 0, 0, ALL_HOPS, &one, 1), 0);
  twin_delete(t);
  ngrams none = {0};
  ngrams_free(&none);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places),
      cmocka_unit_test(test_together),
      cmocka_unit_test(test_places_limits),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
