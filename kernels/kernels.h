/* kernels.h - the arithmetic of a Qwen2 forward pass: one op list, several backends.
 *
 * A backend ("cpu", "cpu-reference", "cuda") implements the six ops below. They are coarse
 * on purpose: each is one or two launches on a GPU, with the norm, the bias, the rotary
 * embedding and the residual fused in, so that engine/forward.c is written once and is also
 * what a GPU graph records.
 *
 * Exactness contract. Within one backend the outputs for a row depend only on that row's own
 * inputs (its token, position and what it attends to), bit for bit: not on how many other
 * rows share the batch, nor on where in the batch it stands, in all batches of up to
 * kernels_exact_rows. So a drafted row equals the same row computed alone. Larger batches
 * (prefill on a GPU) may add up in another order. Tests compare with memcmp.
 *
 * Threads: a `kernels` is used by one thread at a time. It may own worker threads.
 * Errors: every function that can fail returns 0 or a negative kernels_status; after a
 * failed op the results of the step are undefined and the caches must be discarded, and
 * nothing leaks.
 *
 * Notation: A[r, c] is row-major with r rows. n is the number of tokens in the batch. */
#ifndef FIMD_KERNELS_H
#define FIMD_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- status and types ------------------------------------------------------------------ */

typedef enum kernels_status {
  KERNELS_OK = 0,
  KERNELS_ENOMEM = -1,       /* host or device memory ran out */
  KERNELS_EINVAL = -2,       /* a shape, type or argument that the op does not take */
  KERNELS_EDEVICE = -3,      /* the device failed or went away */
  KERNELS_EUNSUPPORTED = -4, /* this machine cannot run this backend */
} kernels_status;

/* A constant English phrase for a status. Never NULL. */
const char *kernels_strstatus(int status);

/* Element types of weight matrices. The numbers are GGUF's own. */
typedef enum kernels_type {
  KERNELS_F32 = 0,
  KERNELS_F16 = 1,
  KERNELS_Q4_0 = 2,  /* blocks of 32: f16 scale, 16 bytes of nibbles */
  KERNELS_Q8_0 = 8,  /* blocks of 32: f16 scale, 32 int8 */
  KERNELS_Q4_K = 12, /* super-blocks of 256, 144 bytes */
  KERNELS_Q6_K = 14, /* super-blocks of 256, 210 bytes */
  KERNELS_BF16 = 30,
} kernels_type;

/* Name ("Q8_0") or NULL if the type is unknown; elements and bytes of one block, 0 if unknown. */
const char *kernels_type_name(kernels_type type);
int kernels_type_block_elements(kernels_type type);
int kernels_type_block_bytes(kernels_type type);

/* One row of `cols` elements of any type to float. cols must be a whole number of blocks.
 * The scalar definition of every format: all backends agree with it. */
int kernels_dequantize_row(kernels_type type, const void *row, int64_t cols, float *out);

/* W[rows, cols] in host memory, row-major, each row a whole number of blocks; rows are
 * outputs: y = W x. `data` is borrowed. No alignment is promised beyond the element's. */
typedef struct kernels_matrix {
  kernels_type type;
  int64_t rows, cols;
  const void *data;
} kernels_matrix;

/* Bytes of the matrix, or -1 if the shape is not whole blocks or would overflow. */
int64_t kernels_matrix_bytes(const kernels_matrix *m);

/* The shape of a Qwen2 model. heads * head_dim may differ from hidden. */
typedef struct kernels_shape {
  int layers;
  int hidden;       /* width of the residual stream */
  int heads;        /* query heads; a multiple of kv_heads */
  int kv_heads;
  int head_dim;     /* 64 or 128 */
  int intermediate; /* width of the MLP */
  int vocab;
  float rope_theta; /* rotary pairs are (i, i + head_dim/2) */
  float rms_eps;
} kernels_shape;

/* ---- a backend ------------------------------------------------------------------------- */

typedef struct kernels kernels;
typedef struct kernels_weight kernels_weight; /* matrices in the backend's own layout */
typedef struct kernels_buffer kernels_buffer; /* floats where the backend computes */
typedef struct kernels_cache kernels_cache;   /* keys and values of all layers */

typedef struct kernels_options {
  int threads;         /* CPU worker threads; 0: the cores this process may use */
  int max_batch;       /* the most tokens a step will hold; 0: 512 */
  int max_out;         /* the most rows of logits a step will ask for; 0: max_batch */
  size_t memory_limit; /* bytes of device memory to take at most; 0: what is free */
} kernels_options;

/* Opens a backend by name for a model shape: "cpu-reference" (plain fp32, the judge), "cpu"
 * (the fastest instruction set found at run time), "cuda". On success *out is owned by the
 * caller (kernels_close). On failure *out is NULL and err says why, in words for a person.
 * KERNELS_EUNSUPPORTED: the name is unknown or this machine cannot run it. */
int kernels_open(kernels **out, const char *backend, const kernels_shape *shape,
                 const kernels_options *options, char *err, size_t errlen);
/* Frees the backend. All weights, buffers and caches must be freed before. NULL is a no-op. */
void kernels_close(kernels *k);

/* "cpu-reference", "cpu (avx512-vnni, 2 threads)", "cuda (NVIDIA H100, sm_90)": borrowed until
 * close. */
const char *kernels_description(const kernels *k);
int kernels_max_batch(const kernels *k);
/* The rows of the largest batch that the exactness contract holds for. */
int kernels_exact_rows(const kernels *k);
/* How many rows a step of n is made to: one of that many takes about as long. n or more. */
int kernels_padded_rows(const kernels *k, int n);

/* Bytes of device memory that may still be taken (the limit of the options counted in), and of
 * the whole device. Both 0 where the backend computes in host memory. */
void kernels_memory(kernels *k, size_t *available, size_t *total);
/* What copying within the device's memory reaches, in GB/s, bytes read and bytes written both
 * counted: measured now (some milliseconds). 0 in host memory, or if it cannot be measured. */
double kernels_copy_bandwidth(kernels *k);

/* What a weight is for: a backend may order its rows for the op. */
typedef enum kernels_role {
  KERNELS_TABLE,   /* one part, [vocab, hidden]: kernels_embed and kernels_head */
  KERNELS_QKV,     /* three parts: q, k, v */
  KERNELS_PROJECT, /* one part */
  KERNELS_GATE_UP, /* two parts: gate, up */
} kernels_role;

/* Takes the parts (equal cols, types may differ) into the backend's layout. Backends may keep
 * borrowing parts[i].data: it must outlive the weight. */
int kernels_weight_load(kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts,
                        kernels_weight **out);
/* Bytes that kernels_weight_load would take, or -1 if it would refuse the parts. */
int64_t kernels_weight_bytes(kernels *k, kernels_role role, const kernels_matrix *parts,
                             int n_parts);
void kernels_weight_free(kernels *k, kernels_weight *w); /* NULL is a no-op */

/* A buffer of `count` floats, uninitialised, or filled from host memory when data != NULL. */
int kernels_buffer_new(kernels *k, const float *data, size_t count, kernels_buffer **out);
/* Copies count floats from the start of the buffer to host memory (tests, debugging). */
int kernels_buffer_read(kernels *k, const kernels_buffer *b, float *out, size_t count);
void kernels_buffer_free(kernels *k, kernels_buffer *b); /* NULL is a no-op */

/* Keys and values for `tokens` slots in every layer. */
int kernels_cache_new(kernels *k, int tokens, kernels_cache **out);
int64_t kernels_cache_bytes(const kernels *k, int tokens);
void kernels_cache_free(kernels *k, kernels_cache *c); /* NULL is a no-op */
/* Copies slots from[0..n-1] to slots to..to+n-1 in all layers, in ascending order;
 * from is strictly ascending and from[i] >= to + i (how a draft's accepted path is compacted). */
int kernels_cache_move(kernels *k, kernels_cache *c, const int32_t *from, int n, int to);

/* ---- one step -------------------------------------------------------------------------- */

/* The tokens of one forward pass. Arrays are borrowed until kernels_end returns. Row i writes
 * its key and value to cache slot kv_len + i and attends to slots 0..kv_len-1, to itself, and
 * to the rows that the mask allows. */
typedef struct kernels_batch {
  int n;                /* 1..max_batch */
  const int32_t *ids;   /* [n] each in 0..vocab-1 */
  const int32_t *pos;   /* [n] rotary position of each row */
  int kv_len;           /* committed slots before this step */
  const uint64_t *mask; /* [n, (n+63)/64] bit j of row i: row i attends to row j (j < i).
                           NULL: causal, every j < i. A row always attends to itself. */
  int n_out;            /* rows whose logits are wanted; may be 0 */
  const int32_t *out;   /* [n_out] row numbers, ascending */
  int top_k;            /* 1..KERNELS_TOP_K_MAX candidates per row of output */
  bool want_logits;     /* also bring all logits to the host */
  bool want_logsumexp;  /* also say what the logits' probabilities are relative to */
  uint32_t plan;        /* 0, or the caller's promise that every step with this number, this cache
                           and n_out zero or not issues the same ops on the same weights and
                           buffers: a backend may record them, and replay */
} kernels_batch;

#define KERNELS_TOP_K_MAX 16

/* What a step brings to the host: borrowed until the next kernels_begin or close. */
typedef struct kernels_result {
  int n_out, top_k;
  const int32_t *top_ids;  /* [n_out, top_k] best first; equal logits: the smaller id first */
  const float *top_logits; /* [n_out, top_k] */
  const float *logits;     /* [n_out, vocab], or NULL unless want_logits */
  const float *logsumexp;  /* [n_out] ln(sum of exp(logit)) of all logits of the row, one that is
                              NaN left out; or NULL unless want_logsumexp. At least top_logits[0],
                              so a logit less this is a logarithm of a probability, never above 0 */
} kernels_result;

/* Begins a step on a cache. Returns 0: now issue the ops. Returns 1: the backend has this very
 * sequence recorded and has replayed it; skip the ops and call kernels_end. Negative: error. */
int kernels_begin(kernels *k, kernels_cache *c, const kernels_batch *batch);

/* x[n, hidden] = table[ids] ; table[vocab, hidden]
 * next (here and below): the norm of the op that reads x next, so that a backend can prepare for
 * it; NULL where that is not known. It changes no result. */
int kernels_embed(kernels *k, const kernels_weight *table, kernels_buffer *x,
                  const kernels_buffer *next);

/* y = rmsnorm(x) * norm; (q, k, v) = W y + bias; rotary on q and k; k, v into the cache.
 * x[n, hidden], norm[hidden], w[(heads + 2 kv_heads) * head_dim, hidden] rows stacked q, k, v,
 * bias[(heads + 2 kv_heads) * head_dim] or NULL, q[n, heads * head_dim] */
int kernels_qkv(kernels *k, int layer, const kernels_buffer *x, const kernels_buffer *norm,
                const kernels_weight *w, const kernels_buffer *bias, kernels_buffer *q);

/* a[n, heads * head_dim] = softmax(q k^T / sqrt(head_dim)) v over what each row attends to */
int kernels_attend(kernels *k, int layer, const kernels_buffer *q, kernels_buffer *a);

/* x[n, hidden] += W y ; w[hidden, cols], y[n, cols] (attention output and MLP down) */
int kernels_project(kernels *k, const kernels_buffer *y, const kernels_weight *w,
                    kernels_buffer *x, const kernels_buffer *next);

/* z = rmsnorm(x) * norm; (g, u) = W z; h[n, intermediate] = silu(g) * u
 * w[2 * intermediate, hidden] rows stacked gate, up */
int kernels_gate_up(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                    const kernels_weight *w, kernels_buffer *h);

/* logits[n_out, vocab] = W (rmsnorm(x[out]) * norm), and the top k of each row
 * w[vocab, hidden]; a step with n_out == 0 may leave it out */
int kernels_head(kernels *k, const kernels_buffer *x, const kernels_buffer *norm,
                 const kernels_weight *w);

/* Waits for the step and fills *result (may be NULL). */
int kernels_end(kernels *k, kernels_result *result);

/* Reads one logit of the step that kernels_end has ended, before the next kernels_begin: for a
 * token that is not among the top k, without bringing all of them. row: of the output. A GPU takes
 * some ten microseconds for each. KERNELS_EINVAL: there is no such logit. */
int kernels_logit(kernels *k, int row, int32_t id, float *out);
/* Likewise all of a row's: *out becomes [vocab], borrowed until the next call of this or of
 * kernels_begin. A GPU takes some thirty microseconds: less than want_logits does for many rows. */
int kernels_logits(kernels *k, int row, const float **out);

#endif
