/* fuzz_tokenizer_json.c - a stranger's tokenizer.json. What is taken can be used: every text that
 * is encoded consists of its tokens, and they give the text back where no NFC stands between. */
#include "engine/tokenizer.h"
#include "fuzz.h"

FUZZ_RUNS(8000);

static void use(const tokenizer *t) {
  static const char sample[] = "int main(void) { return 0; } \t\r\n <|fim_prefix|>\xff\x80 in int";
  for (int special = 0; special < 2; special++) {
    engine_tokens ids = {0};
    size_t at = 0, len = sizeof sample - 1;
    FUZZ_ASSERT(tokenizer_encode(t, sample, len, special, &ids) == 0);
    for (int i = 0; i < ids.n; i++) {
      size_t n;
      const char *s = tokenizer_text(t, ids.ids[i], &n);
      FUZZ_CHECK(n <= len - at && memcmp(s, sample + at, n) == 0, "token %d at byte %zu",
                 ids.ids[i], at);
      at += n;
    }
    FUZZ_CHECK(at == len, "%zu of %zu bytes come back", at, len);
    engine_tokens_free(&ids);
  }
  for (int i = -1; i <= tokenizer_size(t); i++) {
    size_t n;
    const char *s = tokenizer_text(t, i, &n);
    FUZZ_ASSERT(s[n] == '\0');
    if (tokenizer_token_kind(t, i) != TOKENIZER_UNUSED && n > 0 && strlen(s) == n)
      FUZZ_ASSERT(tokenizer_find(t, s) >= 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  tokenizer *t = NULL;
  char err[256] = "";
  char *text = fuzz_copy(data, size);
  int status = tokenizer_new_json(&t, text, size, 400, err, sizeof err);
  FUZZ_ASSERT((status == 0) == (t != NULL));
  FUZZ_CHECK(status == 0 || err[0] != '\0', "status %d has no words", status);
  if (t) use(t);
  tokenizer_delete(t);
  free(text);
  return 0;
}
