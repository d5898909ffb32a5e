/* test_lookahead.c - the lookahead window and its pool, with a toy model that is evaluated exactly
 * through the masks, and a pool of plain lists to compare with. */
#include "tests/engine/golden.h"
#include "tests/engine/random.h"

#include <stdbool.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/lookahead.h"

#define WORDS LOOKAHEAD_MASK_WORDS
#define N_TOKENS_MAX 16 /* accepted in one step */

static lookahead *new_lookahead(int w, int n, int g) {
  lookahead *l;
  assert_int_equal(lookahead_new(&l, w, n, g), ENGINE_OK);
  assert_non_null(l);
  return l;
}

static bool sees(const lookahead_rows *r, int row, int other) {
  return (r->mask[row * WORDS + other / 64] >> (other % 64)) & 1;
}

/* w, n, g */
static const int sizes[][3] = {{4, 3, 4}, {8, 8, 8},  {15, 5, 15}, {1, 2, 1},  {1, 16, 3},
                               {2, 2, 1}, {32, 2, 64}, {32, 4, 2},  {7, 16, 5}, {3, 9, 2},
                               {5, 4, 1}, {10, 4, 8},  {16, 8, 64}, {28, 5, 28}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* ---- arguments ----------------------------------------------------------------------------- */

static void test_arguments(void **state) {
  (void)state;
  static const int bad[][3] = {{0, 3, 4},  {33, 2, 4}, {-1, 3, 4}, {4, 1, 4},  {4, 17, 4},
                               {4, 3, 0},  {4, 3, 65}, {4, 3, -1}, {32, 5, 4}, {8, 16, 4},
                               {19, 7, 4}, {1 << 30, 16, 4}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    lookahead *l = (lookahead *)&bad;
    assert_int_equal(lookahead_new(&l, bad[i][0], bad[i][1], bad[i][2]), ENGINE_EINVAL);
    assert_null(l);
  }
  lookahead_delete(NULL);
}

static void test_without_a_text(void **state) {
  (void)state;
  lookahead *l = new_lookahead(4, 3, 4);
  lookahead_rows r;
  const int32_t *guesses;
  int32_t token = 5;
  for (int i = 0; i < 2; i++) {
    lookahead_get_rows(l, &r);
    assert_int_equal(r.n, 0);
    lookahead_update(l, NULL, 1, &token, 1);
    assert_int_equal(lookahead_guesses(l, 5, &guesses), 0);
    assert_int_equal(lookahead_guesses(l, -5, &guesses), 0);
    lookahead_begin(l, &token, 1);
    lookahead_get_rows(l, &r);
    assert_int_equal(r.n, 3);
    for (int k = 0; k < 3; k++) assert_int_equal(r.ids[k], 5);
    lookahead_begin(l, &token, 0);
  }
  lookahead_delete(l);
}

/* ---- what a row sees ----------------------------------------------------------------------- */

/* Every row's visible rows must fill the positions between the current token and itself. */
static void check_rows(const lookahead_rows *r, int w, int levels) {
  assert_int_equal(r->n, w * levels - 1);
  assert_true(r->n <= LOOKAHEAD_ROWS_MAX);
  for (int i = 0; i < r->n; i++) {
    int level = (i + 1) / w, column = (i + 1) % w, count = 0;
    bool at[LOOKAHEAD_ROWS_MAX + 1] = {false};
    assert_int_equal(r->depth[i], level + column);
    for (int j = 0; j < WORDS * 64; j++) {
      if (!sees(r, i, j)) continue;
      assert_true(j < i);
      assert_in_range(r->depth[j], 1, r->depth[i] - 1);
      assert_false(at[r->depth[j]]);
      at[r->depth[j]] = true;
      count++;
      /* Up to its own column row 0, and from there on its own column. */
      if (r->depth[j] <= column) assert_int_equal(j + 1, r->depth[j]);
      else assert_int_equal((j + 1) % w, column);
    }
    assert_int_equal(count, r->depth[i] - 1);
  }
}

static void test_rows(void **state) {
  (void)state;
  uint64_t random = 1;
  for (int s = 0; s < N_SIZES; s++) {
    int w = sizes[s][0], n = sizes[s][1];
    lookahead *l = new_lookahead(w, n, sizes[s][2]);
    for (int text = 0; text < 2; text++) {
      int32_t context[3] = {7, 8, 9};
      lookahead_begin(l, context, 3);
      for (int step = 1; step < 3 * n; step++) {
        lookahead_rows r;
        int32_t best[LOOKAHEAD_ROWS_MAX], accepted[N_TOKENS_MAX];
        lookahead_get_rows(l, &r);
        check_rows(&r, w, step < n - 1 ? step : n - 1);
        for (int i = 0; i < r.n; i++) best[i] = below(&random, 100);
        int count = 1 + below(&random, N_TOKENS_MAX);
        for (int i = 0; i < count; i++) accepted[i] = below(&random, 100);
        lookahead_update(l, best, accepted[0], accepted, count);
      }
    }
    lookahead_delete(l);
  }
}

/* ---- the pool ------------------------------------------------------------------------------ */

/* All n-grams in the order of when they were seen, the newest last; as plain as can be. */
typedef struct twin {
  int32_t grams[600][4]; /* first, and up to three that follow */
  int n;
} twin;

static void twin_add(twin *t, const int32_t *gram, int n, int g) {
  int same = 0, drop = -1;
  for (int i = t->n - 1; i >= 0; i--) {
    if (t->grams[i][0] != gram[0]) continue;
    same++;
    if (memcmp(t->grams[i], gram, (size_t)n * sizeof *gram) == 0) {
      drop = i;
      break;
    }
    if (same == g) drop = i;
  }
  if (drop >= 0) {
    t->n--;
    memmove(t->grams[drop], t->grams[drop + 1], (size_t)(t->n - drop) * sizeof *t->grams);
  }
  assert_true(t->n < 600);
  memcpy(t->grams[t->n++], gram, (size_t)n * sizeof *gram);
}

/* The columns, and below them the best tokens after the last row; the leftmost is seen last. */
static void twin_harvest(twin *t, const lookahead_rows *r, int32_t current, const int32_t *best,
                         int32_t current_best, int w, int n, int g) {
  for (int column = w - 1; column >= 0; column--) {
    int32_t gram[4];
    for (int level = 0; level < n - 1; level++) {
      int cell = level * w + column;
      gram[level] = cell == 0 ? current : r->ids[cell - 1];
      gram[level + 1] = cell == 0 ? current_best : best[cell - 1];
    }
    twin_add(t, gram, n, g);
  }
}

static void twin_compare(const twin *t, lookahead *l, int32_t token, int n) {
  const int32_t *guesses;
  int count = lookahead_guesses(l, token, &guesses);
  for (int i = t->n - 1; i >= 0; i--) {
    if (t->grams[i][0] != token) continue;
    assert_true(count-- > 0);
    assert_memory_equal(t->grams[i] + 1, guesses, (size_t)(n - 1) * sizeof *guesses);
    guesses += n - 1;
  }
  assert_int_equal(count, 0);
}

/* Few tokens, so that n-grams recur; some of them share a bucket of the pool. */
static int32_t some_token(uint64_t *random) {
  return below(random, 3) + 131072 * below(random, 2) - below(random, 2);
}

static void test_pool_is_least_recently_used(void **state) {
  (void)state;
  static const int shapes[][3] = {{4, 3, 3}, {5, 2, 2}, {3, 4, 64}, {1, 3, 1}, {6, 4, 7}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    int w = shapes[s][0], n = shapes[s][1], g = shapes[s][2];
    uint64_t random = s;
    lookahead *l = new_lookahead(w, n, g);
    twin t = {.n = 0};
    int32_t current = 0;
    for (int step = 0; step < 600; step++) {
      if (step % 100 == 0) lookahead_begin(l, &current, 1); /* the pool is kept */
      lookahead_rows r;
      lookahead_get_rows(l, &r);
      int32_t best[LOOKAHEAD_ROWS_MAX], accepted[8];
      int count = 1 + below(&random, 8);
      for (int i = 0; i < r.n; i++) best[i] = some_token(&random);
      for (int i = 0; i < count; i++) accepted[i] = some_token(&random);
      if (r.n == (n - 1) * w - 1) twin_harvest(&t, &r, current, best, accepted[0], w, n, g);
      lookahead_update(l, best, accepted[0], accepted, count);
      current = accepted[count - 1];
      for (int32_t token = -1; token < 4; token++) {
        twin_compare(&t, l, token, n);
        twin_compare(&t, l, token + 131072, n);
      }
    }
    assert_true(t.n > w);
    lookahead_delete(l);
  }
}

/* With n = 2 the best tokens of a step are row 0 of the next, but for the current token: column i
 * sees the n-gram (what best[i - 1] was, what it is now). */
static void pool_step(lookahead *l, int32_t base) {
  int32_t best[31], current = base;
  for (int i = 0; i < 31; i++) best[i] = base + 2 * (i + 1);
  lookahead_update(l, best, current, &current, 1);
}

static void test_pool_is_bounded(void **state) {
  (void)state;
  enum { STEP = 64, STEPS = 3000, REFRESHED = 3 };
  lookahead *l = new_lookahead(32, 2, 64);
  const int32_t *guesses;
  int32_t token = -1;
  lookahead_begin(l, &token, 1);
  for (int i = 0; i < STEPS; i++) {
    pool_step(l, i * STEP);
    if (i % 1000 != 999) continue;
    /* Seen again, the n-grams of an early step stay. */
    pool_step(l, REFRESHED * STEP);
    pool_step(l, (REFRESHED + 1) * STEP);
  }
  int total = 0, most = 0;
  for (token = -1; token < STEPS * STEP; token++) {
    int count = lookahead_guesses(l, token, &guesses);
    if (count > most) most = count;
    total += count;
  }
  assert_int_equal(total, LOOKAHEAD_POOL_MAX);
  assert_in_range(most, 1, 64);
  assert_int_equal(lookahead_guesses(l, (REFRESHED - 1) * STEP, &guesses), 0);
  assert_int_equal(lookahead_guesses(l, REFRESHED * STEP, &guesses), 1);
  assert_int_equal(guesses[0], (REFRESHED + 1) * STEP);
  assert_int_equal(lookahead_guesses(l, 500 * STEP, &guesses), 0);
  assert_int_equal(lookahead_guesses(l, (STEPS - 2) * STEP + 62, &guesses), 1);
  assert_int_equal(guesses[0], (STEPS - 1) * STEP + 62);
  lookahead_delete(l);
}

/* ---- decoding ------------------------------------------------------------------------------ */

#define TEXT_MAX 700

/* The next token is a hash of the last k, of `vocab` tokens: sooner or later it goes in circles. */
typedef struct toy {
  int k, vocab;
} toy;

static int32_t toy_next(const toy *m, const int32_t *text, int len) {
  uint64_t x = (uint64_t)m->k;
  for (int i = len - m->k; i < len; i++) x = x * 1000003 + (uint64_t)(i < 0 ? -1 : text[i]);
  return below(&x, m->vocab);
}

/* The best token after a lookahead row, from just what the row sees. */
static int32_t toy_row(const toy *m, const int32_t *text, int len, const lookahead_rows *r,
                       int row) {
  int32_t seen[TEXT_MAX + LOOKAHEAD_ROWS_MAX];
  memcpy(seen, text, (size_t)len * sizeof *seen);
  for (int j = 0; j < row; j++)
    if (sees(r, row, j)) seen[len + r->depth[j] - 1] = r->ids[j];
  seen[len + r->depth[row] - 1] = r->ids[row];
  return toy_next(m, seen, len + r->depth[row]);
}

/* Appends what the model says after the current token, and on along the guesses that agree.
 * Returns how many tokens that are. */
static int toy_verify(const toy *m, int32_t *text, int len, const int32_t *guesses, int count,
                      int tail) {
  int accepted = 0;
  bool agree = true;
  while (agree) {
    text[len + accepted] = toy_next(m, text, len + accepted);
    accepted++;
    agree = false;
    for (int g = 0; g < count && accepted <= tail; g++)
      agree = agree || memcmp(guesses + g * tail, text + len, (size_t)accepted * sizeof *text) == 0;
  }
  return accepted;
}

static void check_guesses(const int32_t *guesses, int count, int tail, int g) {
  assert_in_range(count, 0, g);
  for (int i = 0; i < count; i++)
    for (int j = 0; j < i; j++)
      assert_memory_not_equal(guesses + i * tail, guesses + j * tail,
                              (size_t)tail * sizeof *guesses);
}

typedef struct outcome {
  int steps, tokens;
  int longest; /* tokens of one step */
  int first;   /* of the first step */
} outcome;

/* Continues text[len] to `upto` tokens or a few more, and compares with plain greedy decoding. */
static outcome decode(lookahead *l, int w, int n, int g, const toy *m, const int32_t *prompt,
                      int len, int upto) {
  int32_t text[TEXT_MAX], plain[TEXT_MAX];
  outcome o = {0};
  memcpy(text, prompt, (size_t)len * sizeof *text);
  memcpy(plain, prompt, (size_t)len * sizeof *plain);
  lookahead_begin(l, text, len);
  int end = len;
  while (end < upto) {
    lookahead_rows r;
    int32_t best[LOOKAHEAD_ROWS_MAX];
    const int32_t *guesses;
    lookahead_get_rows(l, &r);
    check_rows(&r, w, o.steps + 1 < n - 1 ? o.steps + 1 : n - 1);
    for (int i = 0; i < r.n; i++) best[i] = toy_row(m, text, end, &r, i);
    int count = lookahead_guesses(l, text[end - 1], &guesses);
    check_guesses(guesses, count, n - 1, g);
    int accepted = toy_verify(m, text, end, guesses, count, n - 1);
    lookahead_update(l, best, text[end], text + end, accepted);
    end += accepted;
    if (o.steps++ == 0) o.first = accepted;
    if (accepted > o.longest) o.longest = accepted;
  }
  for (int i = len; i < end; i++) plain[i] = toy_next(m, plain, i);
  assert_memory_equal(text, plain, (size_t)end * sizeof *text);
  o.tokens = end - len;
  return o;
}

static void test_decode_equals_greedy(void **state) {
  (void)state;
  static const toy models[] = {{1, 40}, {2, 12}, {2, 40}, {3, 6}, {3, 12}};
  for (int s = 0; s < N_SIZES; s++) {
    int w = sizes[s][0], n = sizes[s][1], g = sizes[s][2];
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
      lookahead *l = new_lookahead(w, n, g);
      uint64_t random = i;
      int32_t prompt[20];
      for (int k = 0; k < 20; k++) prompt[k] = below(&random, models[i].vocab);
      outcome o = decode(l, w, n, g, &models[i], prompt, 20, 600);
      print_message("W %d N %d G %d, model of %d: %.2f tokens a step, at most %d\n", w, n, g,
                    models[i].k, (double)o.tokens / o.steps, o.longest);
      assert_true(o.longest <= n);
      if (w >= 4) { /* the text is repetitive, and the window is wide enough to find that out */
        assert_true(o.tokens > o.steps);
        assert_int_equal(o.longest, n); /* a full match, and the token after it */
      }
      lookahead_delete(l);
    }
  }
}

/* The pool outlives the text, and guesses are there from a text's first step. */
static void test_second_text_is_faster(void **state) {
  (void)state;
  const toy m = {2, 40};
  const int32_t prompt[4] = {1, 2, 3, 4};
  lookahead *l = new_lookahead(15, 5, 15);
  outcome first = decode(l, 15, 5, 15, &m, prompt, 4, 300);
  outcome second = decode(l, 15, 5, 15, &m, prompt, 4, 300);
  assert_int_equal(first.first, 1);
  assert_true(second.steps < first.steps);
  lookahead_delete(l);
}

/* ---- the window ---------------------------------------------------------------------------- */

static void test_begin(void **state) {
  (void)state;
  const int32_t context[] = {11, 22, 33, 44, 55, 66, 77};
  int32_t ids[31], other[31];
  lookahead *l = new_lookahead(32, 4, 8);
  lookahead_rows r;
  int distinct = 0;
  for (int round = 0; round < 2; round++) {
    lookahead_begin(l, context, 7);
    lookahead_get_rows(l, &r);
    assert_int_equal(r.n, 31);
    if (round > 0) assert_memory_equal(ids, r.ids, sizeof ids);
    memcpy(ids, r.ids, sizeof ids);
    for (int i = 0; i < 31; i++) other[i] = i;
    lookahead_update(l, other, 9, other, 3); /* the next begin leaves nothing of it */
  }
  for (int t = 11; t <= 77; t += 11) {
    int count = 0;
    for (int i = 0; i < 31; i++) count += ids[i] == t;
    distinct += count > 0;
  }
  for (int i = 0; i < 31; i++) assert_true(ids[i] % 11 == 0 && ids[i] / 11 >= 1 && ids[i] <= 77);
  assert_true(distinct > 3); /* not one token over and over */
  lookahead_delete(l);
}

static void expect_ids(lookahead *l, const int32_t *ids, int n) {
  lookahead_rows r;
  lookahead_get_rows(l, &r);
  assert_int_equal(r.n, n);
  assert_memory_equal(r.ids, ids, (size_t)n * sizeof *ids);
}

static void expect_guesses(lookahead *l, int32_t token, const int32_t *tails, int n, int tail) {
  const int32_t *guesses;
  assert_int_equal(lookahead_guesses(l, token, &guesses), n);
  assert_memory_equal(guesses, tails, (size_t)(n * tail) * sizeof *tails);
}

/* W = 3, N = 4, by hand. The current token is the first of each picture. */
static void test_by_hand(void **state) {
  (void)state;
  const int32_t context[] = {1};
  lookahead *l = new_lookahead(3, 4, 2);
  lookahead_begin(l, context, 1);
  /* 1  1 1 */
  expect_ids(l, (int32_t[]){1, 1}, 2);
  lookahead_update(l, (int32_t[]){21, 22}, 20, (int32_t[]){20}, 1);
  /* 20  1  1    the column (1, 20) has come in on the right
   * 21 22 20 */
  expect_ids(l, (int32_t[]){1, 1, 21, 22, 20}, 5);
  lookahead_update(l, (int32_t[]){0, 0, 31, 32, 33}, 30, (int32_t[]){30}, 1);
  /* 30  1 20    row 0's 1 is overwritten with the current token
   * 22 20 21
   * 32 33 31 */
  expect_ids(l, (int32_t[]){1, 20, 22, 20, 21, 32, 33, 31}, 8);
  expect_guesses(l, 20, NULL, 0, 3); /* there was no full column yet */
  lookahead_update(l, (int32_t[]){0, 0, 0, 0, 0, 41, 42, 43}, 40, (int32_t[]){40}, 1);
  /* 40 20 21
   * 32 33 31
   * 41 42 43 */
  expect_ids(l, (int32_t[]){20, 21, 32, 33, 31, 41, 42, 43}, 8);
  expect_guesses(l, 30, (int32_t[]){22, 32, 41}, 1, 3);
  expect_guesses(l, 1, (int32_t[]){20, 33, 42}, 1, 3);
  expect_guesses(l, 20, (int32_t[]){21, 31, 43}, 1, 3);
  lookahead_update(l, (int32_t[]){0, 0, 0, 0, 0, 51, 52, 53}, 50, (int32_t[]){50, 60, 70}, 3);
  /* 70 33 31    three were accepted; the columns stay
   * 41 42 43
   * 51 52 53 */
  expect_ids(l, (int32_t[]){33, 31, 41, 42, 43, 51, 52, 53}, 8);
  expect_guesses(l, 40, (int32_t[]){32, 41, 51}, 1, 3);
  expect_guesses(l, 20, (int32_t[]){33, 42, 52, 21, 31, 43}, 2, 3); /* the newest first */
  expect_guesses(l, 21, (int32_t[]){31, 43, 53}, 1, 3);
  lookahead_update(l, (int32_t[]){0, 0, 0, 0, 0, 61, 62, 63}, 80, (int32_t[]){80}, 1);
  expect_guesses(l, 70, (int32_t[]){41, 51, 61}, 1, 3);
  lookahead_delete(l);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_without_a_text),
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_pool_is_least_recently_used),
      cmocka_unit_test(test_pool_is_bounded),
      cmocka_unit_test(test_decode_equals_greedy),
      cmocka_unit_test(test_second_text_is_faster),
      cmocka_unit_test(test_begin),
      cmocka_unit_test(test_by_hand),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
