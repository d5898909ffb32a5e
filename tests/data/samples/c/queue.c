/* queue.c - a ring of jobs; the caller holds the lock. */
#include "queue.h"

#include <stdio.h>
#include <string.h>

void queue_init(queue *q) {
  memset(q, 0, sizeof *q);
}

bool queue_is_full(const queue *q) {
  return q->count == QUEUE_MAX;
}

static size_t slot_at(const queue *q, size_t index) {
  return (q->head + index) % QUEUE_MAX;
}

bool queue_push(queue *q, job item) {
  if (queue_is_full(q)) {
    q->dropped++;
    return false;
  }
  q->items[slot_at(q, q->count)] = item;
  q->count++;
  return true;
}

bool queue_pop(queue *q, job *item) {
  if (q->count == 0) {
    return false;
  }
  *item = q->items[q->head];
  q->head = (q->head + 1) % QUEUE_MAX;
  q->count--;
  return true;
}

/* Takes out every job with the id and returns how many there were. */
size_t queue_remove(queue *q, int id) {
  size_t kept = 0;
  size_t removed = 0;
  for (size_t i = 0; i < q->count; i++) {
    job *item = &q->items[slot_at(q, i)];
    if (item->id == id) {
      removed++;
      continue;
    }
    q->items[slot_at(q, kept)] = *item;
    kept++;
  }
  q->count = kept;
  return removed;
}

void queue_print(const queue *q) {
  for (size_t i = 0; i < q->count; i++) {
    const job *item = &q->items[slot_at(q, i)];
    printf("%zu: job %d, priority %d\n", i, item->id, item->priority);
  }
}
