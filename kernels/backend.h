/* backend.h - what a backend implements, private to kernels/.
 *
 * kernels.c checks every argument once, for all backends: shapes against weights and buffers,
 * ids, masks, cache room, and that ops come between begin and end. A backend may trust what it
 * is given; what is left to it are memory, devices and arithmetic.
 *
 * The structs below are the heads of the backends' own: a backend puts one first in its struct
 * and casts. A backend fills a head's fields before it hands the object out, except those that
 * kernels.c is said to fill. */
#ifndef FIMD_KERNELS_BACKEND_H
#define FIMD_KERNELS_BACKEND_H

#include "kernels/kernels.h"

typedef struct kernels_backend kernels_backend;

struct kernels {
  const kernels_backend *backend; /* filled by kernels.c, as all up to in_step */
  kernels_shape shape;
  kernels_options options; /* max_batch and max_out set; threads as asked for, 0 for all */
  char description[96];    /* filled by the backend */
  bool in_step;
  bool have_logits;        /* kernels_head ran in this step */
  kernels_cache *cache;    /* of this step */
  kernels_batch batch;     /* of this step; its arrays are borrowed */
};

struct kernels_weight {
  const kernels *owner; /* owner is filled by kernels.c in all three */
  kernels_role role;    /* filled by kernels.c, as rows and cols */
  int64_t rows, cols;
};

struct kernels_buffer {
  const kernels *owner;
  size_t count; /* filled by kernels.c */
};

struct kernels_cache {
  const kernels *owner;
  int tokens; /* filled by kernels.c */
};

/* The functions are those of kernels.h after its checks. `variant` is what follows the colon of
 * "cpu:avx2", else "". open allocates the backend's struct, reads *model (the filled head) and
 * need not copy it: kernels.c does after success. */
struct kernels_backend {
  const char *name;
  int exact_rows; /* 0: as many as max_batch */
  int (*padded_rows)(int n); /* NULL: n */
  int (*open)(kernels **out, const char *variant, const kernels *model, char *err, size_t errlen);
  void (*close)(kernels *k);
  void (*memory)(kernels *k, size_t *available, size_t *total); /* NULL: host memory */
  double (*copy_bandwidth)(kernels *k);                         /* NULL: not known */
  int (*weight_load)(kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts,
                     int64_t rows, kernels_weight **out);
  /* NULL: as many as the parts have */
  int64_t (*weight_bytes)(kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts);
  void (*weight_free)(kernels *k, kernels_weight *w);
  int (*buffer_new)(kernels *k, const float *data, size_t count, kernels_buffer **out);
  int (*buffer_read)(kernels *k, const kernels_buffer *b, float *out, size_t count);
  void (*buffer_free)(kernels *k, kernels_buffer *b);
  int cache_element_bytes;
  int (*cache_new)(kernels *k, int tokens, kernels_cache **out);
  void (*cache_free)(kernels *k, kernels_cache *c);
  int (*cache_move)(kernels *k, kernels_cache *c, const int32_t *from, int n, int to);
  int (*begin)(kernels *k); /* cache and batch are in the head */
  int (*embed)(kernels *k, const kernels_weight *table, kernels_buffer *x,
               const kernels_buffer *next);
  int (*qkv)(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
             const kernels_weight *w, const kernels_buffer *bias, kernels_buffer *q);
  int (*attend)(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a);
  int (*project)(kernels *k, const kernels_buffer *y, const kernels_weight *w, kernels_buffer *x,
                 const kernels_buffer *next);
  int (*gate_up)(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                 const kernels_weight *w, kernels_buffer *h);
  int (*head)(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
              const kernels_weight *w); /* called only with n_out > 0 */
  /* result: zeroed, with n_out and top_k set. n_out 0 in a batch that has some: the step was given
   * up before its head; what is left of it is to be cleared away. */
  int (*end)(kernels *k, kernels_result *result);
  int (*logit)(kernels *k, int row, int32_t id, float *out); /* of a step that had a head */
  int (*logits)(kernels *k, int row, const float **out);     /* likewise */
};

/* Writes a formatted phrase to err, if there is room for any. */
void kernels__error(char *err, size_t errlen, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A half-precision number's bits as a float, exactly. */
float kernels__half_to_float(uint16_t bits);
/* Scale and minimum (0..63) of sub-block j (0..7) from the 12 packed bytes of a Q4_K block. */
void kernels__q4_k_scale(const uint8_t packed[12], int j, int *scale, int *minimum);

extern const kernels_backend kernels__cpu_reference;
extern const kernels_backend kernels__cpu;
#ifdef FIMD_CUDA
extern const kernels_backend kernels__cuda;
#endif

#endif
