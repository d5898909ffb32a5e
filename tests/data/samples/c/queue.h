/* queue.h - a bounded queue of jobs between two threads. */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#define QUEUE_MAX 256

typedef struct job {
  int id;
  int priority;
  void (*run)(void *argument);
  void *argument;
} job;

typedef struct queue {
  job items[QUEUE_MAX];
  size_t head;  /* the next to be taken */
  size_t count; /* waiting */
  size_t dropped;
} queue;

void queue_init(queue *q);
bool queue_push(queue *q, job item);
bool queue_pop(queue *q, job *item);
bool queue_is_full(const queue *q);
size_t queue_remove(queue *q, int id);

#endif
