/* family.h - the shapes of the Qwen2.5-Coder models and their sizes, private to engine/. */
#ifndef FIMD_ENGINE_FAMILY_H
#define FIMD_ENGINE_FAMILY_H

#include "engine/model.h"

typedef struct family_model {
  const char *name; /* "1.5B" */
  kernels_shape shape;
  bool tied;
  bool published; /* one that can be downloaded, not one of our own */
} family_model;

/* From the smallest to the largest; ends with a name of NULL. */
extern const family_model family_models[];

/* By name, upper or lower case, or NULL. */
const family_model *family_find(const char *name, size_t len);

/* Elements of one layer's matrices, of all matrices, and of everything. */
int64_t family_layer_elements(const kernels_shape *s);
int64_t family_matrix_elements(const kernels_shape *s, bool tied);
int64_t family_parameters(const kernels_shape *s, bool tied);

/* Bytes of the steps' buffers: activations of max_batch rows and the logits of max_out. */
int64_t family_work_bytes(const kernels_shape *s, int max_batch, int max_out);

#endif
