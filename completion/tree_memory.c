/* tree_memory.c - see tree_memory.h.
 *
 * One reserve for the process, as tree-sitter has one allocator for it. A reserve is a stretch that
 * is handed out from its start; the last block can grow and be given back, as that is what a list
 * that grows does. It is whole again once all its blocks are free. Where some stay, in a tree that
 * lives on, the reserve is put aside and another one is taken, a few times at most. */
#include "completion/tree_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tree_sitter/api.h>

#define RESERVES 4 /* at a time; all but one hold blocks that are still in use */
#define ALIGN 16

/* Before each block, and as large as the alignment. */
typedef struct block {
  size_t size; /* bytes, a multiple of ALIGN */
  size_t unused;
} block;

typedef struct reserve {
  char *base; /* [COMPLETION__TREE_RESERVE] owned; NULL: none */
  size_t used; /* bytes */
  size_t blocks; /* in use */
} reserve;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static reserve reserves[RESERVES]; /* under lock */
static atomic_size_t in_use;       /* blocks of all; 0: nothing that is freed is ours */
static _Thread_local bool short_of_memory;

/* tree-sitter's own, which end the process where there is no memory. */
extern void *(*ts_current_malloc)(size_t size);
static void *(*last_resort)(size_t size);

/* ---- the reserve (locked) -------------------------------------------------------------- */

static reserve *reserve_of(const void *p) {
  for (int i = 0; i < RESERVES; i++) {
    uintptr_t base = (uintptr_t)reserves[i].base, at = (uintptr_t)p;
    if (base && at >= base && at - base < COMPLETION__TREE_RESERVE) return &reserves[i];
  }
  return NULL;
}

static block *block_of(void *p) { return (block *)p - 1; }

static bool is_last(const reserve *r, void *p) {
  return (char *)p + block_of(p)->size == r->base + r->used;
}

static size_t rounded(size_t size) { return (size + ALIGN - 1) / ALIGN * ALIGN; }

static void *take(size_t size) {
  if (size > COMPLETION__TREE_RESERVE / 2) return NULL;
  size = rounded(size ? size : 1);
  for (int i = 0; i < RESERVES; i++) {
    reserve *r = &reserves[i];
    if (!r->base || COMPLETION__TREE_RESERVE - r->used < size + sizeof(block)) continue;
    block *b = (block *)(void *)(r->base + r->used);
    b->size = size;
    r->used += sizeof *b + size;
    r->blocks++;
    atomic_fetch_add(&in_use, 1);
    return b + 1;
  }
  return NULL;
}

static void give_back(reserve *r, void *p) {
  if (is_last(r, p)) r->used -= sizeof(block) + block_of(p)->size;
  if (--r->blocks == 0) r->used = 0;
  atomic_fetch_sub(&in_use, 1);
}

/* Whether the block could be made as large where it is. */
static bool grow(reserve *r, void *p, size_t size) {
  block *b = block_of(p);
  if (size <= b->size) return true;
  size_t more = rounded(size) - b->size;
  if (!is_last(r, p) || size > COMPLETION__TREE_RESERVE / 2 ||
      COMPLETION__TREE_RESERVE - r->used < more)
    return false;
  b->size += more;
  r->used += more;
  return true;
}

/* ---- tree-sitter's allocator ----------------------------------------------------------- */

static void *from_reserve(size_t size) {
  short_of_memory = true;
  pthread_mutex_lock(&lock);
  void *p = take(size);
  pthread_mutex_unlock(&lock);
  return p ? p : last_resort(size);
}

static void *tree_malloc(size_t size) {
  void *p = malloc(size);
  return p || size == 0 ? p : from_reserve(size);
}

static void *tree_calloc(size_t n, size_t size) {
  void *p = calloc(n, size);
  if (p || n == 0 || size == 0 || n > SIZE_MAX / size) return p;
  p = from_reserve(n * size);
  return p ? memset(p, 0, n * size) : NULL;
}

void completion__tree_memory_free(void *p) {
  if (!p || atomic_load(&in_use) == 0) {
    free(p);
    return;
  }
  pthread_mutex_lock(&lock);
  reserve *r = reserve_of(p);
  if (r) give_back(r, p);
  pthread_mutex_unlock(&lock);
  if (!r) free(p);
}

/* Out of the reserve where there is memory again, else larger within it. */
static void *grow_reserved(void *p, size_t size) {
  void *fresh = malloc(size);
  if (!fresh) {
    pthread_mutex_lock(&lock);
    bool grown = grow(reserve_of(p), p, size);
    pthread_mutex_unlock(&lock);
    if (grown) return p;
    fresh = from_reserve(size);
  }
  size_t old = block_of(p)->size;
  if (fresh) memcpy(fresh, p, old < size ? old : size);
  completion__tree_memory_free(p);
  return fresh;
}

static void *tree_realloc(void *p, size_t size) {
  if (p && size > 0 && atomic_load(&in_use) > 0) {
    pthread_mutex_lock(&lock);
    bool ours = reserve_of(p) != NULL;
    pthread_mutex_unlock(&lock);
    if (ours) return grow_reserved(p, size);
  }
  void *grown = realloc(p, size);
  if (grown || size == 0) return grown;
  /* The block of before stands; how large it is only tree-sitter knows. */
  size_t old = p ? malloc_usable_size(p) : 0;
  grown = from_reserve(size);
  if (grown && p) memcpy(grown, p, old < size ? old : size);
  free(p);
  return grown;
}

/* ---- for the parsers ------------------------------------------------------------------- */

static void begin(void) {
  last_resort = ts_current_malloc;
  ts_set_allocator(tree_malloc, tree_calloc, tree_realloc, completion__tree_memory_free);
}

void completion__tree_memory_fill(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, begin);
  pthread_mutex_lock(&lock);
  bool whole = false;
  for (int i = 0; i < RESERVES; i++) whole = whole || (reserves[i].base && reserves[i].used == 0);
  for (int i = 0; i < RESERVES && !whole; i++) {
    if (reserves[i].base) continue;
    void *base = mmap(NULL, COMPLETION__TREE_RESERVE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) break;
    reserves[i] = (reserve){.base = base};
    whole = true;
  }
  pthread_mutex_unlock(&lock);
}

bool completion__tree_memory_short(void) { return short_of_memory; }

bool completion__tree_memory_was_short(void) {
  bool was = short_of_memory;
  short_of_memory = false;
  return was;
}

size_t completion__tree_memory_in_use(void) { return atomic_load(&in_use); }
