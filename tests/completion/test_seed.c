/* test_seed.c - a document's tokens in the pool after thousands of edits, against those of the same
 * text made at once, those of the tokenizer, and the text itself. */
#include "completion/seed.h"
#include "helper.h"

#include "engine/pool.h"

#define SAMPLES "tests/data/samples/"
#define TEXT_MAX 8192

static engine *the_engine;
static engine_pool *pool, *other;

static int open_all(void **state) {
  (void)state;
  char err[256] = "";
  engine_options embedded = {.backend = "cpu", .threads = 1};
  if (engine_open(&the_engine, &embedded, err, sizeof err)) fail_msg("%s", err);
  return engine_pool_new(&pool, 0) || engine_pool_new(&other, 0);
}

static int close_all(void **state) {
  (void)state;
  engine_pool_delete(pool);
  engine_pool_delete(other);
  engine_close(the_engine);
  return 0;
}

static uint32_t below(uint64_t *x, size_t n) {
  uint64_t z = (*x += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (uint32_t)((z ^ (z >> 31)) % n);
}

/* ---- what the pool has ------------------------------------------------------------------ */

/* The tokens as they stand in the index; owned. */
static engine_tokens tokens_of(const engine_pool *p, const completion__seed *s) {
  engine_tokens all = {0};
  const pool_text *t = &p->texts[completion__seed_id(s)];
  assert_true(t->kind == ENGINE_POOL_OPEN && !t->gone);
  for (uint32_t i = 0; i < t->n_spans; i++)
    assert_int_equal(engine_tokens_append(&all, p->live.grams.tokens + t->spans[i].place,
                                          (int)t->spans[i].n), 0);
  assert_int_equal(all.n, t->n);
  if (all.n) assert_memory_equal(all.ids, t->tokens, (size_t)all.n * sizeof *all.ids);
  return all;
}

static void assert_same_tokens(const engine_tokens *a, const engine_tokens *b) {
  assert_int_equal(a->n, b->n);
  if (a->n) assert_memory_equal(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
}

static void assert_decodes_to(const engine_tokens *t, completion__slice text) {
  size_t at = 0;
  for (int i = 0; i < t->n; i++) {
    size_t len;
    const char *bytes = engine_token_text(the_engine, t->ids[i], &len);
    assert_true(len <= text.len - at);
    assert_memory_equal(bytes, text.s + at, len);
    at += len;
  }
  assert_int_equal(at, text.len);
}

/* Brings the seed up to the text and looks at what came of it. `plain`: the text has nothing that
 * is normalised, and no blanks but ' ', '\t' and '\n'. */
static void sync(completion__seed **seed, const char *bytes, size_t len, bool plain) {
  completion__text *text = completion__text_new(bytes, len, NULL);
  completion__seed *fresh = NULL;
  assert_non_null(text);
  assert_int_equal(completion__seed_sync(seed, pool, the_engine, text), 0);
  assert_int_equal(completion__seed_sync(&fresh, other, the_engine, text), 0);
  engine_tokens kept = tokens_of(pool, *seed), made = tokens_of(other, fresh), whole = {0};
  assert_same_tokens(&kept, &made);
  if (plain) {
    assert_decodes_to(&kept, completion__text_slice(text));
    assert_int_equal(engine_tokenize(the_engine, text->bytes, text->len, false, &whole), 0);
    assert_same_tokens(&kept, &whole);
  }
  completion__seed_delete(fresh);
  completion__text_release(text);
  engine_tokens_free(&kept);
  engine_tokens_free(&made);
  engine_tokens_free(&whole);
}

/* ---- edits ------------------------------------------------------------------------------ */

typedef struct page {
  char bytes[TEXT_MAX];
  size_t len;
} page;

static void replace(page *p, size_t at, size_t removed, const char *s, size_t len) {
  if (p->len - removed + len > sizeof p->bytes) return;
  memmove(p->bytes + at + len, p->bytes + at + removed, p->len - at - removed);
  memcpy(p->bytes + at, s, len);
  p->len += len - removed;
}

static const char *const plain_bits[] = {
    "a", "x1", " ", "\n", "\t", "    ", ";", "{", "}", "(", "\"", "'s", "#", "\n\n", "\n  \n",
    "\n\t\n\n", ";\n\n", "return 0;\n", "\n    if (x) {\n", "\xc3\xa9", "\xe6\xbc\xa2", "//", ".",
    "\xf0\x9f\x98\x80", "\xff", "\xc3", "\xe6\xbc", "<|fim_prefix|>", "0", "==", "_", "  \n"};
/* Line ends and blanks that are not those, and characters that are composed (or not). */
static const char *const wild_bits[] = {"\r", "\r\n", "\r\r", "\f", "\v", "\xc2\xa0", "\xc2\x85",
                                        "\xe3\x80\x80", "\xe2\x80\xa8", "e\xcc\x81", "\xcc\x81",
                                        "\xe1\x84\x80", "\xe1\x85\xa1", "\n\f\n", "\n\xc2\xa0\n",
                                        "\n\r", "\xe1\xa0\x8e", "\xef\xbb\xbf"};
enum {
  PLAIN = sizeof plain_bits / sizeof *plain_bits,
  WILD = sizeof wild_bits / sizeof *wild_bits
};

static size_t line_before(const page *p, size_t at) {
  return completion__line_start(completion__slice_of(p->bytes, p->len), at);
}

static size_t line_after(const page *p, size_t at) {
  size_t end = completion__line_end(completion__slice_of(p->bytes, p->len), at);
  return end < p->len ? end + 1 : end;
}

static void edit(page *p, const completion__buffer *sample, bool wild, uint64_t *rng) {
  size_t at = below(rng, p->len + 1), left = p->len - at;
  const char *bit = plain_bits[below(rng, PLAIN)];
  if (wild && below(rng, 2)) bit = wild_bits[below(rng, WILD)];
  size_t some = left ? below(rng, left < 12 ? left : 12) : 0;
  size_t line = line_before(p, at), next = line_after(p, at);
  char part[600];
  switch (below(rng, 14)) {
  case 0: case 1: case 2: replace(p, at, 0, bit, strlen(bit)); break;
  case 3: case 4: replace(p, at, some, "", 0); break;
  case 5: replace(p, at, some, bit, strlen(bit)); break;
  case 6: replace(p, line, next - line, "", 0); break;
  case 7: replace(p, line, 0, bit, strlen(bit)); break;
  case 8: replace(p, line, next - line, "   \n", 4); break; /* the line goes blank */
  case 9: /* a copy of some lines elsewhere */
    some = left < sizeof part ? left : sizeof part;
    memcpy(part, p->bytes + at, some);
    replace(p, line_before(p, below(rng, p->len + 1)), 0, part, some);
    break;
  case 10: replace(p, p->len, 0, bit, strlen(bit)); break;
  case 11: replace(p, 0, 0, bit, strlen(bit)); break;
  case 12: /* several places at once */
    replace(p, at, 0, bit, strlen(bit));
    replace(p, below(rng, p->len + 1), 0, bit, strlen(bit));
    break;
  default:
    if (below(rng, 12) == 0) replace(p, 0, p->len, sample->s, sample->len);
    else if (below(rng, 20) == 0) replace(p, 0, p->len, "", 0);
    else if (p->len > 3000) replace(p, at, left < 1500 ? left : 1500, "", 0);
  }
}

static void edits(const char *path, int n, bool wild, uint64_t rng) {
  completion__buffer sample = read_sample(path);
  completion__seed *seed = NULL;
  page *p = calloc(1, sizeof *p);
  assert_non_null(p);
  assert_true(sample.len > 500 && sample.len < TEXT_MAX / 2);
  replace(p, 0, 0, sample.s, sample.len);
  for (int i = 0; i < n; i++) {
    sync(&seed, p->bytes, p->len, !wild);
    edit(p, &sample, wild, &rng);
  }
  completion__seed_delete(seed);
  completion__buffer_free(&sample);
  free(p);
  assert_int_equal(engine_pool_get_info(pool).live_tokens, 0);
  assert_int_equal(engine_pool_get_info(other).live_tokens, 0);
}

static void test_edits_c(void **state) {
  (void)state;
  edits(SAMPLES "c/queue.c", 900, false, 1);
  edits(SAMPLES "c/queue.c", 400, true, 2);
}

static void test_edits_python(void **state) {
  (void)state;
  edits(SAMPLES "py/inventory.py", 900, false, 3);
  edits(SAMPLES "py/inventory.py", 400, true, 4);
}

/* Small texts have all their corners close together. */
static void test_edits_of_little(void **state) {
  (void)state;
  static const char *const bits[] = {"\n", "\n", " ", "a", "\t", ";"};
  uint64_t rng = 5;
  completion__seed *seed = NULL;
  for (int i = 0; i < 3000; i++) {
    char text[16] = "";
    for (uint32_t k = below(&rng, 9); k > 0; k--) strcat(text, bits[below(&rng, 6)]);
    sync(&seed, text, strlen(text), true);
  }
  completion__seed_delete(seed);
}

/* ---- one by one ------------------------------------------------------------------------- */

static void test_special_texts(void **state) {
  (void)state;
  completion__seed *seed = NULL;
  static const char *const texts[] = {"", "a", "", "\n", "\n\n\n", "  ", "\n  \n", "a\n", "a\n  ",
                                      "a\n  b", "a\n\n\nb\n", "a\nb\n", "b\n",
                                      "\xff\xfe\n\xff", ""};
  assert_int_equal(completion__seed_id(NULL), 0);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    sync(&seed, texts[i], strlen(texts[i]), true);
  sync(&seed, "a\0b\n\0\n", 6, true);
  assert_true(completion__seed_id(seed) > 0);
  completion__text *text = completion__text_new("int x;\r\nint y;\r\n", 16, NULL);
  assert_non_null(text);
  assert_int_equal(completion__seed_sync(&seed, pool, the_engine, text), 0);
  uint32_t places = pool->live.grams.n;
  assert_int_equal(completion__seed_sync(&seed, pool, the_engine, text), 0); /* nothing to do */
  assert_int_equal(pool->live.grams.n, places);
  completion__text_release(text);
  completion__seed_delete(seed);
  completion__seed_delete(NULL);
}

/* One line of 100 KB, and 10,000 blank ones, edited. */
static void test_huge_lines(void **state) {
  (void)state;
  completion__seed *seed = NULL;
  completion__buffer b = {0};
  for (int kind = 0; kind < 2; kind++) {
    b.len = 0;
    for (int i = 0; i < 10000; i++)
      assert_int_equal(completion__buffer_add(&b, kind ? " \n" : "v[12] + x;"), 0);
    sync(&seed, b.s, b.len, true);
    b.s[b.len / 2] = '\n';
    sync(&seed, b.s, b.len, true);
    b.s[b.len / 2] = 'y';
    sync(&seed, b.s, b.len, true);
    sync(&seed, b.s + 1, b.len - 2, true);
  }
  completion__buffer_free(&b);
  completion__seed_delete(seed);
}

/* A keystroke adds a line's tokens to the index, whatever the size of the document. */
static void test_small_edit_is_small(void **state) {
  (void)state;
  completion__seed *seed = NULL;
  completion__buffer b = {0};
  for (int i = 0; i < 3000; i++) assert_int_equal(completion__buffer_add(&b, "  call(a, b);\n"), 0);
  sync(&seed, b.s, b.len, true);
  for (size_t at = 7; at < b.len; at += 1000) {
    uint32_t before = pool->live.grams.n;
    b.s[at] = b.s[at] == '\n' ? ' ' : 'q';
    sync(&seed, b.s, b.len, true);
    assert_true(pool->live.grams.n - before < 200);
  }
  completion__buffer_free(&b);
  completion__seed_delete(seed);
}

/* Several documents in one pool; each keeps its own. */
static void test_several(void **state) {
  (void)state;
  completion__seed *seeds[4] = {0};
  char text[64];
  for (int i = 0; i < 40; i++) {
    snprintf(text, sizeof text, "int f%d(void) {\n  return %d;\n}\n", i % 4, i);
    sync(&seeds[i % 4], text, strlen(text), true);
  }
  for (int i = 0; i < 4; i++) {
    for (int k = 0; k < i; k++)
      assert_int_not_equal(completion__seed_id(seeds[i]), completion__seed_id(seeds[k]));
    engine_tokens t = tokens_of(pool, seeds[i]);
    snprintf(text, sizeof text, "int f%d(void) {\n  return %d;\n}\n", i, 36 + i);
    assert_decodes_to(&t, slice(text));
    engine_tokens_free(&t);
  }
  for (int i = 0; i < 4; i++) completion__seed_delete(seeds[i]);
  assert_int_equal(engine_pool_get_info(pool).live_tokens, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_edits_c),         cmocka_unit_test(test_edits_python),
      cmocka_unit_test(test_edits_of_little), cmocka_unit_test(test_special_texts),
      cmocka_unit_test(test_huge_lines),      cmocka_unit_test(test_small_edit_is_small),
      cmocka_unit_test(test_several),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
