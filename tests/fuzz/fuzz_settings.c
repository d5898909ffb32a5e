/* fuzz_settings.c - what a client calls settings: bounds are kept whatever it says, and the
 * settings as we write them, read again, are the same settings. */
#include "fuzz.h"
#include "lsp/json.h"
#include "lsp/settings.h"

FUZZ_RUNS(20000);

static void hear(void *user, const char *text) {
  FUZZ_ASSERT(text[0] != '\0');
  ++*(int *)user;
}

static void check_bounds(const lsp__settings *s) {
  const completion_options *o = &s->completion;
  FUZZ_ASSERT(o->max_tokens >= 0 && o->max_tokens <= 1024);
  FUZZ_ASSERT(o->max_lines >= 0 && o->max_lines <= 200);
  FUZZ_ASSERT(o->prompt_tokens >= 0 && o->prompt_tokens <= 131072);
  FUZZ_ASSERT(o->temperature >= 0 && o->temperature <= 2);
  FUZZ_ASSERT(o->top_p >= 0 && o->top_p <= 1);
  FUZZ_ASSERT(o->confidence >= 0 && o->confidence <= 1);
  FUZZ_ASSERT(s->candidates >= 1 && s->candidates <= COMPLETION_CANDIDATES_MAX);
  FUZZ_ASSERT(s->debounce >= 0 && s->debounce <= 2000);
  FUZZ_ASSERT(lsp__minutes_to_ms(s->unload_after) >= 0);
  FUZZ_ASSERT(s->language_count >= 0 && s->language_count <= LSP__LANGUAGES_MAX);
  FUZZ_ASSERT(o->draft.w >= 0 && o->draft.n >= 0 && o->draft.g >= 0 && o->draft.most >= 0);
}

static void write_all(const lsp__settings *s, lsp__buffer *b) {
  lsp__settings_write(s, b);
  FUZZ_ASSERT(!b->failed);
}

static cJSON *parse(const char *text, size_t len) {
  cJSON *tree;
  const char *why;
  size_t where;
  return lsp__json_parse(text, len, &tree, &why, &where) == LSP__OK ? tree : NULL;
}

/* The first part is one object, the second is applied on top of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  completion_options start = {0};
  lsp__settings s, again;
  lsp__buffer first = {0}, second = {0};
  int heard = 0;
  completion_fill_options(&start);
  lsp__settings_init(&s, &start);
  for (int i = 0; i < 2; i++) {
    size_t len;
    const char *text = fuzz_part(&in, &len);
    cJSON *tree = parse(text, len);
    lsp__settings_apply(&s, tree, hear, &heard);
    cJSON_Delete(tree);
    check_bounds(&s);
  }
  write_all(&s, &first);
  cJSON *tree = parse(first.data, first.len);
  FUZZ_ASSERT(tree);
  lsp__settings_init(&again, &start);
  heard = 0;
  lsp__settings_apply(&again, tree, hear, &heard);
  write_all(&again, &second);
  bool same = first.len == second.len && memcmp(first.data, second.data, first.len) == 0;
  FUZZ_CHECK(heard == 0 && same, "%d complaints\n%s\n%s", heard, first.data, second.data);
  (void)lsp__settings_language_on(&s, "c");
  (void)lsp__settings_reads_workspace(&s);
  cJSON_Delete(tree);
  lsp__buffer_free(&first);
  lsp__buffer_free(&second);
  return 0;
}
