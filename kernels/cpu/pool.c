/* pool.c - see pool.h.
 *
 * A step of a small model is some eighty loops of ten to a hundred microseconds, so handing a
 * loop over must cost about one: workers spin for a moment after each loop and sleep only when
 * none follows. The whole hand-over is one atomic word, the ticket, which holds how many items
 * the loop has and which is next. Taking an item is one fetch-and-add; a worker that comes late
 * sees next >= items and has no part in the loop, so nobody ever waits for a thread that the
 * system is not running, unless it holds an item. */
#include "kernels/cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum {
  ITEM_BITS = 32,
  SPINS = 4000,      /* pauses before a worker sleeps: about 50 to 200 microseconds */
  WAIT_SPINS = 2000, /* pauses before the caller starts to yield */
};

typedef struct worker {
  pool *pool;
  int index;
  pthread_t thread;
} worker;

struct pool {
  /* next item in the low ITEM_BITS, number of items above. Each in its own cache line. */
  _Alignas(64) _Atomic uint64_t ticket;
  _Alignas(64) _Atomic int done; /* items finished in this loop */
  /* Written by the caller before the ticket, read by who drew an item of that ticket. */
  _Alignas(64) void (*work)(void *arg, int item, int thread);
  void *arg;
  _Atomic int sleepers;
  _Atomic bool stop;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int threads, started;
  worker workers[];
};

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static bool has_items(uint64_t ticket) { return (uint32_t)ticket < ticket >> ITEM_BITS; }

/* Draws and runs items until none is left. */
static void run_items(pool *p, int thread) {
  while (has_items(atomic_load_explicit(&p->ticket, memory_order_relaxed))) {
    uint64_t mine = atomic_fetch_add(&p->ticket, 1);
    if (!has_items(mine)) return;
    p->work(p->arg, (int)(uint32_t)mine, thread);
    atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
  }
}

static void sleep_until_work(pool *p) {
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add(&p->sleepers, 1);
  while (!atomic_load(&p->stop) && !has_items(atomic_load(&p->ticket)))
    pthread_cond_wait(&p->wake, &p->lock);
  atomic_fetch_sub(&p->sleepers, 1);
  pthread_mutex_unlock(&p->lock);
}

static void *worker_main(void *arg) {
  worker *w = arg;
  pool *p = w->pool;
  int idle = 0;
  while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
    if (has_items(atomic_load_explicit(&p->ticket, memory_order_relaxed))) {
      run_items(p, w->index);
      idle = 0;
    } else if (++idle < SPINS) {
      relax();
    } else {
      sleep_until_work(p);
      idle = 0;
    }
  }
  return NULL;
}

pool *pool__new(int threads) {
  size_t bytes = sizeof(pool) + (size_t)threads * sizeof(worker);
  bytes = (bytes + 63) / 64 * 64;
  pool *p = aligned_alloc(64, bytes);
  if (!p) return NULL;
  atomic_init(&p->ticket, 0);
  atomic_init(&p->done, 0);
  atomic_init(&p->sleepers, 0);
  atomic_init(&p->stop, false);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  p->threads = threads;
  p->started = 0;
  for (int i = 1; i < threads; i++) {
    worker *w = &p->workers[i];
    w->pool = p;
    w->index = i;
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
      pool__delete(p);
      return NULL;
    }
    p->started++;
  }
  return p;
}

void pool__delete(pool *p) {
  if (!p) return;
  pthread_mutex_lock(&p->lock);
  atomic_store(&p->stop, true);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
  for (int i = 1; i <= p->started; i++) pthread_join(p->workers[i].thread, NULL);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  free(p);
}

int pool__threads(const pool *p) { return p->threads; }

int pool__cores(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int n = CPU_COUNT(&set);
  return n < 1 ? 1 : n;
}

void pool__run(pool *p, int items, void (*work)(void *arg, int item, int thread), void *arg) {
  if (p->threads == 1 || items <= 1) {
    for (int i = 0; i < items; i++) work(arg, i, 0);
    return;
  }
  p->work = work;
  p->arg = arg;
  atomic_store_explicit(&p->done, 0, memory_order_relaxed);
  atomic_store(&p->ticket, (uint64_t)items << ITEM_BITS);
  if (atomic_load(&p->sleepers) > 0) {
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
  }
  run_items(p, 0);
  for (int spins = 0; atomic_load_explicit(&p->done, memory_order_acquire) < items; spins++) {
    if (spins < WAIT_SPINS) relax();
    else sched_yield();
  }
}
