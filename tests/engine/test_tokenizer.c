/* test_tokenizer.c - ids of the golden vectors (from Hugging Face tokenizers) with both forms of
 * the vocabulary, special tokens, bytes that are not UTF-8, merging against a plain second
 * implementation, long pieces, threads. */
#include "test_tokenizer_fixture.h"

#include <pthread.h>

static tokenizer *from_json;

static int set_up(void **state) {
  (void)state;
  from_json = fixture_tokenizer();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  tokenizer_delete(from_json);
  tokenizer_delete(NULL);
  return 0;
}

/* ---- golden vectors -------------------------------------------------------------------- */

static void check_golden(const tokenizer *t) {
  cJSON *golden = fixture_json("tests/data/golden.json");
  int n = 0;
  for (const cJSON *i = fixture_get(golden, "tokenizer")->child; i != NULL; i = i->next, n++) {
    /* cJSON strings end at a NUL, and one vector has one: "a\0b". */
    const char *text = fixture_get(i, "text")->valuestring;
    const cJSON *ids = fixture_get(i, "ids");
    size_t len = strlen(text);
    if (cJSON_GetArraySize(ids) == 3 && strcmp(text, "a") == 0) {
      text = "a\0b";
      len = 3;
    }
    engine_tokens out = fixture_encode(t, text, len, true);
    assert_int_equal(out.n, cJSON_GetArraySize(ids));
    int k = 0;
    for (const cJSON *id = ids->child; id != NULL; id = id->next, k++)
      assert_int_equal(out.ids[k], id->valueint);
    engine_tokens_free(&out);
  }
  assert_int_equal(n, 48);
  cJSON_Delete(golden);
}

static void golden_json(void **state) {
  (void)state;
  check_golden(from_json);
  assert_int_equal(tokenizer_size(from_json), FIXTURE_N_VOCAB);
}

static void golden_vocab(void **state) {
  (void)state;
  fixture_vocab v;
  char err[256] = "";
  tokenizer *t;
  fixture_vocab_open(&v);
  assert_int_equal(tokenizer_new(&t, &v.vocab, err, sizeof err), ENGINE_OK);
  fixture_vocab_close(&v); /* borrowed only during tokenizer_new */
  check_golden(t);
  for (int32_t id = -1; id <= FIXTURE_N_VOCAB; id++) { /* and every token is the same */
    size_t n, m;
    const char *a = tokenizer_text(from_json, id, &n), *b = tokenizer_text(t, id, &m);
    assert_int_equal(n, m);
    assert_string_equal(a, b);
    assert_int_equal(tokenizer_token_kind(from_json, id), tokenizer_token_kind(t, id));
  }
  tokenizer_delete(t);
}

/* ---- special tokens -------------------------------------------------------------------- */

static void check_ids(const char *text, bool special, const int32_t *want, int n) {
  engine_tokens out = fixture_encode(from_json, text, strlen(text), special);
  assert_int_equal(out.n, n);
  assert_memory_equal(out.ids, want, (size_t)n * sizeof *want);
  engine_tokens_free(&out);
}

static void special_tokens(void **state) {
  (void)state;
  int32_t prefix = tokenizer_find(from_json, "<|fim_prefix|>");
  int32_t end = tokenizer_find(from_json, "<|endoftext|>"), x = tokenizer_find(from_json, "x");
  assert_int_equal(prefix, 16378);
  assert_int_equal(end, 16375);
  check_ids("<|fim_prefix|>x<|endoftext|>", true, (int32_t[]){prefix, x, end}, 3);
  check_ids("<|fim_prefix|><|fim_prefix|>", true, (int32_t[]){prefix, prefix}, 2);
  check_ids("", true, NULL, 0);
  /* Leftmost, and what stands around is merged on its own: "<" does not join the token. */
  int32_t less = tokenizer_find(from_json, "<"), bar = tokenizer_find(from_json, "|");
  check_ids("<<|fim_prefix|>", true, (int32_t[]){less, prefix}, 2);
  check_ids("<|<|fim_prefix|>|", true, (int32_t[]){less, bar, prefix, bar}, 4);
  /* As written: a combining mark behind ">" belongs to what follows. */
  engine_tokens out = fixture_encode(from_json, "<|fim_prefix|>\u0338", 16, true);
  assert_int_equal(out.ids[0], prefix);
  engine_tokens_free(&out);
  /* Plain text otherwise. */
  const char *plain[] = {"<|fim_prefix|>x<|endoftext|>", "a <|file_sep|> b", "<|endoftext|"};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    out = fixture_encode(from_json, plain[i], strlen(plain[i]), false);
    for (int k = 0; k < out.n; k++)
      assert_int_equal(tokenizer_token_kind(from_json, out.ids[k]), TOKENIZER_NORMAL);
    engine_tokens_free(&out);
    fixture_round_trip(from_json, plain[i], strlen(plain[i]));
  }
  size_t len;
  assert_string_equal(tokenizer_text(from_json, prefix, &len), "<|fim_prefix|>");
  assert_int_equal(len, 14);
  assert_int_equal(tokenizer_token_kind(from_json, prefix), TOKENIZER_SPECIAL);
}

static void find_and_text(void **state) {
  (void)state;
  size_t len;
  assert_int_equal(tokenizer_find(from_json, "<|nothing|>"), -1);
  assert_int_equal(tokenizer_find(from_json, "<|fim_prefix|>x"), -1);
  assert_int_equal(tokenizer_find(from_json, ""), -1);
  int32_t id = tokenizer_find(from_json, " return"); /* by its text, not the file's spelling */
  assert_true(id >= 0);
  assert_string_equal(tokenizer_text(from_json, id, &len), " return");
  assert_int_equal(len, 7);
  assert_int_equal(tokenizer_token_kind(from_json, id), TOKENIZER_NORMAL);
  const int32_t outside[] = {-1, INT32_MIN, FIXTURE_N_VOCAB, INT32_MAX};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
    assert_string_equal(tokenizer_text(from_json, outside[i], &len), "");
    assert_int_equal(len, 0);
    assert_int_equal(tokenizer_token_kind(from_json, outside[i]), TOKENIZER_UNUSED);
  }
}

static void appends(void **state) {
  (void)state;
  engine_tokens out = {0};
  assert_int_equal(tokenizer_encode(from_json, "int x", 5, false, &out), ENGINE_OK);
  int n = out.n;
  assert_int_equal(tokenizer_encode(from_json, NULL, 0, false, &out), ENGINE_OK);
  assert_int_equal(out.n, n);
  assert_int_equal(tokenizer_encode(from_json, "int x", 5, false, &out), ENGINE_OK);
  assert_int_equal(out.n, 2 * n);
  assert_memory_equal(out.ids, out.ids + n, (size_t)n * sizeof *out.ids);
  engine_tokens_free(&out);
}

/* ---- bytes ----------------------------------------------------------------------------- */

static void not_utf8(void **state) {
  (void)state;
  static const char *const texts[] = {
      "\x80",         "\xC3",         "\xC0\xAF", /* overlong */ "\xE0\x9F\xBF", "\xF0\x8F\xBF\xBF",
      "\xED\xA0\x80", /* surrogate */ "\xF4\x90\x80\x80",        "\xF5\x80\x80\x80", "\xFF\xFE",
      "a\xE6\x97",    "\xE6\x97\xE6\x97\xA5", "x = \"\xE9t\xE9\";\n", "\xC3\xA9\xC3",
      "  \xFF  y",    "\xEF\xBB\xBFint x;", "\xE2\x28\xA1", "\xF0\x9F\x98"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    fixture_round_trip(from_json, texts[i], strlen(texts[i]));
  for (int b = 0; b < 256; b++) {
    char one[1] = {(char)b};
    engine_tokens out = fixture_encode(from_json, one, 1, true);
    assert_int_equal(out.n, 1);
    engine_tokens_free(&out);
    fixture_round_trip(from_json, one, 1);
  }
  /* A bad byte is one token, and the text on its two sides is as it is alone. */
  engine_tokens all = fixture_encode(from_json, "int main\xFF  return 0;", 20, false);
  engine_tokens parts = fixture_encode(from_json, "int main", 8, false);
  for (int i = 0; i < 2; i++) {
    const char *rest = i == 0 ? "\xFF" : "  return 0;";
    assert_int_equal(tokenizer_encode(from_json, rest, strlen(rest), false, &parts), ENGINE_OK);
  }
  assert_int_equal(all.n, parts.n);
  assert_memory_equal(all.ids, parts.ids, (size_t)all.n * sizeof *all.ids);
  engine_tokens_free(&all);
  engine_tokens_free(&parts);
}

/* Bytes of all kinds, but no lead byte of a character from U+0300 up, as NFC might change it. */
static void random_bytes(void **state) {
  (void)state;
  uint64_t seed = 7;
  for (int round = 0; round < 3000; round++) {
    char text[64];
    size_t len = fixture_random(&seed, sizeof text);
    for (size_t i = 0; i < len; i++) {
      uint32_t b = fixture_random(&seed, 4) == 0 ? 0x80 + fixture_random(&seed, 0x4C)
                                                 : fixture_random(&seed, 256);
      text[i] = (char)(b >= 0xCC && b < 0xF5 ? 0xFF : b);
    }
    fixture_round_trip(from_json, text, len);
  }
}

/* ---- merging --------------------------------------------------------------------------- */

typedef struct pair {
  const char *left, *right;
  int rank;
} pair;

static int compare_pairs(const void *x, const void *y) {
  const pair *a = x, *b = y;
  int order = strcmp(a->left, b->left);
  return order != 0 ? order : strcmp(a->right, b->right);
}

/* By the book, on strings of letters (which the alphabet leaves as they are): merge the first of
 * the pairs of least rank until there is none. */
static int merge_plainly(const pair *pairs, size_t n_pairs, const char *text, char (*parts)[80]) {
  int n = (int)strlen(text);
  for (int i = 0; i < n; i++) memcpy(parts[i], (char[2]){text[i], '\0'}, 2);
  for (;;) {
    const pair *best = NULL;
    int at = 0;
    for (int i = 0; i + 1 < n; i++) {
      pair key = {parts[i], parts[i + 1], 0};
      const pair *found = bsearch(&key, pairs, n_pairs, sizeof *pairs, compare_pairs);
      if (found != NULL && (best == NULL || found->rank < best->rank)) {
        best = found;
        at = i;
      }
    }
    if (best == NULL) return n;
    size_t left = strlen(parts[at]), right = strlen(parts[at + 1]);
    assert_true(left + right < sizeof parts[at]);
    memcpy(parts[at] + left, parts[at + 1], right + 1);
    n--;
    for (int i = at + 1; i < n; i++) memmove(parts[i], parts[i + 1], sizeof parts[i]);
  }
}

static void merging(void **state) {
  (void)state;
  fixture_vocab v;
  fixture_vocab_open(&v);
  size_t n_pairs = (size_t)v.vocab.n_merges;
  pair *pairs = calloc(n_pairs, sizeof *pairs);
  assert_non_null(pairs);
  for (size_t i = 0; i < n_pairs; i++)
    pairs[i] = (pair){v.merges[i][0].data, v.merges[i][1].data, (int)i};
  qsort(pairs, n_pairs, sizeof *pairs, compare_pairs);
  uint64_t seed = 11;
  for (int round = 0; round < 1500; round++) {
    static const char letters[] = "eeeettaaooiinnssrrlldducmphgbfyvwkxqjzzETAOI";
    char text[80], parts[80][80];
    size_t len = 1 + fixture_random(&seed, sizeof text - 1); /* short and long way */
    uint32_t few = 1 + fixture_random(&seed, sizeof letters - 1);
    for (size_t i = 0; i < len; i++) text[i] = letters[fixture_random(&seed, few)];
    text[len] = '\0';
    int n = merge_plainly(pairs, n_pairs, text, parts);
    engine_tokens out = fixture_encode(from_json, text, len, false);
    assert_int_equal(out.n, n);
    for (int i = 0; i < n; i++) {
      size_t size;
      assert_string_equal(tokenizer_text(from_json, out.ids[i], &size), parts[i]);
    }
    engine_tokens_free(&out);
  }
  free(pairs);
  fixture_vocab_close(&v);
}

/* ---- long pieces ----------------------------------------------------------------------- */

/* These take minutes where anything is quadratic. */
static void long_pieces(void **state) {
  (void)state;
  static const char *const units[] = {
      "a", " ", "\n", "\t ", "((", "=\n", "é", "日", "\u3000", "\u3000 \n", "😀", "1", "'s", "\xFF",
      "\xC3\xA9\xFF", "<|fim_prefix|", " x", "\u00a0\u2028"};
  const size_t size = 300000;
  char *text = malloc(size + 16);
  assert_non_null(text);
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    size_t len = 0, n = strlen(units[i]);
    for (; len < size; len += n) memcpy(text + len, units[i], n);
    fixture_round_trip(from_json, text, len);
    memcpy(text + len, "\n#", 2); /* spaces that turn out to end in a line feed */
    fixture_round_trip(from_json, text, len + 2);
  }
  /* Marks that must be reordered: U+0323 sorts before U+0301. */
  size_t len = 0;
  for (text[len++] = 'q'; len < size; len += 4) memcpy(text + len, "\xCC\x81\xCC\xA3", 4);
  engine_tokens out = fixture_encode(from_json, text, len, false);
  size_t n;
  char *back = fixture_decode(from_json, &out, &n);
  assert_int_equal(n, len);
  assert_memory_equal(back, "q\xCC\xA3\xCC\xA3", 5);
  assert_memory_equal(back + n - 4, "\xCC\x81\xCC\x81", 4);
  free(back);
  engine_tokens_free(&out);
  free(text);
}

/* ---- threads --------------------------------------------------------------------------- */

static const char threads_text[] = "static int größe(日本 *n) { return n->\u00e9te\u0301 ? 1 : "
                                   "aVeryLongIdentifierThatIsNotOneTokenButRatherManyOfThem; }\n";

typedef struct worker {
  pthread_t thread;
  const engine_tokens *want;
  bool ok;
} worker;

static void *work(void *user) {
  worker *w = user;
  w->ok = true;
  for (int i = 0; i < 300 && w->ok; i++) {
    engine_tokens out = {0};
    w->ok = tokenizer_encode(from_json, threads_text, sizeof threads_text - 1, true, &out) ==
                ENGINE_OK &&
            out.n == w->want->n &&
            memcmp(out.ids, w->want->ids, (size_t)out.n * sizeof *out.ids) == 0;
    engine_tokens_free(&out);
  }
  return NULL;
}

static void threads(void **state) {
  (void)state;
  engine_tokens want = fixture_encode(from_json, threads_text, sizeof threads_text - 1, true);
  worker workers[4];
  for (int i = 0; i < 4; i++) {
    workers[i].want = &want;
    assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < 4; i++) {
    assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    assert_true(workers[i].ok);
  }
  engine_tokens_free(&want);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(golden_json),  cmocka_unit_test(golden_vocab),
      cmocka_unit_test(special_tokens), cmocka_unit_test(find_and_text),
      cmocka_unit_test(appends),      cmocka_unit_test(not_utf8),
      cmocka_unit_test(random_bytes), cmocka_unit_test(merging),
      cmocka_unit_test(long_pieces),  cmocka_unit_test(threads),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
