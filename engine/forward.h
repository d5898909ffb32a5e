/* forward.h - the Qwen2 forward pass over the op list of kernels.h, private to engine/. */
#ifndef FIMD_ENGINE_FORWARD_H
#define FIMD_ENGINE_FORWARD_H

#include "engine/model.h"
#include "kernels/kernels.h"

typedef struct forward forward;

/* Puts the model's weights on the backend, with buffers for its largest batch. The model and
 * the backend are borrowed until forward_delete. progress (may be NULL) gets 0..1, by bytes. */
int forward_new(forward **out, const model *m, kernels *k,
                void (*progress)(void *user, double done), void *user, char *err, size_t errlen);
void forward_delete(forward *f); /* NULL is a no-op */

/* Bytes that the model takes on the backend. */
typedef struct forward_size {
  int64_t table;  /* the embedding table */
  int64_t head;   /* the head; the table's own where tied */
  int64_t layers; /* all layers, norms and biases included */
  int64_t all;    /* everything once */
} forward_size;

/* 0, or ENGINE_EINVAL: the backend does not take a matrix of the model. */
int forward_bytes(const model *m, kernels *k, forward_size *out);

/* What the host may do while the device computes; it must not use a session. */
typedef struct forward_errand {
  void (*run)(void *user);
  void *user;
} forward_errand;

/* One pass over the batch. 0 or an engine_status; after an error the cache's contents are
 * undefined. The result is borrowed until the next step. The errand (NULL: none) is run once,
 * whatever happens: on a GPU while the step is under way. */
int forward_step(forward *f, kernels_cache *cache, const kernels_batch *batch,
                 const forward_errand *errand, kernels_result *result);

/* Turns a kernels_status into an engine_status. */
int forward_status(int kernels_status);

#endif
