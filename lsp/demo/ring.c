#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* A ring buffer of bytes with a fixed capacity. */
struct ring {
  unsigned char *data;
  size_t capacity;
  size_t head; /* where the next byte is written */
  size_t count;
};

bool ring_init(struct ring *r, size_t capacity) {
  r->data = malloc(capacity);
  if (r->data == NULL) return false;
  r->capacity = capacity;
  r->head = 0;
  r->count = 0;
  return true;
}

void ring_free(struct ring *r) {
  free(r->data);
  r->data = NULL;
}

bool ring_push(struct ring *r, unsigned char byte) {
  if (r->count == r->capacity) return false;
  r->data[r->head] = byte;
  r->head = (r->head + 1) % r->capacity;
  r->count++;
  return true;
}

bool ring_pop(struct ring *r, unsigned char *byte) {
  if (r->count == 0) return false;
  size_t tail = (r->head + r->capacity - r->count) % r->capacity;
  *byte = r->data[tail];
  r->count--;
  return true;
}
