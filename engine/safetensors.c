/* safetensors.c - reads safetensors files.
 *
 * Eight bytes say how long the JSON header is; the header maps each tensor's name to its dtype,
 * shape and the range of bytes after the header that it takes. The ranges must fill the rest of
 * the file exactly, without holes or overlap: the format's own rule, which leaves no room for
 * anything hidden. */
#include "engine/safetensors.h"

#include "engine/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAFETENSORS_MAX_HEADER 100000000 /* bytes; the format's own */
#define SAFETENSORS_MAX_NAME 255         /* bytes */

typedef struct reader {
  bytes b; /* ends where the header ends */
  model_tensors *tensors;
  model_storage *storage;
  int first;      /* this file's first tensor in the list */
  uint64_t room;  /* bytes after the header */
} reader;

static const struct {
  const char *name;
  kernels_type type;
} dtypes[] = {{"F32", KERNELS_F32}, {"F16", KERNELS_F16}, {"BF16", KERNELS_BF16}};

static void read_dtype(bytes *b, model_tensor *t) {
  char name[32];
  json_peek(b);
  uint64_t at = b->at;
  json_string(b, "dtype", name, sizeof name);
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes && !b->failed; i++)
    if (strcmp(name, dtypes[i].name) == 0) {
      t->type = dtypes[i].type;
      return;
    }
  char shown[32];
  bytes_fail(b, at, "its dtype %s is not supported; F32, F16 and BF16 are",
             bytes_printable(shown, sizeof shown, name, strlen(name)));
}

static void read_shape(bytes *b, model_tensor *t) {
  json_enter(b, '[', "shape");
  uint64_t at = b->at;
  for (bool first = true; json_next(b, &first, ']');) {
    if (t->n_dims == MODEL_MAX_DIMS) {
      bytes_fail(b, at, "its shape has more than %d dimensions", MODEL_MAX_DIMS);
      return;
    }
    t->dims[t->n_dims++] = json_integer(b, "shape", 1, INT64_C(1) << 53);
  }
  if (t->n_dims == 0) bytes_fail(b, at, "its shape has no dimensions");
}

/* The tensor's range, relative to the data: start in data_at, length in bytes. */
static void read_offsets(reader *r, model_tensor *t) {
  bytes *b = &r->b;
  int64_t ends[2] = {0, 0};
  int n = 0;
  json_enter(b, '[', "data_offsets");
  uint64_t at = b->at;
  for (bool first = true; n < 3 && json_next(b, &first, ']'); n++)
    if (n < 2) ends[n] = json_integer(b, "data_offsets", 0, INT64_C(1) << 53);
  if (b->failed) return;
  if (n != 2) bytes_fail(b, at, "data_offsets must be two numbers");
  else if (ends[0] > ends[1])
    bytes_fail(b, at, "data_offsets end at %lld, before their start %lld", (long long)ends[1],
               (long long)ends[0]);
  else if ((uint64_t)ends[1] > r->room)
    bytes_fail(b, at, "data_offsets %lld to %lld run past the end of the file, which has %llu "
               "bytes of data", (long long)ends[0], (long long)ends[1],
               (unsigned long long)r->room);
  t->data_at = (uint64_t)ends[0];
  t->bytes = ends[1] - ends[0];
}

static void check_size(bytes *b, const model_tensor *t) {
  int64_t size = kernels_type_block_bytes(t->type);
  bool overflow = false;
  for (int i = 0; i < t->n_dims; i++) overflow |= __builtin_mul_overflow(size, t->dims[i], &size);
  if (overflow) bytes_fail(b, t->at, "its shape multiplies to more than any file");
  else if (size != t->bytes)
    bytes_fail(b, t->at, "data_offsets hold %lld bytes, but dtype and shape need %lld",
               (long long)t->bytes, (long long)size);
}

static int read_tensor(reader *r, const char *name, size_t len, uint64_t at) {
  enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
  bytes *b = &r->b;
  model_tensor t = {.at = at, .file = b->file};
  int seen = 0;
  bytes_about(b, "tensor", name, len);
  json_enter(b, '{', "its description");
  for (bool first = true; json_next(b, &first, '}');) {
    char key[64];
    json_peek(b);
    uint64_t key_at = b->at;
    json_key(b, key, sizeof key);
    int field = strcmp(key, "dtype") == 0 ? DTYPE : strcmp(key, "shape") == 0 ? SHAPE
                : strcmp(key, "data_offsets") == 0 ? OFFSETS : 0;
    if (field & seen) bytes_fail(b, key_at, "%s is there twice", key);
    seen |= field;
    if (field == DTYPE) read_dtype(b, &t);
    else if (field == SHAPE) read_shape(b, &t);
    else if (field == OFFSETS) read_offsets(r, &t);
    else json_skip(b);
  }
  if (!b->failed && seen != (DTYPE | SHAPE | OFFSETS))
    bytes_fail(b, at, "%s is missing", !(seen & DTYPE)   ? "dtype"
                                       : !(seen & SHAPE) ? "shape"
                                                         : "data_offsets");
  if (!b->failed) check_size(b, &t);
  if (!b->failed && r->tensors->n >= MODEL_MAX_TENSORS)
    bytes_fail(b, at, "there are more than %d tensors", MODEL_MAX_TENSORS);
  if (b->failed) return ENGINE_EFORMAT;
  char *copy = model__storage_alloc(r->storage, len + 1);
  if (!copy) return ENGINE_ENOMEM;
  memcpy(copy, name, len + 1);
  t.name = (tokenizer_string){copy, len};
  return model__tensors_add(r->tensors, &t);
}

static void read_metadata(bytes *b) {
  bytes_about(b, "", "", 0);
  json_enter(b, '{', "__metadata__");
  for (bool first = true; json_next(b, &first, '}');) {
    char key[256];
    json_key(b, key, sizeof key);
    if (json_peek(b) != '"') bytes_fail(b, b->at, "__metadata__ may hold only strings");
    json_skip(b);
  }
}

static int compare_places(const void *pa, const void *pb) {
  const model_tensor *a = pa, *b = pb;
  return a->data_at != b->data_at ? (a->data_at > b->data_at) - (a->data_at < b->data_at)
                                  : (a->at > b->at) - (a->at < b->at);
}

/* Holds the ranges against each other and makes them absolute. */
static int place_tensors(reader *r, const uint8_t *data) {
  bytes *b = &r->b;
  int n = r->tensors->n - r->first;
  model_tensor *list = n ? r->tensors->list + r->first : NULL;
  uint64_t end = 0;
  if (n > 1) qsort(list, (size_t)n, sizeof *list, compare_places);
  for (int i = 0; i < n; i++) {
    model_tensor *t = &list[i];
    bytes_about(b, "tensor", t->name.data, t->name.len);
    if (t->data_at != end)
      return bytes_fail(b, t->at, "its data_offsets start at %llu, which %s the data before, "
                        "that ends at %llu", (unsigned long long)t->data_at,
                        t->data_at < end ? "overlaps" : "leaves a hole after",
                        (unsigned long long)end);
    end += (uint64_t)t->bytes;
    t->data_at += b->size;
    t->data = data + t->data_at;
  }
  bytes_about(b, "", "", 0);
  if (end != r->room)
    return bytes_fail(b, b->size + end, "the data_offsets leave the last %llu bytes of the file "
                      "unused", (unsigned long long)(r->room - end));
  return 0;
}

int safetensors_read(model_tensors *tensors, model_storage *storage, const void *data,
                     size_t size, const char *file, char *err, size_t errlen) {
  reader r = {.tensors = tensors, .storage = storage, .first = tensors->n};
  bytes *b = &r.b;
  bytes_init(b, data, size, file, err, errlen);
  uint64_t header = bytes_u64(b, "the header length");
  if (b->failed) return ENGINE_EFORMAT;
  if (header > SAFETENSORS_MAX_HEADER)
    return bytes_fail(b, 0, "the header length %llu is over the format's limit of %d",
                      (unsigned long long)header, SAFETENSORS_MAX_HEADER);
  if (header > size - 8)
    return bytes_fail(b, 0, "the header length %llu runs past the end of the file",
                      (unsigned long long)header);
  b->size = 8 + (size_t)header;
  r.room = size - b->size;
  if (header == 0 || b->data[8] != '{')
    return bytes_fail(b, 8, "the header does not begin with '{'");
  json_enter(b, '{', "the header");
  for (bool first = true, metadata = false; json_next(b, &first, '}');) {
    char name[SAFETENSORS_MAX_NAME + 1];
    bytes_about(b, "", "", 0);
    json_peek(b);
    uint64_t at = b->at;
    size_t len = json_key(b, name, sizeof name);
    if (b->failed) break;
    if (len == 0) return bytes_fail(b, at, "a tensor name is empty");
    if (strcmp(name, "__metadata__") == 0) {
      if (metadata) return bytes_fail(b, at, "__metadata__ is there twice");
      metadata = true;
      read_metadata(b);
      continue;
    }
    int status = read_tensor(&r, name, len, at);
    if (status == ENGINE_ENOMEM && errlen) snprintf(err, errlen, "out of memory");
    if (status) return status;
  }
  bytes_about(b, "", "", 0);
  json_end(b);
  return b->failed ? ENGINE_EFORMAT : place_tensors(&r, data);
}
