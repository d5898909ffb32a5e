/* test_model.c - opening models from folders: the reference Hugging Face model, the same in
 * other types and in shards, and places where no model is. Each kind of broken folder:
 * test_malformed.c. */
#include "engine/model.h"
#include "engine/safetensors.h"

#include "tests/engine/model_files.h"

#include <cjson/cJSON.h>
#include <math.h>

#define TINY "tests/data/tiny-random-hd128"

static model *open_or_fail(const char *what) {
  char err[1024] = "";
  model *m;
  if (model_open(&m, what, err, sizeof err)) fail_msg("%s: %s", what ? what : "embedded", err);
  assert_non_null(m);
  return m;
}

/* ---- the reference model --------------------------------------------------------------- */

static void tiny_random_opens(void **state) {
  (void)state;
  model *m = open_or_fail(TINY);
  assert_string_equal(m->name, "tiny-random-hd128");
  assert_string_equal(m->types, "BF16");
  assert_false(m->tied);
  assert_ptr_not_equal(m->head.data, m->embedding.data);
  assert_null(m->tokenizer);
  assert_int_equal(m->shape.layers, 3);
  assert_int_equal(m->shape.hidden, 256);
  assert_int_equal(m->shape.heads, 2);
  assert_int_equal(m->shape.kv_heads, 1);
  assert_int_equal(m->shape.head_dim, 128);
  assert_int_equal(m->shape.intermediate, 704);
  assert_int_equal(m->shape.vocab, 512);
  assert_int_equal(m->trained_context, 512);
  assert_true(m->shape.rope_theta == 1e6f);
  assert_int_equal(m->layers[2].down.rows, 256);
  assert_int_equal(m->layers[2].down.cols, 704);
  assert_int_equal(m->layers[0].k.rows, 128);
  model_close(m);
}

/* All of the reference's ids, through the vocabulary as the GGUF file has it. */
static void embedded_tokenizer_is_the_reference(void **state) {
  (void)state;
  model *m = open_or_fail(NULL);
  size_t size;
  char *text = (char *)read_whole("tests/data/golden.json", &size);
  cJSON *golden = cJSON_ParseWithLength(text, size), *item;
  assert_non_null(golden);
  int checked = 0;
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(golden, "tokenizer")) {
    const char *words = cJSON_GetObjectItemCaseSensitive(item, "text")->valuestring;
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(item, "ids");
    /* cJSON ends a string at its first NUL. */
    if (strlen(words) == 1 && cJSON_GetArraySize(ids) > 1) continue;
    engine_tokens got = {0};
    assert_int_equal(tokenizer_encode(m->tokenizer, words, strlen(words), true, &got), 0);
    assert_int_equal(got.n, cJSON_GetArraySize(ids));
    int i = 0;
    const cJSON *id;
    cJSON_ArrayForEach(id, ids) assert_int_equal(got.ids[i++], id->valueint);
    free(got.ids);
    checked++;
  }
  assert_in_range(checked, 20, 1000);
  cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(golden, "special"))
    assert_int_equal(tokenizer_find(m->tokenizer, item->string), item->valueint);
  cJSON_Delete(golden);
  free(text);
  model_close(m);
}

/* ---- the same model, written otherwise ------------------------------------------------- */

typedef struct source {
  uint8_t *file;
  size_t size;
  model_storage *storage;
  model_tensors tensors;
} source;

static source read_source(void) {
  source s = {0};
  char err[512];
  s.file = read_whole(TINY "/model.safetensors", &s.size);
  s.storage = model__storage_new();
  assert_non_null(s.storage);
  if (safetensors_read(&s.tensors, s.storage, s.file, s.size, "tiny", err, sizeof err) ||
      model__tensors_sort(&s.tensors, err, sizeof err))
    fail_msg("%s", err);
  return s;
}

static void free_source(source *s) {
  free(s->tensors.list);
  model__storage_delete(s->storage);
  free(s->file);
}

/* To the nearest half, ties to even; the test's weights are far from the ends of the range. */
static uint16_t half_of(float v) {
  uint32_t bits, sign;
  memcpy(&bits, &v, 4);
  sign = bits >> 16 & 0x8000;
  float a = fabsf(v);
  if (a < 6.103515625e-05f) return (uint16_t)(sign | (uint32_t)lrintf(a * 16777216.0f));
  assert_true(a < 65000.0f);
  bits &= 0x7fffffff;
  uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
  return (uint16_t)(sign | ((rounded - 0x38000000u) >> 13));
}

/* Appends a tensor of the source in another type; returns the bytes written. */
static size_t put_converted(image *data, const model_tensor *t, kernels_type type) {
  int64_t n = t->bytes / 2;
  size_t before = data->size;
  for (int64_t i = 0; i < n; i++) {
    uint16_t b, h;
    uint32_t bits;
    float f;
    memcpy(&b, t->data + 2 * i, 2);
    bits = (uint32_t)b << 16;
    memcpy(&f, &bits, 4);
    h = half_of(f);
    if (type == KERNELS_F32) image_put(data, &f, 4);
    else image_put(data, type == KERNELS_F16 ? (void *)&h : (void *)&b, 2);
  }
  return data->size - before;
}

/* Writes the tensors of the source with index % of == which, as `type`, with `padding` spaces
 * after the header. Appends "name":"file" pairs to map. */
static void write_part(const source *s, const char *folder, const char *file, kernels_type type,
                       int which, int of, int padding, image *map) {
  image header = {0}, data = {0};
  image_text(&header, "{\"__metadata__\":{\"format\":\"pt\"}");
  for (int i = which; i < s->tensors.n; i += of) {
    const model_tensor *t = &s->tensors.list[i];
    size_t start = data.size, end = start + put_converted(&data, t, type);
    char *shape = t->n_dims == 2 ? text_of("%lld,%lld", (long long)t->dims[0],
                                           (long long)t->dims[1])
                                 : text_of("%lld", (long long)t->dims[0]);
    char *entry = text_of(",\"%.*s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                          (int)t->name.len, t->name.data, kernels_type_name(type), shape, start,
                          end);
    image_text(&header, entry);
    free(entry);
    free(shape);
    entry = text_of("%s\"%.*s\":\"%s\"", map->size ? "," : "", (int)t->name.len, t->name.data,
                    file);
    image_text(map, entry);
    free(entry);
  }
  image_text(&header, "}");
  for (int i = 0; i < padding; i++) image_text(&header, " ");
  image_put(&header, "", 1);
  image whole = safetensors_image((const char *)header.data, data.data, data.size);
  char *path = text_of("%s/%s", folder, file);
  write_file(path, whole.data, whole.size);
  free(path);
  image_free(&whole);
  image_free(&header);
  image_free(&data);
}

static void copy_config(const char *folder) {
  size_t size;
  uint8_t *config = read_whole(TINY "/config.json", &size);
  char *path = text_of("%s/config.json", folder);
  write_file(path, config, size);
  free(path);
  free(config);
}

static void write_index(const char *folder, const image *map) {
  char *path = text_of("%s/model.safetensors.index.json", folder);
  char *text = text_of("{\"metadata\":{\"total_size\":1},\"weight_map\":{%.*s}}", (int)map->size,
                       (const char *)map->data);
  write_file(path, text, strlen(text));
  free(text);
  free(path);
}

static void assert_same_matrix(const kernels_matrix *a, const kernels_matrix *b, float tolerance) {
  assert_int_equal(a->rows, b->rows);
  assert_int_equal(a->cols, b->cols);
  if (tolerance == 0 && a->type == b->type) {
    assert_memory_equal(a->data, b->data, (size_t)kernels_matrix_bytes(a));
    return;
  }
  float *x = malloc((size_t)a->cols * 4), *y = malloc((size_t)a->cols * 4);
  for (int64_t r = 0; r < a->rows; r++) {
    const uint8_t *row_a = (const uint8_t *)a->data + r * kernels_matrix_bytes(a) / a->rows;
    const uint8_t *row_b = (const uint8_t *)b->data + r * kernels_matrix_bytes(b) / b->rows;
    assert_int_equal(kernels_dequantize_row(a->type, row_a, a->cols, x), 0);
    assert_int_equal(kernels_dequantize_row(b->type, row_b, b->cols, y), 0);
    for (int64_t c = 0; c < a->cols; c++)
      if (!(fabsf(x[c] - y[c]) <= tolerance * fabsf(x[c]) + (tolerance > 0 ? 1e-7f : 0)))
        fail_msg("row %lld col %lld: %g and %g", (long long)r, (long long)c, x[c], y[c]);
  }
  free(x);
  free(y);
}

static void assert_same_floats(const float *a, const float *b, int n, float tolerance) {
  for (int i = 0; i < n; i++) assert_true(fabsf(a[i] - b[i]) <= tolerance * fabsf(a[i]) + 1e-7f);
}

/* Every weight, within a relative tolerance; 0 is bit for bit. */
static void assert_same_model(const model *a, const model *b, float tolerance) {
  const kernels_shape *s = &a->shape;
  assert_memory_equal(s, &b->shape, sizeof *s);
  assert_int_equal(a->parameters, b->parameters);
  assert_same_matrix(&a->embedding, &b->embedding, tolerance);
  assert_same_matrix(&a->head, &b->head, tolerance);
  assert_same_floats(a->final_norm, b->final_norm, s->hidden, tolerance);
  for (int i = 0; i < s->layers; i++) {
    const model_layer *x = &a->layers[i], *y = &b->layers[i];
    assert_same_matrix(&x->q, &y->q, tolerance);
    assert_same_matrix(&x->k, &y->k, tolerance);
    assert_same_matrix(&x->v, &y->v, tolerance);
    assert_same_matrix(&x->o, &y->o, tolerance);
    assert_same_matrix(&x->gate, &y->gate, tolerance);
    assert_same_matrix(&x->up, &y->up, tolerance);
    assert_same_matrix(&x->down, &y->down, tolerance);
    assert_same_floats(x->attn_norm, y->attn_norm, s->hidden, tolerance);
    assert_same_floats(x->mlp_norm, y->mlp_norm, s->hidden, tolerance);
    assert_same_floats(x->qkv_bias, y->qkv_bias, (s->heads + 2 * s->kv_heads) * s->head_dim,
                       tolerance);
  }
}

static void other_types_and_shards_are_the_same_model(void **state) {
  (void)state;
  static const struct {
    kernels_type type;
    int parts, padding; /* an odd header length leaves the data unaligned */
    float tolerance;
  } cases[] = {
      {KERNELS_BF16, 1, 0, 0},         {KERNELS_BF16, 3, 0, 0}, {KERNELS_BF16, 2, 1, 0},
      {KERNELS_F16, 1, 0, 1.0f / 2048}, {KERNELS_F32, 1, 0, 0},  {KERNELS_F32, 1, 1, 0},
      {KERNELS_F32, 1, 2, 0},          {KERNELS_F32, 1, 3, 0},
  };
  source s = read_source();
  model *reference = open_or_fail(TINY);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *folder = make_temp();
    image map = {0};
    copy_config(folder);
    for (int p = 0; p < cases[i].parts; p++) {
      char *file = cases[i].parts == 1
                       ? text_of("model.safetensors")
                       : text_of("model-%05d-of-%05d.safetensors", p + 1, cases[i].parts);
      write_part(&s, folder, file, cases[i].type, p, cases[i].parts, cases[i].padding, &map);
      free(file);
    }
    if (cases[i].parts > 1) write_index(folder, &map);
    model *m = open_or_fail(folder);
    assert_string_equal(m->types, kernels_type_name(cases[i].type));
    assert_same_model(reference, m, cases[i].tolerance);
    model_close(m);
    image_free(&map);
    remove_tree(folder);
    free(folder);
  }
  model_close(reference);
  free_source(&s);
}

/* ---- folders that are not right -------------------------------------------------------- */

static bool is_refused(const char *what, const char *label, int wanted, const char *field,
                       bool byte) {
  char err[1024] = "";
  model *m = NULL;
  int status = model_open(&m, what, err, sizeof err);
  if (status == 0) model_close(m);
  bool good = status == wanted && strstr(err, field) && (!byte || strstr(err, "byte "));
  if (!good)
    print_error("%s: status %d, \"%s\" should name %s%s\n", label, status, err, field,
                byte ? " and the byte" : "");
  return good;
}

/* A folder with this config and the reference's weights. */
static char *folder_with_config(const char *config) {
  char *folder = make_temp(), *path = text_of("%s/config.json", folder);
  write_file(path, config, strlen(config));
  free(path);
  char *weights = realpath(TINY "/model.safetensors", NULL);
  path = text_of("%s/model.safetensors", folder);
  assert_int_equal(symlink(weights, path), 0);
  free(path);
  free(weights);
  return folder;
}

/* text with the first `from` replaced. */
static char *replaced(const char *text, const char *from, const char *to) {
  const char *at = strstr(text, from);
  if (!at) fail_msg("no %s in the config", from);
  return text_of("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void other_configs_are_read(void **state) {
  (void)state;
  static const struct {
    const char *from, *to;
    bool tied;
  } cases[] = {
      {"\"hidden_act\": \"silu\"",
       "\"head_dim\": 128, \"rope_scaling\": null, \"use_sliding_window\": false, \"quantization_"
       "config\": null, \"layer_types\": [\"full_attention\"], \"x\": [{\"y\": [1, -2.5e+3]}]",
       false},
      {"\"hidden_act\": \"silu\"", "\"head_dim\": null", false},
      {"\"rope_theta\": 1000000.0",
       "\"rope_parameters\": {\"rope_theta\": 1e6, \"rope_type\": \"default\"}", false},
      {"\"rope_theta\": 1000000.0",
       "\"rope_theta\": 1e6, \"rope_parameters\": {\"rope_theta\": 1000000}", false},
      {"\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", true},
      {"\"tie_word_embeddings\": false", "\"y\": false", false},
  };
  size_t size;
  char *config = (char *)read_whole(TINY "/config.json", &size);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *text = replaced(config, cases[i].from, cases[i].to);
    char *folder = folder_with_config(text);
    model *m = open_or_fail(folder);
    assert_int_equal(m->tied, cases[i].tied);
    assert_int_equal(m->shape.head_dim, 128);
    assert_true(m->shape.rope_theta == 1e6f);
    assert_int_equal(m->head.data == m->embedding.data, cases[i].tied);
    model_close(m);
    remove_tree(folder);
    free(folder);
    free(text);
  }
  free(config);
}

/* The embedded model's own tokenizer.json, cut to size, on a folder of its vocabulary. */
static void tokenizer_of_a_folder_is_read(void **state) {
  (void)state;
  size_t size;
  char *config = (char *)read_whole(TINY "/config.json", &size);
  char *folder = folder_with_config(config), *path = text_of("%s/tokenizer.json", folder);
  uint8_t *tokenizer_json = read_whole("tests/data/tokenizer.json", &size);
  write_file(path, tokenizer_json, size);
  /* 16384 ids do not fit a model of 512. */
  assert_true(is_refused(folder, "too many ids", ENGINE_EFORMAT, "tokenizer.json: ", false));
  write_file(path, tokenizer_json, size / 2);
  assert_true(is_refused(folder, "half a file", ENGINE_EFORMAT, "tokenizer.json: ", false));
  write_file(path, "", 0);
  assert_true(is_refused(folder, "empty", ENGINE_EFORMAT, "tokenizer.json: ", true));
  free(tokenizer_json);
  free(config);
  free(path);
  remove_tree(folder);
  free(folder);
}

static void odd_places_are_refused(void **state) {
  (void)state;
  char *folder = make_temp(), *path;
  assert_true(is_refused(folder, "empty folder", ENGINE_ENOTFOUND, "holds no model", false));
  copy_config(folder);
  assert_true(is_refused(folder, "only a config", ENGINE_ENOTFOUND, "model.safetensors", false));
  path = text_of("%s/model.safetensors.index.json", folder);
  const char index[] = "{\"weight_map\":{\"a\":\"none.safetensors\"}}";
  write_file(path, index, strlen(index));
  assert_true(
      is_refused(folder, "a shard is missing", ENGINE_ENOTFOUND, "none.safetensors", false));
  unlink(path);
  free(path);

  assert_true(is_refused(TINY "/model.safetensors", "only weights", ENGINE_EFORMAT,
                         "give the folder", false));
  path = text_of("%s/fifo.gguf", folder);
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_true(is_refused(path, "a FIFO", ENGINE_EFORMAT, "not a regular file", false));
  unlink(path);
  free(path);
  path = text_of("%s/empty.gguf", folder);
  write_file(path, "", 0);
  assert_true(is_refused(path, "an empty file", ENGINE_EFORMAT, "empty", true));
  write_file(path, "GGU", 3);
  assert_true(is_refused(path, "three bytes", ENGINE_EFORMAT, "magic", true));
  write_file(path, "\x89PNG\r\n\x1a\n", 8);
  assert_true(is_refused(path, "a picture", ENGINE_EFORMAT, "not a GGUF file", true));

  /* One .gguf file in a folder is that; two need a choice. */
  image small = small_gguf(NULL, 0);
  write_file(path, small.data, small.size);
  model *m = open_or_fail(folder);
  assert_string_equal(m->path, path);
  assert_string_equal(m->name, "small");
  model_close(m);
  free(path);
  path = text_of("%s/second.GGUF", folder);
  write_file(path, small.data, small.size);
  assert_true(is_refused(folder, "two files", ENGINE_ENOTFOUND, "holds 2 .gguf files", false));
  free(path);
  image_free(&small);
  remove_tree(folder);
  free(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tiny_random_opens),
      cmocka_unit_test(embedded_tokenizer_is_the_reference),
      cmocka_unit_test(other_types_and_shards_are_the_same_model),
      cmocka_unit_test(other_configs_are_read),
      cmocka_unit_test(tokenizer_of_a_folder_is_read),
      cmocka_unit_test(odd_places_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
