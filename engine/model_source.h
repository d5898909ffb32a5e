/* model_source.h - what a file format's reader hands to model_bind.c, private to the loaders.
 *
 * gguf.c and hf.c each turn their files into one model_source: a shape, where each number of it
 * stood, and a list of tensors whose bytes are known to lie inside the files. model_bind.c then
 * finds each weight by name, holds it against the shape and fills in the model, the same way
 * for both formats. */
#ifndef FIMD_ENGINE_MODEL_SOURCE_H
#define FIMD_ENGINE_MODEL_SOURCE_H

#include "engine/bytes.h"
#include "engine/model.h"

/* ---- limits ---------------------------------------------------------------------------- */

/* Far above any Qwen2 model (80 layers, 8192 wide, 152064 tokens), so that a hostile number is
 * refused by name and products of two of them fit an int64_t. */
#define MODEL_MAX_LAYERS 1024
#define MODEL_MAX_WIDTH (1 << 20)
#define MODEL_MAX_HEADS 4096
#define MODEL_MAX_VOCAB (1 << 22)
#define MODEL_MAX_CONTEXT (1 << 28)
#define MODEL_MAX_TENSORS (1 << 16)
#define MODEL_MAX_DIMS 4

/* ---- memory ---------------------------------------------------------------------------- */

typedef struct model_storage model_storage;

model_storage *model__storage_new(void); /* NULL: out of memory */
void model__storage_delete(model_storage *s);
/* size bytes, uninitialised, that live as long as the storage. NULL: out of memory. */
void *model__storage_alloc(model_storage *s, size_t size);
/* size bytes of zeros by the page, for as long as the storage lives. NULL: out of memory. */
void *model__storage_map_empty(model_storage *s, size_t size);
/* Maps a regular file read-only for as long as the storage lives: mapping_open. */
int model__storage_map(model_storage *s, const char *path, const void **data, size_t *size,
                       char *err, size_t errlen);
/* mapping_is_damaged, mapping_is_changed of any file. */
bool model__storage_is_damaged(const model_storage *s);
bool model__storage_is_changed(const model_storage *s);

/* ---- tensors --------------------------------------------------------------------------- */

typedef struct model_tensor {
  tokenizer_string name;         /* borrowed from the file or the storage */
  kernels_type type;
  int n_dims;
  int64_t dims[MODEL_MAX_DIMS];  /* outermost first; each at least 1 */
  const uint8_t *data;           /* [bytes] inside its file */
  int64_t bytes;
  uint64_t at, data_at;          /* bytes in its file of its description and its data */
  const char *file;              /* for messages; borrowed */
  bool used;                     /* a weight of the model, or known to be of no use */
} model_tensor;

typedef struct model_tensors {
  model_tensor *list; /* [n] owned; sorted by name after model__tensors_sort */
  int n, capacity;
} model_tensors;

int model__tensors_add(model_tensors *t, const model_tensor *tensor); /* 0 or ENGINE_ENOMEM */
/* Sorts by name. ENGINE_EFORMAT: two tensors have the same name. */
int model__tensors_sort(model_tensors *t, char *err, size_t errlen);
/* By name in a sorted list, or NULL. */
model_tensor *model__tensors_find(const model_tensors *t, const char *name);

/* ---- a source -------------------------------------------------------------------------- */

/* What a format calls the numbers of the shape, and the byte where each stood. */
typedef enum model_field {
  MODEL_LAYERS,
  MODEL_HIDDEN,
  MODEL_HEADS,
  MODEL_KV_HEADS,
  MODEL_HEAD_DIM,
  MODEL_INTERMEDIATE,
  MODEL_VOCAB,
  MODEL_CONTEXT,
  MODEL_ROPE_THETA,
  MODEL_RMS_EPS,
  MODEL_N_FIELDS
} model_field;

typedef enum model_layer_tensor {
  MODEL_ATTN_NORM,
  MODEL_Q,
  MODEL_K,
  MODEL_V,
  MODEL_Q_BIAS,
  MODEL_K_BIAS,
  MODEL_V_BIAS,
  MODEL_O,
  MODEL_MLP_NORM,
  MODEL_GATE,
  MODEL_UP,
  MODEL_DOWN,
  MODEL_N_LAYER_TENSORS
} model_layer_tensor;

typedef struct model_names {
  const char *fields[MODEL_N_FIELDS];
  const char *embedding, *final_norm, *head;
  const char *layer;                         /* "blk.%d." or its like, before the next */
  const char *tensors[MODEL_N_LAYER_TENSORS];
} model_names;

typedef enum model_head {
  MODEL_HEAD_IF_PRESENT = 0, /* tied where the file has no head tensor (GGUF) */
  MODEL_HEAD_TIED,           /* tied, whatever else is in the file (Hugging Face) */
  MODEL_HEAD_OWN,
} model_head;

typedef struct model_source {
  const model_names *names;
  const char *config_file;         /* of the fields, for messages; borrowed */
  uint64_t fields_at[MODEL_N_FIELDS];
  kernels_shape shape;             /* head_dim 0: hidden / heads */
  int trained_context;
  model_head head;
  char name[96];                   /* printable; "" where the files have none */
  model_tensors tensors;           /* owned */
  tokenizer *tokenizer;            /* owned, or NULL */
} model_source;

void model__source_clear(model_source *src);

/* Fills in head_dim and checks that the numbers agree with each other. */
int model__source_check(model_source *src, char *err, size_t errlen);

/* Fills m's shape, matrices, vectors and figures from the source. All failures leave m so that
 * model_close frees it. */
int model__bind(model *m, model_source *src, char *err, size_t errlen);

/* The first tensor with a value or scale that is not a finite number, and which block of it; NULL:
 * there is none. Reads all of them, on all cores. ENGINE_ENOMEM. */
int model__find_bad_number(const model_tensors *tensors, const model_tensor **out,
                           int64_t *block);

/* ---- where models lie ------------------------------------------------------------------ */

/* The path that `what` stands for, and the name it was looked up by (NULL where `what` is a
 * path); both owned by the caller. ENGINE_ENOTFOUND with words and the command that downloads
 * it. See model_find.c for the places. */
int model__find(const char *what, char **path, char **name, char *err, size_t errlen);
/* "hf download ...": what downloads a looked-up name. */
void model__find_command(const char *name, char *out, size_t outlen);
/* The only .gguf file in a folder as an owned path; NULL where there is not exactly one, and
 * *count is how many (-1: out of memory). */
char *model__find_gguf(const char *folder, int *count);

#endif
