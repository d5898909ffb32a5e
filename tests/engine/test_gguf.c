/* test_gguf.c - GGUF files: what is read from good ones, and that each kind of bad one is
 * refused with the field's name and the byte. */
#include "engine/model.h"

#include "tests/engine/model_files.h"

#include <errno.h>

static int open_image(const image *m, model **out, char *err, size_t errlen) {
  /* A copy of exactly this size, so that the sanitizer sees a read past the end. */
  uint8_t *data = malloc(m->size ? m->size : 1);
  assert_non_null(data);
  if (m->size) memcpy(data, m->data, m->size);
  int status = model_open_gguf_memory(out, data, m->size, "test.gguf", err, errlen);
  if (status == 0) { /* borrowed: use it while it is there */
    assert_int_equal((*out)->layers[0].q.cols, (*out)->shape.hidden);
    model_close(*out);
  } else {
    assert_null(*out);
  }
  *out = NULL;
  free(data);
  return status;
}

/* ---- good files ------------------------------------------------------------------------ */

static void small_file_is_read(void **state) {
  (void)state;
  image m = small_gguf(NULL, 0);
  char err[512] = "";
  model *opened;
  int status = model_open_gguf_memory(&opened, m.data, m.size, "test.gguf", err, sizeof err);
  if (status) fail_msg("%s", err);
  assert_int_equal(opened->shape.layers, SMALL_LAYERS);
  assert_int_equal(opened->shape.hidden, SMALL_HIDDEN);
  assert_int_equal(opened->shape.heads, 1);
  assert_int_equal(opened->shape.kv_heads, 1);
  assert_int_equal(opened->shape.head_dim, 64);
  assert_int_equal(opened->shape.intermediate, SMALL_FF);
  assert_int_equal(opened->shape.vocab, SMALL_VOCAB);
  assert_true(opened->shape.rope_theta == 10000.0f);
  assert_true(opened->shape.rms_eps == 1e-6f);
  assert_int_equal(opened->trained_context, 512);
  assert_string_equal(opened->name, "small");
  assert_string_equal(opened->path, "test.gguf");
  assert_string_equal(opened->types, "Q8_0");
  assert_true(opened->tied);
  assert_ptr_equal(opened->head.data, opened->embedding.data);

  small_tensor tensors[64];
  int64_t parameters = 0, bytes = 0;
  for (int i = small_tensors(tensors) - 1; i >= 0; i--) {
    parameters += (tensors[i].rows ? tensors[i].rows : 1) * tensors[i].cols;
    bytes += tensors[i].bytes;
  }
  assert_int_equal(opened->parameters, parameters);
  assert_int_equal(opened->weight_bytes, bytes);

  const model_layer *layer = &opened->layers[1];
  assert_ptr_equal(layer->down.data, m.data + image_find(&m, "blk.1.ffn_down.weight data"));
  assert_int_equal(layer->down.rows, 64);
  assert_int_equal(layer->down.cols, 96);
  assert_ptr_equal(layer->v.data, m.data + image_find(&m, "blk.1.attn_v.weight data"));
  assert_memory_equal(layer->attn_norm, m.data + image_find(&m, "blk.1.attn_norm.weight data"),
                      64 * sizeof(float));
  assert_memory_equal(layer->qkv_bias, m.data + image_find(&m, "blk.1.attn_q.bias data"), 256);
  assert_memory_equal(layer->qkv_bias + 64, m.data + image_find(&m, "blk.1.attn_k.bias data"),
                      256);
  assert_memory_equal(layer->qkv_bias + 128, m.data + image_find(&m, "blk.1.attn_v.bias data"),
                      256);

  assert_int_equal(tokenizer_size(opened->tokenizer), SMALL_VOCAB);
  assert_int_equal(tokenizer_find(opened->tokenizer, "<|fim_middle|>"), SMALL_TOKENS - 1);
  assert_int_equal(tokenizer_token_kind(opened->tokenizer, SMALL_TOKENS - 1), TOKENIZER_SPECIAL);
  assert_int_equal(tokenizer_token_kind(opened->tokenizer, SMALL_VOCAB - 1), TOKENIZER_UNUSED);
  engine_tokens ids = {0};
  assert_int_equal(tokenizer_encode(opened->tokenizer, "int", 3, false, &ids), 0);
  assert_int_equal(ids.n, 1);
  assert_int_equal(ids.ids[0], 257);
  free(ids.ids);
  model_close(opened);
  image_free(&m);
}

static void other_spellings_are_read(void **state) {
  (void)state;
  static const struct {
    const char *what, *mark;
    uint32_t value;
    size_t skip;
  } cases[] = {
      {"version 2", "version", 2, 0},
      {"int32 instead of uint32", "qwen2.block_count type", 5, 0},
      {"without tokenizer.ggml.pre", "tokenizer.ggml.pre key", 'X', 8},
      {"without general.name", "general.name key", 'X', 8},
      {"without vocab_size", "qwen2.vocab_size key", 'X', 8},
      {"a user-defined token", "tokenizer.ggml.token_type items", 1, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    image m = small_gguf(NULL, 0);
    size_t at = image_find(&m, cases[i].mark) + cases[i].skip;
    if (cases[i].skip) m.data[at] = (uint8_t)cases[i].value;
    else memcpy(m.data + at, &cases[i].value, 4);
    char err[512] = "";
    model *opened;
    if (open_image(&m, &opened, err, sizeof err)) fail_msg("%s: %s", cases[i].what, err);
    image_free(&m);
  }
}

static void no_vocabulary_is_no_tokenizer(void **state) {
  (void)state;
  image m = small_gguf(NULL, 0);
  /* "gpt2" and "none" have the same length; "no_vocab" is what some writers say. */
  memcpy(m.data + image_find(&m, "tokenizer.ggml.model value") + 8, "none", 4);
  char err[512] = "";
  model *opened;
  assert_int_equal(model_open_gguf_memory(&opened, m.data, m.size, "t", err, sizeof err), 0);
  assert_null(opened->tokenizer);
  assert_int_equal(opened->shape.vocab, SMALL_VOCAB);
  model_close(opened);
  image_free(&m);
}

/* Each type: read where it lies, and refused where its last value or scale is no number. */
static void all_types_are_read_and_their_scales_checked(void **state) {
  (void)state;
  static const small_shape shapes[] = {
      {64, 96, KERNELS_F32, 1, 4, 0, 0},      {64, 96, KERNELS_F16, 1, 2, 0, 0},
      {64, 96, KERNELS_BF16, 1, 2, 0, 0},     {64, 96, KERNELS_Q4_0, 32, 18, 0, 1},
      {64, 96, KERNELS_Q8_0, 32, 34, 0, 1},   {256, 512, KERNELS_Q4_K, 256, 144, 0, 2},
      {256, 512, KERNELS_Q6_K, 256, 210, 208, 1},
  };
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const small_shape *s = &shapes[i];
    image m = small_gguf_of(s, NULL, NULL, 0);
    char err[512] = "", wanted[160];
    model *opened;
    if (model_open_gguf_memory(&opened, m.data, m.size, "t", err, sizeof err)) fail_msg("%s", err);
    assert_string_equal(opened->types, kernels_type_name((kernels_type)s->type));
    const kernels_matrix *w = &opened->layers[1].down;
    size_t start = image_find(&m, "blk.1.ffn_down.weight data");
    size_t size = (size_t)kernels_matrix_bytes(w);
    assert_ptr_equal(w->data, m.data + start);
    assert_int_equal(size, s->hidden * s->ff / s->block_elements * s->block_bytes);
    model_close(opened);
    for (int j = 0; j < (s->scales ? s->scales : 1); j++) {
      size_t block = start + size - (size_t)s->block_bytes;
      uint8_t *p = m.data + block + s->scale_at + 2 * j;
      uint32_t bad = s->type == KERNELS_F32    ? 0x7f800001
                     : s->type == KERNELS_BF16 ? 0xff80
                                               : 0xfc00;
      uint8_t saved[4];
      size_t width = s->type == KERNELS_F32 ? 4 : 2;
      memcpy(saved, p, width);
      memcpy(p, &bad, width);
      assert_int_equal(open_image(&m, &opened, err, sizeof err), ENGINE_EFORMAT);
      snprintf(wanted, sizeof wanted, "blk.1.ffn_down.weight: %s %d is not a finite number "
               "(at byte %zu)", s->block_elements > 1 ? "the scale of block" : "element",
               s->hidden * s->ff / s->block_elements - 1, block);
      if (!strstr(err, wanted)) fail_msg("\"%s\" should say %s", err, wanted);
      memcpy(p, saved, width);
    }
    image_free(&m);
  }
}

static void missing_biases_are_zero(void **state) {
  (void)state;
  image m = small_gguf_without("blk.0.attn_k.bias", NULL, 0);
  char err[512] = "";
  model *opened;
  if (model_open_gguf_memory(&opened, m.data, m.size, "t", err, sizeof err)) fail_msg("%s", err);
  const float *bias = opened->layers[0].qkv_bias, zeros[64] = {0};
  assert_memory_equal(bias, m.data + image_find(&m, "blk.0.attn_q.bias data"), 256);
  assert_memory_equal(bias + 64, zeros, 256);
  assert_memory_equal(bias + 128, m.data + image_find(&m, "blk.0.attn_v.bias data"), 256);
  model_close(opened);
  image_free(&m);
}

static void each_missing_tensor_is_named(void **state) {
  (void)state;
  small_tensor tensors[64];
  for (int i = small_tensors(tensors) - 1; i >= 0; i--) {
    const char *name = tensors[i].name;
    if (strstr(name, ".bias")) continue;
    image m = small_gguf_without(name, NULL, 0);
    char err[512] = "", wanted[128];
    model *opened;
    assert_int_equal(open_image(&m, &opened, err, sizeof err), ENGINE_EFORMAT);
    snprintf(wanted, sizeof wanted, "tensor %s: is missing", name);
    if (!strstr(err, wanted)) fail_msg("%s: \"%s\"", name, err);
    image_free(&m);
  }
}

/* ---- the embedded model ---------------------------------------------------------------- */

static uint64_t fnv1a(const void *data, size_t size) {
  const uint8_t *p = data;
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 0x100000001b3u;
  return h;
}

/* The embedded model is this very file, and its matrices are that file's bytes. */
static void embedded_model_opens(void **state) {
  (void)state;
  char err[512] = "";
  model *m, *file;
  if (model_open(&m, NULL, err, sizeof err)) fail_msg("%s", err);
  if (model_open(&file, "engine/models/fimd-mini-31m-q8_0.gguf", err, sizeof err))
    fail_msg("%s", err);
  assert_string_equal(m->path, "embedded");
  assert_string_equal(m->name, file->name);
  assert_memory_equal(&m->shape, &file->shape, sizeof m->shape);
  const kernels_shape *s = &m->shape;
  assert_int_equal(s->hidden, s->heads * s->head_dim);
  assert_int_equal(s->vocab, tokenizer_size(m->tokenizer));
  int64_t h = s->hidden, kv = (int64_t)s->kv_heads * s->head_dim;
  int64_t layer = h * h * 2 + 2 * kv * h + h + 2 * kv + 3 * h * s->intermediate + 2 * h;
  assert_int_equal(m->parameters, s->layers * layer + s->vocab * h + h);
  for (int i = 0; i < s->layers; i++) {
    const kernels_matrix *a = &m->layers[i].down, *b = &file->layers[i].down;
    assert_int_equal(a->type, KERNELS_Q8_0);
    size_t size = (size_t)kernels_matrix_bytes(a);
    assert_int_equal(fnv1a(a->data, size), fnv1a(b->data, size));
    assert_memory_equal(m->layers[i].mlp_norm, file->layers[i].mlp_norm, (size_t)h * 4);
    assert_memory_equal(m->layers[i].qkv_bias, file->layers[i].qkv_bias, (size_t)(h + 2 * kv) * 4);
  }
  float row[4096];
  double sum = 0;
  assert_in_range(s->hidden, 64, 4096);
  assert_int_equal(kernels_dequantize_row(m->embedding.type, m->embedding.data, h, row), 0);
  for (int i = 0; i < h; i++) sum += row[i] * row[i];
  assert_true(sum > 1e-4 && sum < 1e4);
  assert_int_not_equal(tokenizer_find(m->tokenizer, "<|fim_middle|>"), -1);
  model_close(m);
  model_close(file);
}

/* ---- bad files ------------------------------------------------------------------------- */

typedef struct broken {
  const char *mark;  /* the field that is overwritten */
  int skip;          /* bytes after the mark */
  int width;         /* bytes of value; 0: text */
  uint64_t value;
  const char *text;
  const char *field; /* what the message must name */
} broken;

#define NUMBER(mark, skip, width, value, field) {mark, skip, width, value, NULL, field}
#define TEXT(mark, skip, text, field) {mark, skip, 0, 0, text, field}
#define Q "blk.0.attn_q.weight"
#define N "blk.1.ffn_norm.weight"

static const broken broken_files[] = {
    /* header */
    TEXT("magic", 0, "GGUX", "magic"),
    NUMBER("version", 0, 4, 0, "version"),
    NUMBER("version", 0, 4, 1, "version"),
    NUMBER("version", 0, 4, 4, "version"),
    NUMBER("version", 0, 4, 0x03000000, "version"),
    NUMBER("tensor count", 0, 8, 0, "tensor count"),
    NUMBER("tensor count", 0, 8, UINT64_MAX, "tensor count"),
    NUMBER("tensor count", 0, 8, INT64_MAX, "tensor count"),
    NUMBER("tensor count", 0, 8, 100000, "tensor count"),
    NUMBER("tensor count", 0, 8, 27, "tensor "),
    NUMBER("tensor count", 0, 8, 25, "output_norm.weight"),
    NUMBER("metadata count", 0, 8, UINT64_MAX, "metadata count"),
    NUMBER("metadata count", 0, 8, 1u << 20, "metadata count"),
    NUMBER("metadata count", 0, 8, 1, "qwen2.block_count"),
    NUMBER("metadata count", 0, 8, 0, "general.architecture"),
    NUMBER("metadata count", 0, 8, 18, "tensor name"),
    /* keys */
    NUMBER("general.name key", 0, 8, 0, "metadata key"),
    NUMBER("general.name key", 0, 8, UINT64_MAX, "metadata key"),
    NUMBER("general.name key", 0, 8, 70000, "metadata key"),
    NUMBER("qwen2.vocab_size key", 0, 8, INT64_MAX, "metadata key"),
    /* values: types */
    NUMBER("general.name type", 0, 4, 13, "general.name"),
    NUMBER("general.name type", 0, 4, UINT32_MAX, "general.name"),
    NUMBER("qwen2.block_count type", 0, 4, 6, "qwen2.block_count"),
    NUMBER("qwen2.rope.freq_base type", 0, 4, 4, "qwen2.rope.freq_base"),
    NUMBER("qwen2.attention.layer_norm_rms_epsilon type", 0, 4, 5,
           "qwen2.attention.layer_norm_rms_epsilon"),
    NUMBER("tokenizer.ggml.token_type value", 0, 4, 6, "tokenizer.ggml.token_type"),
    NUMBER("tokenizer.ggml.token_type value", 0, 4, 4, "tokenizer.ggml.token_type"),
    NUMBER("tokenizer.ggml.tokens value", 0, 4, 9, "tokenizer.ggml.tokens"),
    NUMBER("tokenizer.ggml.tokens value", 0, 4, 99, "tokenizer.ggml.tokens"),
    /* values: lengths */
    NUMBER("general.name value", 0, 8, UINT64_MAX, "general.name"),
    NUMBER("general.name value", 0, 8, 1u << 30, "general.name"),
    NUMBER("tokenizer.ggml.tokens count", 0, 8, UINT64_MAX, "tokenizer.ggml.tokens"),
    NUMBER("tokenizer.ggml.tokens count", 0, 8, UINT64_MAX / 8 + 2, "tokenizer.ggml.tokens"),
    NUMBER("tokenizer.ggml.token_type count", 0, 8, UINT64_MAX / 4 + 2,
           "tokenizer.ggml.token_type"),
    NUMBER("tokenizer.ggml.token_type count", 0, 8, 1u << 28, "tokenizer.ggml.token_type"),
    NUMBER("tokenizer.ggml.tokens items", 0, 8, UINT64_MAX, "tokenizer.ggml.tokens"),
    NUMBER("tokenizer.ggml.merges items", 0, 8, 1u << 31, "tokenizer.ggml.merges"),
    /* the config */
    TEXT("general.architecture value", 8, "llama", "general.architecture"),
    TEXT("general.architecture key", 8, "X", "general.architecture"),
    NUMBER("qwen2.block_count value", 0, 4, 0, "qwen2.block_count"),
    NUMBER("qwen2.block_count value", 0, 4, UINT32_MAX, "qwen2.block_count"),
    NUMBER("qwen2.block_count value", 0, 4, 100000, "qwen2.block_count"),
    NUMBER("qwen2.block_count value", 0, 4, 3, "blk.2."),
    NUMBER("qwen2.block_count value", 0, 4, 1, "blk.1."),
    TEXT("qwen2.block_count key", 8, "X", "qwen2.block_count"),
    NUMBER("qwen2.embedding_length value", 0, 4, 128, "token_embd.weight"),
    NUMBER("qwen2.embedding_length value", 0, 4, INT32_MAX, "qwen2.embedding_length"),
    NUMBER("qwen2.feed_forward_length value", 0, 4, 128, "ffn_gate.weight"),
    NUMBER("qwen2.feed_forward_length value", 0, 4, 0, "qwen2.feed_forward_length"),
    NUMBER("qwen2.attention.head_count value", 0, 4, 3, "qwen2.attention.head_count"),
    NUMBER("qwen2.attention.head_count value", 0, 4, 2, "qwen2.attention.head_count"),
    NUMBER("qwen2.attention.head_count value", 0, 4, 0, "qwen2.attention.head_count"),
    NUMBER("qwen2.attention.head_count_kv value", 0, 4, 2, "qwen2.attention.head_count_kv"),
    NUMBER("qwen2.attention.head_count_kv value", 0, 4, 0, "qwen2.attention.head_count_kv"),
    NUMBER("qwen2.context_length value", 0, 4, 0, "qwen2.context_length"),
    NUMBER("qwen2.vocab_size value", 0, 4, 263, "token_embd.weight"),
    NUMBER("qwen2.vocab_size value", 0, 4, INT32_MAX, "qwen2.vocab_size"),
    NUMBER("qwen2.rope.freq_base value", 0, 4, 0x7fc00000, "qwen2.rope.freq_base"),
    NUMBER("qwen2.rope.freq_base value", 0, 4, 0x7f800000, "qwen2.rope.freq_base"),
    NUMBER("qwen2.rope.freq_base value", 0, 4, 0, "qwen2.rope.freq_base"),
    NUMBER("qwen2.rope.freq_base value", 0, 4, 0xc61c4000, "qwen2.rope.freq_base"),
    NUMBER("qwen2.attention.layer_norm_rms_epsilon value", 0, 4, 0x7fc00000,
           "qwen2.attention.layer_norm_rms_epsilon"),
    NUMBER("qwen2.attention.layer_norm_rms_epsilon value", 0, 4, 0,
           "qwen2.attention.layer_norm_rms_epsilon"),
    /* alignment */
    NUMBER("general.alignment value", 0, 4, 0, "general.alignment"),
    NUMBER("general.alignment value", 0, 4, 1, "general.alignment"),
    NUMBER("general.alignment value", 0, 4, 33, "general.alignment"),
    NUMBER("general.alignment value", 0, 4, 48, "general.alignment"),
    NUMBER("general.alignment value", 0, 4, 0x80000000, "general.alignment"),
    NUMBER("general.alignment value", 0, 4, UINT32_MAX, "general.alignment"),
    NUMBER("general.alignment type", 0, 4, 6, "general.alignment"),
    NUMBER("general.alignment value", 0, 4, 4096, "offset"),
    /* tensors */
    NUMBER(Q " name", 0, 8, 0, "tensor name"),
    NUMBER(Q " name", 0, 8, 300, "tensor name"),
    NUMBER(Q " name", 0, 8, UINT64_MAX, "tensor name"),
    TEXT("blk.1.attn_q.weight name", 12, "0", Q), /* twice */
    TEXT("blk.0.attn_k.weight name", 19, "v", "blk.0.attn_v.weight"),
    TEXT(Q " name", 8, "X", Q),
    NUMBER(Q " n_dims", 0, 4, 0, Q),
    NUMBER(Q " n_dims", 0, 4, 5, Q),
    NUMBER(Q " n_dims", 0, 4, UINT32_MAX, Q),
    NUMBER(Q " n_dims", 0, 4, 1, Q),
    NUMBER(Q " dims", 0, 8, 0, Q),
    NUMBER(Q " dims", 8, 8, 0, Q),
    NUMBER(Q " dims", 0, 8, UINT64_MAX, Q),
    NUMBER(Q " dims", 8, 8, UINT64_MAX, Q),
    NUMBER(Q " dims", 8, 8, INT64_MAX, Q),
    NUMBER(Q " dims", 8, 8, UINT64_C(1) << 58, Q), /* elements wrap to 0 */
    NUMBER(Q " dims", 8, 8, UINT64_C(1) << 57, Q),
    NUMBER(Q " dims", 8, 8, UINT64_C(1) << 56, Q),
    NUMBER(Q " dims", 0, 8, 63, Q),                /* no whole blocks */
    NUMBER(Q " dims", 8, 8, 63, Q),
    NUMBER(Q " dims", 8, 8, 65, Q),
    NUMBER(N " dims", 0, 8, INT64_MAX, N),
    NUMBER(N " dims", 0, 8, 63, N),
    NUMBER(Q " type", 0, 4, 3, Q),
    NUMBER(Q " type", 0, 4, 4, Q),
    NUMBER(Q " type", 0, 4, 12, Q), /* Q4_K: 64 is no whole super-block */
    NUMBER(Q " type", 0, 4, 13, "Q5_K"),
    NUMBER(Q " type", 0, 4, 31, Q),
    NUMBER(Q " type", 0, 4, UINT32_MAX, Q),
    NUMBER(Q " type", 0, 4, 0, "offset"),   /* F32: runs over the next */
    NUMBER(N " type", 0, 4, 8, N),          /* a quantized norm */
    NUMBER(Q " offset", 0, 8, 1, Q),
    NUMBER(Q " offset", 0, 8, UINT64_MAX - 31, Q),
    NUMBER(Q " offset", 0, 8, UINT64_C(1) << 63, Q),
    NUMBER(Q " offset", 0, 8, 1u << 30, Q),
    NUMBER(Q " offset", 0, 8, 0, "offset"), /* over the embedding */
    NUMBER(Q " offset", 0, 8, 32, "offset"),
    NUMBER("output_norm.weight offset", 0, 8, UINT64_MAX - 255, "output_norm.weight"),
    /* numbers that are none */
    NUMBER(Q " data", 0, 2, 0x7c00, Q),
    NUMBER(Q " data", 34 * 127, 2, 0x7e00, Q),
    NUMBER(Q " data", 34 * 64, 2, 0xfc00, Q),
    NUMBER("token_embd.weight data", 34, 2, 0x7fff, "token_embd.weight"),
    NUMBER(N " data", 252, 4, 0x7f800000, N),
    NUMBER("blk.1.attn_v.bias data", 0, 4, 0xffc00000, "blk.1.attn_v.bias"),
    NUMBER("output_norm.weight data", 4, 4, 0x7f800001, "output_norm.weight"),
    /* the vocabulary */
    TEXT("tokenizer.ggml.model value", 8, "bert", "tokenizer.ggml.model"),
    TEXT("tokenizer.ggml.model key", 8, "X", "tokenizer.ggml.model"),
    TEXT("tokenizer.ggml.pre value", 8, "llama", "tokenizer.ggml.pre"),
    TEXT("tokenizer.ggml.tokens key", 8, "X", "tokenizer.ggml.tokens"),
    TEXT("tokenizer.ggml.token_type key", 8, "X", "tokenizer.ggml.token_type"),
    TEXT("tokenizer.ggml.merges key", 8, "X", "tokenizer.ggml.merges"),
    NUMBER("tokenizer.ggml.token_type items", 0, 4, 0, "tokenizer.ggml.token_type"),
    NUMBER("tokenizer.ggml.token_type items", 400, 4, 6, "tokenizer.ggml.token_type"),
    NUMBER("tokenizer.ggml.token_type items", 400, 4, UINT32_MAX, "tokenizer.ggml.token_type"),
    NUMBER("tokenizer.ggml.token_type items", 4, 4, 0x7fffffff, "tokenizer.ggml.token_type"),
    TEXT("merge 0", 9, "_", "tokenizer.ggml.merges"),     /* no space */
    TEXT("merge 0", 8, " ", "tokenizer.ggml.merges"),     /* two spaces */
    TEXT("merge 0", 10, "\x01", "tokenizer.ggml"),        /* a piece of no byte */
    TEXT("merge 0", 8, "q", "tokenizer.ggml"),            /* "qn" is no token */
    TEXT("token <|fim_suffix|>", 8, "<|fim_prefix|>", "tokenizer.ggml.tokens"), /* twice */
    TEXT("token in", 8, "\xff\xff", "tokenizer.ggml.tokens"),
};

/* False, with words on standard error, if it is not refused as it should be. */
static bool is_refused(const image *m, const char *what, const char *field) {
  char err[512] = "";
  model *opened = NULL;
  int status = open_image(m, &opened, err, sizeof err);
  if (status == ENGINE_EFORMAT && strstr(err, field) && strstr(err, "byte ")) return true;
  print_error("%s: status %d, \"%s\" should name %s and the byte\n", what, status, err, field);
  return false;
}

static void broken_files_are_refused(void **state) {
  (void)state;
  int failed = 0;
  for (size_t i = 0; i < sizeof broken_files / sizeof *broken_files; i++) {
    const broken *c = &broken_files[i];
    image m = small_gguf(NULL, 0);
    size_t at = image_find(&m, c->mark) + (size_t)c->skip;
    if (c->text) memcpy(m.data + at, c->text, strlen(c->text));
    else memcpy(m.data + at, &c->value, (size_t)c->width);
    char what[200];
    snprintf(what, sizeof what, "case %zu: %s + %d = %s%llx", i, c->mark, c->skip,
             c->text ? c->text : "", (unsigned long long)c->value);
    failed += !is_refused(&m, what, c->field);
    image_free(&m);
  }
  assert_int_equal(failed, 0);
}

static void twice_extra(image *m) { meta_u32(m, "qwen2.block_count", 2); }
static void yarn_extra(image *m) { meta_string(m, "qwen2.rope.scaling.type", "yarn"); }
static void window_extra(image *m) { meta_u32(m, "qwen2.attention.sliding_window", 256); }
static void split_extra(image *m) { meta_u32(m, "split.count", 3); }
static void key_extra(image *m) { meta_u32(m, "qwen2.attention.key_length", 80); }
static void value_extra(image *m) { meta_u32(m, "qwen2.attention.value_length", 128); }
static void rotary_extra(image *m) { meta_u32(m, "qwen2.rope.dimension_count", 32); }
static void nested_extra(image *m) { meta_array(m, "general.tags", META_ARRAY, 0); }
static void terminal_extra(image *m) { meta_begin(m, "\x1b[2Jx", (meta_type)77); }

static void extra_metadata_is_refused(void **state) {
  (void)state;
  static const struct {
    void (*extra)(image *m);
    const char *field;
  } cases[] = {
      {twice_extra, "qwen2.block_count: is there twice"},
      {yarn_extra, "qwen2.rope.scaling.type: is \"yarn\""},
      {window_extra, "qwen2.attention.sliding_window: is 256"},
      {split_extra, "split.count: this is one part of a file split into 3"},
      {key_extra, "qwen2.attention.key_length is a head dimension of 80"},
      {value_extra, "qwen2.attention.value_length"},
      {rotary_extra, "qwen2.rope.dimension_count"},
      {nested_extra, "general.tags: is an array of arrays"},
      {terminal_extra, "metadata ?[2Jx"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    image m = small_gguf(cases[i].extra, 1);
    assert_true(is_refused(&m, cases[i].field, cases[i].field));
    image_free(&m);
  }
}

static void truncated_files_are_refused(void **state) {
  (void)state;
  image m = small_gguf(NULL, 0);
  size_t header = image_find(&m, "header end"), whole = m.size;
  for (size_t size = 0; size < whole; size += size < header ? 64 : 1024) {
    char what[64];
    snprintf(what, sizeof what, "cut to %zu bytes", size);
    m.size = size;
    assert_true(is_refused(&m, what, "test.gguf: "));
  }
  m.size = whole - 1;
  assert_true(is_refused(&m, "the last byte", "output_norm.weight"));
  image_free(&m);
}

/* Whatever bytes change, the answer is a model or a refusal with words. */
static void random_damage_is_survived(void **state) {
  (void)state;
  image m = small_gguf(NULL, 0);
  size_t header = image_find(&m, "header end");
  uint32_t seed = 12345;
  int refused = 0;
  for (int round = 0; round < 2000; round++) {
    uint8_t saved[4];
    size_t places[4];
    int n = 1 + round % 4;
    for (int i = 0; i < n; i++) {
      seed = seed * 1664525u + 1013904223u;
      places[i] = (seed >> 4) % header;
      saved[i] = m.data[places[i]];
      m.data[places[i]] = (uint8_t)(seed >> 24);
    }
    char err[512] = "";
    model *opened;
    int status = open_image(&m, &opened, err, sizeof err);
    assert_true(status == 0 || status == ENGINE_EFORMAT);
    assert_true((status == 0) == (*err == 0));
    refused += status != 0;
    for (int i = n - 1; i >= 0; i--) m.data[places[i]] = saved[i];
  }
  assert_in_range(refused, 200, 2000);
  image_free(&m);
}

static void messages_fit_any_buffer(void **state) {
  (void)state;
  image m = small_gguf(NULL, 0);
  memcpy(m.data + image_find(&m, Q " type"), "\x03", 1);
  for (size_t size = 0; size < 40; size++) {
    char *err = malloc(size + 1);
    model *opened;
    err[size] = 'x';
    assert_int_equal(model_open_gguf_memory(&opened, m.data, m.size, "t", err, size),
                     ENGINE_EFORMAT);
    assert_int_equal(err[size], 'x');
    if (size) assert_in_range(strlen(err), 0, size - 1);
    free(err);
  }
  image_free(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_file_is_read),
      cmocka_unit_test(other_spellings_are_read),
      cmocka_unit_test(no_vocabulary_is_no_tokenizer),
      cmocka_unit_test(all_types_are_read_and_their_scales_checked),
      cmocka_unit_test(missing_biases_are_zero),
      cmocka_unit_test(each_missing_tensor_is_named),
      cmocka_unit_test(embedded_model_opens),
      cmocka_unit_test(broken_files_are_refused),
      cmocka_unit_test(extra_metadata_is_refused),
      cmocka_unit_test(truncated_files_are_refused),
      cmocka_unit_test(random_damage_is_survived),
      cmocka_unit_test(messages_fit_any_buffer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
