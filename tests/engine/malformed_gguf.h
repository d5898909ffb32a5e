/* malformed_gguf.h - broken GGUF files: the table of single places, metadata that is added, tensors
 * that are left out, scales that are no numbers, and files that are cut. */
#ifndef FIMD_TESTS_MALFORMED_GGUF_H
#define FIMD_TESTS_MALFORMED_GGUF_H

#include "tests/engine/malformed.h"
#include "tests/engine/malformed_gguf_table.h"

static void refuse_gguf_image(malformed *m, const image *file, const refusal *r) {
  malformed_put(m, "broken.gguf", file->data, file->size);
  char *path = text_of("%s/broken.gguf", m->folder);
  malformed_refuse(m, path, r);
  free(path);
}

static void refuse_gguf_cases(malformed *m) {
  for (size_t i = 0; i < sizeof gguf_cases / sizeof *gguf_cases; i++) {
    const gguf_case *c = &gguf_cases[i];
    image file = small_gguf(NULL, 0);
    uint8_t *at = file.data + image_find(&file, c->mark) + c->skip;
    if (c->text) memcpy(at, c->text, strlen(c->text));
    else memcpy(at, &c->value, (size_t)c->width);
    char what[200];
    snprintf(what, sizeof what, "case %zu, %s + %d = %s%llx", i, c->mark, c->skip,
             c->text ? c->text : "0x", (unsigned long long)c->value);
    refusal r = {"gguf", c->kind, what, c->words,
                 (int64_t)image_find(&file, c->where) + c->where_skip};
    refuse_gguf_image(m, &file, &r);
    image_free(&file);
  }
}

/* ---- metadata that is added -------------------------------------------------------------- */

static void twice_extra(image *m) { meta_u32(m, "qwen2.block_count", 2); }
static void name_twice_extra(image *m) { meta_string(m, "general.architecture", "qwen2"); }
static void yarn_extra(image *m) { meta_string(m, "qwen2.rope.scaling.type", "yarn"); }
static void window_extra(image *m) { meta_u32(m, "qwen2.attention.sliding_window", 256); }
static void split_extra(image *m) { meta_u32(m, "split.count", 3); }
static void key_extra(image *m) { meta_u32(m, "qwen2.attention.key_length", 80); }
static void value_extra(image *m) { meta_u32(m, "qwen2.attention.value_length", 128); }
static void rotary_extra(image *m) { meta_u32(m, "qwen2.rope.dimension_count", 32); }
static void nested_extra(image *m) { meta_array(m, "general.tags", META_ARRAY, 0); }
static void terminal_extra(image *m) { meta_begin(m, "\x1b[2Jx", (meta_type)77); }

static void refuse_gguf_extras(malformed *m) {
  static const struct {
    const char *kind;
    void (*extra)(image *m);
    const char *words, *where;
    int where_skip;
  } cases[] = {
      {"names", twice_extra, "qwen2.block_count: is there twice", "", 0},
      {"names", name_twice_extra, "general.architecture: is there twice", "", 0},
      {"shapes", yarn_extra, "qwen2.rope.scaling.type: is \"yarn\"", "", 0},
      {"shapes", window_extra, "qwen2.attention.sliding_window: is 256", "", 0},
      {"counts", split_extra, "split.count: this is one part of a file split into 3", "", 0},
      {"shapes", key_extra, "qwen2.attention.key_length is a head dimension of 80", "", 0},
      {"shapes", value_extra, "qwen2.attention.value_length", "", 0},
      {"shapes", rotary_extra, "qwen2.rope.dimension_count", "", 0},
      {"metadata types", nested_extra, "general.tags: is an array of arrays", "general.tags value",
       0},
      {"metadata types", terminal_extra, "metadata ?[2Jx: the value has type 77",
       "\x1b[2Jx type", 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    image plain = small_gguf(NULL, 0), file = small_gguf(cases[i].extra, 1);
    /* The key stands where the tensors began. */
    const char *where = *cases[i].where ? cases[i].where : "token_embd.weight name";
    const image *in = *cases[i].where ? &file : &plain;
    refusal r = {"gguf", cases[i].kind, cases[i].words, cases[i].words,
                 (int64_t)image_find(in, where) + cases[i].where_skip};
    refuse_gguf_image(m, &file, &r);
    image_free(&plain);
    image_free(&file);
  }
}

/* More than any model has, in a file that would have room for them: of one hole, 100 MB long. */
static void refuse_large_counts(malformed *m) {
  static const struct {
    const char *mark;
    uint64_t count;
    const char *words;
  } cases[] = {
      {"tensor count", 65537, "the tensor count 65537 is more"},
      {"tensor count", 2000000, "the tensor count 2000000 is more"},
      {"metadata count", 65537, "the metadata count 65537 is more"},
      {"metadata count", 5000000, "the metadata count 5000000 is more"},
  };
  char *path = text_of("%s/broken.gguf", m->folder);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    image file = small_gguf(NULL, 0);
    size_t at = image_find(&file, cases[i].mark);
    memcpy(file.data + at, &cases[i].count, 8);
    malformed_put(m, "broken.gguf", file.data, file.size);
    assert_int_equal(truncate(path, 100000000), 0);
    malformed_refuse(m, path, &(refusal){"gguf", "counts", cases[i].words, cases[i].words,
                                         (int64_t)at});
    image_free(&file);
  }
  unlink(path);
  free(path);
}

/* ---- what is generated ------------------------------------------------------------------- */

/* Each tensor but the biases, which need not be there. */
static void refuse_missing_tensors(malformed *m) {
  small_tensor tensors[64];
  for (int i = small_tensors(tensors) - 1; i >= 0; i--) {
    if (strstr(tensors[i].name, ".bias")) continue;
    image file = small_gguf_without(tensors[i].name, NULL, 0);
    char words[160];
    snprintf(words, sizeof words, "tensor %s: is missing", tensors[i].name);
    /* Said of the number of layers, or for the embedding, where tensors begin. */
    size_t at = i ? image_find(&file, "qwen2.block_count key")
                  : image_find(&file, "blk.0.attn_norm.weight name");
    refuse_gguf_image(m, &file, &(refusal){"gguf", "layers", words, words, (int64_t)at});
    image_free(&file);
  }
}

/* In each type: an infinity and a NaN in the first and last block of the first and last matrix. */
static void refuse_bad_numbers(malformed *m) {
  static const small_shape shapes[] = {
      {64, 96, KERNELS_F32, 1, 4, 0, 0},      {64, 96, KERNELS_F16, 1, 2, 0, 0},
      {64, 96, KERNELS_BF16, 1, 2, 0, 0},     {64, 96, KERNELS_Q4_0, 32, 18, 0, 1},
      {64, 96, KERNELS_Q8_0, 32, 34, 0, 1},   {256, 512, KERNELS_Q4_K, 256, 144, 0, 2},
      {256, 512, KERNELS_Q6_K, 256, 210, 208, 1},
  };
  static const char *const names[] = {"token_embd.weight", "blk.1.ffn_down.weight"};
  for (size_t i = 0; i < 2 * 2 * 2 * sizeof shapes / sizeof *shapes; i++) {
    const small_shape *s = &shapes[i / 8];
    const char *name = names[i & 1];
    bool last = i & 2, nan = i & 4;
    int rows = i & 1 ? s->hidden : SMALL_VOCAB, cols = i & 1 ? s->ff : s->hidden;
    int blocks = rows * cols / s->block_elements, block = last ? blocks - 1 : 0;
    image file = small_gguf_of(s, NULL, NULL, 0);
    char mark[96], words[160];
    snprintf(mark, sizeof mark, "%s data", name);
    size_t at = image_find(&file, mark) + (size_t)(block * s->block_bytes);
    uint32_t bits = s->type == KERNELS_F32    ? 0x7f800000u
                    : s->type == KERNELS_BF16 ? 0xff80u
                                              : 0x7c00u;
    bits += nan;
    int place = s->scale_at + (s->scales == 2 && last ? 2 : 0); /* Q4_K: of the minima */
    memcpy(file.data + at + place, &bits, s->type == KERNELS_F32 ? 4 : 2);
    snprintf(words, sizeof words, "tensor %s: %s %d is not a finite number", name,
             s->block_elements > 1 ? "the scale of block" : "element", block);
    refuse_gguf_image(m, &file, &(refusal){"gguf", "numbers", words, words, (int64_t)at});
    image_free(&file);
  }
}

/* Cut at every 64th byte of what comes before the data, and at some of that. */
static void refuse_cut_gguf(malformed *m) {
  image file = small_gguf(NULL, 0);
  size_t header = image_find(&file, "header end"), whole = file.size;
  for (size_t size = 64; size < whole; size += size < header ? 64 : 4096) {
    char what[64];
    snprintf(what, sizeof what, "cut to %zu bytes", size);
    file.size = size;
    refuse_gguf_image(m, &file, &(refusal){"gguf", size < header ? "cut in the header"
                                                                 : "cut in the data",
                                           what, "byte ", -1});
  }
  file.size = whole - 1;
  size_t at = image_find(&file, "output_norm.weight name");
  refuse_gguf_image(m, &file, &(refusal){"gguf", "cut in the data", "the last byte",
                                         "output_norm.weight: its offset", (int64_t)at});
  image_free(&file);
}

#endif
