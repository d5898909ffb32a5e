/* tokenizer_vocab.c - checks a stranger's vocabulary and builds the tables that encoding
 * reads.
 *
 * A byte-level vocabulary writes each byte as one printable character ("\u0120" for a space);
 * tokens are kept here as the bytes they stand for. Every byte must have a token, so that
 * every text has ids, and a merge must join two tokens into a third. */
#include "engine/tokenizer_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int tokenizer__fail(int status, char *err, size_t errlen, const char *format, ...) {
  if (err != NULL && errlen > 0) {
    va_list args;
    va_start(args, format);
    vsnprintf(err, errlen, format, args);
    va_end(args);
  }
  return status;
}

/* ---- the printable alphabet ------------------------------------------------------------ */

/* Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in order. */
#define ALPHABET_END 0x144

static void fill_alphabet(int16_t byte_of[ALPHABET_END]) {
  int next = 0x100;
  for (int c = 0; c < ALPHABET_END; c++) byte_of[c] = -1;
  for (int b = 0; b < 256; b++) {
    bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
    byte_of[itself ? b : next++] = (int16_t)b;
  }
}

/* Writes the bytes that s[len] stands for to out[len]. Returns how many, or -1 if s has a
 * character outside the alphabet. */
static long decode_alphabet(const int16_t byte_of[ALPHABET_END], const char *s, size_t len,
                            char *out) {
  long n = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned c = (uint8_t)s[i];
    if (c >= 0x80) { /* U+00A1 to U+0143 take two bytes */
      if (c < 0xC2 || c > 0xC5 || i + 1 == len || ((uint8_t)s[i + 1] & 0xC0) != 0x80) return -1;
      c = (c & 0x1F) << 6 | ((uint8_t)s[++i] & 0x3F);
    }
    if (c >= ALPHABET_END || byte_of[c] < 0) return -1;
    out[n++] = (char)byte_of[c];
  }
  return n;
}

/* ---- building -------------------------------------------------------------------------- */

typedef struct builder {
  tokenizer *t;
  const tokenizer_vocab *vocab;
  const tokenizer_traits *traits;
  int16_t byte_of[ALPHABET_END];
  char *err;
  size_t errlen;
} builder;

#define FAIL(b, ...) tokenizer__fail(ENGINE_EFORMAT, (b)->err, (b)->errlen, __VA_ARGS__)
#define FAIL_TOKEN(b, i, ...) (blame(b, i, -1), FAIL(b, __VA_ARGS__))
#define FAIL_MERGE(b, i, ...) (blame(b, -1, i), FAIL(b, __VA_ARGS__))

static void blame(builder *b, int token, int merge) {
  if (b->vocab->blame != NULL) *b->vocab->blame = (tokenizer_blame){token, merge};
}

static int no_memory(builder *b) {
  return tokenizer__fail(ENGINE_ENOMEM, b->err, b->errlen, "out of memory");
}

static bool is_used(const builder *b, int i) { return b->vocab->kinds[i] != TOKENIZER_UNUSED; }

/* The least power of two that leaves a third of the slots free, less one. */
static uint64_t table_mask(size_t n) {
  uint64_t slots = 16;
  while (slots * 2 < (uint64_t)n * 3) slots *= 2;
  return slots - 1;
}

/* Files of Qwen2.5-Coder disagree whether the fill-in-the-middle tokens are special; none of
 * them is ever text. So what is written <|so|> is special, whatever the file says. */
static bool looks_special(const tokenizer_string *s) {
  return s->len > 4 && memcmp(s->data, "<|", 2) == 0 && memcmp(s->data + s->len - 2, "|>", 2) == 0;
}

static int check_tokens(builder *b) {
  const tokenizer_vocab *v = b->vocab;
  for (int i = 0; i < v->n_tokens; i++) {
    if (v->kinds[i] > TOKENIZER_SPECIAL) return FAIL_TOKEN(b, i, "token %d: unknown kind", i);
    if (is_used(b, i) && v->tokens[i].len == 0) return FAIL_TOKEN(b, i, "token %d is empty", i);
    if (is_used(b, i) && v->tokens[i].len > TOKENIZER_MAX_TOKEN_BYTES)
      return FAIL_TOKEN(b, i, "token %d is longer than %d bytes", i, TOKENIZER_MAX_TOKEN_BYTES);
    if (v->kinds[i] >= TOKENIZER_ADDED && v->tokens[i].len > TOKENIZER_MAX_ADDED_BYTES)
      return FAIL_TOKEN(b, i, "added token %d is longer than %d bytes", i,
                        TOKENIZER_MAX_ADDED_BYTES);
  }
  return ENGINE_OK;
}

static int copy_tokens(builder *b) {
  const tokenizer_vocab *v = b->vocab;
  tokenizer *t = b->t;
  size_t n = (size_t)v->n_tokens, total = 0;
  for (int i = 0; i < v->n_tokens; i++) total += is_used(b, i) ? v->tokens[i].len : 0;
  t->n = v->n_tokens;
  t->kinds = malloc(n);
  t->offsets = malloc((n + 1) * sizeof *t->offsets);
  t->pool = malloc(total + n);
  if (t->kinds == NULL || t->offsets == NULL || t->pool == NULL) return no_memory(b);
  memcpy(t->kinds, v->kinds, n);
  size_t at = 0;
  for (int i = 0; i < v->n_tokens; i++) {
    const tokenizer_string *s = &v->tokens[i];
    t->offsets[i] = at;
    if (t->kinds[i] == TOKENIZER_NORMAL) {
      long bytes = decode_alphabet(b->byte_of, s->data, s->len, t->pool + at);
      if (bytes < 0)
        return FAIL_TOKEN(b, i, "token %d has a character outside the byte alphabet", i);
      at += (size_t)bytes;
    } else if (is_used(b, i)) {
      if (looks_special(s)) t->kinds[i] = TOKENIZER_SPECIAL;
      memcpy(t->pool + at, s->data, s->len);
      /* Only UTF-8 can be cut out of UTF-8 and leave UTF-8. Asked of the copy: s may be in a file
       * that somebody writes to. */
      bool settled;
      if (tokenizer__utf8_span(t->pool + at, s->len, &settled) != s->len)
        return FAIL_TOKEN(b, i, "added token %d is not UTF-8", i);
      at += s->len;
    }
    t->pool[at++] = '\0';
  }
  t->offsets[n] = at;
  return ENGINE_OK;
}

static int index_pieces(builder *b) {
  tokenizer *t = b->t;
  size_t n = 0;
  for (int i = 0; i < t->n; i++) n += t->kinds[i] == TOKENIZER_NORMAL;
  t->piece_mask = table_mask(n);
  t->pieces = calloc(t->piece_mask + 1, sizeof *t->pieces);
  if (t->pieces == NULL) return no_memory(b);
  for (int i = 0; i < 256; i++) t->byte_ids[i] = -1;
  for (int i = 0; i < t->n; i++) {
    if (t->kinds[i] != TOKENIZER_NORMAL) continue;
    const char *text = t->pool + t->offsets[i];
    size_t len = t->offsets[i + 1] - t->offsets[i] - 1;
    tokenizer_piece *slot = tokenizer__piece_slot(t, text, len);
    if (slot == NULL) return FAIL_TOKEN(b, i, "token %d: too many tokens with one hash", i);
    if (slot->len != 0) return FAIL_TOKEN(b, i, "tokens %d and %d are the same", (int)slot->id, i);
    *slot = (tokenizer_piece){.head = tokenizer__piece_head(text, len), .len = (uint16_t)len,
                              .id = i};
    if (len == 1) t->byte_ids[(uint8_t)text[0]] = i;
  }
  for (int i = 0; i < 256; i++)
    if (t->byte_ids[i] < 0) return FAIL(b, "no token for the byte 0x%02X", (unsigned)i);
  return ENGINE_OK;
}

/* ---- added tokens ---------------------------------------------------------------------- */

static int compare_added(const void *x, const void *y) {
  const tokenizer_added *a = x, *c = y;
  int order = memcmp(a->text, c->text, a->len < c->len ? a->len : c->len);
  return order != 0 ? order : (a->len > c->len) - (a->len < c->len);
}

static int index_added_set(builder *b, tokenizer_added_set *set, bool special, bool normalized) {
  tokenizer *t = b->t;
  size_t n = 0;
  for (int pass = 0; pass < 2; pass++) {
    n = 0;
    for (int i = 0; i < t->n; i++) {
      if (t->kinds[i] < TOKENIZER_ADDED || (!special && t->kinds[i] == TOKENIZER_SPECIAL))
        continue;
      if ((b->traits->normalized != NULL && b->traits->normalized[i]) != normalized) continue;
      if (pass == 1)
        set->tokens[n] = (tokenizer_added){t->pool + t->offsets[i],
                                           (uint32_t)(t->offsets[i + 1] - t->offsets[i] - 1), i};
      n++;
    }
    if (n == 0) return ENGINE_OK;
    if (pass == 0 && (set->tokens = malloc(n * sizeof *set->tokens)) == NULL)
      return no_memory(b);
  }
  set->n = (int)n;
  qsort(set->tokens, n, sizeof *set->tokens, compare_added);
  for (size_t i = 1; i < n; i++)
    if (compare_added(&set->tokens[i - 1], &set->tokens[i]) == 0)
      return FAIL_TOKEN(b, (int)set->tokens[i].id, "tokens %d and %d are the same",
                        (int)set->tokens[i - 1].id, (int)set->tokens[i].id);
  int bytes = 0;
  for (size_t i = 0; i < n; i++) set->first[(uint8_t)set->tokens[i].text[0] + 1]++;
  for (int c = 0; c < 256; c++) {
    bytes += set->first[c + 1] > 0;
    set->first[c + 1] += set->first[c];
  }
  set->lone_byte = bytes == 1 ? (uint8_t)set->tokens[0].text[0] : -1;
  return ENGINE_OK;
}

/* ---- merges ---------------------------------------------------------------------------- */

static int index_merges(builder *b) {
  const tokenizer_vocab *v = b->vocab;
  tokenizer *t = b->t;
  t->merge_mask = table_mask((size_t)v->n_merges);
  t->merges = malloc((t->merge_mask + 1) * sizeof *t->merges);
  if (t->merges == NULL) return no_memory(b);
  for (uint64_t i = 0; i <= t->merge_mask; i++) t->merges[i].left = -1;
  char joined[2 * TOKENIZER_MAX_TOKEN_BYTES];
  for (int i = 0; i < v->n_merges; i++) {
    int32_t ids[2];
    size_t at = 0;
    for (int side = 0; side < 2; side++) {
      const tokenizer_string *s = &v->merges[i][side];
      if (s->len == 0 || s->len > TOKENIZER_MAX_TOKEN_BYTES)
        return FAIL_MERGE(b, i, "merge %d: an empty or overlong piece", i);
      long n = decode_alphabet(b->byte_of, s->data, s->len, joined + at);
      const tokenizer_piece *slot =
          n > 0 ? tokenizer__piece_find(t, joined + at, (size_t)n) : NULL;
      if (slot == NULL)
        return FAIL_MERGE(b, i, "merge %d: its %s piece is not a token", i,
                          side == 0 ? "left" : "right");
      ids[side] = slot->id;
      at += (size_t)n;
    }
    const tokenizer_piece *result = tokenizer__piece_find(t, joined, at);
    if (result == NULL) return FAIL_MERGE(b, i, "merge %d: its result is not a token", i);
    tokenizer_merge *slot = tokenizer__merge_slot(t, ids[0], ids[1]);
    if (slot == NULL) return FAIL_MERGE(b, i, "merge %d: too many merges with one hash", i);
    if (slot->left >= 0) return FAIL_MERGE(b, i, "merge %d is there twice", i);
    *slot = (tokenizer_merge){ids[0], ids[1], (uint64_t)i << 32 | (uint32_t)result->id};
  }
  return ENGINE_OK;
}

/* Not every token is what its own bytes merge into; only those that are may stand for a piece
 * without merging. */
static int mark_whole(builder *b) {
  tokenizer *t = b->t;
  tokenizer_scratch scratch = {0};
  int32_t ids[TOKENIZER_MAX_TOKEN_BYTES];
  int status = ENGINE_OK;
  for (uint64_t i = 0; i <= t->piece_mask && status == ENGINE_OK; i++) {
    tokenizer_piece *slot = &t->pieces[i];
    size_t n;
    if (slot->len == 0) continue;
    status = tokenizer__bpe(t, &scratch, t->pool + t->offsets[slot->id], slot->len, ids, &n);
    if (status == ENGINE_OK) slot->whole = n == 1;
  }
  tokenizer__scratch_free(&scratch);
  return status == ENGINE_OK ? ENGINE_OK : no_memory(b);
}

int tokenizer__build(tokenizer **out, const tokenizer_vocab *vocab,
                     const tokenizer_traits *traits, char *err, size_t errlen) {
  *out = NULL;
  builder b = {.vocab = vocab, .traits = traits, .err = err, .errlen = errlen};
  blame(&b, -1, -1);
  if (vocab->n_tokens < 1 || vocab->n_tokens > TOKENIZER_MAX_TOKENS)
    return FAIL(&b, "%d tokens; 1 to %d can be", vocab->n_tokens, TOKENIZER_MAX_TOKENS);
  if (vocab->n_merges < 0 || vocab->n_merges > TOKENIZER_MAX_MERGES)
    return FAIL(&b, "%d merges; 0 to %d can be", vocab->n_merges, TOKENIZER_MAX_MERGES);
  b.t = calloc(1, sizeof *b.t);
  if (b.t == NULL) return no_memory(&b);
  b.t->nfc = traits->nfc;
  fill_alphabet(b.byte_of);
  int status = check_tokens(&b);
  if (status == ENGINE_OK) status = copy_tokens(&b);
  if (status == ENGINE_OK) status = index_pieces(&b);
  for (int k = 0; k < 4 && status == ENGINE_OK; k++)
    status = index_added_set(&b, &b.t->added[k >> 1][k & 1], k >> 1, k & 1);
  if (status == ENGINE_OK) status = index_merges(&b);
  if (status == ENGINE_OK) status = mark_whole(&b);
  if (status == ENGINE_OK) status = tokenizer__pattern_new(&b.t->pattern, err, errlen);
  if (status != ENGINE_OK) {
    tokenizer_delete(b.t);
    return status;
  }
  *out = b.t;
  return ENGINE_OK;
}
