/* seed.c - see seed.h. */
#include "completion/seed.h"

#include <stdlib.h>
#include <string.h>

#include "completion/secrets.h"

typedef struct piece {
  uint32_t bytes, tokens;
} piece;

struct completion__seed {
  engine_pool *pool;
  int64_t id;
  completion__text *text; /* owned reference: what the pool has; NULL: nothing */
  piece *pieces;          /* [n] owned */
  size_t n, capacity;
};

/* Pieces and tokens of a range of text. */
typedef struct made {
  engine_tokens tokens;
  piece *pieces;
  size_t n, capacity;
} made;

/* ---- pieces ---------------------------------------------------------------------------- */

static bool line_is_blank(completion__slice t, size_t at) {
  while (at < t.len && (t.s[at] == ' ' || t.s[at] == '\t' || t.s[at] == '\r')) at++;
  return at == t.len || t.s[at] == '\n';
}

/* Where the piece that begins at `from` ends: before the next line that is not blank. */
static size_t piece_end(completion__slice t, size_t from) {
  for (size_t at = from;;) {
    const char *end = memchr(t.s + at, '\n', t.len - at);
    if (!end) return t.len;
    at = (size_t)(end - t.s) + 1;
    if (at == t.len || !line_is_blank(t, at)) return at;
  }
}

static int make_pieces(const engine *e, completion__slice t, size_t from, size_t to, made *out) {
  while (from < to) {
    size_t end = piece_end(t, from);
    int before = out->tokens.n;
    if (out->n == out->capacity) {
      size_t capacity = out->capacity ? out->capacity * 2 : 64;
      piece *grown = realloc(out->pieces, capacity * sizeof *grown);
      if (!grown) return COMPLETION_ENOMEM;
      out->pieces = grown;
      out->capacity = capacity;
    }
    if (!completion__secrets_in(completion__slice_cut(t, from, end)) &&
        engine_tokenize(e, t.s + from, end - from, false, &out->tokens))
      return COMPLETION_ENOMEM;
    out->pieces[out->n++] = (piece){(uint32_t)(end - from), (uint32_t)(out->tokens.n - before)};
    from = end;
  }
  return 0;
}

static void made_free(made *m) {
  engine_tokens_free(&m->tokens);
  free(m->pieces);
}

/* ---- edits ----------------------------------------------------------------------------- */

/* Which pieces an edit touches, and what is to be read in their place. */
typedef struct range {
  size_t first, count;   /* pieces */
  size_t tokens, removed;
  size_t from, to;       /* bytes of the new text */
} range;

static range touched(const completion__seed *s, completion__slice old, completion__slice new) {
  size_t most = old.len < new.len ? old.len : new.len, head = 0, tail = 0;
  while (head + 64 <= most && memcmp(old.s + head, new.s + head, 64) == 0) head += 64;
  while (head < most && old.s[head] == new.s[head]) head++;
  while (tail + 64 <= most - head &&
         memcmp(old.s + old.len - tail - 64, new.s + new.len - tail - 64, 64) == 0)
    tail += 64;
  while (tail < most - head && old.s[old.len - 1 - tail] == new.s[new.len - 1 - tail]) tail++;
  range r = {0};
  size_t at = 0;
  /* The piece before the one that is touched, too: they may have become one. */
  while (r.first < s->n && at + s->pieces[r.first].bytes <= head) {
    at += s->pieces[r.first].bytes;
    r.tokens += s->pieces[r.first++].tokens;
  }
  if (r.first > 0) {
    r.first--;
    at -= s->pieces[r.first].bytes;
    r.tokens -= s->pieces[r.first].tokens;
  }
  r.from = at;
  /* Up to a piece that begins, line end before it included, in what both texts end with. */
  while (r.first + r.count < s->n && (at == r.from || at - 1 < old.len - tail)) {
    at += s->pieces[r.first + r.count].bytes;
    r.removed += s->pieces[r.first + r.count++].tokens;
  }
  r.to = new.len - (old.len - at);
  return r;
}

static int put_pieces(completion__seed *s, const range *r, const made *m) {
  size_t n = s->n - r->count + m->n;
  if (n > s->capacity) {
    size_t capacity = n + n / 4 + 64;
    piece *grown = realloc(s->pieces, capacity * sizeof *grown);
    if (!grown) return COMPLETION_ENOMEM;
    s->pieces = grown;
    s->capacity = capacity;
  }
  if (s->n)
    memmove(s->pieces + r->first + m->n, s->pieces + r->first + r->count,
            (s->n - r->first - r->count) * sizeof *s->pieces);
  if (m->n) memcpy(s->pieces + r->first, m->pieces, m->n * sizeof *m->pieces);
  s->n = n;
  return 0;
}

static int update(completion__seed *s, const engine *e, completion__text *text) {
  completion__slice new = completion__text_slice(text);
  completion__slice old = s->text ? completion__text_slice(s->text) : (completion__slice){"", 0};
  range r = touched(s, old, new);
  made m = {0};
  int status = make_pieces(e, new, r.from, r.to, &m);
  if (!status) status = put_pieces(s, &r, &m);
  if (!status && engine_pool_splice(s->pool, s->id, (int)r.tokens, (int)r.removed, m.tokens.ids,
                                    m.tokens.n))
    status = COMPLETION_ENOMEM;
  made_free(&m);
  if (status) return status;
  completion__text_release(s->text);
  s->text = completion__text_hold(text);
  return 0;
}

int completion__seed_sync(completion__seed **seed, engine_pool *pool, const engine *e,
                          completion__text *text) {
  completion__seed *s = *seed;
  if (s && s->text == text) return 0;
  if (!s) {
    s = calloc(1, sizeof *s);
    if (!s) return COMPLETION_ENOMEM;
    s->pool = pool;
    if (engine_pool_open(pool, &s->id)) {
      free(s);
      return COMPLETION_ENOMEM;
    }
    *seed = s;
  }
  int status = update(s, e, text);
  if (status) { /* what is there is not known any more */
    completion__seed_delete(s);
    *seed = NULL;
  }
  return status;
}

void completion__seed_delete(completion__seed *s) {
  if (!s) return;
  engine_pool_remove(s->pool, s->id);
  completion__text_release(s->text);
  free(s->pieces);
  free(s);
}

int64_t completion__seed_id(const completion__seed *s) { return s ? s->id : 0; }
