/* host.h - what the two CPU backends share: aligned memory, buffers of floats in host memory,
 * the top k of a row of logits, and the arrays that a step's result points to. */
#ifndef FIMD_KERNELS_CPU_HOST_H
#define FIMD_KERNELS_CPU_HOST_H

#include "kernels/backend.h"

/* Zeroed, 64-byte aligned; on success the memory is only touched when used. NULL if there is no
 * memory or the size overflowed on the way (host__mul says SIZE_MAX then). host__free(NULL) is a
 * no-op. */
void *host__alloc(size_t bytes);
void host__free(void *p, size_t bytes);
/* For what is soon filled and then read over and over: fewer and larger pages. */
void host__want_huge_pages(void *p, size_t bytes);
size_t host__mul(size_t a, size_t b); /* a * b, or SIZE_MAX where that does not fit */
size_t host__add(size_t a, size_t b);

typedef struct host_buffer {
  kernels_buffer head;
  size_t bytes; /* of this whole object */
  float *data;  /* [count], 64-byte aligned */
} host_buffer;

int host__buffer_new(kernels *k, const float *data, size_t count, kernels_buffer **out);
int host__buffer_read(kernels *k, const kernels_buffer *b, float *out, size_t count);
void host__buffer_free(kernels *k, kernels_buffer *b);

static inline float *host__data(const kernels_buffer *b) { return ((const host_buffer *)b)->data; }

/* Bytes of a matrix's row; the matrix has passed kernels_matrix_bytes. */
size_t host__row_bytes(const kernels_matrix *m);

/* The k best of logits[n], best first; equal ones by id; NaN counts as least. n >= k. */
void host__top_k(const float *logits, int n, int k, int32_t *ids, float *values);

/* ln(sum of exp(logits)), in double; most: the largest, NaN left out, as from host__top_k. */
float host__logsumexp(const float *logits, int n, float most);

/* The arrays of a kernels_result, grown as steps ask for them. Zero-initialise. */
typedef struct host_results {
  float *logits; /* [rows, vocab] */
  size_t logits_bytes;
  int32_t *top_ids; /* [max_out, KERNELS_TOP_K_MAX], used densely as [n_out, top_k] */
  float *top_logits;
  float *logsumexp; /* [max_out] */
} host_results;

int host__results_init(host_results *r, int max_out);
int host__results_grow(host_results *r, int n_out, int vocab); /* room in logits */
void host__results_free(host_results *r);
void host__results_get(const host_results *r, const kernels_batch *b, kernels_result *result);

#endif
