/* ngrams.h - where a sequence of tokens has stood before, most recent places first. Private to
 * engine/.
 *
 * Texts are laid one behind the other in one array of tokens, NGRAMS_BORDER between them. A
 * place is an index into it: what stands there is what once followed the tokens before it. For
 * a few context lengths (levels) the places with equal contexts are listed, newest first, by a
 * hash of the context; a look-up goes through the lists and measures how far each place
 * really agrees. Nothing is counted in advance: counts are what a look-up finds. Text is taken out
 * by writing borders over it, and the places that are lost by it leave their lists as look-ups
 * come by.
 *
 * What a look-up takes is memory to come, again and again, from further away than any cache that
 * is left to it. So it should not wait for one place to learn of the next: a list is one place, or
 * chunks of 3, 7 and then 15 places, of a cache line at most, and the lists of all levels, of
 * several indexes and of several contexts are gone through side by side.
 *
 * Memory: 5 bytes a token and 2 to 4 for each level's hashes; and in the lists from nothing (one
 * place) over 8 bytes a place (two) to 4.3 (many). A text of code comes to about 29 in all. */
#ifndef FIMD_ENGINE_NGRAMS_H
#define FIMD_ENGINE_NGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NGRAMS_BORDER (-1)
#define NGRAMS_LEVELS_MAX 4
#define NGRAMS_MATCH_MAX 20 /* tokens of context that are compared */
#define NGRAMS_PLACES_MAX ((uint32_t)1 << 30)

/* The lists' memory, in units of UNIT words. */
typedef struct ngrams_cells {
  void *memory;    /* owned */
  uint32_t *words; /* in it, at a cache line: [used] of [capacity] */
  size_t used, capacity;
  uint32_t spare[4]; /* chunks of each size that are free, each leading to the next; 0: none */
} ngrams_cells;

typedef struct ngrams {
  int32_t *tokens; /* [capacity] owned; the first is a border, and the one behind the last */
  uint8_t *across; /* [capacity] owned: by what length of context a place is found, as pushed */
  uint32_t n, capacity;
  int levels[NGRAMS_LEVELS_MAX]; /* [n_levels] context lengths, ascending */
  int n_levels;
  uint32_t *heads[NGRAMS_LEVELS_MAX]; /* [1 << bits] owned: a hash's list; 0: none */
  int bits;
  ngrams_cells cells;
  int run; /* tokens since the last border, as far as levels reach */
} ngrams;

/* A place and how many tokens before it agree with the context that was looked up. */
typedef struct ngrams_match {
  uint32_t place;
  int length;
} ngrams_match;

/* levels[n_levels]: ascending, each at most NGRAMS_MATCH_MAX. 0 or ENGINE_ENOMEM. */
int ngrams_init(ngrams *x, const int *levels, int n_levels);
void ngrams_free(ngrams *x); /* also of a zeroed one */
/* Forgets all texts and keeps the memory. */
void ngrams_clear(ngrams *x);

/* Makes room for `more` tokens, ENGINE_ENOMEM if there is none. Larger tables of heads, and the
 * lists behind them, are made by prepare, which only reads texts, and so may run beside look-ups;
 * commit swaps them in. Then they are dropped: what was there before, or what is not wanted. */
bool ngrams_has_room(const ngrams *x, uint32_t more);
typedef struct ngrams_growth {
  uint32_t capacity;
  size_t words; /* that the lists may need */
  int bits;
  uint32_t *heads[NGRAMS_LEVELS_MAX]; /* owned; NULL: those there are will do */
  ngrams_cells cells;                 /* the same */
} ngrams_growth;
int ngrams_prepare(const ngrams *x, uint32_t more, ngrams_growth *out);
int ngrams_commit(ngrams *x, ngrams_growth *growth);
void ngrams_drop(ngrams_growth *growth);
/* Both at once. */
int ngrams_reserve(ngrams *x, uint32_t more);

/* Adds one token (or a border) behind the others; there must be room. */
void ngrams_push(ngrams *x, int32_t token);
/* The same, but look-ups find this place only by contexts longer than `across`: one that is a copy,
 * so many tokens behind a seam. With NGRAMS_MATCH_MAX none does: it is there to be run into. */
void ngrams_push_across(ngrams *x, int32_t token, int across);
/* Takes the last tokens out again, until n are left. Not together with erase. */
void ngrams_truncate(ngrams *x, uint32_t n);
/* Takes out places from..from+n-1, which stay as borders. */
void ngrams_erase(ngrams *x, uint32_t from, uint32_t n);

/* Places whose context agrees with the end of context[len] in at least the length of the shortest
 * level that is at least `least`, up to max, longest level first, newest first within one. At most
 * `hops` places are looked at in each level. Places in front of a border are left out. Lists are
 * cleared of what is gone in passing: one look-up at a time. */
int ngrams_find(ngrams *x, const int32_t *context, int len, int least, int hops,
                ngrams_match *out, int max);

/* Several at once, side by side, in one or more indexes: as each of s[n] by itself. */
typedef struct ngrams_search {
  ngrams *x;
  const int32_t *context; /* [len] */
  int len, hops, max;
  ngrams_match *out; /* [n] of max */
  int n;             /* set by find_all */
} ngrams_search;
void ngrams_find_all(ngrams_search *s, int n, int least);

/* Bytes held; and with a growth that is not committed yet. */
size_t ngrams_bytes(const ngrams *x);
size_t ngrams_bytes_with(const ngrams *x, const ngrams_growth *growth);

#endif
