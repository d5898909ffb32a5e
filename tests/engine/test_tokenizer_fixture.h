/* test_tokenizer_fixture.h - what the tokenizer's test programs share: files, the vocabulary of
 * tests/data/tokenizer.json in both forms, ids as an array, random numbers. */
#ifndef FIMD_TEST_TOKENIZER_FIXTURE_H
#define FIMD_TEST_TOKENIZER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "engine/tokenizer.h"

#define FIXTURE_N_VOCAB 16384

/* The whole file, terminated; owned by the caller. */
static inline char *fixture_read(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  assert_int_equal(fseek(f, 0, SEEK_END), 0);
  long size = ftell(f);
  assert_true(size >= 0);
  rewind(f);
  char *data = malloc((size_t)size + 1);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, (size_t)size, f), size);
  fclose(f);
  data[size] = '\0';
  *len = (size_t)size;
  return data;
}

static inline cJSON *fixture_json(const char *path) {
  size_t len;
  char *text = fixture_read(path, &len);
  cJSON *json = cJSON_ParseWithLength(text, len);
  free(text);
  assert_non_null(json);
  return json;
}

static inline const cJSON *fixture_get(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  assert_non_null(item);
  return item;
}

static inline tokenizer *fixture_tokenizer(void) {
  size_t len;
  char err[256] = "", *text = fixture_read("tests/data/tokenizer.json", &len);
  tokenizer *t = NULL;
  if (tokenizer_new_json(&t, text, len, FIXTURE_N_VOCAB, err, sizeof err) != ENGINE_OK)
    fail_msg("tokenizer_new_json: %s", err);
  free(text);
  return t;
}

/* The same vocabulary as arrays, the way a GGUF file has it. Strings are the tree's. */
typedef struct fixture_vocab {
  cJSON *root;
  tokenizer_string *tokens;
  uint8_t *kinds;
  tokenizer_string (*merges)[2];
  tokenizer_vocab vocab;
} fixture_vocab;

static inline tokenizer_string fixture_string(const char *s) {
  return (tokenizer_string){s, strlen(s)};
}

static inline void fixture_vocab_open(fixture_vocab *v) {
  v->root = fixture_json("tests/data/tokenizer.json");
  const cJSON *model = fixture_get(v->root, "model"), *merges = fixture_get(model, "merges");
  int n = 0, n_merges = cJSON_GetArraySize(merges);
  v->tokens = calloc(FIXTURE_N_VOCAB, sizeof *v->tokens);
  v->kinds = calloc(FIXTURE_N_VOCAB, 1);
  v->merges = calloc((size_t)n_merges, sizeof *v->merges);
  assert_true(v->tokens != NULL && v->kinds != NULL && v->merges != NULL);
  for (const cJSON *i = fixture_get(model, "vocab")->child; i != NULL; i = i->next) {
    v->tokens[i->valueint] = fixture_string(i->string);
    v->kinds[i->valueint] = TOKENIZER_NORMAL;
  }
  for (const cJSON *i = fixture_get(v->root, "added_tokens")->child; i != NULL; i = i->next) {
    int id = fixture_get(i, "id")->valueint;
    v->tokens[id] = fixture_string(fixture_get(i, "content")->valuestring);
    v->kinds[id] = TOKENIZER_SPECIAL;
  }
  for (const cJSON *i = merges->child; i != NULL; i = i->next, n++)
    for (int side = 0; side < 2; side++)
      v->merges[n][side] = fixture_string(cJSON_GetArrayItem(i, side)->valuestring);
  v->vocab = (tokenizer_vocab){.n_tokens = FIXTURE_N_VOCAB, .tokens = v->tokens,
                               .kinds = v->kinds, .n_merges = n_merges,
                               .merges = (const tokenizer_string(*)[2])v->merges};
}

static inline void fixture_vocab_close(fixture_vocab *v) {
  free(v->tokens);
  free(v->kinds);
  free(v->merges);
  cJSON_Delete(v->root);
}

static inline engine_tokens fixture_encode(const tokenizer *t, const char *text, size_t len,
                                           bool special) {
  engine_tokens out = {0};
  assert_int_equal(tokenizer_encode(t, text, len, special, &out), ENGINE_OK);
  return out;
}

/* The tokens' bytes; owned by the caller. */
static inline char *fixture_decode(const tokenizer *t, const engine_tokens *ids, size_t *len) {
  size_t n, at = 0;
  *len = 0;
  for (int i = 0; i < ids->n; i++) {
    (void)tokenizer_text(t, ids->ids[i], &n);
    *len += n;
  }
  char *text = malloc(*len + 1);
  assert_non_null(text);
  for (int i = 0; i < ids->n; i++) {
    const char *s = tokenizer_text(t, ids->ids[i], &n);
    memcpy(text + at, s, n);
    at += n;
  }
  return text;
}

static inline void fixture_round_trip(const tokenizer *t, const char *text, size_t len) {
  engine_tokens out = fixture_encode(t, text, len, false);
  size_t n;
  char *back = fixture_decode(t, &out, &n);
  assert_int_equal(n, len);
  if (len > 0) assert_memory_equal(back, text, len);
  free(back);
  engine_tokens_free(&out);
}

/* xorshift64*: the same numbers everywhere. state must not be 0. */
static inline uint32_t fixture_random(uint64_t *state, uint32_t below) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return (uint32_t)((*state * 0x2545F4914F6CDD1Du >> 32) % below);
}

#endif
