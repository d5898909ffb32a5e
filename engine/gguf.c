/* gguf.c - reads GGUF files.
 *
 * A GGUF file is a header (magic, version, two counts), metadata (key, type, value), tensor
 * descriptions (name, dimensions, type, offset) and, after padding, the tensors' bytes. One pass
 * walks all of it with a checked cursor and notes where each value lies; only then is anything
 * looked up. Nothing is copied but the lists of places. */
#include "engine/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- limits ---------------------------------------------------------------------------- */

#define GGUF_MAX_METADATA (1 << 16)
#define GGUF_MAX_KEY 65535 /* the format's own */
#define GGUF_MAX_NAME 255  /* four times the format's own */
#define GGUF_MIN_ALIGNMENT 8
#define GGUF_MAX_ALIGNMENT 65536
#define GGUF_MAX_MERGES (1 << 23)

/* The least bytes that a metadata pair (1-byte key, 1-byte value) and a tensor description
 * (1-byte name, one dimension) can have: what counts are held against. */
#define GGUF_LEAST_METADATA (8 + 1 + 4 + 1)
#define GGUF_LEAST_TENSOR (8 + 1 + 4 + 8 + 4 + 8)

typedef enum gguf_type {
  GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING,
  GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_N_TYPES
} gguf_type;

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

typedef struct gguf_value {
  tokenizer_string key;
  uint64_t key_at, at;  /* bytes of the key and of the value (of an array: its first item) */
  gguf_type type, item; /* item: of an array */
  uint64_t count;       /* items of an array */
} gguf_value;

typedef struct gguf {
  bytes b;
  uint64_t n_values, n_tensors;
  gguf_value *values; /* [n_values] owned, sorted by key */
  uint64_t metadata_end;
  uint64_t alignment, data_start;
} gguf;

static const model_names gguf_names = {
    .fields =
        {
            [MODEL_LAYERS] = "qwen2.block_count",
            [MODEL_HIDDEN] = "qwen2.embedding_length",
            [MODEL_HEADS] = "qwen2.attention.head_count",
            [MODEL_KV_HEADS] = "qwen2.attention.head_count_kv",
            [MODEL_HEAD_DIM] = "qwen2.attention.key_length",
            [MODEL_INTERMEDIATE] = "qwen2.feed_forward_length",
            [MODEL_VOCAB] = "qwen2.vocab_size",
            [MODEL_CONTEXT] = "qwen2.context_length",
            [MODEL_ROPE_THETA] = "qwen2.rope.freq_base",
            [MODEL_RMS_EPS] = "qwen2.attention.layer_norm_rms_epsilon",
        },
    .embedding = "token_embd.weight",
    .final_norm = "output_norm.weight",
    .head = "output.weight",
    .layer = "blk.",
    .tensors =
        {
            [MODEL_ATTN_NORM] = "attn_norm.weight",
            [MODEL_Q] = "attn_q.weight",
            [MODEL_K] = "attn_k.weight",
            [MODEL_V] = "attn_v.weight",
            [MODEL_Q_BIAS] = "attn_q.bias",
            [MODEL_K_BIAS] = "attn_k.bias",
            [MODEL_V_BIAS] = "attn_v.bias",
            [MODEL_O] = "attn_output.weight",
            [MODEL_MLP_NORM] = "ffn_norm.weight",
            [MODEL_GATE] = "ffn_gate.weight",
            [MODEL_UP] = "ffn_up.weight",
            [MODEL_DOWN] = "ffn_down.weight",
        },
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

/* ---- looking up metadata --------------------------------------------------------------- */

static const gguf_value *find(const gguf *g, const char *key) {
  gguf_value wanted = {.key = {key, strlen(key)}};
  return bsearch(&wanted, g->values, (size_t)g->n_values, sizeof wanted, compare_keys);
}

static int missing(gguf *g, const char *key) {
  bytes_about(&g->b, "metadata", key, strlen(key));
  return bytes_fail(&g->b, g->metadata_end, "is missing");
}

static int wrong_type(gguf *g, const gguf_value *v, const char *wanted) {
  bytes_about(&g->b, "metadata", v->key.data, v->key.len);
  return bytes_fail(&g->b, v->key_at, "is of type %s%s%s; it must be %s", types[v->type].name,
                    v->type == GGUF_ARRAY ? " of " : "",
                    v->type == GGUF_ARRAY ? types[v->item].name : "", wanted);
}

/* The bytes of a fixed-size value or of item i of an array; they were walked before. */
static const uint8_t *raw(const gguf *g, const gguf_value *v, uint64_t i) {
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
static int get_integer(gguf *g, const char *key, bool required, int64_t min, int64_t max,
                       int64_t *out, uint64_t *at) {
  const gguf_value *v = find(g, key);
  *at = v ? v->key_at : g->metadata_end;
  if (!v) return required ? missing(g, key) : 0;
  if (v->type == GGUF_ARRAY || !types[v->type].size || v->type == GGUF_BOOL ||
      v->type == GGUF_F32 || v->type == GGUF_F64)
    return wrong_type(g, v, "an integer");
  int64_t value;
  if (!integer(v->type, raw(g, v, 0), &value) || value < min || value > max) {
    bytes_about(&g->b, "metadata", key, strlen(key));
    return bytes_fail(&g->b, v->key_at, "is out of range: it must be %lld to %lld",
                      (long long)min, (long long)max);
  }
  *out = value;
  return 0;
}

static int get_float(gguf *g, const char *key, float *out, uint64_t *at) {
  const gguf_value *v = find(g, key);
  *at = v ? v->key_at : g->metadata_end;
  if (!v) return missing(g, key);
  if (v->type == GGUF_F32) {
    memcpy(out, raw(g, v, 0), sizeof *out);
  } else if (v->type == GGUF_F64) {
    double d;
    memcpy(&d, raw(g, v, 0), sizeof d);
    *out = d > -1e30 && d < 1e30 ? (float)d : 0;
  } else {
    return wrong_type(g, v, "a float");
  }
  return 0;
}

/* The string of a value known to be one. */
static tokenizer_string string_at(const gguf *g, uint64_t at) {
  uint64_t len;
  memcpy(&len, g->b.data + at, sizeof len);
  return (tokenizer_string){(const char *)g->b.data + at + 8, (size_t)len};
}

/* out->data is NULL where the key is missing and not required. */
static int get_string(gguf *g, const char *key, bool required, tokenizer_string *out) {
  const gguf_value *v = find(g, key);
  *out = (tokenizer_string){NULL, 0};
  if (!v) return required ? missing(g, key) : 0;
  if (v->type != GGUF_STRING) return wrong_type(g, v, "a string");
  *out = string_at(g, v->at);
  return 0;
}

static bool equals(tokenizer_string s, const char *text) {
  return s.data && s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static int unsupported(gguf *g, const char *key, tokenizer_string is, const char *wanted) {
  char shown[64];
  const gguf_value *v = find(g, key);
  bytes_about(&g->b, "metadata", key, strlen(key));
  return bytes_fail(&g->b, v ? v->key_at : g->metadata_end, "is \"%s\"; %s",
                    bytes_printable(shown, sizeof shown, is.data, is.len), wanted);
}

/* ---- the config ------------------------------------------------------------------------ */

/* What would change the arithmetic and is not implemented is refused, not ignored. */
static int check_unsupported(gguf *g, const model_source *src) {
  uint64_t at;
  int64_t split = 0, window = 0, rotary = src->shape.head_dim, value = src->shape.head_dim;
  tokenizer_string scaling;
  int status = get_string(g, "qwen2.rope.scaling.type", false, &scaling);
  if (status) return status;
  if (scaling.data && !equals(scaling, "none"))
    return unsupported(g, "qwen2.rope.scaling.type", scaling,
                       "rope scaling is not supported, use a file without it");
  status = get_integer(g, "qwen2.attention.sliding_window", false, 0, INT64_MAX, &window, &at);
  if (status) return status;
  if (window && window < src->trained_context) {
    bytes_about(&g->b, "metadata", "qwen2.attention.sliding_window", 30);
    return bytes_fail(&g->b, at, "is %lld; sliding windows are not supported", (long long)window);
  }
  status = get_integer(g, "qwen2.rope.dimension_count", false, rotary, rotary, &rotary, &at);
  if (!status)
    status = get_integer(g, "qwen2.attention.value_length", false, value, value, &value, &at);
  if (!status) status = get_integer(g, "split.count", false, 0, 65535, &split, &at);
  if (status) return status;
  if (split > 1) {
    bytes_about(&g->b, "metadata", "split.count", 11);
    return bytes_fail(&g->b, at,
                      "this is one part of a file split into %lld; join them first with "
                      "`llama-gguf-split --merge FIRST-PART OUTPUT`",
                      (long long)split);
  }
  return 0;
}

static int read_architecture(gguf *g) {
  tokenizer_string architecture;
  int status = get_string(g, "general.architecture", true, &architecture);
  if (status) return status;
  if (!equals(architecture, "qwen2"))
    return unsupported(g, "general.architecture", architecture, "only qwen2 is supported");
  return 0;
}

static int read_config(gguf *g, model_source *src) {
  static const struct {
    model_field field;
    bool required;
  } fields[] = {
      {MODEL_LAYERS, true},   {MODEL_HIDDEN, true},        {MODEL_HEADS, true},
      {MODEL_KV_HEADS, true}, {MODEL_HEAD_DIM, false},     {MODEL_INTERMEDIATE, true},
      {MODEL_VOCAB, false},   {MODEL_CONTEXT, true},
  };
  kernels_shape *s = &src->shape;
  const char *const *names = gguf_names.fields;
  int64_t v[MODEL_N_FIELDS] = {0};
  int status = 0;
  for (size_t i = 0; i < sizeof fields / sizeof *fields && !status; i++) {
    model_field f = fields[i].field;
    status = get_integer(g, names[f], fields[i].required, 1, INT32_MAX, &v[f], &src->fields_at[f]);
  }
  if (!status)
    status = get_float(g, names[MODEL_ROPE_THETA], &s->rope_theta,
                       &src->fields_at[MODEL_ROPE_THETA]);
  if (!status)
    status = get_float(g, names[MODEL_RMS_EPS], &s->rms_eps, &src->fields_at[MODEL_RMS_EPS]);
  if (status) return status;
  s->layers = (int)v[MODEL_LAYERS];
  s->hidden = (int)v[MODEL_HIDDEN];
  s->heads = (int)v[MODEL_HEADS];
  s->kv_heads = (int)v[MODEL_KV_HEADS];
  s->head_dim = (int)v[MODEL_HEAD_DIM];
  s->intermediate = (int)v[MODEL_INTERMEDIATE];
  s->vocab = (int)v[MODEL_VOCAB];
  src->trained_context = (int)v[MODEL_CONTEXT];
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

static void read_tensor(gguf *g, model_tensor *t) {
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
  if (!b->failed && t->data_at % g->alignment != 0)
    bytes_fail(b, offset_at, "its offset %llu is not a multiple of the alignment %llu",
               (unsigned long long)t->data_at, (unsigned long long)g->alignment);
}

static int read_alignment(gguf *g) {
  uint64_t at;
  int64_t alignment = 32;
  int status = get_integer(g, "general.alignment", false, GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT,
                           &alignment, &at);
  if (status) return status;
  if (alignment & (alignment - 1)) {
    bytes_about(&g->b, "metadata", "general.alignment", 17);
    return bytes_fail(&g->b, at, "is %lld; it must be a power of two", (long long)alignment);
  }
  g->alignment = (uint64_t)alignment;
  return 0;
}

static int compare_places(const void *pa, const void *pb) {
  uint64_t a = ((const model_tensor *)pa)->data_at, b = ((const model_tensor *)pb)->data_at;
  return (a > b) - (a < b);
}

/* Turns offsets into places in the file: inside it, and none over another. */
static int place_tensors(gguf *g, model_tensors *tensors) {
  bytes *b = &g->b;
  uint64_t padding = (g->alignment - b->at % g->alignment) % g->alignment;
  g->data_start = b->at + padding;
  if (padding > bytes_left(b))
    return bytes_fail(b, b->at, "the file ends before its tensor data");
  uint64_t room = b->size - g->data_start;
  qsort(tensors->list, (size_t)tensors->n, sizeof *tensors->list, compare_places);
  for (int i = 0; i < tensors->n; i++) {
    model_tensor *t = &tensors->list[i];
    bytes_about(b, "tensor", t->name.data, t->name.len);
    uint64_t offset = t->data_at, size = (uint64_t)t->bytes;
    if (offset > room || size > room - offset)
      return bytes_fail(b, t->at, "its offset %llu + %llu bytes runs past the end of the file",
                        (unsigned long long)offset, (unsigned long long)size);
    t->data_at = g->data_start + offset;
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

static int read_tensors(gguf *g, model_source *src) {
  for (uint64_t i = 0; i < g->n_tensors; i++) {
    model_tensor t;
    read_tensor(g, &t);
    if (g->b.failed) return ENGINE_EFORMAT;
    if (model__tensors_add(&src->tensors, &t) != 0) return ENGINE_ENOMEM;
  }
  bytes_about(&g->b, "", "", 0);
  int status = src->tensors.n ? place_tensors(g, &src->tensors)
                              : bytes_fail(&g->b, 8, "the tensor count is 0");
  if (status) return status;
  return model__tensors_sort(&src->tensors, g->b.err, g->b.errlen);
}

/* The embedding's rows are the vocabulary's size; the metadata may say so too. */
static int read_vocab_size(gguf *g, model_source *src) {
  const model_tensor *t = model__tensors_find(&src->tensors, gguf_names.embedding);
  if (!t || t->n_dims != 2 || t->dims[0] > MODEL_MAX_VOCAB) {
    bytes_about(&g->b, "tensor", gguf_names.embedding, strlen(gguf_names.embedding));
    return t ? bytes_fail(&g->b, t->at, "its shape is not [vocabulary, width]")
             : bytes_fail(&g->b, g->metadata_end, "is missing");
  }
  if (src->shape.vocab == 0) {
    src->shape.vocab = (int)t->dims[0];
    src->fields_at[MODEL_VOCAB] = t->at;
  }
  return 0;
}

/* ---- the vocabulary -------------------------------------------------------------------- */

static int get_array(gguf *g, const char *key, gguf_type item, const gguf_value **out) {
  const gguf_value *v = *out = find(g, key);
  if (!v) return missing(g, key);
  char wanted[48];
  snprintf(wanted, sizeof wanted, "an array of %s", types[item].name);
  if (v->type != GGUF_ARRAY || v->item != item) return wrong_type(g, v, wanted);
  return 0;
}

static int read_kinds(gguf *g, uint64_t n_tokens, uint8_t *kinds) {
  static const uint8_t map[] = {
      [1] = TOKENIZER_NORMAL, [2] = TOKENIZER_SPECIAL /* the unknown token */,
      [3] = TOKENIZER_SPECIAL, [4] = TOKENIZER_ADDED, [5] = TOKENIZER_UNUSED};
  const gguf_value *v;
  int status = get_array(g, "tokenizer.ggml.token_type", GGUF_I32, &v);
  if (status) return status;
  bytes_about(&g->b, "metadata", v->key.data, v->key.len);
  if (v->count != n_tokens)
    return bytes_fail(&g->b, v->key_at, "has %llu entries for %llu tokens",
                      (unsigned long long)v->count, (unsigned long long)n_tokens);
  for (uint64_t i = 0; i < n_tokens; i++) {
    int32_t kind;
    memcpy(&kind, raw(g, v, i), sizeof kind);
    if (kind < 1 || kind >= (int32_t)sizeof map)
      return bytes_fail(&g->b, v->at + 4 * i, "token %llu has type %d, which a byte-level BPE "
                        "vocabulary does not have", (unsigned long long)i, kind);
    kinds[i] = map[kind];
  }
  return 0;
}

/* "left right" pairs; a piece has no space in it, so there is exactly one. */
static int read_merges(gguf *g, const gguf_value *v, tokenizer_string (*merges)[2]) {
  uint64_t at = v->at;
  bytes_about(&g->b, "metadata", v->key.data, v->key.len);
  for (uint64_t i = 0; i < v->count; i++) {
    tokenizer_string s = string_at(g, at);
    const char *space = memchr(s.data, ' ', s.len);
    size_t left = space ? (size_t)(space - s.data) : 0, right = space ? s.len - left - 1 : 0;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
      return bytes_fail(&g->b, at, "merge %llu is not two pieces with a space between",
                        (unsigned long long)i);
    merges[i][0] = (tokenizer_string){s.data, left};
    merges[i][1] = (tokenizer_string){space + 1, right};
    at += 8 + s.len;
  }
  return 0;
}

static int build_tokenizer(gguf *g, model_source *src, const gguf_value *tokens,
                           const gguf_value *merges) {
  size_t vocab = (size_t)src->shape.vocab;
  tokenizer_string *texts = calloc(vocab, sizeof *texts);
  uint8_t *kinds = calloc(vocab, 1); /* TOKENIZER_UNUSED where the list is shorter */
  tokenizer_string(*pairs)[2] = calloc(merges->count ? (size_t)merges->count : 1, sizeof *pairs);
  int status = texts && kinds && pairs ? 0 : ENGINE_ENOMEM;
  if (!status) {
    uint64_t at = tokens->at;
    for (uint64_t i = 0; i < tokens->count; i++) {
      texts[i] = string_at(g, at);
      at += 8 + texts[i].len;
    }
    for (size_t i = (size_t)tokens->count; i < vocab; i++) texts[i].data = "";
    status = read_kinds(g, tokens->count, kinds);
  }
  if (!status) status = read_merges(g, merges, pairs);
  if (!status) {
    tokenizer_vocab v = {.n_tokens = (int)vocab, .tokens = texts, .kinds = kinds,
                         .n_merges = (int)merges->count,
                         .merges = (const tokenizer_string(*)[2])pairs};
    char words[256] = "";
    status = tokenizer_new(&src->tokenizer, &v, words, sizeof words);
    bytes_about(&g->b, "metadata", tokens->key.data, tokens->key.len);
    if (status == ENGINE_EFORMAT) bytes_fail(&g->b, tokens->key_at, "%s", words);
  }
  free(texts);
  free(kinds);
  free(pairs);
  return status;
}

static int read_tokenizer(gguf *g, model_source *src) {
  tokenizer_string kind, pre;
  int status = get_string(g, "tokenizer.ggml.model", true, &kind);
  if (status) return status;
  if (equals(kind, "no_vocab") || equals(kind, "none")) return 0;
  if (!equals(kind, "gpt2"))
    return unsupported(g, "tokenizer.ggml.model", kind, "only gpt2 (byte-level BPE) is supported");
  /* Files from before the key existed lack it; "qwen2" is the only one since. */
  status = get_string(g, "tokenizer.ggml.pre", false, &pre);
  if (status) return status;
  if (pre.data && !equals(pre, "qwen2"))
    return unsupported(g, "tokenizer.ggml.pre", pre, "only qwen2 is supported");
  const gguf_value *tokens, *merges;
  status = get_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens);
  if (!status) status = get_array(g, "tokenizer.ggml.merges", GGUF_STRING, &merges);
  if (status) return status;
  if (tokens->count < 1 || tokens->count > (uint64_t)src->shape.vocab) {
    bytes_about(&g->b, "metadata", tokens->key.data, tokens->key.len);
    return bytes_fail(&g->b, tokens->key_at, "has %llu tokens for an embedding of %d rows",
                      (unsigned long long)tokens->count, src->shape.vocab);
  }
  if (merges->count > GGUF_MAX_MERGES) {
    bytes_about(&g->b, "metadata", merges->key.data, merges->key.len);
    return bytes_fail(&g->b, merges->key_at, "has %llu merges; at most %d are allowed",
                      (unsigned long long)merges->count, GGUF_MAX_MERGES);
  }
  return build_tokenizer(g, src, tokens, merges);
}

/* ---- the whole ------------------------------------------------------------------------- */

static int read_all(gguf *g, model_source *src) {
  tokenizer_string name;
  int status = read_header(g);
  if (!status) status = read_metadata(g);
  if (!status) status = read_architecture(g);
  if (!status) status = read_config(g, src);
  if (!status) status = read_alignment(g);
  if (!status) {
    /* Metadata lookups leave the cursor alone: it stands at the first tensor. */
    status = read_tensors(g, src);
  }
  if (!status) status = read_vocab_size(g, src);
  if (!status) status = model__source_check(src, g->b.err, g->b.errlen);
  if (!status) status = check_unsupported(g, src);
  if (!status) status = get_string(g, "general.name", false, &name);
  if (!status && name.data) bytes_printable(src->name, sizeof src->name, name.data, name.len);
  if (!status) status = read_tokenizer(g, src);
  return status;
}

int gguf_read(model_source *src, const void *data, size_t size, const char *file, char *err,
              size_t errlen) {
  gguf g;
  memset(&g, 0, sizeof g);
  bytes_init(&g.b, data, size, file, err, errlen);
  src->names = &gguf_names;
  src->config_file = file;
  src->head = MODEL_HEAD_IF_PRESENT;
  int status = read_all(&g, src);
  if (status == ENGINE_ENOMEM && errlen) snprintf(err, errlen, "out of memory");
  free(g.values);
  return status;
}
