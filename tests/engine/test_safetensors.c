/* test_safetensors.c - safetensors files: what is read from good ones, cuts at every byte and
 * random damage. Each kind of bad file by itself: test_malformed.c. */
#include "engine/safetensors.h"

#include "tests/engine/model_files.h"

typedef struct result {
  model_tensors tensors;
  model_storage *storage;
  uint8_t *data; /* a copy of exactly the file's size: the sanitizer sees reads past it */
  char err[512];
} result;

static int read_image(const uint8_t *file, size_t size, result *r) {
  memset(r, 0, sizeof *r);
  r->storage = model__storage_new();
  r->data = malloc(size ? size : 1);
  assert_non_null(r->storage);
  assert_non_null(r->data);
  if (size) memcpy(r->data, file, size);
  int status =
      safetensors_read(&r->tensors, r->storage, r->data, size, "t.safetensors", r->err, 512);
  return status ? status : model__tensors_sort(&r->tensors, r->err, sizeof r->err);
}

static void free_result(result *r) {
  free(r->tensors.list);
  model__storage_delete(r->storage);
  free(r->data);
}

/* ---- good files ------------------------------------------------------------------------ */

static void good_file_is_read(void **state) {
  (void)state;
  uint8_t data[72];
  for (int i = 0; i < 72; i++) data[i] = (uint8_t)i;
  /* Order in the header is not order in the data; unknown fields and escapes are allowed. */
  image m = safetensors_image(
      "{\"z\" : {\"dtype\":\"F16\",\"shape\":[2,2,1,3],\"data_offsets\":[48,72],\"more\":"
      "{\"a\":[1.5e3,null,true,\"x\\n\"]}},\n\"__metadata__\":{\"format\":\"pt\"},"
      "\"a\\u00e9\\ud83d\\ude00\\/b\":{\"data_offsets\":[0,32],\"shape\":[4,2],\"dtype\":\"F32\"},"
      "\"m\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[32,48]}}   ",
      data, sizeof data);
  result r;
  if (read_image(m.data, m.size, &r)) fail_msg("%s", r.err);
  assert_int_equal(r.tensors.n, 3);
  const model_tensor *a = model__tensors_find(&r.tensors, "a\xc3\xa9\xf0\x9f\x98\x80/b");
  const model_tensor *b = model__tensors_find(&r.tensors, "m");
  const model_tensor *z = model__tensors_find(&r.tensors, "z");
  assert_non_null(a);
  assert_non_null(b);
  assert_non_null(z);
  assert_null(model__tensors_find(&r.tensors, "__metadata__"));
  size_t start = image_find(&m, "data");
  assert_int_equal(a->type, KERNELS_F32);
  assert_int_equal(a->n_dims, 2);
  assert_int_equal(a->dims[0], 4);
  assert_int_equal(a->dims[1], 2);
  assert_int_equal(a->data_at, start);
  assert_memory_equal(a->data, data, 32);
  assert_int_equal(b->type, KERNELS_BF16);
  assert_memory_equal(b->data, data + 32, 16);
  assert_int_equal(z->type, KERNELS_F16);
  assert_int_equal(z->n_dims, 4);
  assert_int_equal(z->bytes, 24);
  assert_memory_equal(z->data, data + 48, 24);
  free_result(&r);
  image_free(&m);
}

static void several_files_fill_one_list(void **state) {
  (void)state;
  uint8_t data[8] = {0};
  image m = safetensors_image("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                              data, 8);
  model_tensors tensors = {0};
  model_storage *storage = model__storage_new();
  char err[256];
  assert_int_equal(safetensors_read(&tensors, storage, m.data, m.size, "1", err, sizeof err), 0);
  assert_int_equal(safetensors_read(&tensors, storage, m.data, m.size, "2", err, sizeof err), 0);
  assert_int_equal(tensors.n, 2);
  assert_int_equal(model__tensors_sort(&tensors, err, sizeof err), ENGINE_EFORMAT);
  assert_non_null(strstr(err, "tensor a: its name is there twice (at byte 9)"));
  free(tensors.list);
  model__storage_delete(storage);
  image_free(&m);
}

static void file_without_tensors_is_read(void **state) {
  (void)state;
  image m = safetensors_image("{}", "", 0);
  result r;
  assert_int_equal(read_image(m.data, m.size, &r), 0);
  assert_int_equal(r.tensors.n, 0);
  assert_null(model__tensors_find(&r.tensors, "a"));
  free_result(&r);
  image_free(&m);
}

/* ---- bad files ------------------------------------------------------------------------- */

#define TWO(offsets_1, offsets_2) \
  "{\"one\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets_1 \
  "},\"two\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets_2 "}}"

static bool is_refused(const uint8_t *file, size_t size, const char *what, const char *field) {
  result r;
  int status = read_image(file, size, &r);
  bool good = status == ENGINE_EFORMAT && strstr(r.err, field) && strstr(r.err, "byte ");
  if (!good)
    print_error("%s: status %d, \"%s\" should name %s and the byte\n", what, status, r.err, field);
  free_result(&r);
  return good;
}

static void truncated_files_are_refused(void **state) {
  (void)state;
  uint8_t zeros[16] = {0};
  image m = safetensors_image(TWO("[0,8]", "[8,16]"), zeros, 16);
  result r;
  assert_int_equal(read_image(m.data, m.size, &r), 0);
  free_result(&r);
  for (size_t size = 0; size < m.size; size++) assert_true(is_refused(m.data, size, "cut", ""));
  image_free(&m);
}

static void random_damage_is_survived(void **state) {
  (void)state;
  uint8_t zeros[16] = {0};
  image m = safetensors_image(TWO("[0,8]", "[8,16]"), zeros, 16);
  uint32_t seed = 99;
  for (int round = 0; round < 5000; round++) {
    seed = seed * 1664525u + 1013904223u;
    size_t at = (seed >> 4) % (m.size - 16);
    uint8_t saved = m.data[at];
    m.data[at] = round % 2 ? (uint8_t)(seed >> 24) : "{}[]\",:0-e\\ "[(seed >> 24) % 12];
    result r;
    int status = read_image(m.data, m.size, &r);
    assert_true(status == 0 || status == ENGINE_EFORMAT);
    assert_true((status == 0) == (*r.err == 0));
    free_result(&r);
    m.data[at] = saved;
  }
  image_free(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_file_is_read),
      cmocka_unit_test(several_files_fill_one_list),
      cmocka_unit_test(file_without_tensors_is_read),
      cmocka_unit_test(truncated_files_are_refused),
      cmocka_unit_test(random_damage_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
