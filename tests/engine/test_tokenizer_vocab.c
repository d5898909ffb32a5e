/* test_tokenizer_vocab.c - vocabularies from strangers: each error of tokenizer_new and
 * tokenizer_new_json by what is wrong, broken files of every length, added tokens of each kind. */
#include "test_tokenizer_fixture.h"

#include "engine/tokenizer_internal.h"

/* ---- a small vocabulary ---------------------------------------------------------------- */

#define SMALL_MAX 1400 /* tokens */

typedef struct small {
  char alphabet[256][3]; /* how a file writes byte b */
  tokenizer_string tokens[SMALL_MAX];
  uint8_t kinds[SMALL_MAX];
  tokenizer_string merges[8][2];
  tokenizer_vocab vocab;
} small;

static tokenizer_string string_of(const char *s) { return fixture_string(s); }

static int add(small *s, const char *text, tokenizer_kind kind) {
  int id = s->vocab.n_tokens++;
  s->tokens[id] = string_of(text);
  s->kinds[id] = (uint8_t)kind;
  return id;
}

static void add_merge(small *s, const char *left, const char *right) {
  s->merges[s->vocab.n_merges][0] = string_of(left);
  s->merges[s->vocab.n_merges++][1] = string_of(right);
}

/* 256 bytes, then "ab" 256, "abc" 257, "<|x|>" 258 special, "<tool>" 259 added, 260 unused. */
static void small_open(small *s) {
  memset(s, 0, sizeof *s);
  s->vocab.tokens = s->tokens;
  s->vocab.kinds = s->kinds;
  s->vocab.merges = (const tokenizer_string(*)[2])s->merges;
  for (int b = 0, next = 0x100; b < 256; b++) {
    bool itself = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
    int c = itself ? b : next++;
    if (c < 0x80) s->alphabet[b][0] = (char)c;
    else {
      s->alphabet[b][0] = (char)(0xC0 | c >> 6);
      s->alphabet[b][1] = (char)(0x80 | (c & 0x3F));
    }
    add(s, s->alphabet[b], TOKENIZER_NORMAL);
  }
  add(s, "ab", TOKENIZER_NORMAL);
  add(s, "abc", TOKENIZER_NORMAL);
  add(s, "<|x|>", TOKENIZER_SPECIAL);
  add(s, "<tool>", TOKENIZER_ADDED);
  add(s, "", TOKENIZER_UNUSED);
  add_merge(s, "a", "b");
  add_merge(s, "ab", "c");
}

static void accept(const tokenizer_vocab *vocab, tokenizer **t) {
  char err[256] = "";
  if (tokenizer_new(t, vocab, err, sizeof err) != ENGINE_OK) fail_msg("refused: %s", err);
}

static void refuse(const tokenizer_vocab *vocab, const char *words) {
  char err[256] = "", cut[8];
  tokenizer *t = (tokenizer *)err;
  assert_int_equal(tokenizer_new(&t, vocab, err, sizeof err), ENGINE_EFORMAT);
  assert_null(t);
  if (strstr(err, words) == NULL) fail_msg("\"%s\" does not say \"%s\"", err, words);
  assert_int_equal(tokenizer_new(&t, vocab, cut, sizeof cut), ENGINE_EFORMAT);
  assert_int_equal(tokenizer_new(&t, vocab, NULL, 0), ENGINE_EFORMAT);
}

static void check(const tokenizer *t, const char *text, bool special, const int32_t *want, int n) {
  engine_tokens out = fixture_encode(t, text, strlen(text), special);
  assert_int_equal(out.n, n);
  if (n > 0) assert_memory_equal(out.ids, want, (size_t)n * sizeof *want);
  engine_tokens_free(&out);
}

static void small_works(void **state) {
  (void)state;
  small s;
  tokenizer *t;
  size_t len;
  small_open(&s);
  accept(&s.vocab, &t);
  check(t, "abcab", false, (int32_t[]){257, 256}, 2);
  check(t, "<|x|>", true, (int32_t[]){258}, 1);
  check(t, "<|x|>", false, (int32_t[]){'<', '|', 'x', '|', '>'}, 5);
  for (int special = 0; special < 2; special++) /* ordinary text, but one token always */
    check(t, "ab<tool>c", special, (int32_t[]){256, 259, 'c'}, 3);
  assert_int_equal(tokenizer_token_kind(t, 259), TOKENIZER_ADDED);
  assert_int_equal(tokenizer_token_kind(t, 260), TOKENIZER_UNUSED);
  assert_string_equal(tokenizer_text(t, 260, &len), "");
  assert_int_equal(len, 0);
  tokenizer_delete(t);
  s.kinds[258] = TOKENIZER_ADDED; /* what is written <|so|> is special whatever the file says */
  accept(&s.vocab, &t);
  assert_int_equal(tokenizer_token_kind(t, 258), TOKENIZER_SPECIAL);
  check(t, "<|x|>", false, (int32_t[]){'<', '|', 'x', '|', '>'}, 5);
  tokenizer_delete(t);
  s.vocab.n_merges = 0; /* bytes only: a vocabulary all the same */
  s.vocab.n_tokens = 256;
  s.vocab.merges = NULL;
  accept(&s.vocab, &t);
  check(t, "ab", true, (int32_t[]){'a', 'b'}, 2);
  tokenizer_delete(t);
}

/* ---- tokenizer_new --------------------------------------------------------------------- */

static char overlong[TOKENIZER_MAX_TOKEN_BYTES + 2];

static void bad_tokens(void **state) {
  (void)state;
  static small s;
  static const struct { const char *text; tokenizer_kind kind; const char *words; } cases[] = {
      {"", TOKENIZER_NORMAL, "token 261 is empty"},
      {"", TOKENIZER_SPECIAL, "token 261 is empty"},
      {overlong, TOKENIZER_NORMAL, "longer than"},
      {overlong + TOKENIZER_MAX_TOKEN_BYTES - TOKENIZER_MAX_ADDED_BYTES, TOKENIZER_ADDED,
       "longer than"},
      {"a b", TOKENIZER_NORMAL, "alphabet"},
      {"\n", TOKENIZER_NORMAL, "alphabet"},
      {"\u00ad", TOKENIZER_NORMAL, "alphabet"},
      {"\u0144", TOKENIZER_NORMAL, "alphabet"},
      {"日", TOKENIZER_NORMAL, "alphabet"},
      {"a\xC4", TOKENIZER_NORMAL, "alphabet"},
      {"\xC4" "a", TOKENIZER_NORMAL, "alphabet"},
      {"\xC1\xA1", TOKENIZER_NORMAL, "alphabet"},
      {"\xFF", TOKENIZER_NORMAL, "alphabet"},
      {"ab", TOKENIZER_NORMAL, "tokens 256 and 261 are the same"},
      {"<\xFF>", TOKENIZER_ADDED, "not UTF-8"},
      {"\x97\xA5", TOKENIZER_SPECIAL, "not UTF-8"},
      {"<|x|>", TOKENIZER_SPECIAL, "are the same"},
      {"<|x|>", TOKENIZER_ADDED, "are the same"},
      {"ok", (tokenizer_kind)9, "unknown kind"},
  };
  memset(overlong, 'a', sizeof overlong - 1);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    small_open(&s);
    assert_int_equal(add(&s, cases[i].text, cases[i].kind), 261);
    refuse(&s.vocab, cases[i].words);
  }
  for (int b = 0; b < 256; b++) {
    small_open(&s);
    s.kinds[b] = TOKENIZER_UNUSED;
    refuse(&s.vocab, "no token for the byte");
  }
  const int counts[] = {0, -1, INT32_MIN, TOKENIZER_MAX_TOKENS + 1, INT32_MAX};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    small_open(&s);
    s.vocab.n_tokens = counts[i];
    refuse(&s.vocab, "tokens");
    small_open(&s);
    s.vocab.n_merges = counts[i];
    if (counts[i] != 0) refuse(&s.vocab, "merges");
  }
}

static void bad_merges(void **state) {
  (void)state;
  static small s;
  static const struct { const char *left, *right, *words; } cases[] = {
      {"a", "b", "twice"},        {"a", "c", "result"},      {"zz", "a", "left piece"},
      {"a", "zz", "right piece"}, {"", "a", "empty"},        {"a", "", "empty"},
      {"<|x|>", "a", "left"},     {" ", "a", "left piece"},  {overlong, "a", "overlong"},
      {"a", "\xFF", "right"},     {"<tool>", "a", "left"},   {"a", "日", "right"},
  };
  memset(overlong, 'a', sizeof overlong - 1);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    small_open(&s);
    add_merge(&s, cases[i].left, cases[i].right);
    refuse(&s.vocab, cases[i].words);
  }
}

/* The inverse of tokenizer__mix. */
static uint64_t unmix(uint64_t x) {
  static const uint64_t factors[2] = {0xBF58476D1CE4E5B9u, 0x9E3779B97F4A7C15u};
  x ^= x >> 32;
  for (int i = 0; i < 2; i++) {
    uint64_t inverse = 1;
    for (int k = 0; k < 6; k++) inverse *= 2 - factors[i] * inverse; /* Newton's, mod 2^64 */
    x *= inverse;
    x ^= i == 0 ? x >> 29 ^ x >> 58 : x >> 32;
  }
  return x;
}

/* Tokens of eight bytes that all hash to one slot: refused, not quadratic. */
static void colliding_tokens(void **state) {
  (void)state;
  static small s;
  static char texts[600][17];
  small_open(&s);
  for (uint64_t k = 0; k < 600; k++) {
    uint64_t mixed = (k + 1) << 32 | 0x123, head = unmix(mixed) - 8;
    assert_true(tokenizer__mix(head + 8) == mixed);
    texts[k][0] = '\0';
    for (int i = 0; i < 8; i++) strcat(texts[k], s.alphabet[head >> 8 * i & 0xFF]);
    add(&s, texts[k], TOKENIZER_NORMAL);
  }
  refuse(&s.vocab, "one hash");
}

/* The longest of several that begin alike, leftmost first. */
static void added_tokens(void **state) {
  (void)state;
  static small s;
  static const char *const more[] = {"<a>", "<a><b>", "<a", "éé", "é", "[PAD]", "b<a>", "日本"};
  tokenizer *t;
  small_open(&s);
  int32_t id = 0;
  for (size_t i = 0; i < sizeof more / sizeof *more; i++) id = add(&s, more[i], TOKENIZER_ADDED);
  accept(&s.vocab, &t);
  int32_t a = id - 7, ab = id - 6, open = id - 5, ee = id - 4, e = id - 3, pad = id - 2, ba = id - 1;
  check(t, "<a><b>", false, &ab, 1);
  check(t, "<a><c>", false, (int32_t[]){a, '<', 'c', '>'}, 4);
  check(t, "<a <a", false, (int32_t[]){open, ' ', open}, 3);
  check(t, "ééé", false, (int32_t[]){ee, e}, 2);
  check(t, "b<a><b>", false, (int32_t[]){ba, '<', 'b', '>'}, 4);
  check(t, "[PAD][PAD", false, (int32_t[]){pad, '[', 'P', 'A', 'D'}, 5);
  check(t, "\xFF日本\xE6", false, (int32_t[]){0xFF, id, 0xE6}, 3);
  check(t, "e\u0301", false, (int32_t[]){0xC3, 0xA9}, 2); /* only as written, not after NFC */
  for (size_t i = 0; i < sizeof more / sizeof *more; i++)
    assert_int_equal(tokenizer_find(t, more[i]), a + (int32_t)i);
  tokenizer_delete(t);
}

/* ---- tokenizer_new_json ---------------------------------------------------------------- */

#define REGEX                                                                                 \
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}|"             \
  " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define PRE_TOKENIZER                                                                         \
  "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\""    \
  REGEX "\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","             \
  "\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}]}"

/* The small vocabulary as a tokenizer.json: owned by the caller. */
static char *small_json(void) {
  static small s;
  static char vocab[8192], json[16384];
  size_t at = 0;
  small_open(&s);
  for (int i = 0; i < 258; i++) {
    const char *escape = i == '"' || i == '\\' ? "\\" : "";
    at += (size_t)snprintf(vocab + at, sizeof vocab - at, "%s\"%s%s\":%d", i > 0 ? "," : "",
                           escape, s.tokens[i].data, i);
  }
  int n = snprintf(
      json, sizeof json,
      "{\"added_tokens\":[{\"id\":258,\"content\":\"<|x|>\",\"single_word\":false,"
      "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":false},"
      "{\"id\":259,\"content\":\"<tool>\",\"normalized\":false,\"special\":false}],"
      "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":%s,"
      "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"continuing_subword_prefix\":\"\","
      "\"byte_fallback\":false,\"merges\":[\"a b\",[\"ab\",\"c\"]],\"vocab\":{%s}}}",
      PRE_TOKENIZER, vocab);
  assert_true(n > 0 && (size_t)n < sizeof json);
  char *copy = strdup(json);
  assert_non_null(copy);
  return copy;
}

/* json with the first `from` replaced: owned by the caller. */
static char *replaced(const char *json, const char *from, const char *to) {
  const char *at = strstr(json, from);
  if (at == NULL) fail_msg("nothing to replace: %s", from);
  size_t before = (size_t)(at - json), size = strlen(json) + strlen(to) + 1;
  char *out = malloc(size);
  assert_non_null(out);
  snprintf(out, size, "%.*s%s%s", (int)before, json, to, at + strlen(from));
  return out;
}

static tokenizer *small_from(const char *from, const char *to) {
  char err[256] = "", *json = small_json(), *changed = replaced(json, from, to);
  tokenizer *t;
  if (tokenizer_new_json(&t, changed, strlen(changed), 261, err, sizeof err) != ENGINE_OK)
    fail_msg("%s -> %s: refused: %s", from, to, err);
  free(json);
  free(changed);
  return t;
}

static void json_works(void **state) {
  (void)state;
  static const char *const same[][2] = {
      {"BPE", "BPE"},
      {"\"normalizer\":{\"type\":\"NFC\"},", ""},
      {"{\"type\":\"NFC\"}", "null"},
      {"\"dropout\":null,", ""},
      {"[\"a b\",[\"ab\",\"c\"]]", "[[\"a\",\"b\"],\"ab c\"]"},
      {"\"special\":false", "\"special\":true"},
  };
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    tokenizer *t = small_from(same[i][0], same[i][1]);
    assert_int_equal(tokenizer_size(t), 261);
    check(t, "abcab", false, (int32_t[]){257, 256}, 2);
    check(t, "<|x|><tool>", true, (int32_t[]){258, 259}, 2);
    check(t, "<|x|>", false, (int32_t[]){'<', '|', 'x', '|', '>'}, 5);
    assert_int_equal(tokenizer_token_kind(t, 258), TOKENIZER_SPECIAL);
    assert_int_equal(tokenizer_token_kind(t, 259), TOKENIZER_ADDED);
    assert_int_equal(tokenizer_token_kind(t, 260), TOKENIZER_UNUSED);
    tokenizer_delete(t);
  }
  tokenizer *t = small_from("BPE", "BPE");
  check(t, "e\u0301", false, (int32_t[]){0xC3, 0xA9}, 2);
  tokenizer_delete(t);
  t = small_from("{\"type\":\"NFC\"}", "null"); /* no normalizer: as it is */
  check(t, "e\u0301", false, (int32_t[]){'e', 0xCC, 0x81}, 3);
  tokenizer_delete(t);
}

/* An added token with "normalized" is matched after NFC; the others before. */
static void json_normalized(void **state) {
  (void)state;
  tokenizer *t = small_from("\"content\":\"<tool>\",\"normalized\":false",
                            "\"content\":\"é>\",\"normalized\":true");
  check(t, "é>", false, (int32_t[]){259}, 1);
  check(t, "e\u0301>", false, (int32_t[]){259}, 1);
  check(t, "é>\u0338", false, (int32_t[]){0xC3, 0xA9, 0xE2, 0x89, 0xAF}, 5); /* é, not greater */
  assert_int_equal(tokenizer_find(t, "é>"), 259);
  tokenizer_delete(t);
  t = small_from("\"content\":\"<tool>\"", "\"content\":\"é>\"");
  check(t, "e\u0301>", false, (int32_t[]){0xC3, 0xA9, '>'}, 3);
  check(t, "é>\u0338", false, (int32_t[]){259, 0xCC, 0xB8}, 3);
  tokenizer_delete(t);
}

static void json_refuse(const char *json, size_t len, int n_vocab, const char *words) {
  char err[256] = "";
  tokenizer *t = (tokenizer *)err;
  assert_int_equal(tokenizer_new_json(&t, json, len, n_vocab, err, sizeof err), ENGINE_EFORMAT);
  assert_null(t);
  if (strstr(err, words) == NULL || strstr(err, "(at byte ") == NULL)
    fail_msg("\"%s\" does not say \"%s\" and a byte", err, words);
}

/* Each kind of bad file: test_malformed.c. */
static void bad_json(void **state) {
  (void)state;
  char *json = small_json();
  json_refuse(json, strlen(json), 0, "vocab_size");
  json_refuse(json, strlen(json), -5, "vocab_size");
  json_refuse(json, strlen(json), TOKENIZER_MAX_TOKENS + 1, "vocab_size");
  json_refuse(json, strlen(json), 259, "whole number");
  json_refuse("", 0, 261, "must be an object");
  json_refuse("[]", 2, 261, "");
  json_refuse("null", 4, 261, "");
  free(json);
}

/* Cut anywhere, and with any bytes changed: refused, or a tokenizer that still keeps its word. */
static void broken_json(void **state) {
  (void)state;
  char *json = small_json();
  size_t len = strlen(json);
  uint64_t seed = 3;
  for (size_t cut = 0; cut < len; cut += 7) {
    char *copy = malloc(cut + 1); /* exactly as long, so that a read beyond it shows */
    assert_non_null(copy);
    memcpy(copy, json, cut);
    json_refuse(copy, cut, 261, "");
    free(copy);
  }
  for (int round = 0; round < 3000; round++) {
    char *copy = malloc(len);
    tokenizer *t;
    assert_non_null(copy);
    memcpy(copy, json, len);
    for (uint32_t n = 1 + fixture_random(&seed, 3); n > 0; n--)
      copy[fixture_random(&seed, (uint32_t)len)] = (char)fixture_random(&seed, 256);
    int status = tokenizer_new_json(&t, copy, len, 261, NULL, 0);
    assert_true(status == ENGINE_OK || status == ENGINE_EFORMAT);
    if (status == ENGINE_OK) fixture_round_trip(t, "abc <|x|> \xFF\n", 13);
    tokenizer_delete(t);
    free(copy);
  }
  free(json);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_works),      cmocka_unit_test(bad_tokens),
      cmocka_unit_test(bad_merges),       cmocka_unit_test(colliding_tokens),
      cmocka_unit_test(added_tokens),     cmocka_unit_test(json_works),
      cmocka_unit_test(json_normalized),  cmocka_unit_test(bad_json),
      cmocka_unit_test(broken_json),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
