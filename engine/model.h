/* model.h - a model's weights, shape and tokenizer as read from its files, private to engine/.
 *
 * Files are mapped read-only and matrices borrow from the mapping. Every count, offset, length
 * and product is checked against the file's size before it is used; errors name the field and
 * the byte. */
#ifndef FIMD_ENGINE_MODEL_H
#define FIMD_ENGINE_MODEL_H

#include "engine/engine.h"
#include "engine/tokenizer.h"
#include "kernels/kernels.h"

typedef struct model_layer {
  const float *attn_norm;     /* [hidden] */
  kernels_matrix q, k, v;     /* [heads * head_dim, hidden], [kv_heads * head_dim, hidden] x 2 */
  const float *qkv_bias;      /* [(heads + 2 kv_heads) * head_dim] q, k, v in this order; zeros
                                 where the file has none */
  kernels_matrix o;           /* [hidden, heads * head_dim] */
  const float *mlp_norm;      /* [hidden] */
  kernels_matrix gate, up;    /* [intermediate, hidden] x 2 */
  kernels_matrix down;        /* [hidden, intermediate] */
} model_layer;

typedef struct model {
  kernels_shape shape;
  int trained_context;       /* tokens */
  char *name;                /* for people; owned */
  char *path;                /* what was opened, or "embedded"; owned */
  char types[64];            /* "Q8_0", "Q4_K+Q6_K": the matrices' types, most bytes first */
  int64_t parameters, weight_bytes;
  kernels_matrix embedding;  /* [vocab, hidden] */
  kernels_matrix head;       /* [vocab, hidden]; the embedding itself where tied */
  bool tied;
  const float *final_norm;   /* [hidden] */
  model_layer *layers;       /* [shape.layers] owned */
  tokenizer *tokenizer;      /* owned; NULL where the files have none */
  bool random;               /* made by model_open_random; its matrices all have random_type */
  kernels_type random_type;
  struct model_storage *storage; /* mappings and converted vectors; owned */
} model;

/* A .gguf file, a Hugging Face folder, a name to look up in the cache folders (see
 * engine_options.model), or NULL: the embedded model. ENGINE_ENOTFOUND: err has the command
 * that downloads it. ENGINE_EFORMAT: err names the field and the byte. */
int model_open(model **out, const char *what, char *err, size_t errlen);
/* A GGUF file in memory (borrowed until model_close): the embedded model, tests, fuzzers. */
int model_open_gguf_memory(model **out, const void *data, size_t size, const char *name,
                           char *err, size_t errlen);
/* A model of a true shape ("1.5b:bf16") without a file: everything but the matrices, which
 * model_random_fill makes. ENGINE_EINVAL: err says what there is. */
int model_open_random(model **out, const char *spec, const char *tokenizer_folder, char *err,
                      size_t errlen);
/* share: all layers may borrow one layer's memory (see model_random.c). ENGINE_ENOMEM. */
int model_random_fill(model *m, bool share, char *err, size_t errlen);
void model_close(model *m); /* NULL is a no-op */

/* ---- files that change under a model that is open ------------------------------------------ */

/* A file of the model was cut short, and a read met its end: what came since may be zeros. */
bool model_is_damaged(const model *m);
/* The same, or one was written to. Files that were replaced or removed are no change. */
bool model_is_changed(const model *m);
/* Reads the files at m->path again in the place of those that are mapped, whose matrices and
 * vectors are then gone. Name, path, shape and tokenizer stay, as other threads read them: files
 * of another shape or vocabulary are ENGINE_EFORMAT. On failure m is as it was. */
int model_reopen(model *m, char *err, size_t errlen);

#endif
