/* gguf_file.h - the GGUF container, private to gguf.c and gguf_model.c: a file whose metadata
 * has been walked, and lookups in it that name the key and the byte when they refuse. */
#ifndef FIMD_ENGINE_GGUF_FILE_H
#define FIMD_ENGINE_GGUF_FILE_H

#include "engine/bytes.h"
#include "engine/model_source.h"

typedef enum gguf_type {
  GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING,
  GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_N_TYPES
} gguf_type;

typedef struct gguf_value {
  tokenizer_string key;
  uint64_t key_at, at;  /* bytes of the key and of the value (of an array: its first item) */
  gguf_type type, item; /* item: of an array */
  uint64_t count;       /* items of an array */
} gguf_value;

typedef struct gguf {
  bytes b; /* after gguf__open it stands at the first tensor; lookups leave it there */
  uint64_t n_values, n_tensors;
  gguf_value *values;    /* [n_values] owned, sorted by key */
  uint64_t metadata_end; /* byte */
} gguf;

/* Reads header and metadata. On failure too, g->values is to be freed. */
int gguf__open(gguf *g, const void *data, size_t size, const char *file, char *err,
               size_t errlen);
/* Reads the tensors' descriptions; after general.alignment. */
int gguf__read_tensors(gguf *g, uint64_t alignment, model_tensors *out);

/* Refusals, ENGINE_EFORMAT: a key that is not there; one whose value is not the wanted type; one
 * whose value will not do, by printf words. */
int gguf__missing(gguf *g, const char *key);
int gguf__refuse(gguf *g, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const gguf_value *gguf__find(const gguf *g, const char *key); /* NULL: not there */

/* By key. A key that is not there is refused if required; if not, *out keeps its value (a
 * string's data is then NULL). *at: the byte of the key. */
int gguf__get_integer(gguf *g, const char *key, bool required, int64_t min, int64_t max,
                      int64_t *out, uint64_t *at);
int gguf__get_float(gguf *g, const char *key, float *out, uint64_t *at);
int gguf__get_string(gguf *g, const char *key, bool required, tokenizer_string *out);
int gguf__get_array(gguf *g, const char *key, gguf_type item, const gguf_value **out);

/* The bytes of a fixed-size value, or of item i of an array of such. */
const uint8_t *gguf__raw(const gguf *g, const gguf_value *v, uint64_t i);
/* The string that lies at a byte known to hold one; the next of an array follows it. */
tokenizer_string gguf__string_at(const gguf *g, uint64_t at);

#endif
