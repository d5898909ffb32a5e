/* state.h - the backend's own objects on the host. Included by its C files only. */
#ifndef FIMD_KERNELS_CUDA_STATE_H
#define FIMD_KERNELS_CUDA_STATE_H

#include "kernels/cuda/cuda.h"

/* A weight: runs of tiles of one kind. */
typedef struct cuda_segment {
  cuda_kind kind;
  int tile0, tiles;
  void *w;      /* device */
  float *scale; /* device, [tiles], or NULL */
} cuda_segment;

typedef struct cuda_weight {
  kernels_weight head;
  int units, tiles, n_segments;
  cuda_segment segment[3];
  size_t bytes; /* of device memory */
} cuda_weight;

/* Rows of numbers, in one of two forms. Memory is taken when a form is first written. */
typedef struct cuda_buffer {
  kernels_buffer head;
  float *plain; /* device, [count] */
  void *packed; /* device: rows_most rows of `width` columns */
  int width;    /* of packed */
  bool is_packed;
  int rows, groups, layout; /* how it was packed last */
} cuda_buffer;

typedef struct cuda_cache {
  kernels_cache head;
  char *data;    /* device: [layer][key, value][kv head][slot][head_dim] f16 */
  size_t layer;  /* bytes of a layer */
  uint32_t identity; /* never used again: recorded steps know a cache by it */
} cuda_cache;

/* What a recorded step was recorded for: two steps of one key launch the same. */
typedef struct graph_key {
  uint32_t plan, cache;
  int rows, out_rows, top_k, kv_most;
  bool out_all; /* the rows of output are the rows of the step */
  bool sums;    /* the answer has every row's logsumexp */
} graph_key;

typedef struct graph_entry {
  graph_key key;
  cudaGraphExec_t exec; /* NULL: not recorded yet */
  bool whole; /* a step has run to its end, so all its memory is taken: the next may be recorded */
} graph_entry;

enum { GRAPHS = 96, STAGING = 4, STAGING_BYTES = 8 << 20 };

typedef struct cuda_backend {
  kernels head;
  cuda_device d;
  size_t taken; /* device bytes in use */
  int rows_most;   /* a step's tokens, padded */
  int prefill_layout;

  /* the step's numbers: host memory that the device reads, and its copies */
  cuda_input *input;   /* pinned */
  cuda_output *output; /* pinned */
  float *host_logits;  /* pinned, [max_out, vocab], made when first asked for */
  float *host_row;     /* pinned, [vocab], likewise */
  cuda_step *step;
  uint32_t *number, *finished;
  int32_t *out, *moves, *ids, *pos;
  float *frequency;
  float2 *turn;
  float *logits;
  void *candidates, *partials;
  float2 *sums; /* [max_out, CUDA_TOP_CHUNKS] */
  size_t partials_bytes;
  cuda_normed normed, out_normed;

  /* the step in progress */
  int n, groups, out_groups, kv_most;
  int layout; /* of the prepared x */
  int rows, out_rows; /* n and n_out as grids are made for */
  bool out_all, capturing;
  bool sent; /* the step's numbers are on their way */
  graph_entry *recording;
  bool launching; /* a planned step is launched op by op, of this key: */
  graph_key key;
  const kernels_buffer *normed_x, *normed_by; /* what `normed` is the prepared form of */
  cudaError_t error; /* the first of the step */
  bool failed;       /* the device has: closing resets it */

  graph_entry graphs[GRAPHS];
  int n_graphs;
  uint32_t caches; /* made so far */

  void *staging[STAGING]; /* pinned, STAGING_BYTES each, while weights load */
  cudaEvent_t staged[STAGING];
  int next_staging;
  void *raw; /* device: rows as the file has them */
  size_t raw_bytes;
} cuda_backend;

static inline cuda_backend *cuda__of(kernels *k) { return (cuda_backend *)k; }

/* KERNELS_ENOMEM or KERNELS_EDEVICE; 0 for success. */
int cuda__status(cudaError_t e);
/* The same, and remembers a failure of the device. */
int cuda__check(cuda_backend *c, cudaError_t e);
/* Device memory, counted; zeroed where asked for. */
int cuda__take(cuda_backend *c, size_t bytes, bool zero, void **out);
void cuda__give(cuda_backend *c, void *p, size_t bytes);

/* weights.c */
int cuda__weight_load(kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts,
                      int64_t rows, kernels_weight **out);
int64_t cuda__weight_bytes(kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts);
void cuda__weight_free(kernels *k, kernels_weight *w);
void cuda__staging_free(cuda_backend *c);

/* buffers.c */
int cuda__buffer_new(kernels *k, const float *data, size_t count, kernels_buffer **out);
int cuda__buffer_read(kernels *k, const kernels_buffer *b, float *out, size_t count);
void cuda__buffer_free(kernels *k, kernels_buffer *b);
/* Makes sure of the form's memory. */
int cuda__buffer_plain(cuda_backend *c, cuda_buffer *b);
int cuda__buffer_packed(cuda_backend *c, cuda_buffer *b, int width);
size_t cuda__packed_bytes(const cuda_backend *c, int width);
int cuda__cache_new(kernels *k, int tokens, kernels_cache **out);
void cuda__cache_free(kernels *k, kernels_cache *cache);
int cuda__cache_move_slots(kernels *k, kernels_cache *cache, const int32_t *from, int n, int to);

/* step.c */
int cuda__padded_rows(int n);
int cuda__begin(kernels *k);
int cuda__op_embed(kernels *k, const kernels_weight *table, kernels_buffer *x,
                   const kernels_buffer *next);
int cuda__op_qkv(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
                 const kernels_weight *w, const kernels_buffer *bias, kernels_buffer *q);
int cuda__op_attend(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a);
int cuda__op_project(kernels *k, const kernels_buffer *y, const kernels_weight *w,
                     kernels_buffer *x, const kernels_buffer *next);
int cuda__op_gate_up(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                     const kernels_weight *w, kernels_buffer *h);
int cuda__op_head(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                  const kernels_weight *w);
int cuda__end(kernels *k, kernels_result *result);
int cuda__logit(kernels *k, int row, int32_t id, float *out);
int cuda__logits(kernels *k, int row, const float **out);
/* Forgets what was recorded for a cache (0: for all). */
void cuda__graphs_drop(cuda_backend *c, uint32_t cache);

#endif
