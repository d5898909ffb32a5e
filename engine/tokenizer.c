/* tokenizer.c - text to ids and back.
 *
 * As the reference does it: added tokens that are matched as written are cut out first, what
 * lies between them is brought to NFC, then the added tokens that are matched after NFC are
 * cut out, and the rest is cut into pieces and merged. Bytes that are not UTF-8, which the
 * reference cannot take, become the tokens of those bytes and split the text around them. */
#include "engine/tokenizer_internal.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

int tokenizer_new(tokenizer **out, const tokenizer_vocab *vocab, char *err, size_t errlen) {
  tokenizer_traits traits = {.nfc = true};
  return tokenizer__build(out, vocab, &traits, err, errlen);
}

void tokenizer_delete(tokenizer *t) {
  if (t == NULL) return;
  tokenizer__pattern_delete(t->pattern);
  for (int k = 0; k < 4; k++) free(t->added[k >> 1][k & 1].tokens);
  free(t->merges);
  free(t->pieces);
  free(t->pool);
  free(t->offsets);
  free(t->kinds);
  free(t);
}

/* ---- tokens ---------------------------------------------------------------------------- */

const char *tokenizer_text(const tokenizer *t, int32_t id, size_t *len) {
  if (id < 0 || id >= t->n) {
    *len = 0;
    return "";
  }
  *len = t->offsets[id + 1] - t->offsets[id] - 1;
  return t->pool + t->offsets[id];
}

tokenizer_kind tokenizer_token_kind(const tokenizer *t, int32_t id) {
  return id < 0 || id >= t->n ? TOKENIZER_UNUSED : (tokenizer_kind)t->kinds[id];
}

int tokenizer_size(const tokenizer *t) { return t->n; }

/* The tables are a function of the vocabulary, and so is where each entry lies in them. */
bool tokenizer_same(const tokenizer *a, const tokenizer *b) {
  if (a->n != b->n || a->nfc != b->nfc || a->merge_mask != b->merge_mask) return false;
  size_t n = (size_t)a->n;
  for (int k = 0; k < 4; k++)
    if (a->added[k >> 1][k & 1].n != b->added[k >> 1][k & 1].n) return false;
  for (uint64_t i = 0; i <= a->merge_mask; i++)
    if (a->merges[i].left != b->merges[i].left ||
        (a->merges[i].left >= 0 && (a->merges[i].right != b->merges[i].right ||
                                    a->merges[i].rank_id != b->merges[i].rank_id)))
      return false;
  return memcmp(a->kinds, b->kinds, n) == 0 &&
         memcmp(a->offsets, b->offsets, (n + 1) * sizeof *a->offsets) == 0 &&
         memcmp(a->pool, b->pool, a->offsets[n]) == 0;
}

/* ---- added tokens ---------------------------------------------------------------------- */

/* The longest token of the set that text[len] begins with. */
static const tokenizer_added *added_at(const tokenizer_added_set *set, const char *text,
                                       size_t len) {
  int low = set->first[(uint8_t)text[0]], high = set->first[(uint8_t)text[0] + 1];
  const tokenizer_added *longest = NULL;
  /* tokens[low .. high - 1] all begin with text[depth]; the one that is no longer is first. */
  for (size_t depth = 1; low < high; depth++) {
    if (set->tokens[low].len == depth) longest = &set->tokens[low++];
    if (depth == len) break;
    uint8_t c = (uint8_t)text[depth];
    int ends[2];
    for (int side = 0; side < 2; side++) { /* the first with a byte not below c, then above it */
      int from = low, to = high;
      while (from < to) {
        int middle = from + (to - from) / 2;
        if ((uint8_t)set->tokens[middle].text[depth] < c + side) from = middle + 1;
        else to = middle;
      }
      ends[side] = from;
    }
    low = ends[0];
    high = ends[1];
  }
  return longest;
}

/* The leftmost, then longest, token of the set in text[at..len-1]; NULL: there is none. */
static const tokenizer_added *added_find(const tokenizer_added_set *set, const char *text,
                                         size_t len, size_t at, size_t *start) {
  if (set->n == 0) return NULL;
  for (; at < len; at++) {
    if (set->lone_byte >= 0) {
      const char *p = memchr(text + at, set->lone_byte, len - at);
      if (p == NULL) return NULL;
      at = (size_t)(p - text);
    } else if (set->first[(uint8_t)text[at]] == set->first[(uint8_t)text[at] + 1]) {
      continue;
    }
    const tokenizer_added *found = added_at(set, text + at, len - at);
    if (found != NULL) {
      *start = at;
      return found;
    }
  }
  return NULL;
}

int32_t tokenizer_find(const tokenizer *t, const char *text) {
  size_t len = strlen(text);
  if (len == 0) return -1;
  for (int normalized = 0; normalized < 2; normalized++) {
    const tokenizer_added *longest = added_at(&t->added[1][normalized], text, len);
    if (longest != NULL && longest->len == len) return longest->id;
  }
  const tokenizer_piece *slot = tokenizer__piece_find(t, text, len);
  return slot == NULL ? -1 : slot->id;
}

/* ---- encoding -------------------------------------------------------------------------- */

typedef struct encoder {
  const tokenizer *t;
  engine_tokens *out;
  bool special;
  tokenizer_scratch scratch;
} encoder;

void tokenizer__scratch_free(tokenizer_scratch *s) {
  pcre2_match_data_free(s->match);
  pcre2_match_context_free(s->context);
  free(s->heap);
  free(s->links);
  free(s->ranks);
  free(s->points);
  *s = (tokenizer_scratch){0};
}

/* Room for n more ids. */
static int reserve(engine_tokens *out, size_t n) {
  if (n <= (size_t)(out->capacity - out->n)) return ENGINE_OK;
  if (n > (size_t)(INT32_MAX - out->n)) return ENGINE_ENOMEM;
  int64_t want = out->n + (int64_t)n, capacity = (int64_t)out->capacity * 3 / 2 + 64;
  if (capacity < want) capacity = want;
  if (capacity > INT32_MAX) capacity = INT32_MAX;
  int32_t *ids = realloc(out->ids, (size_t)capacity * sizeof *ids);
  if (ids == NULL) return ENGINE_ENOMEM;
  out->ids = ids;
  out->capacity = (int)capacity;
  return ENGINE_OK;
}

static int push(engine_tokens *out, int32_t id) {
  int status = reserve(out, 1);
  if (status == ENGINE_OK) out->ids[out->n++] = id;
  return status;
}

static int encode_piece(encoder *e, const char *piece, size_t len) {
  const tokenizer *t = e->t;
  if (len == 1) return push(e->out, t->byte_ids[(uint8_t)piece[0]]);
  const tokenizer_piece *slot = tokenizer__piece_find(t, piece, len);
  if (slot != NULL && slot->whole) return push(e->out, slot->id);
  size_t n = 0;
  int status = reserve(e->out, len);
  if (status != ENGINE_OK) return status;
  status = tokenizer__bpe(t, &e->scratch, piece, len, e->out->ids + e->out->n, &n);
  e->out->n += (int)n;
  return status;
}

static int encode_pieces(encoder *e, const char *text, size_t len) {
  for (size_t at = 0, end; at < len; at = end) {
    int status = ENGINE_OK;
    end = tokenizer__split_ascii(text, len, at);
    if (end == 0)
      status = tokenizer__split_pattern(e->t->pattern, &e->scratch, text, len, at, &end);
    if (status == ENGINE_OK) status = encode_piece(e, text + at, end - at);
    if (status != ENGINE_OK) return status;
  }
  return ENGINE_OK;
}

typedef int encode_between(encoder *e, const char *text, size_t len);

/* The ids of the set's tokens in text, and `between` for what is not in the set. */
static int encode_added(encoder *e, const tokenizer_added_set *set, const char *text, size_t len,
                        encode_between *between) {
  size_t at = 0;
  while (at < len) {
    size_t start = len;
    const tokenizer_added *found = added_find(set, text, len, at, &start);
    int status = start > at ? between(e, text + at, start - at) : ENGINE_OK;
    if (status == ENGINE_OK && found != NULL) status = push(e->out, found->id);
    if (status != ENGINE_OK) return status;
    at = found != NULL ? start + found->len : len;
  }
  return ENGINE_OK;
}

static int encode_utf8(encoder *e, const char *text, size_t len, bool settled) {
  char *made = NULL;
  if (e->t->nfc && !settled) {
    size_t made_len;
    int status = tokenizer__nfc(&e->scratch, text, len, &made, &made_len);
    if (status != ENGINE_OK) return status;
    if (made != NULL) {
      text = made;
      len = made_len;
    }
  }
  int status = encode_added(e, &e->t->added[e->special][1], text, len, encode_pieces);
  free(made);
  return status;
}

static int encode_bytes(encoder *e, const char *text, size_t len) {
  for (size_t at = 0; at < len;) {
    bool settled;
    size_t n = tokenizer__utf8_span(text + at, len - at, &settled);
    int status = n > 0 ? encode_utf8(e, text + at, n, settled)
                       : push(e->out, e->t->byte_ids[(uint8_t)text[at]]);
    if (status != ENGINE_OK) return status;
    at += n > 0 ? n : 1;
  }
  return ENGINE_OK;
}

int tokenizer_encode(const tokenizer *t, const char *text, size_t len, bool parse_special,
                     engine_tokens *out) {
  encoder e = {.t = t, .out = out, .special = parse_special};
  int n = out->n;
  int status = encode_added(&e, &t->added[parse_special][0], text, len, encode_bytes);
  tokenizer__scratch_free(&e.scratch);
  if (status != ENGINE_OK) out->n = n;
  return status;
}
