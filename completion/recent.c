/* recent.c - see recent.h. */
#include "completion/recent.h"

#include <stdlib.h>
#include <string.h>

static size_t entry_bytes(const completion__recent_entry *e) {
  return e->text->len + e->written.len + e->shown.len;
}

static void entry_free(completion__recent_entry *e) {
  free(e->uri);
  completion__text_release(e->text);
  completion__place_release(e->place);
  completion__buffer_free(&e->written);
  completion__buffer_free(&e->shown);
}

static void drop(completion__recent *c, int i) {
  c->bytes -= entry_bytes(&c->entries[i]);
  entry_free(&c->entries[i]);
  c->n--;
  memmove(&c->entries[i], &c->entries[i + 1], (size_t)(c->n - i) * sizeof *c->entries);
}

void completion__recent_clear(completion__recent *c) {
  while (c->n) drop(c, c->n - 1);
}

/* Every version of a text has a number of its own, so the sum of their mixed numbers tells whether
 * they are the same ones, in whatever order (mix: splitmix64's finalizer). */
static uint64_t digest(const completion__view *views, int n) {
  uint64_t sum = 0;
  for (int i = 1; i < n; i++) {
    uint64_t x = views[i].text->serial;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    sum += (x ^ x >> 31) + 1;
  }
  return sum;
}

/* Where the key's place lies in the entry's text, or -1: everything but its text is the same, and
 * what stands before and after is. */
static long place_in(const completion__recent_entry *e, const completion__recent_key *k,
                     uint64_t others) {
  const completion__view *v = &k->views[0];
  if (e->others != others || e->budget != k->budget || e->no_context != k->no_context ||
      !completion__reuse_same_terms(&e->terms, &k->terms) || e->place != v->place ||
      e->text->language != v->text->language || e->text->crlf != v->text->crlf ||
      k->cursor < e->cursor || k->cursor - e->cursor > e->written.len ||
      v->text->len - k->cursor != e->text->len - e->cursor)
    return -1;
  const char *now = v->text->bytes, *then = e->text->bytes;
  size_t since = k->cursor - e->cursor, after = e->text->len - e->cursor;
  if (since && memcmp(now + e->cursor, e->written.s, since) != 0) return -1;
  if (memcmp(now + k->cursor, then + e->cursor, after) != 0 || memcmp(now, then, e->cursor) != 0 ||
      strcmp(e->uri, v->document->uri) != 0)
    return -1;
  return (long)since;
}

/* The rest of what was shown, where that begins with what was typed of the answer. */
static completion__slice shown_rest(const completion__recent_entry *e, size_t since) {
  completion__slice shown = completion__buffer_slice(&e->shown);
  if (!shown.s || since > shown.len || (since && memcmp(shown.s, e->written.s, since) != 0))
    return (completion__slice){0};
  return completion__slice_of(shown.s + since, shown.len - since);
}

bool completion__recent_find(completion__recent *c, const completion__recent_key *key,
                             completion__answer *out) {
  uint64_t others = digest(key->views, key->n_views);
  for (int i = c->n - 1; i >= 0; i--) {
    long since = place_in(&c->entries[i], key, others);
    if (since < 0) continue;
    completion__slice all = completion__buffer_slice(&c->entries[i].written),
                      rest = completion__slice_cut(all, (size_t)since, all.len),
                      shown = shown_rest(&c->entries[i], (size_t)since);
    /* All of it was typed: what comes then is a new question. */
    if (since && completion__slice_is_blank(shown.s ? shown : rest)) continue;
    completion__recent_entry found = c->entries[i];
    memmove(&c->entries[i], &c->entries[i + 1], (size_t)(c->n - 1 - i) * sizeof found);
    c->entries[c->n - 1] = found;
    *out = found.answer;
    out->text = rest;
    out->shown = shown;
    return true;
  }
  return false;
}

void completion__recent_keep(completion__recent *c, const completion__recent_key *key,
                             const completion__answer *answer) {
  const completion__view *v = &key->views[0];
  completion__recent_entry e = {.uri = strdup(v->document->uri),
                                .text = completion__text_hold(v->text),
                                .place = completion__place_hold(v->place),
                                .cursor = key->cursor,
                                .others = digest(key->views, key->n_views),
                                .budget = key->budget,
                                .no_context = key->no_context,
                                .terms = key->terms,
                                .answer = *answer};
  e.answer.text = e.answer.shown = (completion__slice){0};
  if (!e.uri || completion__buffer_append(&e.written, answer->text.s, answer->text.len) ||
      (answer->shown.s &&
       completion__buffer_append(&e.shown, answer->shown.s, answer->shown.len)) ||
      entry_bytes(&e) > COMPLETION__RECENT_BYTES) {
    entry_free(&e);
    return;
  }
  while (c->n == COMPLETION__RECENT_MAX ||
         (c->n && c->bytes + entry_bytes(&e) > COMPLETION__RECENT_BYTES))
    drop(c, 0);
  c->bytes += entry_bytes(&e);
  c->entries[c->n++] = e;
}
