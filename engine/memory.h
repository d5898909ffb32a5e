/* memory.h - will it fit? Asked before anything is loaded. Private to engine/. */
#ifndef FIMD_ENGINE_MEMORY_H
#define FIMD_ENGINE_MEMORY_H

#include "engine/model.h"

typedef struct memory_question {
  const char *model;    /* its name */
  kernels_shape shape;
  int64_t weights;      /* bytes on the device */
  int context;          /* tokens of the KV cache */
  int element_bytes;    /* of a key's or value's element */
  int max_batch, max_out;
  size_t available, total; /* bytes of device memory */
  size_t limit;         /* that the user has set, or 0 */
} memory_question;

/* ENGINE_OK, or ENGINE_ENOMEM with words: what is needed, what is free, what would fit. */
int memory_check(const memory_question *q, char *err, size_t errlen);

#endif
