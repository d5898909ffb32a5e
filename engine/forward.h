/* forward.h - the Qwen2 forward pass over the op list of kernels.h, private to engine/. */
#ifndef FIMD_ENGINE_FORWARD_H
#define FIMD_ENGINE_FORWARD_H

#include "engine/model.h"
#include "kernels/kernels.h"

typedef struct forward forward;

/* Puts the model's weights on the backend, with buffers for its largest batch. The model and
 * the backend are borrowed until forward_delete. progress (may be NULL) gets 0..1. */
int forward_new(forward **out, const model *m, kernels *k,
                void (*progress)(void *user, double done), void *user, char *err, size_t errlen);
void forward_delete(forward *f); /* NULL is a no-op */

/* One pass over the batch. 0 or an engine_status; after an error the cache's contents are
 * undefined. The result is borrowed until the next step. */
int forward_step(forward *f, kernels_cache *cache, const kernels_batch *batch,
                 kernels_result *result);

/* Turns a kernels_status into an engine_status. */
int forward_status(int kernels_status);

#endif
