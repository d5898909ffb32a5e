/* fuzz_tokenizer.c - the embedded model's tokenizer on arbitrary bytes. The tokens' texts, one
 * after the other, are the bytes again; but the tokenizer has NFC, so what comes back is the NFC
 * form, as utf8proc itself makes it, of what went in. */
#include <utf8proc.h>

#include "engine/model.h"
#include "fuzz.h"

FUZZ_RUNS(2500);

typedef struct text {
  char *s;
  size_t len;
} text;

static void append(text *t, const void *s, size_t len) {
  if (len == 0) return;
  t->s = realloc(t->s, t->len + len);
  FUZZ_ASSERT(t->s);
  memcpy(t->s + t->len, s, len);
  t->len += len;
}

static void append_nfc(text *t, const char *s, size_t len) {
  if (len == 0) return;
  utf8proc_uint8_t *out;
  utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &out,
                                    UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  FUZZ_ASSERT(n >= 0);
  append(t, out, (size_t)n);
  free(out);
}

/* Runs of UTF-8 are normalised, other bytes stay. */
static text normal(const char *s, size_t len) {
  text out = {0};
  size_t from = 0;
  for (size_t at = 0; at < len;) {
    utf8proc_int32_t point;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s + at,
                                          (utf8proc_ssize_t)(len - at), &point);
    if (n > 0) {
      at += (size_t)n;
      continue;
    }
    append_nfc(&out, s + from, at - from);
    append(&out, s + at++, 1);
    from = at;
  }
  if (from < len) append_nfc(&out, s + from, len - from);
  return out;
}

static text decode(const tokenizer *t, const engine_tokens *ids) {
  text out = {0};
  for (int i = 0; i < ids->n; i++) {
    size_t n;
    const char *s = tokenizer_text(t, ids->ids[i], &n);
    FUZZ_ASSERT(ids->ids[i] >= 0 && ids->ids[i] < tokenizer_size(t));
    append(&out, s, n);
  }
  return out;
}

static bool same(text a, text b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.s, b.s, a.len) == 0);
}

static void check(const tokenizer *t, const char *s, size_t len, bool special) {
  engine_tokens ids = {0};
  FUZZ_ASSERT(tokenizer_encode(t, s, len, special, &ids) == 0);
  FUZZ_ASSERT((size_t)ids.n <= len * 3);
  text back = decode(t, &ids), want = normal(s, len);
  if (special) { /* a name cuts the text in two, which may keep a mark from its letter */
    text whole = normal(back.s, back.len);
    free(back.s);
    back = whole;
  }
  FUZZ_CHECK(same(back, want), "%zu bytes come back as %zu, not %zu", len, back.len, want.len);
  free(back.s);
  free(want.s);
  engine_tokens_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static model *m;
  char err[256];
  if (!m) FUZZ_CHECK(model_open(&m, NULL, err, sizeof err) == 0, "%s", err);
  char *s = fuzz_copy(data, size);
  check(m->tokenizer, s, size, false);
  check(m->tokenizer, s, size, true);
  free(s);
  return 0;
}
