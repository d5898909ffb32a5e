/* fuzz_safetensors.c - a stranger's safetensors file: its header, and where its tensors lie. The
 * first byte says how many 64 zeros follow the rest of the input. */
#include "engine/safetensors.h"
#include "fuzz.h"

FUZZ_RUNS(40000);

static void check(const model_tensors *t, const char *data, size_t size) {
  for (int i = 0; i < t->n; i++) {
    const model_tensor *one = &t->list[i];
    const char *p = (const char *)one->data;
    FUZZ_ASSERT(one->n_dims >= 0 && one->n_dims <= MODEL_MAX_DIMS);
    FUZZ_ASSERT(one->bytes >= 0 && p >= data && p <= data + size);
    FUZZ_ASSERT((size_t)one->bytes <= (size_t)(data + size - p));
    FUZZ_ASSERT(one->data_at == (uint64_t)(p - data) && one->at <= size);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  char err[512] = "";
  model_tensors tensors = {0};
  model_storage *storage = model__storage_new();
  size_t zeros = fuzz_u8(&in) * 64u, len = in.left + zeros;
  char *file = calloc(len ? len : 1, 1);
  FUZZ_ASSERT(storage && file);
  if (in.left) memcpy(file, in.data, in.left);
  int status = safetensors_read(&tensors, storage, file, len, "input", err, sizeof err);
  if (status == 0) check(&tensors, file, len);
  if (status == 0) status = model__tensors_sort(&tensors, err, sizeof err);
  FUZZ_CHECK(status == 0 || err[0] != '\0', "status %d has no words", status);
  if (status == 0 && tensors.n > 0) FUZZ_ASSERT(!model__tensors_find(&tensors, "not there"));
  free(tensors.list);
  model__storage_delete(storage);
  free(file);
  return 0;
}
