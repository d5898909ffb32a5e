/* tokenizer_json.c - a tokenizer from a Hugging Face tokenizer.json.
 *
 * The file describes a pipeline of normalizer, pre-tokenizer and model in general terms; what
 * is written there must be what Qwen2 does, or the ids would silently be wrong, so anything
 * else is refused by name, with its byte. Merges are "a b" or, since 2024, ["a", "b"].
 *
 * Keys come in any order, so the whole text is walked once, which checks its syntax, too, and
 * notes where the values are; they are then read in the order in which they are needed. */
#include "engine/json.h"
#include "engine/tokenizer_internal.h"

#include <stdlib.h>

static const char qwen2_pattern[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

typedef struct reader {
  bytes *b;
  char *text;    /* [room] owned: all strings, decoded; none is longer than in the file */
  size_t used, room;
  tokenizer_string *tokens; /* [n] owned; the strings are in text */
  uint8_t *kinds;           /* [n] owned */
  uint8_t *normalized;      /* [n] owned */
  size_t *tokens_at;        /* [n] owned: bytes in the file */
  tokenizer_string (*merges)[2]; /* [n_merges] owned */
  size_t *merges_at;             /* [n_merges] owned */
  int n, n_merges, capacity;     /* capacity: of the merges */
  size_t vocab_at;               /* byte */
} reader;

#define FAIL(r, at, ...) bytes_fail((r)->b, (uint64_t)(at), __VA_ARGS__)

static int no_memory(reader *r) {
  return tokenizer__fail(ENGINE_ENOMEM, r->b->err, r->b->errlen, "out of memory");
}

static int status_of(const reader *r) { return r->b->failed ? ENGINE_EFORMAT : ENGINE_OK; }

/* ---- values that were found ------------------------------------------------------------ */

typedef struct field {
  const char *name;
  size_t at; /* byte of its value; 0: it is not there */
} field;

/* Takes an object and notes where the wanted ones of its values are. */
static int find_fields(reader *r, const char *what, field *fields, int n) {
  bytes *b = r->b;
  json_enter(b, '{', what);
  for (bool first = true; json_next(b, &first, '}');) {
    char key[256];
    json_peek(b);
    size_t at = b->at;
    json_key(b, key, sizeof key);
    json_peek(b);
    for (int i = 0; i < n && !b->failed; i++) {
      if (strcmp(key, fields[i].name) != 0) continue;
      if (fields[i].at) FAIL(r, at, "%s: %s is there twice", what, key);
      fields[i].at = b->at;
    }
    json_skip(b);
  }
  return status_of(r);
}

/* The character that begins the value at a byte, where the cursor then stands. 0: at is 0. */
static char go_to(reader *r, size_t at) {
  if (at == 0) return 0;
  r->b->at = at;
  return json_peek(r->b);
}

/* The string at the cursor, kept in text. */
static tokenizer_string take_string(reader *r, const char *what) {
  char *start = r->text + r->used;
  size_t len = json_string(r->b, what, start, r->room - r->used);
  r->used += len + 1;
  return (tokenizer_string){start, len};
}

static bool is_text(reader *r, size_t at, const char *text) {
  if (go_to(r, at) != '"') return false;
  size_t used = r->used;
  tokenizer_string s = take_string(r, "a string");
  r->used = used;
  return !r->b->failed && s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static bool is_true(reader *r, size_t at) { return go_to(r, at) == 't'; }

/* Absent, null, false or "": the setting is not used. */
static bool is_off(reader *r, size_t at) {
  char c = go_to(r, at);
  return c == 0 || c == 'n' || c == 'f' || is_text(r, at, "");
}

/* ---- the pipeline ---------------------------------------------------------------------- */

static int read_normalizer(reader *r, size_t at, bool *nfc) {
  field type = {"type", 0};
  char c = go_to(r, at);
  *nfc = c != 0 && c != 'n';
  if (!*nfc) return ENGINE_OK;
  if (c == '{') find_fields(r, "normalizer", &type, 1);
  if (!is_text(r, type.at, "NFC")) return FAIL(r, at, "normalizer: not NFC");
  return status_of(r);
}

/* Where the two steps are. */
static bool find_steps(reader *r, size_t at, size_t steps[2]) {
  field fields[] = {{"type", 0}, {"pretokenizers", 0}};
  int n = 0;
  if (go_to(r, at) != '{' || find_fields(r, "pre_tokenizer", fields, 2) != ENGINE_OK ||
      !is_text(r, fields[0].at, "Sequence") || go_to(r, fields[1].at) != '[')
    return false;
  json_enter(r->b, '[', "pretokenizers");
  for (bool first = true; json_next(r->b, &first, ']'); n++) {
    json_peek(r->b);
    if (n < 2) steps[n] = r->b->at;
    json_skip(r->b);
  }
  return n == 2 && go_to(r, steps[0]) == '{' && go_to(r, steps[1]) == '{';
}

static int check_pre_tokenizer(reader *r, size_t at) {
  size_t steps[2];
  field split[] = {{"type", 0}, {"behavior", 0}, {"invert", 0}, {"pattern", 0}};
  field level[] = {{"type", 0}, {"add_prefix_space", 0}, {"use_regex", 0}};
  field regex = {"Regex", 0};
  if (!find_steps(r, at, steps))
    return FAIL(r, at, "pre_tokenizer: not Qwen2's (a Sequence of Split and ByteLevel)");
  go_to(r, steps[0]);
  find_fields(r, "pre_tokenizer", split, 4);
  if (!is_text(r, split[0].at, "Split") || !is_text(r, split[1].at, "Isolated") ||
      is_true(r, split[2].at))
    return FAIL(r, steps[0], "pre_tokenizer: its first step is not an isolating Split");
  if (go_to(r, split[3].at) == '{') find_fields(r, "pre_tokenizer", &regex, 1);
  if (!is_text(r, regex.at, qwen2_pattern))
    return FAIL(r, steps[0], "pre_tokenizer: its pattern is not Qwen2's");
  go_to(r, steps[1]);
  find_fields(r, "pre_tokenizer", level, 3);
  if (!is_text(r, level[0].at, "ByteLevel") || is_true(r, level[1].at) ||
      go_to(r, level[2].at) != 'f')
    return FAIL(r, steps[1], "pre_tokenizer: its second step is not a plain ByteLevel");
  return status_of(r);
}

typedef struct model_fields {
  size_t vocab, merges;
} model_fields;

static int check_model(reader *r, size_t at, model_fields *out) {
  field fields[] = {
      {"type", 0}, {"vocab", 0}, {"merges", 0},
      {"dropout", 0}, {"unk_token", 0}, {"continuing_subword_prefix", 0}, /* off, all from here */
      {"end_of_word_suffix", 0}, {"byte_fallback", 0}, {"ignore_merges", 0},
  };
  const int n = sizeof fields / sizeof *fields;
  if (go_to(r, at) == '{') find_fields(r, "model", fields, n);
  if (!is_text(r, fields[0].at, "BPE")) return FAIL(r, at, "model: its type is not BPE");
  for (int i = 3; i < n; i++)
    if (!is_off(r, fields[i].at))
      return FAIL(r, fields[i].at, "model: %s is not supported", fields[i].name);
  *out = (model_fields){fields[1].at, fields[2].at};
  if (go_to(r, out->vocab) != '{') return FAIL(r, at, "model: no vocab");
  if (go_to(r, out->merges) != '[') return FAIL(r, at, "model: no merges");
  return status_of(r);
}

/* ---- the vocabulary -------------------------------------------------------------------- */

static int read_vocab(reader *r, size_t at) {
  bytes *b = r->b;
  r->vocab_at = at;
  go_to(r, at);
  json_enter(b, '{', "vocab");
  for (bool first = true; json_next(b, &first, '}');) {
    json_peek(b);
    size_t key_at = b->at;
    tokenizer_string text = take_string(r, "a key");
    json_peek(b);
    if (!b->failed) b->at++; /* the colon, which was seen before */
    int id = (int)json_integer(b, "vocab: an id", 0, r->n - 1);
    if (b->failed) break;
    if (r->kinds[id] != TOKENIZER_UNUSED)
      return FAIL(r, key_at, "vocab: two tokens have the id %d", id);
    r->tokens[id] = text;
    r->tokens_at[id] = key_at;
    r->kinds[id] = TOKENIZER_NORMAL;
  }
  return status_of(r);
}

static int read_added_token(reader *r) {
  enum { ID, CONTENT, SPECIAL, NORMALIZED, OFF };
  field f[] = {{"id", 0},          {"content", 0}, {"special", 0}, {"normalized", 0},
               {"single_word", 0}, {"lstrip", 0},  {"rstrip", 0}};
  const int n = sizeof f / sizeof *f;
  json_peek(r->b);
  size_t at = r->b->at;
  if (find_fields(r, "added_tokens", f, n) != ENGINE_OK) return ENGINE_EFORMAT;
  size_t end = r->b->at;
  if (!go_to(r, f[ID].at)) return FAIL(r, at, "added_tokens: a token has no id");
  int id = (int)json_integer(r->b, "added_tokens: an id", 0, r->n - 1);
  if (r->b->failed) return ENGINE_EFORMAT;
  if (go_to(r, f[CONTENT].at) != '"')
    return FAIL(r, at, "added_tokens: token %d has no content", id);
  tokenizer_string text = take_string(r, "added_tokens: a content");
  for (int i = OFF; i < n; i++)
    if (!is_off(r, f[i].at))
      return FAIL(r, f[i].at, "added_tokens: token %d: %s is not supported", id, f[i].name);
  bool same = r->kinds[id] == TOKENIZER_NORMAL && r->tokens[id].len == text.len &&
              memcmp(r->tokens[id].data, text.data, text.len) == 0;
  if (r->kinds[id] != TOKENIZER_UNUSED && !same)
    return FAIL(r, f[ID].at, "added_tokens: another token has the id %d", id);
  r->tokens[id] = text;
  r->tokens_at[id] = at;
  r->kinds[id] = is_true(r, f[SPECIAL].at) ? TOKENIZER_SPECIAL : TOKENIZER_ADDED;
  r->normalized[id] = is_true(r, f[NORMALIZED].at);
  r->b->at = end;
  return status_of(r);
}

static int read_added(reader *r, size_t at) {
  if (at == 0) return ENGINE_OK;
  int status = ENGINE_OK;
  if (go_to(r, at) != '[') return FAIL(r, at, "added_tokens: not an array");
  json_enter(r->b, '[', "added_tokens");
  for (bool first = true; status == ENGINE_OK && json_next(r->b, &first, ']');)
    status = read_added_token(r);
  return status == ENGINE_OK ? status_of(r) : status;
}

/* "a b" or ["a", "b"] at the cursor. */
static bool read_merge(reader *r, tokenizer_string merge[2]) {
  bytes *b = r->b;
  char c = json_peek(b);
  if (c == '"') {
    tokenizer_string s = take_string(r, "merges");
    const char *space = memchr(s.data, ' ', s.len);
    if (space == NULL) return false;
    size_t left = (size_t)(space - s.data), right = s.len - left - 1;
    merge[0] = (tokenizer_string){s.data, left};
    merge[1] = (tokenizer_string){space + 1, right};
    return memchr(space + 1, ' ', right) == NULL;
  }
  if (c != '[') return false;
  json_enter(b, '[', "merges");
  int n = 0;
  for (bool first = true; json_next(b, &first, ']'); n++) {
    if (n == 2 || json_peek(b) != '"') return false;
    merge[n] = take_string(r, "merges");
  }
  return n == 2;
}

static int grow_merges(reader *r, size_t at) {
  if (r->n_merges < r->capacity) return ENGINE_OK;
  if (r->n_merges == TOKENIZER_MAX_MERGES)
    return FAIL(r, at, "merges: more than %d of them", TOKENIZER_MAX_MERGES);
  int capacity = r->capacity ? r->capacity * 2 : 1024;
  void *merges = realloc(r->merges, (size_t)capacity * sizeof *r->merges);
  if (merges == NULL) return no_memory(r);
  r->merges = merges;
  size_t *places = realloc(r->merges_at, (size_t)capacity * sizeof *places);
  if (places == NULL) return no_memory(r);
  r->merges_at = places;
  r->capacity = capacity;
  return ENGINE_OK;
}

static int read_merges(reader *r, size_t at) {
  go_to(r, at);
  json_enter(r->b, '[', "merges");
  for (bool first = true; json_next(r->b, &first, ']'); r->n_merges++) {
    json_peek(r->b);
    size_t place = r->b->at;
    int status = grow_merges(r, place);
    if (status != ENGINE_OK) return status;
    r->merges_at[r->n_merges] = place;
    if (!read_merge(r, r->merges[r->n_merges]))
      return FAIL(r, place, "merges: merge %d is not a pair of pieces", r->n_merges);
  }
  return status_of(r);
}

/* ---- all of it ------------------------------------------------------------------------- */

static int read_all(reader *r, bool *nfc) {
  enum { NORMALIZER, PRE_TOKENIZER, MODEL, ADDED };
  field f[] = {{"normalizer", 0}, {"pre_tokenizer", 0}, {"model", 0}, {"added_tokens", 0}};
  model_fields model = {0, 0};
  int status = find_fields(r, "the tokenizer", f, 4);
  if (status == ENGINE_OK) json_end(r->b);
  if (status == ENGINE_OK) status = status_of(r);
  if (status == ENGINE_OK) status = read_normalizer(r, f[NORMALIZER].at, nfc);
  if (status == ENGINE_OK) status = check_pre_tokenizer(r, f[PRE_TOKENIZER].at);
  if (status == ENGINE_OK) status = check_model(r, f[MODEL].at, &model);
  if (status == ENGINE_OK) status = read_vocab(r, model.vocab);
  if (status == ENGINE_OK) status = read_added(r, f[ADDED].at);
  if (status == ENGINE_OK) status = read_merges(r, model.merges);
  return status;
}

static int build(reader *r, const tokenizer_traits *traits, tokenizer **out) {
  char words[256] = "";
  tokenizer_blame blame;
  tokenizer_vocab vocab = {.n_tokens = r->n, .tokens = r->tokens, .kinds = r->kinds,
                           .n_merges = r->n_merges,
                           .merges = (const tokenizer_string(*)[2])r->merges, .blame = &blame};
  int status = tokenizer__build(out, &vocab, traits, words, sizeof words);
  if (status == ENGINE_ENOMEM) return no_memory(r);
  if (status != ENGINE_EFORMAT) return status;
  if (blame.merge >= 0) return FAIL(r, r->merges_at[blame.merge], "merges: %s", words);
  if (blame.token < 0) return FAIL(r, r->vocab_at, "vocab: %s", words);
  return FAIL(r, r->tokens_at[blame.token], "%s: %s",
              r->kinds[blame.token] == TOKENIZER_NORMAL ? "vocab" : "added_tokens", words);
}

int tokenizer__read_json(tokenizer **out, bytes *b, int n_vocab) {
  *out = NULL;
  if (n_vocab < 1 || n_vocab > TOKENIZER_MAX_TOKENS)
    return bytes_fail(b, 0, "vocab_size is %d; 1 to %d can be", n_vocab, TOKENIZER_MAX_TOKENS);
  size_t n = (size_t)n_vocab;
  reader r = {.b = b, .n = n_vocab, .room = b->size + 1};
  tokenizer_traits traits = {0};
  r.text = malloc(r.room);
  r.tokens = calloc(n, sizeof *r.tokens);
  r.kinds = calloc(n, 1);
  r.normalized = calloc(n, 1);
  r.tokens_at = calloc(n, sizeof *r.tokens_at);
  bool there = r.text && r.tokens && r.kinds && r.normalized && r.tokens_at;
  int status = there ? read_all(&r, &traits.nfc) : no_memory(&r);
  traits.normalized = r.normalized;
  if (status == ENGINE_OK) status = build(&r, &traits, out);
  free(r.text);
  free(r.tokens);
  free(r.kinds);
  free(r.normalized);
  free(r.tokens_at);
  free(r.merges);
  free(r.merges_at);
  return status;
}

int tokenizer_new_json(tokenizer **out, const char *json, size_t len, int n_vocab, char *err,
                       size_t errlen) {
  bytes b;
  bytes_init(&b, json, len, "tokenizer.json", err, errlen);
  return tokenizer__read_json(out, &b, n_vocab);
}
