/* model_files.h - small model files, built in memory, for the loaders' tests.
 *
 * The writers note where each field went ("metadata qwen2.block_count value"), so that a test
 * can break exactly one of them. */
#ifndef FIMD_TESTS_MODEL_FILES_H
#define FIMD_TESTS_MODEL_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED_OK __attribute__((unused))

/* ---- bytes that remember their fields -------------------------------------------------- */

typedef struct image {
  uint8_t *data; /* [size] owned */
  size_t size, capacity;
  struct {
    char name[80];
    size_t at;
  } *marks; /* [n_marks] owned */
  int n_marks;
} image;

UNUSED_OK static void image_free(image *m) {
  free(m->data);
  free(m->marks);
  memset(m, 0, sizeof *m);
}

UNUSED_OK static void image_put(image *m, const void *data, size_t n) {
  if (m->size + n > m->capacity) {
    m->capacity = (m->size + n) * 2;
    m->data = realloc(m->data, m->capacity);
    assert_non_null(m->data);
  }
  if (n) memcpy(m->data + m->size, data, n);
  m->size += n;
}

UNUSED_OK static void image_u32(image *m, uint32_t v) { image_put(m, &v, sizeof v); }
UNUSED_OK static void image_u64(image *m, uint64_t v) { image_put(m, &v, sizeof v); }
UNUSED_OK static void image_text(image *m, const char *s) { image_put(m, s, strlen(s)); }
UNUSED_OK static void image_string(image *m, const char *s) {
  image_u64(m, strlen(s));
  image_text(m, s);
}

UNUSED_OK static void image_mark(image *m, const char *format, ...) {
  m->marks = realloc(m->marks, (size_t)(m->n_marks + 1) * sizeof *m->marks);
  assert_non_null(m->marks);
  va_list args;
  va_start(args, format);
  vsnprintf(m->marks[m->n_marks].name, sizeof m->marks->name, format, args);
  va_end(args);
  m->marks[m->n_marks++].at = m->size;
}

UNUSED_OK static size_t image_find(const image *m, const char *name) {
  for (int i = 0; i < m->n_marks; i++)
    if (strcmp(m->marks[i].name, name) == 0) return m->marks[i].at;
  fail_msg("no mark %s", name);
  return 0;
}

/* ---- a small GGUF ---------------------------------------------------------------------- */

enum { SMALL_LAYERS = 2, SMALL_HIDDEN = 64, SMALL_FF = 96, SMALL_VOCAB = 264, SMALL_TOKENS = 262 };

/* What can be had otherwise: widths, and the matrices' type with its block. */
typedef struct small_shape {
  int hidden, ff;
  uint32_t type;
  int block_elements, block_bytes;
  int scale_at, scales; /* where a block's 16-bit scales lie; scales 0: an unquantized type */
} small_shape;

#define SMALL_SHAPE ((small_shape){SMALL_HIDDEN, SMALL_FF, 8, 32, 34, 0, 1})

typedef enum { META_U32 = 4, META_F32 = 6, META_STRING = 8, META_ARRAY = 9 } meta_type;

UNUSED_OK static void meta_begin(image *m, const char *key, meta_type type) {
  image_mark(m, "%s key", key);
  image_string(m, key);
  image_mark(m, "%s type", key);
  image_u32(m, type);
  image_mark(m, "%s value", key);
}

UNUSED_OK static void meta_string(image *m, const char *key, const char *value) {
  meta_begin(m, key, META_STRING);
  image_string(m, value);
}
UNUSED_OK static void meta_u32(image *m, const char *key, uint32_t value) {
  meta_begin(m, key, META_U32);
  image_u32(m, value);
}
UNUSED_OK static void meta_f32(image *m, const char *key, float value) {
  meta_begin(m, key, META_F32);
  image_put(m, &value, sizeof value);
}
UNUSED_OK static void meta_array(image *m, const char *key, uint32_t item, uint64_t n) {
  meta_begin(m, key, META_ARRAY);
  image_u32(m, item);
  image_mark(m, "%s count", key);
  image_u64(m, n);
  image_mark(m, "%s items", key);
}

/* The printable character that stands for a byte in byte-level BPE, as UTF-8. */
UNUSED_OK static void byte_piece(int byte, char out[4]) {
  bool plain = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  int point = byte;
  if (!plain) {
    point = 256;
    for (int i = 0; i < byte; i++)
      if (!((i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) || i >= 0xae)) point++;
  }
  memset(out, 0, 4);
  if (point < 0x80) {
    out[0] = (char)point;
  } else {
    out[0] = (char)(0xc0 | point >> 6);
    out[1] = (char)(0x80 | (point & 0x3f));
  }
}

/* 256 bytes, two merged pieces, four special ones. */
UNUSED_OK static void small_vocabulary(image *m) {
  static const char *const extra[] = {"in", "int", "<|endoftext|>", "<|fim_prefix|>",
                                      "<|fim_suffix|>", "<|fim_middle|>"};
  meta_array(m, "tokenizer.ggml.tokens", META_STRING, SMALL_TOKENS);
  for (int i = 0; i < 256; i++) {
    char piece[4];
    byte_piece(i, piece);
    image_string(m, piece);
  }
  for (int i = 0; i < 6; i++) {
    image_mark(m, "token %s", extra[i]);
    image_string(m, extra[i]);
  }
  meta_array(m, "tokenizer.ggml.token_type", 5, SMALL_TOKENS);
  for (int i = 0; i < SMALL_TOKENS; i++) image_u32(m, i < 258 ? 1 : 3);
  meta_array(m, "tokenizer.ggml.merges", META_STRING, 2);
  image_mark(m, "merge 0");
  image_string(m, "i n");
  image_string(m, "in t");
}

typedef struct small_tensor {
  char name[64];
  int64_t rows, cols; /* rows 0: a vector of floats; else a matrix */
  int64_t bytes;
} small_tensor;

UNUSED_OK static int small_tensors_of(const small_shape *shape, small_tensor *out) {
  int h = shape->hidden, kv = 64, ff = shape->ff;
  const struct {
    const char *name;
    int rows, cols;
  } layer[] = {
      {"attn_norm.weight", 0, h}, {"attn_q.weight", h, h},      {"attn_q.bias", 0, h},
      {"attn_k.weight", kv, h},   {"attn_k.bias", 0, kv},       {"attn_v.weight", kv, h},
      {"attn_v.bias", 0, kv},     {"attn_output.weight", h, h}, {"ffn_norm.weight", 0, h},
      {"ffn_gate.weight", ff, h}, {"ffn_up.weight", ff, h},     {"ffn_down.weight", h, ff},
  };
  int n = 0;
  out[n++] = (small_tensor){"token_embd.weight", SMALL_VOCAB, h, 0};
  for (int l = 0; l < SMALL_LAYERS; l++)
    for (int i = 0; i < 12; i++) {
      small_tensor *t = &out[n++];
      snprintf(t->name, sizeof t->name, "blk.%d.%s", l, layer[i].name);
      t->rows = layer[i].rows;
      t->cols = layer[i].cols;
    }
  out[n++] = (small_tensor){"output_norm.weight", 0, h, 0};
  for (int i = 0; i < n; i++)
    out[i].bytes = out[i].rows ? out[i].rows * out[i].cols / shape->block_elements *
                                     shape->block_bytes
                               : out[i].cols * 4;
  return n;
}

UNUSED_OK static int small_tensors(small_tensor *out) {
  small_shape shape = SMALL_SHAPE;
  return small_tensors_of(&shape, out);
}

UNUSED_OK static uint32_t next_random(uint32_t *seed) {
  return (*seed = *seed * 1664525u + 1013904223u) >> 8;
}

UNUSED_OK static void small_data(image *m, const small_shape *shape, const small_tensor *t,
                                 uint32_t *seed) {
  image_mark(m, "%s data", t->name);
  if (!t->rows || shape->type == 0) {
    for (int64_t i = 0; i < t->bytes / 4; i++) {
      float v = 0.5f + (float)next_random(seed) / 33554432.0f;
      image_put(m, &v, sizeof v);
    }
    return;
  }
  for (int64_t i = 0; i < t->bytes / shape->block_bytes; i++) {
    uint8_t block[256];
    uint16_t scale = 0x2000; /* 2^-7 as a half; about 1e-19 as a bfloat16 */
    for (int j = 0; j < shape->block_bytes; j++) block[j] = (uint8_t)next_random(seed);
    for (int j = 0; j < shape->scales; j++)
      memcpy(block + shape->scale_at + 2 * j, &scale, sizeof scale);
    if (!shape->scales) memcpy(block, &scale, sizeof scale);
    image_put(m, block, (size_t)shape->block_bytes);
  }
}

/* Two layers, heads of 64, one KV head, tied; a vocabulary with two ids left over. extra (may
 * be NULL) adds n_extra metadata pairs; the tensor named without (may be NULL) is left out. */
UNUSED_OK static image small_gguf_of(const small_shape *shape, const char *without,
                                     void (*extra)(image *m), uint64_t n_extra) {
  image m = {0};
  small_tensor tensors[64];
  int n = small_tensors_of(shape, tensors);
  for (int i = 0; without && i < n; i++)
    if (strcmp(tensors[i].name, without) == 0)
      memmove(&tensors[i], &tensors[i + 1], (size_t)(n-- - i - 1) * sizeof *tensors);
  image_mark(&m, "magic");
  image_text(&m, "GGUF");
  image_mark(&m, "version");
  image_u32(&m, 3);
  image_mark(&m, "tensor count");
  image_u64(&m, (uint64_t)n);
  image_mark(&m, "metadata count");
  image_u64(&m, 17 + n_extra);
  meta_string(&m, "general.architecture", "qwen2");
  meta_string(&m, "general.name", "small");
  meta_u32(&m, "general.alignment", 32);
  meta_u32(&m, "qwen2.block_count", SMALL_LAYERS);
  meta_u32(&m, "qwen2.context_length", 512);
  meta_u32(&m, "qwen2.embedding_length", (uint32_t)shape->hidden);
  meta_u32(&m, "qwen2.feed_forward_length", (uint32_t)shape->ff);
  meta_u32(&m, "qwen2.attention.head_count", (uint32_t)shape->hidden / 64);
  meta_u32(&m, "qwen2.attention.head_count_kv", 1);
  meta_f32(&m, "qwen2.rope.freq_base", 10000.0f);
  meta_f32(&m, "qwen2.attention.layer_norm_rms_epsilon", 1e-6f);
  meta_u32(&m, "qwen2.vocab_size", SMALL_VOCAB);
  meta_string(&m, "tokenizer.ggml.model", "gpt2");
  meta_string(&m, "tokenizer.ggml.pre", "qwen2");
  small_vocabulary(&m); /* 3 pairs */
  if (extra) extra(&m);
  uint64_t offset = 0;
  for (int i = 0; i < n; i++) {
    const small_tensor *t = &tensors[i];
    image_mark(&m, "%s name", t->name);
    image_string(&m, t->name);
    image_mark(&m, "%s n_dims", t->name);
    image_u32(&m, t->rows ? 2 : 1);
    image_mark(&m, "%s dims", t->name);
    image_u64(&m, (uint64_t)t->cols);
    if (t->rows) image_u64(&m, (uint64_t)t->rows);
    image_mark(&m, "%s type", t->name);
    image_u32(&m, t->rows ? shape->type : 0);
    image_mark(&m, "%s offset", t->name);
    image_u64(&m, offset);
    offset += ((uint64_t)t->bytes + 31) / 32 * 32;
  }
  image_mark(&m, "header end");
  uint32_t seed = 1;
  for (int i = 0; i < n; i++) {
    while (m.size % 32) image_put(&m, "", 1);
    small_data(&m, shape, &tensors[i], &seed);
  }
  return m;
}

UNUSED_OK static image small_gguf_without(const char *without, void (*extra)(image *m),
                                          uint64_t n_extra) {
  small_shape shape = SMALL_SHAPE;
  return small_gguf_of(&shape, without, extra, n_extra);
}

UNUSED_OK static image small_gguf(void (*extra)(image *m), uint64_t n_extra) {
  return small_gguf_without(NULL, extra, n_extra);
}

/* ---- safetensors ----------------------------------------------------------------------- */

/* Header and data as they are in the file. */
UNUSED_OK static image safetensors_image(const char *header, const void *data, size_t size) {
  image m = {0};
  image_u64(&m, strlen(header));
  image_text(&m, header);
  image_mark(&m, "data");
  image_put(&m, data, size);
  return m;
}

/* ---- files and folders ----------------------------------------------------------------- */

UNUSED_OK static char *text_of(const char *format, ...) {
  char *out = NULL;
  va_list args;
  va_start(args, format);
  assert_true(vasprintf(&out, format, args) >= 0);
  va_end(args);
  return out;
}

UNUSED_OK static void write_file(const char *path, const void *data, size_t size) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(size ? fwrite(data, 1, size, f) : 0, size);
  assert_int_equal(fclose(f), 0);
}

UNUSED_OK static uint8_t *read_whole(const char *path, size_t *size) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  assert_int_equal(fseek(f, 0, SEEK_END), 0);
  *size = (size_t)ftell(f);
  rewind(f);
  uint8_t *data = calloc(*size + 1, 1);
  assert_non_null(data);
  assert_int_equal(fread(data, 1, *size, f), *size);
  fclose(f);
  return data;
}

/* mkdir -p */
UNUSED_OK static void make_folders(const char *path) {
  char *copy = text_of("%s", path);
  for (char *p = copy + 1;; p++) {
    char c = *p;
    if (c && c != '/') continue;
    *p = 0;
    mkdir(copy, 0700);
    *p = c;
    if (!c) break;
  }
  free(copy);
}

UNUSED_OK static char *make_temp(void) {
  const char *base = getenv("TMPDIR");
  char *path = text_of("%s/fimd-test-XXXXXX", base && *base ? base : "/tmp");
  assert_non_null(mkdtemp(path));
  return path;
}

/* rm -r, of a folder that make_temp made; symbolic links are not followed. */
UNUSED_OK static void remove_tree(const char *path) {
  DIR *dir = opendir(path);
  for (struct dirent *e; dir && (e = readdir(dir));) {
    struct stat st;
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    char *child = text_of("%s/%s", path, e->d_name);
    if (lstat(child, &st) == 0 && S_ISDIR(st.st_mode)) remove_tree(child);
    else unlink(child);
    free(child);
  }
  if (dir) closedir(dir);
  rmdir(path);
}

#endif
