/* test_tokenizer_stages.c - the stages before merging, each against its judge: our reading of the
 * pattern against PCRE2's, our spelling of the pattern against the reference's, NFC and its
 * short cuts against utf8proc. */
#include "test_tokenizer_fixture.h"

#include <utf8proc.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "engine/tokenizer_internal.h"

static tokenizer_pattern *pattern;
static pcre2_code *reference; /* interpreted, as the reference writes it */
static pcre2_match_data *reference_match;
static tokenizer_scratch scratch;

static int set_up(void **state) {
  static const char text[] =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
      " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  (void)state;
  int code;
  PCRE2_SIZE where;
  if (tokenizer__pattern_new(&pattern, NULL, 0) != ENGINE_OK) return -1;
  reference = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED, &code, &where, NULL);
  reference_match = pcre2_match_data_create(1, NULL);
  return reference == NULL || reference_match == NULL ? -1 : 0;
}

static int tear_down(void **state) {
  (void)state;
  tokenizer__pattern_delete(pattern);
  tokenizer__scratch_free(&scratch);
  pcre2_code_free(reference);
  pcre2_match_data_free(reference_match);
  return 0;
}

/* ---- the pattern ----------------------------------------------------------------------- */

/* Cuts the text into pieces and holds every way of cutting against the others. Returns how many
 * pieces our own reading left to the pattern. */
static int check_pieces(const char *text, size_t len) {
  int left = 0;
  for (size_t at = 0, end; at < len; at = end) {
    assert_int_equal(tokenizer__split_pattern(pattern, &scratch, text, len, at, &end), ENGINE_OK);
    assert_true(end > at && end <= len);
    size_t ours = tokenizer__split_ascii(text, len, at);
    if (ours == 0) left++;
    else assert_int_equal(ours, end);
    int rc = pcre2_match(reference, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK, reference_match,
                         NULL);
    assert_int_equal(rc, 1);
    assert_int_equal(pcre2_get_ovector_pointer(reference_match)[1], end);
  }
  return left;
}

/* Every string of up to five characters, one of each kind that the pattern tells apart. */
static void every_short_string(void **state) {
  (void)state;
  static const char *const kinds[] = {"s", "L", "e", "7", " ", "\t", "\n", "\r", "'", "+", "é", "\u00a0"};
  const int n = sizeof kinds / sizeof *kinds, ascii = n - 2;
  for (int size = 1; size <= 5; size++) {
    int count = 1;
    for (int i = 0; i < size; i++) count *= n;
    for (int c = 0; c < count; c++) {
      char text[16];
      size_t len = 0;
      bool only_ascii = true;
      for (int i = 0, rest = c; i < size; i++, rest /= n) {
        const char *kind = kinds[rest % n];
        only_ascii = only_ascii && rest % n < ascii;
        memcpy(text + len, kind, strlen(kind));
        len += strlen(kind);
      }
      int left = check_pieces(text, len);
      if (only_ascii) assert_int_equal(left, 0);
    }
  }
}

/* Whole and broken contractions, every White_Space, letters, marks and digits of many scripts,
 * and what is nearly one of them. No U+180E: see mongolian_separator. */
static const char *const parts[] = {
    "a", "Zz", "int", "'s", "'S", "'t", "'Re", "'vE", "'m", "'LL", "'ll", "'d", "'", "''", "'l", "'r", "'v", "'ſ", "'ſt", "'é",
    "0", "12", "٣", "５", "²", "Ⅷ", "①", " ", "  ", "    ", "\t", "\v", "\f", "\n", "\r", "\r\n", "\n\n",
    "\xC2\x85", "\u00a0", "\u1680", "\u2000", "\u2005", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
    "\u200b", "\u2060", "\ufeff", "\x1c", "\x1f", "\x7f", "\x01", "+", "->", "//", "({", "\"", "_", "—", "…", "。", "€",
    "é", "ß", "ſ", "İ", "ǅ", "ʰ", "я", "א", "ع", "ك", "क", "ก", "日", "本語", "か", "ア", "한", "\u1112\u1161", "𝔘", "𠀀",
    "e\u0301", "\u0301", "\u0300\u0323", "\u093f", "\u20dd", "😀", "👩\u200d👧", "🇩🇪", "👍🏽", "\ue000", "\ufffd", "\U0010ffff"};

static void random_strings(void **state) {
  (void)state;
  uint64_t seed = 5;
  const uint32_t n = sizeof parts / sizeof *parts;
  for (int round = 0; round < 60000; round++) {
    char text[512];
    size_t len = 0;
    uint32_t from = fixture_random(&seed, n), few = 1 + fixture_random(&seed, n);
    for (uint32_t k = 1 + fixture_random(&seed, 24); k > 0; k--) {
      const char *part = parts[(from + fixture_random(&seed, few)) % n];
      memcpy(text + len, part, strlen(part));
      len += strlen(part);
    }
    (void)check_pieces(text, len);
  }
}

static void random_ascii(void **state) {
  (void)state;
  uint64_t seed = 6;
  for (int round = 0; round < 60000; round++) {
    char text[48];
    size_t len = 1 + fixture_random(&seed, sizeof text - 1);
    for (size_t i = 0; i < len; i++) {
      static const char common[] = "sStTrRvVeEmMlLdD'' \n\r\t  +({0x";
      text[i] = fixture_random(&seed, 2) == 0 ? common[fixture_random(&seed, sizeof common - 1)]
                                              : (char)fixture_random(&seed, 128);
    }
    assert_int_equal(check_pieces(text, len), 0);
  }
}

/* PCRE2 counts U+180E as a space; Unicode, and so the reference, has not since 6.3. */
static void mongolian_separator(void **state) {
  (void)state;
  static const char text[] = " \u180e+ x"; /* " \u180e+", " x" */
  size_t end;
  assert_int_equal(tokenizer__split_pattern(pattern, &scratch, text, 7, 0, &end), ENGINE_OK);
  assert_int_equal(end, 5);
}

/* ---- NFC ------------------------------------------------------------------------------- */

static void check_nfc(const char *text, size_t len) {
  utf8proc_uint8_t *want;
  char *made;
  size_t n;
  bool settled;
  utf8proc_ssize_t want_len = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len,
                                           &want, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  assert_true(want_len >= 0);
  assert_int_equal(tokenizer__utf8_span(text, len, &settled), len);
  assert_int_equal(tokenizer__nfc(&scratch, text, len, &made, &n), ENGINE_OK);
  if (made == NULL) {
    assert_int_equal(want_len, len);
    assert_memory_equal(want, text, len);
  } else {
    assert_false(settled);
    assert_int_equal(want_len, n);
    assert_memory_equal(want, made, n);
  }
  free(want);
  free(made);
}

static size_t put(char *out, int32_t c) {
  return (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)out);
}

static bool is_character(int32_t c) { return c < 0xD800 || c > 0xDFFF; }

static void nfc_of_every_character(void **state) {
  (void)state;
  for (int32_t c = 0; c < 0x110000; c++) {
    char text[32];
    size_t n = 0;
    if (!is_character(c)) continue;
    n += put(text + n, c);
    n += put(text + n, 0x301);
    n += put(text + n, c);
    check_nfc(text, n);
  }
}

/* A character that utf8_span calls settled has class 0, is its own NFC, and is never what a
 * character before it composes with: not the last of any decomposition, not a Hangul vowel or
 * final consonant. */
static void settled_characters(void **state) {
  (void)state;
  uint8_t *composes = calloc(0x110000, 1);
  int32_t full[32];
  int boundary = 0, count = 0;
  assert_non_null(composes);
  for (int32_t c = 0; c < 0x110000; c++) {
    utf8proc_ssize_t n =
        utf8proc_decompose_char(c, full, 32, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &boundary);
    assert_true(n >= 0 && n <= 32);
    if (n > 1) composes[full[n - 1]] = 1;
  }
  for (int32_t c = 0x1161; c <= 0x11C2; c++) composes[c] = 1;
  for (int32_t c = 0; c < 0x110000; c++) {
    char text[4];
    bool settled;
    if (!is_character(c)) continue;
    size_t len = put(text, c);
    assert_int_equal(tokenizer__utf8_span(text, len, &settled), len);
    if (!settled) continue;
    count++;
    assert_int_equal(utf8proc_get_property(c)->combining_class, 0);
    assert_false(composes[c]);
    utf8proc_uint8_t *nfc;
    assert_int_equal(utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &nfc,
                                  UTF8PROC_STABLE | UTF8PROC_COMPOSE), len);
    assert_memory_equal(nfc, text, len);
    free(nfc);
  }
  assert_true(count > 40000); /* ideographs and Hangul at least */
  free(composes);
}

static void nfc_of_random_strings(void **state) {
  (void)state;
  static const int32_t points[] = {
      'a', 'e', 'o', 'S', 'q', '\n', ' ', '=', '>', 0xE9, 0x1E0B, 0x300, 0x301, 0x307, 0x308, 0x323, 0x327, 0x338, 0x345, 0x344,
      0x3B1, 0x1F00, 0x1F82, 0x390, 0x5D0, 0x5B0, 0x5B8, 0x5BC, 0xFB2C, 0x64B, 0x651, 0x915, 0x93C, 0x958, 0x1100, 0x1161, 0x11A8,
      0xAC00, 0xAC01, 0x304B, 0x3099, 0x212B, 0x2126, 0xF900, 0x2F800, 0x1D15E, 0x1D165, 0x110BA, 0x11099, 0x4E00, 0x1F600, 0xFEFF};
  uint64_t seed = 9;
  for (int round = 0; round < 60000; round++) {
    char text[400];
    size_t len = 0;
    uint32_t n = 1 + fixture_random(&seed, round % 50 == 0 ? 90 : 12);
    for (uint32_t i = 0; i < n; i++)
      len += put(text + len, points[fixture_random(&seed, sizeof points / sizeof *points)]);
    check_nfc(text, len);
  }
  for (int round = 0; round < 200; round++) { /* long runs of marks */
    char text[400];
    size_t len = put(text, 'o');
    for (int i = 0; i < 90; i++) len += put(text + len, 0x300 + (int32_t)fixture_random(&seed, 0x4F));
    check_nfc(text, len);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_short_string),     cmocka_unit_test(random_strings),
      cmocka_unit_test(random_ascii),           cmocka_unit_test(mongolian_separator),
      cmocka_unit_test(nfc_of_every_character), cmocka_unit_test(settled_characters),
      cmocka_unit_test(nfc_of_random_strings),
  };
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
