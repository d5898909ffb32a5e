/* memo.c - see memo.h. */
#include "completion/memo.h"

#include <stdlib.h>
#include <string.h>

#include "completion/completion.h"

typedef struct completion__memo_piece {
  uint32_t hash;
  uint32_t len; /* bytes, which stand behind the ids */
  int n;
  int32_t ids[]; /* [n] */
} memo_piece;

void completion__memo_clear(completion__memo *m) {
  for (int i = 0; i < COMPLETION__MEMO_PLACES; i++) {
    free(m->places[i]);
    m->places[i] = NULL;
  }
}

static uint32_t hash_of(completion__slice t) {
  uint64_t h = t.len;
  size_t i = 0;
  for (uint64_t word; i + 8 <= t.len; i += 8) {
    memcpy(&word, t.s + i, 8);
    h = (h ^ word) * 0x9E3779B97F4A7C15u;
    h ^= h >> 29;
  }
  for (; i < t.len; i++) h = (h ^ (unsigned char)t.s[i]) * 0x9E3779B97F4A7C15u;
  return (uint32_t)(h ^ h >> 32);
}

/* Where the next piece begins: at the first line after this one that has more than blanks. */
static size_t piece_end(completion__slice t, size_t from) {
  for (size_t at = from;;) {
    size_t end = completion__line_end(t, at);
    if (end >= t.len) return t.len;
    at = end + 1;
    size_t first = at;
    while (first < t.len && (unsigned char)t.s[first] < 0x80 && !(t.s[first] > ' ')) {
      if (t.s[first] == '\n' || t.s[first] == '\r') break;
      first++;
    }
    /* Beyond ASCII there are blanks, too: such a line goes with this piece. */
    if (first < t.len && t.s[first] > ' ') return at;
  }
}

static int whole(const engine *e, completion__slice t, engine_tokens *out) {
  engine_tokens own = {0};
  int before = out ? out->n : 0, n;
  int rc = t.len ? engine_tokenize(e, t.s, t.len, false, out ? out : &own) : 0;
  n = out ? out->n - before : own.n;
  engine_tokens_free(&own);
  return rc == 0 ? n : rc == ENGINE_ENOMEM ? COMPLETION_ENOMEM : COMPLETION_EENGINE;
}

static int one(completion__memo *m, const engine *e, completion__slice t, engine_tokens *out) {
  if (t.len > COMPLETION__MEMO_BYTES) return whole(e, t, out);
  uint32_t hash = hash_of(t);
  memo_piece **place = &m->places[hash & (COMPLETION__MEMO_PLACES - 1)], *p = *place;
  if (!p || p->hash != hash || p->len != t.len || memcmp(p->ids + p->n, t.s, t.len) != 0) {
    engine_tokens tokens = {0};
    int n = whole(e, t, &tokens);
    p = n < 0 ? NULL : malloc(sizeof *p + (size_t)n * sizeof *p->ids + t.len);
    if (!p) {
      engine_tokens_free(&tokens);
      return n < 0 ? n : COMPLETION_ENOMEM;
    }
    *p = (memo_piece){.hash = hash, .len = (uint32_t)t.len, .n = n};
    if (n) memcpy(p->ids, tokens.ids, (size_t)n * sizeof *p->ids);
    memcpy(p->ids + n, t.s, t.len);
    engine_tokens_free(&tokens);
    free(*place);
    *place = p;
  }
  return out && engine_tokens_append(out, p->ids, p->n) ? COMPLETION_ENOMEM : p->n;
}

int completion__memo_tokenize(completion__memo *m, const engine *e, completion__slice t,
                              engine_tokens *out) {
  if (!m) return whole(e, t, out);
  int sum = 0;
  for (size_t at = 0; at < t.len;) {
    size_t end = piece_end(t, at);
    int n = one(m, e, completion__slice_cut(t, at, end), out);
    if (n < 0) return n;
    sum += n;
    at = end;
  }
  return sum;
}
