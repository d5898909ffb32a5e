/* tokenizer_internal.h - what the tokenizer's files share.
 *
 * Text goes through four stages, a file each: added tokens and bytes that are not UTF-8 are
 * cut out (tokenizer.c), the rest is brought to NFC (tokenizer_normalize.c) and cut into pieces
 * by the pre-tokenizer's pattern (tokenizer_pretokenize.c), and each piece becomes ids: by a
 * look-up where it is one token, else by merging (tokenizer_bpe.c). Vocabularies are checked
 * and indexed in tokenizer_vocab.c; tokenizer_json.c reads one from a tokenizer.json. */
#ifndef FIMD_ENGINE_TOKENIZER_INTERNAL_H
#define FIMD_ENGINE_TOKENIZER_INTERNAL_H

#include "engine/tokenizer.h"

#include <string.h>

struct bytes;

/* ---- limits ---------------------------------------------------------------------------- */

#define TOKENIZER_MAX_TOKENS (1 << 22)
#define TOKENIZER_MAX_MERGES (1 << 22)
#define TOKENIZER_MAX_TOKEN_BYTES 4096 /* as written in the file */
#define TOKENIZER_MAX_ADDED_BYTES 256 /* looking for one may read so many at every byte of a text */
/* Nothing is stored further than this from the slot its hash names, so that a vocabulary made
 * to collide is refused and not slow. Tables are at most two thirds full: honest vocabularies
 * stay far below. */
#define TOKENIZER_MAX_PROBES 512

/* ---- pieces: bytes -> id --------------------------------------------------------------- */

/* One slot of an open-addressed table of the normal tokens by their bytes. For a token of up
 * to 8 bytes `head` holds all of them, so that most look-ups touch one cache line. */
typedef struct tokenizer_piece {
  uint64_t head; /* the bytes, or for more than 8 their hash */
  uint16_t len;  /* 0: the slot is free */
  bool whole;    /* merging the piece's bytes ends in this one token */
  int32_t id;
} tokenizer_piece;

/* ---- merges: two ids -> one ------------------------------------------------------------ */

typedef struct tokenizer_merge {
  int32_t left, right; /* left is -1 where the slot is free */
  uint64_t rank_id;    /* rank << 32 | id of the result: the smallest is merged first */
} tokenizer_merge;

/* ---- added tokens: matched literally --------------------------------------------------- */

typedef struct tokenizer_added {
  const char *text; /* borrowed from the tokenizer's pool */
  uint32_t len;
  int32_t id;
} tokenizer_added;

/* Sorted by text, so that the tokens beginning with what was read so far are a range. */
typedef struct tokenizer_added_set {
  tokenizer_added *tokens; /* [n] owned */
  int n;
  int first[257]; /* tokens that begin with byte b: first[b] .. first[b + 1] - 1 */
  int lone_byte;  /* the byte that all of them begin with, or -1 */
} tokenizer_added_set;

/* ---- the tokenizer --------------------------------------------------------------------- */

typedef struct tokenizer_pattern tokenizer_pattern;

struct tokenizer {
  int n;
  uint8_t *kinds;   /* [n] owned; tokenizer_kind */
  size_t *offsets;  /* [n + 1] owned; token i is in pool from offsets[i], a 0 byte behind it */
  char *pool;       /* owned */
  tokenizer_piece *pieces; /* [piece_mask + 1] owned */
  uint64_t piece_mask;
  tokenizer_merge *merges; /* [merge_mask + 1] owned */
  uint64_t merge_mask;
  int32_t byte_ids[256]; /* the token of each byte */
  /* [special ones too][normalized ones]: those are matched after NFC, the others before */
  tokenizer_added_set added[2][2];
  tokenizer_pattern *pattern; /* owned */
  bool nfc;
};

/* What a tokenizer.json says beyond a tokenizer_vocab. */
typedef struct tokenizer_traits {
  bool nfc;
  const uint8_t *normalized; /* [n_tokens] added tokens matched after NFC; NULL: none */
} tokenizer_traits;

int tokenizer__build(tokenizer **out, const tokenizer_vocab *vocab,
                     const tokenizer_traits *traits, char *err, size_t errlen);

/* tokenizer_new_json, of the text under a cursor, whose file the words begin with. */
int tokenizer__read_json(tokenizer **out, struct bytes *b, int n_vocab);

/* Writes words to err (which may be NULL) and returns status. */
int tokenizer__fail(int status, char *err, size_t errlen, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- one call's scratch ---------------------------------------------------------------- */

/* Zero-initialise; free with tokenizer__scratch_free. Grown when first needed. */
typedef struct tokenizer_scratch {
  void *match;       /* pcre2_match_data */
  void *context;     /* pcre2_match_context */
  uint64_t *heap;    /* long pieces: see tokenizer_bpe.c */
  int32_t *links;
  uint64_t *ranks;
  size_t capacity;   /* symbols that heap, links and ranks have room for */
  int32_t *points;   /* NFC: code points of one line */
  size_t points_capacity;
} tokenizer_scratch;

void tokenizer__scratch_free(tokenizer_scratch *scratch);

/* ---- stages ---------------------------------------------------------------------------- */

/* How many bytes of text[len] are valid UTF-8, from its start. *settled: every character of
 * them is one that NFC leaves alone whatever stands next to it. */
size_t tokenizer__utf8_span(const char *text, size_t len, bool *settled);
/* The NFC form of text[len], which is valid UTF-8. *out is NULL where it is the text itself,
 * else owned by the caller. */
int tokenizer__nfc(tokenizer_scratch *scratch, const char *text, size_t len, char **out,
                   size_t *outlen);

int tokenizer__pattern_new(tokenizer_pattern **out, char *err, size_t errlen);
void tokenizer__pattern_delete(tokenizer_pattern *pattern);
/* The end of the piece that begins at text[at], at < len, in valid UTF-8: by our own reading of
 * the pattern where only ASCII decides (0: something else does), and by the pattern. */
size_t tokenizer__split_ascii(const char *text, size_t len, size_t at);
int tokenizer__split_pattern(const tokenizer_pattern *pattern, tokenizer_scratch *scratch,
                             const char *text, size_t len, size_t at, size_t *end);

/* The ids of one piece by merging, len > 0: ids[len] has room, *n are used. */
int tokenizer__bpe(const tokenizer *t, tokenizer_scratch *scratch, const char *piece,
                   size_t len, int32_t *ids, size_t *n);
/* The slot of a pair, or the free slot where it would stand (its left is -1), or NULL: not
 * there and no room for it. */
tokenizer_merge *tokenizer__merge_slot(const tokenizer *t, int32_t left, int32_t right);

/* ---- look-ups, inline because they run once a piece ------------------------------------ */

static inline uint64_t tokenizer__load64(const char *p) {
  uint64_t x;
  memcpy(&x, p, sizeof x);
  return x;
}

/* The bytes of a piece of 1 to 8 bytes as one number, different for different pieces of one
 * length. Reads no byte beyond the piece. */
static inline uint64_t tokenizer__head(const char *p, size_t len) {
  if (len >= 4) {
    uint32_t low, high;
    memcpy(&low, p, sizeof low);
    memcpy(&high, p + len - 4, sizeof high);
    return (uint64_t)high << 32 | low;
  }
  const unsigned char *u = (const unsigned char *)p;
  return (uint64_t)u[0] | (uint64_t)u[len >> 1] << 8 | (uint64_t)u[len - 1] << 16;
}

static inline uint64_t tokenizer__mix(uint64_t x) {
  x = (x ^ x >> 32) * 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9u;
  return x ^ x >> 32;
}

static inline uint64_t tokenizer__piece_head(const char *p, size_t len) {
  if (len <= 8) return tokenizer__head(p, len);
  uint64_t h = len;
  for (size_t i = 0; i + 8 < len; i += 8) h = tokenizer__mix(h ^ tokenizer__load64(p + i));
  return tokenizer__mix(h ^ tokenizer__load64(p + len - 8));
}

/* The slot of the piece p[len], len > 0, or the free slot where it would stand (its len is 0),
 * or NULL: not there and no room for it. */
static inline tokenizer_piece *tokenizer__piece_slot(const tokenizer *t, const char *p,
                                                     size_t len) {
  uint64_t head = tokenizer__piece_head(p, len), i = tokenizer__mix(head + len);
  for (int probes = 0; probes < TOKENIZER_MAX_PROBES; probes++, i++) {
    tokenizer_piece *slot = &t->pieces[i & t->piece_mask];
    if (slot->len == 0) return slot;
    if (slot->head == head && slot->len == len &&
        (len <= 8 || memcmp(t->pool + t->offsets[slot->id], p, len) == 0))
      return slot;
  }
  return NULL;
}

/* NULL: no normal token is p[len]. */
static inline const tokenizer_piece *tokenizer__piece_find(const tokenizer *t, const char *p,
                                                           size_t len) {
  const tokenizer_piece *slot = tokenizer__piece_slot(t, p, len);
  return slot == NULL || slot->len == 0 ? NULL : slot;
}

#endif
