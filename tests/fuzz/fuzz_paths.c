/* fuzz_paths.c - a stranger's ignore rules and URIs. The parts of an input, each ended by a zero
 * byte: rules of the top folder, rules of a folder in it, then paths and URIs. */
#include "completion/completion.h"
#include "completion/ignore.h"
#include "fuzz.h"
#include "lsp/uri.h"

FUZZ_RUNS(6000);

static void check_uri(const char *text) {
  char *path = lsp__uri_to_path(text);
  if (path) FUZZ_ASSERT(path[0] == '/' && strlen(path) <= strlen(text));
  free(path);
}

/* The escape that every byte has comes back as that byte. */
static void check_escaped(const char *path, size_t len) {
  char *uri = malloc(len * 3 + 16), *o = uri + sprintf(uri, "file:///");
  for (size_t i = 0; i < len; i++) o += sprintf(o, "%%%02X", (unsigned char)path[i]);
  char *back = lsp__uri_to_path(uri);
  FUZZ_ASSERT(back && strlen(back) == len + 1 && memcmp(back + 1, path, len) == 0);
  free(back);
  free(uri);
}

/* Every other rule list says the same when it is asked a second time, and when those above it were
 * taken off and put on again. */
static void check_path(completion__ignore *g, const char *path, size_t len) {
  bool before[2], spent = completion__ignore_spent(g);
  for (int folder = 0; folder < 2; folder++)
    before[folder] = completion__ignore_matches(g, path, len, folder);
  for (int folder = 0; folder < 2; folder++) {
    bool again = completion__ignore_matches(g, path, len, folder);
    if (!spent && !completion__ignore_spent(g)) FUZZ_ASSERT(again == before[folder]);
  }
  if (spent) FUZZ_ASSERT(before[0] && before[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  completion__ignore g = {0};
  size_t base[2] = {0, 4}; /* "sub/" */
  for (int i = 0; i < 2; i++) {
    size_t len;
    const char *text = fuzz_part(&in, &len);
    char *copy = fuzz_copy(text, len);
    int status = completion__ignore_add(&g, base[i], completion__slice_of(copy, len));
    FUZZ_ASSERT(status == 0 || status == COMPLETION_EINVAL);
    free(copy);
  }
  size_t lists = g.n;
  for (int i = 0; i < 16 && in.left > 0; i++) {
    size_t len;
    const char *text = fuzz_part(&in, &len);
    char *path = fuzz_string(text, len);
    completion__ignore_pop(&g, lists);
    if (len > 0 && strncmp(path, "sub/", 4) == 0) check_path(&g, path, len);
    if (len > 0 && lists > 0) {
      completion__ignore top = {0};
      size_t n;
      fuzz_input rules = {data, size};
      const char *s = fuzz_part(&rules, &n);
      if (completion__ignore_add(&top, 0, completion__slice_of(s, n)) == 0)
        check_path(&top, path, len);
      completion__ignore_free(&top);
    }
    (void)completion__is_secret(path);
    (void)completion_is_rules(path);
    check_uri(path);
    check_escaped(path, len);
    free(path);
  }
  completion__ignore_free(&g);
  return 0;
}
