/* fuzz_config.c - a stranger's config.json and, where the input has a second part, the index of
 * the files that the weights are in. They are files, as they are mapped: in memory, by way of a
 * folder of links. */
#include <sys/mman.h>
#include <unistd.h>

#include "engine/hf.h"
#include "fuzz.h"

FUZZ_RUNS(20000);

static char folder[] = "/tmp/fimd-fuzz-XXXXXX";
static int config, list, weights;

static void link_file(int fd, const char *name) {
  char path[128], target[64];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
  FUZZ_ASSERT(fd >= 0 && symlink(target, path) == 0);
}

static void unlink_file(const char *name) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  unlink(path);
}

static void remove_folder(void) {
  unlink_file("config.json");
  unlink_file("model.safetensors.index.json");
  unlink_file("model-1.safetensors");
  rmdir(folder);
}

static void put(int fd, const char *text, size_t len) {
  FUZZ_ASSERT(ftruncate(fd, 0) == 0 && pwrite(fd, text, len, 0) == (ssize_t)len);
}

static void make_folder(void) {
  static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
  char file[8 + sizeof header - 1 + 8] = {sizeof header - 1};
  FUZZ_ASSERT(mkdtemp(folder));
  atexit(remove_folder);
  config = memfd_create("config", MFD_CLOEXEC);
  list = memfd_create("index", MFD_CLOEXEC);
  weights = memfd_create("weights", MFD_CLOEXEC);
  link_file(config, "config.json");
  link_file(list, "model.safetensors.index.json");
  link_file(weights, "model-1.safetensors");
  memcpy(file + 8, header, sizeof header - 1);
  put(weights, file, sizeof file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool made;
  fuzz_input in = {data, size};
  char err[1024] = "";
  size_t len;
  if (!made) make_folder();
  made = true;
  const char *text = fuzz_part(&in, &len);
  put(config, text, len);
  text = fuzz_part(&in, &len);
  put(list, text, len);
  model_source src;
  memset(&src, 0, sizeof src);
  model_storage *storage = model__storage_new();
  FUZZ_ASSERT(storage && hf_is_folder(folder));
  int status = hf_read(&src, storage, folder, err, sizeof err);
  FUZZ_CHECK(status == 0 || err[0] != '\0', "status %d has no words", status);
  if (status == 0) {
    const kernels_shape *s = &src.shape;
    FUZZ_ASSERT(s->layers > 0 && s->hidden > 0 && s->heads > 0 && s->kv_heads > 0);
    FUZZ_ASSERT(s->heads % s->kv_heads == 0 && s->head_dim > 0 && s->vocab > 0);
    FUZZ_ASSERT(src.tensors.n > 0 || len > 0);
  }
  model__source_clear(&src);
  model__storage_delete(storage);
  return 0;
}
