/* fuzz_json.c - both strict JSON readers on the same bytes. What one takes the other takes, but
 * for the limits that each has; and what was read is the same when written and read again. */
#include <math.h>

#include "engine/json.h"
#include "fuzz.h"
#include "lsp/json.h"
#include "lsp/rpc.h"
#include "lsp/utf8.h"

FUZZ_RUNS(60000);

static void write_value(lsp__buffer *b, const cJSON *item) {
  if (cJSON_IsObject(item) || cJSON_IsArray(item)) {
    char bracket = cJSON_IsObject(item) ? '{' : '[';
    lsp__json_begin(b, bracket);
    for (const cJSON *i = item->child; i; i = i->next) {
      if (bracket == '{') lsp__json_key(b, i->string);
      write_value(b, i);
    }
    lsp__json_end(b, bracket == '{' ? '}' : ']');
  } else if (cJSON_IsString(item)) {
    lsp__json_string(b, item->valuestring);
  } else if (cJSON_IsNumber(item)) {
    lsp__json_double(b, item->valuedouble);
  } else if (cJSON_IsBool(item)) {
    lsp__json_bool(b, cJSON_IsTrue(item));
  } else {
    lsp__json_null(b);
  }
}

/* We write six digits of a number. */
static bool near(double a, double b) { return fabs(a - b) <= fabs(a) * 1e-5 || fabs(a) < 1e-300; }

/* In this order, twice the same key included, which cJSON_Compare would not see. */
static bool same(const cJSON *a, const cJSON *b) {
  if ((a->type & 0xFF) != (b->type & 0xFF)) return false;
  if (cJSON_IsString(a) && strcmp(a->valuestring, b->valuestring) != 0) return false;
  if (cJSON_IsNumber(a) && !near(a->valuedouble, b->valuedouble)) return false;
  const cJSON *x = a->child, *y = b->child;
  for (; x && y; x = x->next, y = y->next)
    if ((x->string && strcmp(x->string, y->string) != 0) || !same(x, y)) return false;
  return !x && !y;
}

static void check_written(const cJSON *tree) {
  lsp__buffer b = {0};
  cJSON *back;
  const char *why;
  size_t where;
  write_value(&b, tree);
  FUZZ_ASSERT(!b.failed);
  int status = lsp__json_parse(b.data, b.len, &back, &why, &where);
  FUZZ_CHECK(status == LSP__OK, "%s at byte %zu", why, where);
  FUZZ_ASSERT(same(tree, back));
  cJSON_Delete(back);
  lsp__buffer_free(&b);
}

/* Whether one of our limits, and not the grammar, may part the two readers. */
static bool near_limits(const char *text, size_t len) {
  size_t depth = 0, deepest = 0, run = 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] == '[' || text[i] == '{') depth++;
    if ((text[i] == ']' || text[i] == '}') && depth > 0) depth--;
    if (depth > deepest) deepest = depth;
    run = memchr("+-.0123456789eE", text[i], 15) ? run + 1 : 0;
    if (run > 300 || (text[i] == '\\' && i + 1 < len && text[i + 1] == 'u')) return true;
  }
  return deepest > 60;
}

/* A read number is a finite double for one and text for the other. */
static bool has_exponent(const char *text, size_t len) {
  return memchr(text, 'e', len) || memchr(text, 'E', len);
}

static bool engine_reads(const char *text, size_t len) {
  bytes b;
  char err[256] = "";
  bytes_init(&b, text, len, "input", err, sizeof err);
  json_skip(&b);
  json_end(&b);
  FUZZ_ASSERT(b.failed == (err[0] != '\0'));
  FUZZ_ASSERT(b.at <= len);
  return !b.failed;
}

/* A string through the engine's decoder is what lsp/ makes of it. */
static void check_string(const char *text, size_t len, const cJSON *tree) {
  static char out[1 << 16];
  char err[256];
  bytes b;
  bytes_init(&b, text, len, "input", err, sizeof err);
  size_t n = json_string(&b, "it", out, sizeof out);
  if (!b.failed && n == strlen(out))
    FUZZ_CHECK(strcmp(out, tree->valuestring) == 0, "%s, %s", out, tree->valuestring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cJSON *tree;
  const char *why = NULL;
  size_t where;
  char *text = fuzz_copy(data, size);
  int status = lsp__json_parse(text, size, &tree, &why, &where);
  FUZZ_CHECK(status == LSP__OK || status == LSP__EINVAL || status == LSP__ELIMIT, "%d: %s",
             status, why);
  FUZZ_ASSERT((tree != NULL) == (status == LSP__OK));
  bool engine = engine_reads(text, size);
  if (lsp__utf8_check(text, size) == size && !near_limits(text, size)) {
    if (status == LSP__OK) FUZZ_ASSERT(engine);
    if (engine && !has_exponent(text, size)) FUZZ_CHECK(status == LSP__OK, "%s at %zu", why, where);
  }
  if (tree) {
    lsp__message m;
    lsp__message_read(tree, &m);
    check_written(tree);
    if (cJSON_IsString(tree)) check_string(text, size, tree);
    size_t len;
    const char *taken = lsp__json_take_text(tree, &len);
    if (taken) FUZZ_ASSERT(len <= size);
  }
  cJSON_Delete(tree);
  free(text);
  return 0;
}
