/* tokenizer_pretokenize.c - cuts text into the pieces that are merged on their own.
 *
 * The pieces are the matches of Qwen2's pattern, which cover every text without a gap. PCRE2
 * is the judge; but source code is nearly all ASCII, where our own reading of the pattern is
 * many times as fast as a call of a regular expression engine per four bytes. It answers only
 * where no byte that it looked at belongs to a character beyond ASCII. The tests hold the two
 * together on random strings. */
#include "engine/tokenizer_internal.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* ---- our own reading, for ASCII -------------------------------------------------------- */

enum { OTHER, LETTER, DIGIT, SPACE, NEWLINE, BEYOND };

static const uint8_t class_of[256] = {
    ['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER, ['0' ... '9'] = DIGIT,
    ['\t'] = SPACE,         ['\v'] = SPACE,         ['\f'] = SPACE,
    [' '] = SPACE,          ['\n'] = NEWLINE,       ['\r'] = NEWLINE,
    [0x80 ... 0xFF] = BEYOND,
};

static size_t skip(const uint8_t *s, size_t len, size_t i, int class) {
  while (i < len && class_of[s[i]] == class) i++;
  return i;
}

/* i, or 0 if a character beyond ASCII stands there: it might belong to the piece. */
static size_t unless_beyond(const uint8_t *s, size_t len, size_t i) {
  return i < len && s[i] >= 0x80 ? 0 : i;
}

/* 's 't 're 've 'm 'll 'd, in either case: the length after the apostrophe, or 0. */
static size_t contraction(const uint8_t *s, size_t left) {
  int a = left > 0 ? s[0] | 0x20 : 0, b = left > 1 ? s[1] | 0x20 : 0;
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 1;
  if (((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l')) return 2;
  return 0;
}

static size_t split_space(const uint8_t *s, size_t len, size_t at) {
  size_t i = at, after_newline = 0;
  for (; i < len; i++) {
    int class = class_of[s[i]];
    if (class == NEWLINE) after_newline = i + 1;
    else if (class != SPACE) break;
  }
  if (i < len && s[i] >= 0x80) return 0;
  if (after_newline != 0) return after_newline; /* \s*[\r\n]+ */
  /* \s+(?!\S): all of it at the end of the text, else all but the last; \s+ where that is
   * nothing. */
  return i == len || i == at + 1 ? i : i - 1;
}

size_t tokenizer__split_ascii(const char *text, size_t len, size_t at) {
  const uint8_t *s = (const uint8_t *)text;
  size_t next = at + 1;
  int class = class_of[s[at]];
  if (class == LETTER) return unless_beyond(s, len, skip(s, len, next, LETTER));
  if (class == DIGIT) return next;
  if (class == BEYOND) return 0;
  if (class == NEWLINE) return split_space(s, len, at);
  if (next == len) return len;
  if (s[at] == '\'') {
    if (s[next] >= 0x80) return 0; /* U+017F is an s to the pattern */
    size_t n = contraction(s + next, len - next);
    if (n > 0) return next + n;
  }
  int after = class_of[s[next]];
  if (after == BEYOND) return 0;
  if (after == LETTER) return unless_beyond(s, len, skip(s, len, next + 1, LETTER));
  if (class == SPACE && !(s[at] == ' ' && after == OTHER)) return split_space(s, len, at);
  size_t end = skip(s, len, next, OTHER);
  if (unless_beyond(s, len, end) == 0) return 0;
  return skip(s, len, end, NEWLINE);
}

/* ---- the pattern ----------------------------------------------------------------------- */

/* The reference's \s is Unicode's White_Space. PCRE2's would have U+180E too, which lost that
 * property in Unicode 6.3, so the characters are named. */
#define S "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}" \
          "\\x{202f}\\x{205f}\\x{3000}"

/* Possessive wherever giving back could not lead to another match, so that a megabyte of one
 * class takes no stack and no second look. */
static const char pattern_text[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}|"
    " ?+[^" S "\\p{L}\\p{N}]++[\\r\\n]*+|[" S "]*[\\r\\n]++|[" S "]+(?![^" S "])|[" S "]++";

struct tokenizer_pattern {
  pcre2_code *code;
};

int tokenizer__pattern_new(tokenizer_pattern **out, char *err, size_t errlen) {
  int code;
  PCRE2_SIZE where;
  tokenizer_pattern *p = calloc(1, sizeof *p);
  if (p == NULL) return tokenizer__fail(ENGINE_ENOMEM, err, errlen, "out of memory");
  p->code = pcre2_compile((PCRE2_SPTR)pattern_text, sizeof pattern_text - 1,
                          PCRE2_UTF | PCRE2_ANCHORED, &code, &where, NULL);
  if (p->code == NULL) {
    free(p);
    return tokenizer__fail(code == PCRE2_ERROR_HEAP_FAILED ? ENGINE_ENOMEM : ENGINE_EINVAL, err,
                           errlen, "the pre-tokenizer's pattern does not compile (PCRE2 error "
                           "%d): PCRE2 needs Unicode support", code);
  }
  (void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* without it pcre2_match interprets */
  *out = p;
  return ENGINE_OK;
}

void tokenizer__pattern_delete(tokenizer_pattern *pattern) {
  if (pattern == NULL) return;
  pcre2_code_free(pattern->code);
  free(pattern);
}

int tokenizer__split_pattern(const tokenizer_pattern *pattern, tokenizer_scratch *scratch,
                             const char *text, size_t len, size_t at, size_t *end) {
  if (scratch->match == NULL) {
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    if (match == NULL || context == NULL) {
      pcre2_match_data_free(match);
      pcre2_match_context_free(context);
      return ENGINE_ENOMEM;
    }
    /* The default limits stop runaway patterns; this one is linear, and a text may be long. */
    pcre2_set_match_limit(context, UINT32_MAX);
    pcre2_set_depth_limit(context, UINT32_MAX);
    pcre2_set_heap_limit(context, UINT32_MAX);
    scratch->match = match;
    scratch->context = context;
  }
  PCRE2_SPTR subject = (PCRE2_SPTR)text;
  int rc = pcre2_match(pattern->code, subject, len, at, PCRE2_NO_UTF_CHECK, scratch->match,
                       scratch->context);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
    rc = pcre2_match(pattern->code, subject, len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                     scratch->match, scratch->context);
  if (rc == PCRE2_ERROR_NOMEMORY || rc == PCRE2_ERROR_HEAPLIMIT) return ENGINE_ENOMEM;
  if (rc < 0) return ENGINE_EINVAL; /* the pattern matches at every character */
  *end = pcre2_get_ovector_pointer(scratch->match)[1];
  if (*end <= at) return ENGINE_EINVAL;
  return ENGINE_OK;
}
