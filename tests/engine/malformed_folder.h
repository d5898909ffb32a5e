/* malformed_folder.h - broken Hugging Face folders: the tables of texts, short headers written for
 * one fault each, indexes of shards, numbers that are none, and files that are cut. */
#ifndef FIMD_TESTS_MALFORMED_FOLDER_H
#define FIMD_TESTS_MALFORMED_FOLDER_H

#include "tests/engine/malformed.h"
#include "tests/engine/malformed_texts.h"

/* ---- one place of a good text ------------------------------------------------------------ */

static int64_t text_place(const text_case *c, const char *broken, int64_t start) {
  if (*c->where == '#') return atoll(c->where + 1);
  return start + malformed_place(broken, c->where, c->skip);
}

static void refuse_texts(malformed *m, const char *file, const char *good, const text_case *cases,
                         size_t n) {
  for (size_t i = 0; i < n; i++) {
    char *broken = malformed_replaced(good, cases[i].from, cases[i].to);
    malformed_put_text(m, file, broken);
    refusal r = {file, cases[i].kind, cases[i].to, cases[i].words,
                 text_place(&cases[i], broken, 0)};
    malformed_refuse(m, m->folder, &r);
    free(broken);
  }
}

static void refuse_configs(malformed *m) {
  malformed_put_folder(m, KERNELS_BF16);
  refuse_texts(m, "config.json", malformed_config, config_cases,
               sizeof config_cases / sizeof *config_cases);
}

static void refuse_tokenizers(malformed *m) {
  char *good = malformed_tokenizer();
  malformed_put_folder(m, KERNELS_BF16);
  refuse_texts(m, "tokenizer.json", good, tokenizer_cases,
               sizeof tokenizer_cases / sizeof *tokenizer_cases);
  free(good);
}

static void refuse_headers(malformed *m) {
  char *good;
  image data = {0};
  malformed_put_folder(m, KERNELS_BF16);
  malformed_weights(KERNELS_BF16, &good, &data, NULL);
  for (size_t i = 0; i < sizeof header_cases / sizeof *header_cases; i++) {
    const text_case *c = &header_cases[i];
    char *broken = malformed_replaced(good, c->from, c->to);
    malformed_put_weights(m, "model.safetensors", broken, data.data, data.size);
    refusal r = {"safetensors", c->kind, c->to, c->words, text_place(c, broken, 8)};
    malformed_refuse(m, m->folder, &r);
    free(broken);
  }
  free(good);
  image_free(&data);
}

/* ---- whole headers ----------------------------------------------------------------------- */

typedef struct header_text {
  const char *kind, *header;
  int data;          /* bytes after the header */
  const char *words; /* what the message must say */
  int at;            /* its byte */
} header_text;

#define A(dtype, shape, offsets) \
  "{\"a.b\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(offsets_1, offsets_2) \
  "{\"one\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets_1 \
  "},\"two\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets_2 "}}"
#define DEEP16 "[[[[[[[[[[[[[[[["

/* clang-format off: as it was written */
static const header_text header_texts[] = {
    /* JSON */
    {"syntax", "", 8, "header", 8},
    {"syntax", "[]", 8, "header", 8},
    {"syntax", "null", 8, "header", 8},
    {"syntax", " {}", 0, "header", 8},
    {"syntax", "{", 0, "ends early", 9},
    {"syntax", "{\"", 0, "string", 10},
    {"syntax", "{\"a\"", 0, "key", 12},
    {"syntax", "{\"a\":", 0, "tensor a", 13},
    {"syntax", "{\"a\":}", 0, "tensor a", 13},
    {"syntax", "{\"a\":[]}", 0, "tensor a", 13},
    {"syntax", "{\"a\":1}", 0, "tensor a", 13},
    {"syntax", "{\"a\":{}}", 0, "tensor a: dtype", 9},
    {"syntax", "{,}", 0, "key", 9},
    {"syntax", "{\"a\":{},}", 0, "tensor a", 9},
    {"syntax", "{}x", 0, "text after", 10},
    {"syntax", "{}", 1, "data_offsets", 10},
    {"syntax", "{'a':{}}", 0, "key", 9},
    {"syntax", "{\"a\\x\":{}}", 0, "escape", 11},
    {"syntax", "{\"a\\u12g4\":{}}", 0, "escape", 13},
    {"syntax", "{\"a\\u12\":{}}", 0, "escape", 13},
    {"syntax", "{\"a\\u0000\":{}}", 0, "escape", 13},
    {"syntax", "{\"a\\ud800\":{}}", 0, "escape", 13},
    {"syntax", "{\"a\\ud800\\u0041\":{}}", 0, "escape", 13},
    {"syntax", "{\"a\nb\":{}}", 0, "control character", 11},
    {"syntax", "{\"\":{}}", 0, "tensor name", 9},
    {"syntax", "{\"a.b\":{\"x\":" DEEP16 DEEP16 DEEP16 DEEP16 DEEP16 "1", 8, "a.b", 84},
    {"syntax", "{\"a.b\":{\"x\":tru}}", 8, "a.b", 20},
    {"syntax", "{\"a.b\":{\"x\":01}}", 8, "a.b", 21},
    {"syntax", "{\"a.b\":{\"x\":1.}}", 8, "a.b", 20},
    {"syntax", "{\"a.b\":{\"x\":-}}", 8, "a.b", 20},
    {"syntax", "{\"a.b\":{\"x\":NaN}}", 8, "a.b", 20},
    {"syntax", "{\"a.b\":{\"x\":{\"y\" 1}}}", 8, "a.b", 25},
    {"syntax", "{\"__metadata__\":[]}", 0, "__metadata__", 24},
    {"syntax", "{\"__metadata__\":{\"a\":1}}", 0, "__metadata__", 29},
    {"syntax", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__", 27},
    /* dtype */
    {"dtype and shape", A("\"I32\"", "[2]", "[0,8]"), 8, "a.b: its dtype I32", 24},
    {"dtype and shape", A("\"F64\"", "[1]", "[0,8]"), 8, "a.b: its dtype F64", 24},
    {"dtype and shape", A("\"\"", "[2]", "[0,8]"), 8, "a.b: its dtype", 24},
    {"dtype and shape", A("\"F32 \"", "[2]", "[0,8]"), 8, "a.b: its dtype", 24},
    {"dtype and shape", A("\"f32\"", "[2]", "[0,8]"), 8, "a.b: its dtype", 24},
    {"dtype and shape", A("0", "[2]", "[0,8]"), 8, "a.b: dtype", 24},
    {"dtype and shape", A("null", "[2]", "[0,8]"), 8, "a.b: dtype", 24},
    {"dtype and shape", A("\"F32-but-a-dtype-name-that-is-far-too-long\"", "[2]", "[0,8]"), 8,
     "a.b: dtype", 24},
    /* shape */
    {"dtype and shape", A("\"F32\"", "[]", "[0,4]"), 4, "a.b: its shape", 39},
    {"dtype and shape", A("\"F32\"", "2", "[0,8]"), 8, "a.b: shape", 38},
    {"dtype and shape", A("\"F32\"", "[0]", "[0,0]"), 0, "a.b: shape", 39},
    {"dtype and shape", A("\"F32\"", "[-2]", "[0,8]"), 8, "a.b: shape", 39},
    {"dtype and shape", A("\"F32\"", "[2.0]", "[0,8]"), 8, "a.b: shape", 39},
    {"dtype and shape", A("\"F32\"", "[2e0]", "[0,8]"), 8, "a.b: shape", 39},
    {"dtype and shape", A("\"F32\"", "[\"2\"]", "[0,8]"), 8, "a.b: shape", 39},
    {"dtype and shape", A("\"F32\"", "[99999999999999999999]", "[0,8]"), 8, "a.b: shape", 39},
    {"products", A("\"F32\"", "[18446744073709551617]", "[0,4]"), 4, "a.b: shape", 39},
    {"products", A("\"F32\"", "[9007199254740992]", "[0,8]"), 8, "a.b", 9},
    {"dtype and shape", A("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0, "a.b: its shape", 9},
    {"dtype and shape", A("\"F32\"", "[2147483648,2147483648,2]", "[0,0]"), 0, "a.b: its shape", 9},
    {"dtype and shape", A("\"F32\"", "[1,1,1,1,2]", "[0,8]"), 8, "a.b: its shape", 39},
    {"dtype and shape", A("\"F32\"", "[2,]", "[0,8]"), 8, "a.b: shape", 41},
    {"dtype and shape", A("\"F32\"", "[2 2]", "[0,16]"), 16, "a.b", 41},
    {"dtype and shape", A("\"F32\"", "[3]", "[0,8]"), 8, "a.b: data_offsets hold 8 bytes", 9},
    {"dtype and shape", A("\"BF16\"", "[2]", "[0,8]"), 8, "a.b: data_offsets hold 8 bytes", 9},
    /* data_offsets */
    {"offsets", A("\"F32\"", "[2]", "[]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[0]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[0,8,8]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[8,0]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[0,9]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[0,9007199254740992]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[-8,0]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[18446744073709551608,0]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[18446744073709551616,8]"), 8, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "[0.5,8.5]"), 12, "a.b: data_offsets", 58},
    {"offsets", A("\"F32\"", "[2]", "{}"), 8, "a.b: data_offsets", 57},
    {"offsets", A("\"F32\"", "[2]", "[4,12]"), 12, "a.b: its data_offsets", 9},
    {"offsets", A("\"F32\"", "[2]", "[0,8]"), 12, "data_offsets leave the last 4 bytes", 72},
    {"offsets", A("\"F32\"", "[2]", "[0,8]"), 7, "a.b: data_offsets", 58},
    {"holes", TWO("[0,8]", "[12,20]"), 20, "two: its data_offsets", 64},
    {"holes", TWO("[0,8]", "[4,12]"), 12, "two: its data_offsets", 64},
    {"holes", TWO("[0,8]", "[0,8]"), 8, "two: its data_offsets", 64},
    {"holes", TWO("[8,16]", "[4,12]"), 16, "two: its data_offsets", 65},
    {"holes", TWO("[0,8]", "[8,16]"), 24, "data_offsets leave", 136},
    /* fields */
    {"names", "{\"a.b\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "a.b: dtype is missing", 9},
    {"names", "{\"a.b\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "a.b: shape is missing",
     9},
    {"names", "{\"a.b\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "a.b: data_offsets is missing", 9},
    {"names",
     "{\"a.b\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "a.b: dtype is there twice", 30},
    {"names", "{\"a.b\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "a.b: shape is there twice", 42},
    {"names",
     "{\"a.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"a.b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}",
     16, "a.b: its name is there twice", 64},
};
/* clang-format on */

static void refuse_header_texts(malformed *m) {
  uint8_t zeros[64] = {0};
  malformed_put_folder(m, KERNELS_BF16);
  for (size_t i = 0; i < sizeof header_texts / sizeof *header_texts; i++) {
    const header_text *c = &header_texts[i];
    malformed_put_weights(m, "model.safetensors", c->header, zeros, (size_t)c->data);
    malformed_refuse(m, m->folder, &(refusal){"safetensors", c->kind, c->header, c->words, c->at});
  }
}

/* The header's length alone; the last of them over the format's limit in a file that is so long. */
static void refuse_header_lengths(malformed *m) {
  static const struct {
    uint64_t length;
    const char *words;
    int64_t at;
  } cases[] = {
      {0, "the header does not begin with", 8},
      {1, "ends early", 9},
      {20, "only 0 are left", 28},
      {90, "a string needs 1 bytes, but only 0 are left", 98},
      {1u << 20, "runs past the end of the file", 0},
      {100000000, "runs past the end of the file", 0},
      {UINT64_C(1) << 32, "over the format's limit", 0},
      {INT64_MAX, "over the format's limit", 0},
      {UINT64_C(1) << 63, "over the format's limit", 0},
      {UINT64_MAX - 7, "over the format's limit", 0},
      {UINT64_MAX, "over the format's limit", 0},
      {100000001, "the header length 100000001 is over the format's limit of 100000000", 0},
  };
  char *header, what[64], *path = text_of("%s/model.safetensors", m->folder);
  image data = {0};
  malformed_put_folder(m, KERNELS_BF16);
  malformed_weights(KERNELS_BF16, &header, &data, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    image file = safetensors_image(header, data.data, data.size);
    memcpy(file.data, &cases[i].length, 8);
    malformed_put(m, "model.safetensors", file.data, file.size);
    if (cases[i].length == 100000001) assert_int_equal(truncate(path, 100000100), 0);
    snprintf(what, sizeof what, "header length %llu", (unsigned long long)cases[i].length);
    refusal r = {"safetensors", "header length", what, cases[i].words, cases[i].at};
    malformed_refuse(m, m->folder, &r);
    image_free(&file);
  }
  free(header);
  free(path);
  image_free(&data);
}

/* ---- shards ------------------------------------------------------------------------------ */

static void refuse_indexes(malformed *m) {
  static const struct {
    const char *kind, *index, *words;
    int at;
  } cases[] = {
      {"syntax", "", "model.safetensors.index.json: the file is empty", 0},
      {"syntax", "{}", "weight_map is missing", 2},
      {"syntax", "[]", "the index must be an object", 0},
      {"types", "{\"weight_map\":[]}", "weight_map must be an object", 14},
      {"types", "{\"weight_map\":{\"a\":1}}", "weight_map must be a string", 19},
      {"places", "{\"weight_map\":{\"a\":\"\"}}", "is not the name of a file", 15},
      {"places", "{\"weight_map\":{\"a\":\"../part.safetensors\"}}", "is not the name of a file",
       15},
      {"places", "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "is not the name of a file", 15},
      {"places", "{\"weight_map\":{\"a\":\"..\"}}", "is not the name of a file", 15},
      {"places", "{\"weight_map\":{\"a\":\".hidden\"}}", "is not the name of a file", 15},
      {"places", "{\"weight_map\":{\"a\":\"x/part.safetensors\"}}", "is not the name of a file",
       15},
      {"places", "{\"weight_map\":{\"a\":\"part.safetensors\\u0000\"}}", "escape", 38},
      {"places", "{\"weight_map\":{\"a\":\"config.json\"}}", "config.json: the header length", 0},
      {"places", "{\"weight_map\":{\"a\":\"" N256 "\"}}", "weight_map is longer than 255 bytes",
       19},
      {"names", "{\"weight_map\":{\"a\":\"part.safetensors\"}}",
       "tensor a: weight_map: it is not in part.safetensors", 15},
      {"names", "{\"weight_map\":{},\"weight_map\":{}}", "weight_map is there twice", 30},
      {"names", "{\"weight_map\":{}}", "tensor model.embed_tokens.weight: is missing", -1},
      {"syntax", "{\"weight_map\":{\"model.norm.weight\":\"part.safetensors\"}", "ends early", 54},
      {"syntax", "{\"weight_map\":{\"model.norm.weight\":\"part.safetensors\"}}x", "text after",
       55},
      {"names", "{\"weight_map\":{\"model.norm.weight\":\"part.safetensors\",\"lm_head.weight\":"
       "\"part.safetensors\"}}", "tensor lm_head.weight: weight_map: it is not in", 54},
  };
  char *header, *path = text_of("%s/model.safetensors", m->folder);
  image data = {0};
  malformed_put_folder(m, KERNELS_BF16);
  malformed_weights(KERNELS_BF16, &header, &data, NULL);
  malformed_put_weights(m, "part.safetensors", header, data.data, data.size);
  unlink(path);
  free(path);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    malformed_put_text(m, "model.safetensors.index.json", cases[i].index);
    refusal r = {"index", cases[i].kind, cases[i].index, cases[i].words, cases[i].at};
    malformed_refuse(m, m->folder, &r);
  }
  path = text_of("%s/model.safetensors.index.json", m->folder);
  unlink(path);
  free(path);
  free(header);
  image_free(&data);
}

/* ---- what is generated ------------------------------------------------------------------- */

/* In each type: an infinity and a NaN in the first and last element of four tensors. */
static void refuse_folder_numbers(malformed *m) {
  static const kernels_type types[] = {KERNELS_F32, KERNELS_F16, KERNELS_BF16};
  static const struct {
    const char *name;
    int elements;
  } tensors[] = {
      {"model.embed_tokens.weight", SMALL_VOCAB * 64},
      {"model.layers.1.mlp.down_proj.weight", 64 * 96},
      {"model.layers.0.input_layernorm.weight", 64},
      {"model.layers.1.self_attn.k_proj.bias", 64},
  };
  for (int i = 0; i < 3 * 4 * 4; i++) {
    kernels_type type = types[i / 16];
    int t = i / 4 % 4, width = type == KERNELS_F32 ? 4 : 2;
    int element = i & 1 ? tensors[t].elements - 1 : 0;
    uint32_t bits = type == KERNELS_F32 ? 0xff800000u : type == KERNELS_F16 ? 0x7c00u : 0x7f80u;
    char *header, mark[96], words[160];
    image data = {0};
    malformed_put_folder(m, type);
    malformed_weights(type, &header, &data, NULL);
    bits += i >> 1 & 1;
    snprintf(mark, sizeof mark, "%s data", tensors[t].name);
    size_t at = image_find(&data, mark) + (size_t)(element * width);
    memcpy(data.data + at, &bits, (size_t)width);
    malformed_put_weights(m, "model.safetensors", header, data.data, data.size);
    snprintf(words, sizeof words, "tensor %s: element %d is not a finite number", tensors[t].name,
             element);
    refusal r = {"safetensors", "numbers", words, words, (int64_t)(8 + strlen(header) + at)};
    malformed_refuse(m, m->folder, &r);
    free(header);
    image_free(&data);
  }
}

static void refuse_cut_file(malformed *m, const char *name, const char *kind, size_t header) {
  char *path = text_of("%s/%s", m->folder, name), what[64];
  size_t whole;
  uint8_t *data = read_whole(path, &whole);
  for (size_t size = 0; size < whole; size += size < header ? 64 : 8192) {
    malformed_put(m, name, data, size);
    snprintf(what, sizeof what, "cut to %zu bytes", size);
    malformed_refuse(m, m->folder, &(refusal){name, kind, what, "byte ", -1});
  }
  malformed_put(m, name, data, whole - 1);
  malformed_refuse(m, m->folder, &(refusal){name, kind, "the last byte", "byte ", -1});
  malformed_put(m, name, data, whole);
  free(data);
  free(path);
}

/* Each file of the folder cut at every 64th byte, and the weights' data at some. */
static void refuse_cut_folders(malformed *m) {
  char *header;
  image data = {0};
  malformed_put_folder(m, KERNELS_BF16);
  malformed_weights(KERNELS_BF16, &header, &data, NULL);
  refuse_cut_file(m, "config.json", "cut", SIZE_MAX);
  refuse_cut_file(m, "tokenizer.json", "cut", SIZE_MAX);
  refuse_cut_file(m, "model.safetensors", "cut", 8 + strlen(header));
  free(header);
  image_free(&data);
}

#endif
