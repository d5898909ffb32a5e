/* tokenizer_json.c - a tokenizer from a Hugging Face tokenizer.json.
 *
 * The file describes a pipeline of normalizer, pre-tokenizer and model in general terms; what
 * is written there must be what Qwen2 does, or the ids would silently be wrong, so anything
 * else is refused by name. Merges are "a b" or, since 2024, ["a", "b"]. */
#include "engine/tokenizer_internal.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

static const char qwen2_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

typedef struct reader {
  tokenizer_string *tokens; /* [n] owned; the strings are the JSON tree's */
  uint8_t *kinds;           /* [n] owned */
  uint8_t *normalized;      /* [n] owned */
  tokenizer_string (*merges)[2]; /* [n_merges] owned */
  int n, n_merges;
  char *err;
  size_t errlen;
} reader;

#define FAIL(r, ...) tokenizer__fail(ENGINE_EFORMAT, (r)->err, (r)->errlen, __VA_ARGS__)

static const cJSON *get(const cJSON *object, const char *key) {
  return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool is_text(const cJSON *object, const char *key, const char *text) {
  const cJSON *item = get(object, key);
  return cJSON_IsString(item) && strcmp(item->valuestring, text) == 0;
}

static bool is_true(const cJSON *object, const char *key) {
  return cJSON_IsTrue(get(object, key));
}

/* Absent, null, false or "": the setting is not used. */
static bool is_off(const cJSON *object, const char *key) {
  const cJSON *item = get(object, key);
  return item == NULL || cJSON_IsNull(item) || cJSON_IsFalse(item) || is_text(object, key, "");
}

static tokenizer_string string_of(const char *s) { return (tokenizer_string){s, strlen(s)}; }

/* ---- the pipeline ---------------------------------------------------------------------- */

static int read_normalizer(reader *r, const cJSON *root, bool *nfc) {
  const cJSON *normalizer = get(root, "normalizer");
  *nfc = normalizer != NULL && !cJSON_IsNull(normalizer);
  if (*nfc && !is_text(normalizer, "type", "NFC")) return FAIL(r, "normalizer: not NFC");
  return ENGINE_OK;
}

static int check_pre_tokenizer(reader *r, const cJSON *root) {
  const cJSON *sequence = get(root, "pre_tokenizer"), *steps = get(sequence, "pretokenizers");
  if (!is_text(sequence, "type", "Sequence") || !cJSON_IsArray(steps) ||
      cJSON_GetArraySize(steps) != 2)
    return FAIL(r, "pre_tokenizer: not Qwen2's (a Sequence of Split and ByteLevel)");
  const cJSON *split = steps->child, *bytes = split->next;
  if (!is_text(split, "type", "Split") || !is_text(split, "behavior", "Isolated") ||
      is_true(split, "invert"))
    return FAIL(r, "pre_tokenizer: its first step is not an isolating Split");
  if (!is_text(get(split, "pattern"), "Regex", qwen2_pattern))
    return FAIL(r, "pre_tokenizer: its pattern is not Qwen2's");
  if (!is_text(bytes, "type", "ByteLevel") || is_true(bytes, "add_prefix_space") ||
      !cJSON_IsFalse(get(bytes, "use_regex")))
    return FAIL(r, "pre_tokenizer: its second step is not a plain ByteLevel");
  return ENGINE_OK;
}

static int check_model(reader *r, const cJSON *model) {
  static const char *const off[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                    "end_of_word_suffix", "byte_fallback", "ignore_merges"};
  if (!is_text(model, "type", "BPE")) return FAIL(r, "model: its type is not BPE");
  for (size_t i = 0; i < sizeof off / sizeof *off; i++)
    if (!is_off(model, off[i])) return FAIL(r, "model: %s is not supported", off[i]);
  return ENGINE_OK;
}

/* ---- the vocabulary -------------------------------------------------------------------- */

static int read_id(reader *r, const cJSON *item, const char *what, int *id) {
  if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || !(item->valuedouble < r->n) ||
      item->valuedouble != (double)(int)item->valuedouble)
    return FAIL(r, "%s: an id that is not a whole number from 0 to %d", what, r->n - 1);
  *id = (int)item->valuedouble;
  return ENGINE_OK;
}

static int read_vocab(reader *r, const cJSON *vocab) {
  if (!cJSON_IsObject(vocab)) return FAIL(r, "model: no vocab");
  for (const cJSON *item = vocab->child; item != NULL; item = item->next) {
    int id;
    int status = read_id(r, item, "vocab", &id);
    if (status != ENGINE_OK) return status;
    if (r->kinds[id] != TOKENIZER_UNUSED) return FAIL(r, "vocab: two tokens have the id %d", id);
    r->tokens[id] = string_of(item->string);
    r->kinds[id] = TOKENIZER_NORMAL;
  }
  return ENGINE_OK;
}

static int read_added(reader *r, const cJSON *added) {
  static const char *const off[] = {"single_word", "lstrip", "rstrip"};
  if (added != NULL && !cJSON_IsArray(added)) return FAIL(r, "added_tokens: not an array");
  const cJSON *item = added == NULL ? NULL : added->child;
  for (; item != NULL; item = item->next) {
    int id;
    int status = read_id(r, get(item, "id"), "added_tokens", &id);
    if (status != ENGINE_OK) return status;
    const cJSON *content = get(item, "content");
    if (!cJSON_IsString(content)) return FAIL(r, "added_tokens: token %d has no content", id);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
      if (!is_off(item, off[i]))
        return FAIL(r, "added_tokens: token %d: %s is not supported", id, off[i]);
    tokenizer_string text = string_of(content->valuestring);
    bool same = r->kinds[id] == TOKENIZER_NORMAL && r->tokens[id].len == text.len &&
                memcmp(r->tokens[id].data, text.data, text.len) == 0;
    if (r->kinds[id] != TOKENIZER_UNUSED && !same)
      return FAIL(r, "added_tokens: another token has the id %d", id);
    r->tokens[id] = text;
    r->kinds[id] = is_true(item, "special") ? TOKENIZER_SPECIAL : TOKENIZER_ADDED;
    r->normalized[id] = is_true(item, "normalized");
  }
  return ENGINE_OK;
}

/* "a b" or ["a", "b"] */
static bool read_merge(const cJSON *item, tokenizer_string merge[2]) {
  if (cJSON_IsString(item)) {
    const char *space = strchr(item->valuestring, ' ');
    if (space == NULL || strchr(space + 1, ' ') != NULL) return false;
    merge[0] = (tokenizer_string){item->valuestring, (size_t)(space - item->valuestring)};
    merge[1] = string_of(space + 1);
    return true;
  }
  if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2) return false;
  const cJSON *left = item->child, *right = left->next;
  if (!cJSON_IsString(left) || !cJSON_IsString(right)) return false;
  merge[0] = string_of(left->valuestring);
  merge[1] = string_of(right->valuestring);
  return true;
}

static int read_merges(reader *r, const cJSON *merges) {
  if (!cJSON_IsArray(merges)) return FAIL(r, "model: no merges");
  size_t n = 0;
  for (const cJSON *item = merges->child; item != NULL; item = item->next) n++;
  if (n > TOKENIZER_MAX_MERGES)
    return FAIL(r, "merges: more than %d of them", TOKENIZER_MAX_MERGES);
  r->merges = calloc(n + 1, sizeof *r->merges);
  if (r->merges == NULL)
    return tokenizer__fail(ENGINE_ENOMEM, r->err, r->errlen, "out of memory");
  for (const cJSON *item = merges->child; item != NULL; item = item->next, r->n_merges++)
    if (!read_merge(item, r->merges[r->n_merges]))
      return FAIL(r, "merges: merge %d is not a pair of pieces", r->n_merges);
  return ENGINE_OK;
}

/* ---- all of it ------------------------------------------------------------------------- */

static int read_all(reader *r, const cJSON *root, bool *nfc) {
  const cJSON *model = get(root, "model");
  size_t n = (size_t)r->n;
  r->tokens = calloc(n, sizeof *r->tokens);
  r->kinds = calloc(n, 1);
  r->normalized = calloc(n, 1);
  if (r->tokens == NULL || r->kinds == NULL || r->normalized == NULL)
    return tokenizer__fail(ENGINE_ENOMEM, r->err, r->errlen, "out of memory");
  int status = read_normalizer(r, root, nfc);
  if (status == ENGINE_OK) status = check_pre_tokenizer(r, root);
  if (status == ENGINE_OK) status = check_model(r, model);
  if (status == ENGINE_OK) status = read_vocab(r, get(model, "vocab"));
  if (status == ENGINE_OK) status = read_added(r, get(root, "added_tokens"));
  if (status == ENGINE_OK) status = read_merges(r, get(model, "merges"));
  return status;
}

int tokenizer_new_json(tokenizer **out, const char *json, size_t len, int n_vocab, char *err,
                       size_t errlen) {
  *out = NULL;
  if (n_vocab < 1 || n_vocab > TOKENIZER_MAX_TOKENS)
    return tokenizer__fail(ENGINE_EFORMAT, err, errlen, "vocab_size is %d; 1 to %d can be",
                           n_vocab, TOKENIZER_MAX_TOKENS);
  const char *end = NULL;
  cJSON *root = cJSON_ParseWithLengthOpts(json, len, &end, false);
  if (root == NULL)
    return tokenizer__fail(ENGINE_EFORMAT, err, errlen, "not JSON, or memory ran out (at byte "
                           "%zu)", end == NULL ? (size_t)0 : (size_t)(end - json));
  reader r = {.n = n_vocab, .err = err, .errlen = errlen};
  tokenizer_traits traits = {0};
  int status = read_all(&r, root, &traits.nfc);
  if (status == ENGINE_OK) {
    tokenizer_vocab vocab = {r.n, r.tokens, r.kinds, r.n_merges,
                             (const tokenizer_string(*)[2])r.merges};
    traits.normalized = r.normalized;
    status = tokenizer__build(out, &vocab, &traits, err, errlen);
  }
  free(r.tokens);
  free(r.kinds);
  free(r.normalized);
  free(r.merges);
  cJSON_Delete(root);
  return status;
}
