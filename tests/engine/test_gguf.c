/* test_gguf.c - GGUF files: what is read from good ones, and random damage. Each kind of bad file
 * by itself: test_malformed.c. */
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

/* Each type, where it lies. */
static void all_types_are_read(void **state) {
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
    char err[512] = "";
    model *opened;
    if (model_open_gguf_memory(&opened, m.data, m.size, "t", err, sizeof err)) fail_msg("%s", err);
    assert_string_equal(opened->types, kernels_type_name((kernels_type)s->type));
    const kernels_matrix *w = &opened->layers[1].down;
    size_t start = image_find(&m, "blk.1.ffn_down.weight data");
    size_t size = (size_t)kernels_matrix_bytes(w);
    assert_ptr_equal(w->data, m.data + start);
    assert_int_equal(size, s->hidden * s->ff / s->block_elements * s->block_bytes);
    model_close(opened);
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

/* Of several bad numbers the first by its tensor's name is told, however many cores look. */
static void first_bad_number_is_told(void **state) {
  (void)state;
  char err[512] = "", wanted[128];
  size_t size;
  model *m;
  uint8_t *data = read_whole("engine/models/fimd-mini-31m-q8_0.gguf", &size);
  if (model_open_gguf_memory(&m, data, size, "t", err, sizeof err)) fail_msg("%s", err);
  const kernels_matrix *of[] = {&m->embedding, &m->layers[3].up, &m->layers[3].gate,
                                &m->layers[1].q};
  static const char *const names[] = {"token_embd.weight", "blk.3.ffn_up.weight",
                                      "blk.3.ffn_gate.weight", "blk.1.attn_q.weight"};
  size_t at[4], blocks[4];
  for (int i = 0; i < 4; i++) {
    blocks[i] = (size_t)kernels_matrix_bytes(of[i]) / 34;
    at[i] = (size_t)((const uint8_t *)of[i]->data - data) + (blocks[i] - 1) * 34;
  }
  model_close(m);
  for (int i = 0; i < 4; i++) { /* each one more, and before the others */
    memcpy(data + at[i], "\x00\x7c", 2);
    snprintf(wanted, sizeof wanted,
             "%s: the scale of block %zu is not a finite number (at byte %zu)", names[i],
             blocks[i] - 1, at[i]);
    assert_int_equal(model_open_gguf_memory(&m, data, size, "t", err, sizeof err), ENGINE_EFORMAT);
    if (!strstr(err, wanted)) fail_msg("\"%s\" should say %s", err, wanted);
  }
  free(data);
}

/* ---- bad files ------------------------------------------------------------------------- */

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
  memcpy(m.data + image_find(&m, "blk.0.attn_q.weight type"), "\x03", 1);
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
      cmocka_unit_test(all_types_are_read),
      cmocka_unit_test(missing_biases_are_zero),
      cmocka_unit_test(embedded_model_opens),
      cmocka_unit_test(first_bad_number_is_told),
      cmocka_unit_test(random_damage_is_survived),
      cmocka_unit_test(messages_fit_any_buffer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
