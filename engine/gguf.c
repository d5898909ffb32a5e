/* gguf.c - the GGUF container.
 *
 * A GGUF file is a header (magic, version, two counts), metadata (key, type, value), tensor
 * descriptions (name, dimensions, type, offset) and, after padding, the tensors' bytes. One pass
 * walks all of it with a checked cursor and notes where each value lies; only then is anything
 * looked up. Nothing is copied but the lists of places. */
#include "engine/gguf_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- limits ---------------------------------------------------------------------------- */

#define GGUF_MAX_METADATA (1 << 16)
#define GGUF_MAX_KEY 65535 /* the format's own */
#define GGUF_MAX_NAME 255  /* four times the format's own */

/* The least bytes that a metadata pair (1-byte key, 1-byte value) and a tensor description
 * (1-byte name, one dimension) can have: what counts are held against. */
#define GGUF_LEAST_METADATA (8 + 1 + 4 + 1)
#define GGUF_LEAST_TENSOR (8 + 1 + 4 + 8 + 4 + 8)

static const struct {
  const char *name;
  int size; /* bytes of one value; 0: it varies */
} types[GGUF_N_TYPES] = {
    [GGUF_U8] = {"uint8", 1},   [GGUF_I8] = {"int8", 1},       [GGUF_U16] = {"uint16", 2},
    [GGUF_I16] = {"int16", 2},  [GGUF_U32] = {"uint32", 4},    [GGUF_I32] = {"int32", 4},
    [GGUF_F32] = {"float32", 4}, [GGUF_BOOL] = {"bool", 1},    [GGUF_STRING] = {"string", 0},
    [GGUF_ARRAY] = {"array", 0}, [GGUF_U64] = {"uint64", 8},   [GGUF_I64] = {"int64", 8},
    [GGUF_F64] = {"float64", 8},
};

/* ---- the walk -------------------------------------------------------------------------- */

static tokenizer_string read_string(bytes *b, uint64_t max, const char *field) {
  tokenizer_string s = {"", 0};
  uint64_t at = b->at, len = bytes_u64(b, field);
  if (len > max && !b->failed)
    bytes_fail(b, at, "%s is %llu bytes long; at most %llu are allowed", field,
               (unsigned long long)len, (unsigned long long)max);
  const uint8_t *p = bytes_take(b, len, field);
  if (p) s = (tokenizer_string){(const char *)p, (size_t)len};
  return s;
}

/* The type number of a value; what: "value" or "array item". */
static gguf_type read_type(bytes *b, const char *what) {
  uint64_t at = b->at;
  uint32_t type = bytes_u32(b, "its type");
  if (type >= GGUF_N_TYPES && !b->failed)
    bytes_fail(b, at, "the %s has type %u, which does not exist", what, type);
  return b->failed ? GGUF_U8 : (gguf_type)type;
}

static void skip_items(bytes *b, gguf_value *v) {
  uint64_t at = b->at;
  v->item = read_type(b, "array item");
  if (v->item == GGUF_ARRAY && !b->failed)
    bytes_fail(b, at, "is an array of arrays, which is not supported");
  at = b->at;
  v->count = bytes_u64(b, "its array length");
  v->at = b->at;
  if (b->failed) return;
  uint64_t least = types[v->item].size ? (uint64_t)types[v->item].size : 8;
  if (v->count > bytes_left(b) / least) {
    bytes_fail(b, at, "its array length %llu runs past the end of the file",
               (unsigned long long)v->count);
    return;
  }
  if (v->item != GGUF_STRING) {
    bytes_take(b, v->count * least, "its array");
    return;
  }
  for (uint64_t i = 0; i < v->count && !b->failed; i++)
    read_string(b, UINT64_MAX, "a string of its array");
}

static void read_value(bytes *b, gguf_value *v) {
  bytes_about(b, "", "", 0);
  v->key_at = b->at;
  v->key = read_string(b, GGUF_MAX_KEY, "a metadata key");
  if (v->key.len == 0) bytes_fail(b, v->key_at, "a metadata key is empty");
  bytes_about(b, "metadata", v->key.data, v->key.len);
  v->type = read_type(b, "value");
  v->at = b->at;
  if (v->type == GGUF_ARRAY) skip_items(b, v);
  else if (v->type == GGUF_STRING) read_string(b, UINT64_MAX, "its string");
  else bytes_take(b, (uint64_t)types[v->type].size, "its value");
}

static int compare_keys(const void *pa, const void *pb) {
  const tokenizer_string *a = &((const gguf_value *)pa)->key, *b = &((const gguf_value *)pb)->key;
  int order = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);
  return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int read_metadata(gguf *g) {
  bytes *b = &g->b;
  g->values = calloc(g->n_values ? (size_t)g->n_values : 1, sizeof *g->values);
  if (!g->values) return ENGINE_ENOMEM;
  for (uint64_t i = 0; i < g->n_values; i++) {
    read_value(b, &g->values[i]);
    if (b->failed) return ENGINE_EFORMAT;
  }
  g->metadata_end = b->at;
  qsort(g->values, (size_t)g->n_values, sizeof *g->values, compare_keys);
  for (uint64_t i = 1; i < g->n_values; i++) {
    const gguf_value *x = &g->values[i - 1], *y = &g->values[i];
    if (compare_keys(x, y) != 0) continue;
    bytes_about(b, "metadata", y->key.data, y->key.len);
    return bytes_fail(b, x->key_at > y->key_at ? x->key_at : y->key_at, "is there twice");
  }
  bytes_about(b, "", "", 0);
  return 0;
}

static int read_header(gguf *g) {
  bytes *b = &g->b;
  const uint8_t *magic = bytes_take(b, 4, "the magic");
  if (magic && memcmp(magic, "GGUF", 4) != 0)
    return bytes_fail(b, 0, "is not a GGUF file: the magic is not \"GGUF\"");
  uint32_t version = bytes_u32(b, "the version");
  if (!b->failed && version != 2 && version != 3)
    return bytes_fail(b, 4, "the version is %u; 2 and 3 are supported%s", version,
                      version == 0x02000000 || version == 0x03000000
                          ? " (this is a big-endian file)" : "");
  g->n_tensors = bytes_u64(b, "the tensor count");
  g->n_values = bytes_u64(b, "the metadata count");
  if (b->failed) return ENGINE_EFORMAT;
  if (g->n_tensors > bytes_left(b) / GGUF_LEAST_TENSOR || g->n_tensors > MODEL_MAX_TENSORS)
    return bytes_fail(b, 8, "the tensor count %llu is more than the file can hold",
                      (unsigned long long)g->n_tensors);
  if (g->n_values > bytes_left(b) / GGUF_LEAST_METADATA || g->n_values > GGUF_MAX_METADATA)
    return bytes_fail(b, 16, "the metadata count %llu is more than the file can hold",
                      (unsigned long long)g->n_values);
  return 0;
}

int gguf__open(gguf *g, const void *data, size_t size, const char *file, char *err,
               size_t errlen) {
  memset(g, 0, sizeof *g);
  bytes_init(&g->b, data, size, file, err, errlen);
  int status = read_header(g);
  return status ? status : read_metadata(g);
}

/* ---- looking up metadata --------------------------------------------------------------- */

const gguf_value *gguf__find(const gguf *g, const char *key) {
  gguf_value wanted = {.key = {key, strlen(key)}};
  return bsearch(&wanted, g->values, (size_t)g->n_values, sizeof wanted, compare_keys);
}

int gguf__missing(gguf *g, const char *key) { return gguf__refuse(g, key, "is missing"); }

int gguf__refuse(gguf *g, const char *key, const char *format, ...) {
  const gguf_value *v = gguf__find(g, key);
  char words[320];
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof words, format, args);
  va_end(args);
  bytes_about(&g->b, "metadata", key, strlen(key));
  return bytes_fail(&g->b, v ? v->key_at : g->metadata_end, "%s", words);
}

static int wrong_type(gguf *g, const gguf_value *v, const char *wanted) {
  bytes_about(&g->b, "metadata", v->key.data, v->key.len);
  return bytes_fail(&g->b, v->key_at, "is of type %s%s%s; it must be %s", types[v->type].name,
                    v->type == GGUF_ARRAY ? " of " : "",
                    v->type == GGUF_ARRAY ? types[v->item].name : "", wanted);
}

/* The bytes of a fixed-size value or of item i of an array; they were walked before. */
const uint8_t *gguf__raw(const gguf *g, const gguf_value *v, uint64_t i) {
  return g->b.data + v->at + i * (uint64_t)types[v->type == GGUF_ARRAY ? v->item : v->type].size;
}

/* An integer of any width as int64; false if the type is no integer or the value too large. */
static bool integer(gguf_type type, const uint8_t *p, int64_t *out) {
  union {
    uint8_t u8; int8_t i8; uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; uint64_t u64;
    int64_t i64;
  } v;
  memset(&v, 0, sizeof v);
  switch (type) {
  case GGUF_U8: case GGUF_I8: case GGUF_U16: case GGUF_I16: case GGUF_U32: case GGUF_I32:
  case GGUF_U64: case GGUF_I64: memcpy(&v, p, (size_t)types[type].size); break;
  default: return false;
  }
  switch (type) {
  case GGUF_U8: *out = v.u8; break;
  case GGUF_I8: *out = v.i8; break;
  case GGUF_U16: *out = v.u16; break;
  case GGUF_I16: *out = v.i16; break;
  case GGUF_U32: *out = v.u32; break;
  case GGUF_I32: *out = v.i32; break;
  case GGUF_I64: *out = v.i64; break;
  default:
    if (v.u64 > INT64_MAX) return false;
    *out = (int64_t)v.u64;
  }
  return true;
}

/* *out keeps its value where the key is missing and not required. */
int gguf__get_integer(gguf *g, const char *key, bool required, int64_t min, int64_t max,
                      int64_t *out, uint64_t *at) {
  const gguf_value *v = gguf__find(g, key);
  *at = v ? v->key_at : g->metadata_end;
  if (!v) return required ? gguf__missing(g, key) : 0;
  if (v->type == GGUF_ARRAY || !types[v->type].size || v->type == GGUF_BOOL ||
      v->type == GGUF_F32 || v->type == GGUF_F64)
    return wrong_type(g, v, "an integer");
  int64_t value;
  if (!integer(v->type, gguf__raw(g, v, 0), &value) || value < min || value > max)
    return gguf__refuse(g, key, "is out of range: it must be %lld to %lld", (long long)min,
                        (long long)max);
  *out = value;
  return 0;
}

int gguf__get_float(gguf *g, const char *key, float *out, uint64_t *at) {
  const gguf_value *v = gguf__find(g, key);
  *at = v ? v->key_at : g->metadata_end;
  if (!v) return gguf__missing(g, key);
  if (v->type == GGUF_F32) {
    memcpy(out, gguf__raw(g, v, 0), sizeof *out);
  } else if (v->type == GGUF_F64) {
    double d;
    memcpy(&d, gguf__raw(g, v, 0), sizeof d);
    *out = d > -1e30 && d < 1e30 ? (float)d : 0;
  } else {
    return wrong_type(g, v, "a float");
  }
  return 0;
}

/* The string of a value known to be one. It was walked, but of a file that somebody writes to the
 * length may be another one by now. */
tokenizer_string gguf__string_at(const gguf *g, uint64_t at) {
  uint64_t len;
  if (at > g->b.size - 8) return (tokenizer_string){"", 0};
  memcpy(&len, g->b.data + at, sizeof len);
  if (len > g->b.size - at - 8) return (tokenizer_string){"", 0};
  return (tokenizer_string){(const char *)g->b.data + at + 8, (size_t)len};
}

/* out->data is NULL where the key is missing and not required. */
int gguf__get_string(gguf *g, const char *key, bool required, tokenizer_string *out) {
  const gguf_value *v = gguf__find(g, key);
  *out = (tokenizer_string){NULL, 0};
  if (!v) return required ? gguf__missing(g, key) : 0;
  if (v->type != GGUF_STRING) return wrong_type(g, v, "a string");
  *out = gguf__string_at(g, v->at);
  return 0;
}

int gguf__get_array(gguf *g, const char *key, gguf_type item, const gguf_value **out) {
  const gguf_value *v = *out = gguf__find(g, key);
  if (!v) return gguf__missing(g, key);
  char wanted[48];
  snprintf(wanted, sizeof wanted, "an array of %s", types[item].name);
  if (v->type != GGUF_ARRAY || v->item != item) return wrong_type(g, v, wanted);
  return 0;
}

/* ---- tensors --------------------------------------------------------------------------- */

/* Names of the types that other programs write, for the message that refuses them. */
static const char *foreign_type(uint32_t type) {
  static const char *const names[] = {
      [3] = "Q4_1",     [6] = "Q5_0",     [7] = "Q5_1",    [9] = "Q8_1",   [10] = "Q2_K",
      [11] = "Q3_K",    [13] = "Q5_K",    [15] = "Q8_K",   [16] = "IQ2_XXS", [17] = "IQ2_XS",
      [18] = "IQ3_XXS", [19] = "IQ1_S",   [20] = "IQ4_NL", [21] = "IQ3_S", [22] = "IQ2_S",
      [23] = "IQ4_XS",  [24] = "I8",      [25] = "I16",    [26] = "I32",   [27] = "I64",
      [28] = "F64",     [29] = "IQ1_M",   [34] = "TQ1_0",  [35] = "TQ2_0", [39] = "MXFP4",
  };
  return type < sizeof names / sizeof *names ? names[type] : NULL;
}

static bool known_type(uint32_t type) {
  return type <= KERNELS_BF16 && kernels_type_name((kernels_type)type) != NULL;
}

/* Dimensions and type to bytes; all products checked. */
static void measure(bytes *b, model_tensor *t, uint32_t type, uint64_t type_at, uint64_t dims_at) {
  if (b->failed) return;
  if (!known_type(type)) {
    const char *name = foreign_type(type);
    bytes_fail(b, type_at,
               "its type %s (%u) is not supported; F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K are",
               name ? name : "number", type);
    return;
  }
  t->type = (kernels_type)type;
  int64_t cols = t->dims[t->n_dims - 1], elements = 1;
  int64_t per_block = kernels_type_block_elements(t->type);
  if (cols % per_block != 0) {
    bytes_fail(b, dims_at, "its rows of %lld are not whole blocks of %s, which have %lld",
               (long long)cols, kernels_type_name(t->type), (long long)per_block);
    return;
  }
  bool overflow = false;
  for (int i = 0; i < t->n_dims; i++)
    overflow |= __builtin_mul_overflow(elements, t->dims[i], &elements);
  overflow |= __builtin_mul_overflow(elements / per_block,
                                     (int64_t)kernels_type_block_bytes(t->type), &t->bytes);
  if (overflow) bytes_fail(b, dims_at, "its dimensions multiply to more than any file");
}

static void read_tensor(gguf *g, uint64_t alignment, model_tensor *t) {
  bytes *b = &g->b;
  bytes_about(b, "", "", 0);
  memset(t, 0, sizeof *t);
  t->file = b->file;
  t->at = b->at;
  t->name = read_string(b, GGUF_MAX_NAME, "a tensor name");
  if (t->name.len == 0) bytes_fail(b, t->at, "a tensor name is empty");
  bytes_about(b, "tensor", t->name.data, t->name.len);
  uint64_t dims_at = b->at;
  uint32_t n = bytes_u32(b, "its number of dimensions");
  if ((n < 1 || n > MODEL_MAX_DIMS) && !b->failed)
    bytes_fail(b, dims_at, "its number of dimensions is %u; it must be 1 to %d", n, MODEL_MAX_DIMS);
  if (b->failed) return;
  t->n_dims = (int)n;
  for (int i = t->n_dims - 1; i >= 0; i--) { /* the file has the innermost first */
    uint64_t at = b->at, dim = bytes_u64(b, "its dimensions");
    if ((dim < 1 || dim > INT64_MAX) && !b->failed)
      bytes_fail(b, at, "dimension %d is %llu", t->n_dims - 1 - i, (unsigned long long)dim);
    t->dims[i] = (int64_t)dim;
  }
  uint64_t type_at = b->at;
  uint32_t type = bytes_u32(b, "its type");
  measure(b, t, type, type_at, dims_at);
  uint64_t offset_at = b->at;
  t->data_at = bytes_u64(b, "its offset"); /* made absolute by place_tensors */
  if (!b->failed && t->data_at % alignment != 0)
    bytes_fail(b, offset_at, "its offset %llu is not a multiple of the alignment %llu",
               (unsigned long long)t->data_at, (unsigned long long)alignment);
}

static int compare_places(const void *pa, const void *pb) {
  uint64_t a = ((const model_tensor *)pa)->data_at, b = ((const model_tensor *)pb)->data_at;
  return (a > b) - (a < b);
}

/* Turns offsets into places in the file: inside it, and none over another. */
static int place_tensors(gguf *g, uint64_t alignment, model_tensors *tensors) {
  bytes *b = &g->b;
  uint64_t padding = (alignment - b->at % alignment) % alignment;
  uint64_t start = b->at + padding;
  if (padding > bytes_left(b))
    return bytes_fail(b, b->at, "the file ends before its tensor data");
  uint64_t room = b->size - start;
  qsort(tensors->list, (size_t)tensors->n, sizeof *tensors->list, compare_places);
  for (int i = 0; i < tensors->n; i++) {
    model_tensor *t = &tensors->list[i];
    bytes_about(b, "tensor", t->name.data, t->name.len);
    uint64_t offset = t->data_at, size = (uint64_t)t->bytes;
    if (offset > room || size > room - offset)
      return bytes_fail(b, t->at, "its offset %llu + %llu bytes runs past the end of the file",
                        (unsigned long long)offset, (unsigned long long)size);
    t->data_at = start + offset;
    t->data = b->data + t->data_at;
    const model_tensor *before = i ? t - 1 : NULL;
    if (before && before->data_at + (uint64_t)before->bytes > t->data_at) {
      char other[64];
      return bytes_fail(b, t->at, "its offset %llu lies inside tensor %s",
                        (unsigned long long)offset,
                        bytes_printable(other, sizeof other, before->name.data, before->name.len));
    }
  }
  return 0;
}

int gguf__read_tensors(gguf *g, uint64_t alignment, model_tensors *out) {
  for (uint64_t i = 0; i < g->n_tensors; i++) {
    model_tensor t;
    read_tensor(g, alignment, &t);
    if (g->b.failed) return ENGINE_EFORMAT;
    if (model__tensors_add(out, &t) != 0) return ENGINE_ENOMEM;
  }
  bytes_about(&g->b, "", "", 0);
  int status = out->n ? place_tensors(g, alignment, out)
                      : bytes_fail(&g->b, 8, "the tensor count is 0");
  return status ? status : model__tensors_sort(out, g->b.err, g->b.errlen);
}
