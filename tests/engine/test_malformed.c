/* test_malformed.c - models that are broken in one place, in each class of faults: all are refused
 * by engine_open with the name of the field or tensor and the byte, without much memory, and leave
 * nothing behind. The tables are in malformed_*.h; the count of each class is printed last.
 *
 * FIMD_TEST_BACKENDS=cuda,cpu: by which backends; otherwise by the CPU's. */
#include "tests/engine/malformed_folder.h"
#include "tests/engine/malformed_gguf.h"

#include <sys/resource.h>

static malformed *all;

/* ---- what a refusal may cost ------------------------------------------------------------- */

#define ROOM ((size_t)160 << 20) /* bytes; the largest file, of one hole, is mapped with 100 MB */

/* A count that is believed is allocated: more than ROOM is not to be had, and the refusal would be
 * "out of memory". The sanitizers' and CUDA's address space is not counted in megabytes. */
static bool limits_memory(void) {
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
  return false;
#else
  return strncmp(all->backend, "cuda", 4) != 0;
#endif
}

static void limit_memory(bool on) {
  struct rlimit limit;
  unsigned long pages = 0;
  if (!limits_memory()) return;
  assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
  FILE *f = fopen("/proc/self/statm", "r");
  assert_non_null(f);
  assert_int_equal(fscanf(f, "%lu", &pages), 1);
  fclose(f);
  limit.rlim_cur = on ? pages * (rlim_t)sysconf(_SC_PAGESIZE) + ROOM : limit.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static int count_open_files(void) {
  int n = 0;
  DIR *dir = opendir("/proc/self/fd");
  assert_non_null(dir);
  while (readdir(dir)) n++;
  closedir(dir);
  return n;
}

static bool is_mapped(const char *folder) {
  char line[1024];
  bool found = false;
  FILE *f = fopen("/proc/self/maps", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f)) found |= strstr(line, folder) != NULL;
  fclose(f);
  return found;
}

/* Runs a table: every case refused, and nothing left behind. */
static void run_table(void (*table)(malformed *m)) {
  int files = count_open_files(), tried = 0, refused = 0, before = 0;
  for (int i = 0; i < all->n; i++) before += all->counts[i].tried - all->counts[i].refused;
  limit_memory(true);
  table(all);
  limit_memory(false);
  assert_int_equal(count_open_files(), files);
  assert_false(is_mapped(all->folder));
  for (int i = 0; i < all->n; i++) {
    tried += all->counts[i].tried;
    refused += all->counts[i].refused;
  }
  assert_int_equal(tried - refused, before);
}

/* ---- good models ------------------------------------------------------------------------- */

static int on_step(void *user, const engine_step *step) {
  *(int *)user += step->n;
  return 0;
}

/* The tables could refuse all and be right; what they break must be good before. */
static void expect_good(const char *path) {
  char err[1024] = "";
  engine *e;
  engine_session *s;
  engine_tokens ids = {0};
  engine_generate_result r;
  int n = 0;
  if (malformed_open(all, path, &e, err, sizeof err)) fail_msg("%s: %s", path, err);
  assert_int_equal(engine_tokenize(e, "int main", 8, false, &ids), 0);
  assert_int_equal(ids.n, 5); /* int, a blank, m, a, in */
  assert_int_equal(engine_session_new(e, &s), 0);
  assert_int_equal(engine_session_sync(s, ids.ids, ids.n, NULL, NULL), 0);
  engine_generate_params p = {.max_tokens = 8, .ignore_stop = true};
  assert_int_equal(engine_session_generate(s, &p, NULL, on_step, &n, &r), 0);
  assert_int_equal(n, 8);
  engine_session_delete(s);
  engine_tokens_free(&ids);
  engine_close(e);
}

static void good_gguf_generates(void **state) {
  (void)state;
  image file = small_gguf(NULL, 0);
  malformed_put(all, "good.gguf", file.data, file.size);
  char *path = text_of("%s/good.gguf", all->folder);
  expect_good(path);
  unlink(path);
  free(path);
  image_free(&file);
}

static int take_ids(void *user, const engine_step *step) {
  for (int i = 0; i < step->n; i++) assert_in_range(step->ids[i], 0, SMALL_VOCAB - 1);
  *(int *)user += step->n;
  return 0;
}

/* Every number is finite, but their products are not: logits of NaN, and tokens all the same, by
 * every way of choosing them. */
static void overflowing_models_are_survived(void **state) {
  (void)state;
  static const char *const norms[] = {"blk.0.attn_norm.weight data", "blk.1.ffn_norm.weight data",
                                      "output_norm.weight data"};
  char err[1024] = "", *path = text_of("%s/overflow.gguf", all->folder);
  for (size_t i = 0; i < 2 * sizeof norms / sizeof *norms; i++) {
    image file = small_gguf(NULL, 0);
    float huge[64];
    for (int j = 0; j < 64; j++) huge[j] = j % 2 ? 3e38f : -3e38f;
    memcpy(file.data + image_find(&file, norms[i / 2]), huge, sizeof huge);
    write_file(path, file.data, file.size);
    engine *e;
    engine_session *s;
    engine_generate_result r;
    int32_t ids[5] = {257, 'a', 'b', 'a', 'b'};
    int n = 0;
    if (malformed_open(all, path, &e, err, sizeof err)) fail_msg("%s", err);
    assert_int_equal(engine_session_new(e, &s), 0);
    assert_int_equal(engine_session_sync(s, ids, 5, NULL, NULL), 0);
    engine_generate_params p = {.max_tokens = 24, .ignore_stop = true, .score = true,
                                .temperature = i % 2 ? 0.8f : 0, .top_p = 0.9f, .seed = 1};
    assert_int_equal(engine_draft_parse("all", &p.draft), 0);
    assert_int_equal(engine_session_generate(s, &p, NULL, take_ids, &n, &r), 0);
    assert_int_equal(n, 24);
    engine_session_delete(s);
    engine_close(e);
    image_free(&file);
  }
  unlink(path);
  free(path);
}

static void good_folders_generate(void **state) {
  (void)state;
  static const kernels_type types[] = {KERNELS_F32, KERNELS_F16, KERNELS_BF16};
  char *header, *path = text_of("%s/model.safetensors", all->folder);
  char *index = text_of("%s/model.safetensors.index.json", all->folder);
  image data = {0}, map = {0};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    malformed_put_folder(all, types[i]);
    expect_good(all->folder);
  }
  unlink(path);
  malformed_weights(KERNELS_BF16, &header, &data, &map);
  malformed_put_weights(all, "part.safetensors", header, data.data, data.size);
  malformed_put_text(all, "model.safetensors.index.json", (const char *)map.data);
  expect_good(all->folder);
  unlink(index);
  free(header);
  free(index);
  free(path);
  image_free(&data);
  image_free(&map);
}

/* ---- the tables -------------------------------------------------------------------------- */

#define TABLE(name, table) \
  static void name(void **state) { \
    (void)state; \
    run_table(table); \
  }
TABLE(gguf_files, refuse_gguf_cases)
TABLE(gguf_metadata, refuse_gguf_extras)
TABLE(gguf_large_counts, refuse_large_counts)
TABLE(gguf_without_a_tensor, refuse_missing_tensors)
TABLE(gguf_numbers, refuse_bad_numbers)
TABLE(gguf_cut, refuse_cut_gguf)
TABLE(configs, refuse_configs)
TABLE(tokenizers, refuse_tokenizers)
TABLE(safetensors_headers, refuse_headers)
TABLE(safetensors_short_headers, refuse_header_texts)
TABLE(safetensors_lengths, refuse_header_lengths)
TABLE(safetensors_numbers, refuse_folder_numbers)
TABLE(indexes, refuse_indexes)
TABLE(folders_cut, refuse_cut_folders)

static void print_counts(void) {
  int tried = 0, refused = 0, cut_tried = 0, cut_refused = 0;
  for (int i = 0; i < all->n; i++) {
    bool cut = strncmp(all->counts[i].kind, "cut", 3) == 0;
    printf("%s: %-14s %-20s %3d refused of %3d\n", all->backend, all->counts[i].format,
           all->counts[i].kind, all->counts[i].refused, all->counts[i].tried);
    *(cut ? &cut_tried : &tried) += all->counts[i].tried;
    *(cut ? &cut_refused : &refused) += all->counts[i].refused;
  }
  printf("%s: %d refused of %d, and of those cut short %d of %d\n", all->backend, refused, tried,
         cut_refused, cut_tried);
}

static int run_backend(const char *backend) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(good_gguf_generates),
      cmocka_unit_test(overflowing_models_are_survived),
      cmocka_unit_test(gguf_files),
      cmocka_unit_test(gguf_metadata),
      cmocka_unit_test(gguf_large_counts),
      cmocka_unit_test(gguf_without_a_tensor),
      cmocka_unit_test(gguf_numbers),
      cmocka_unit_test(gguf_cut),
      cmocka_unit_test(good_folders_generate),
      cmocka_unit_test(configs),
      cmocka_unit_test(tokenizers),
      cmocka_unit_test(safetensors_headers),
      cmocka_unit_test(safetensors_short_headers),
      cmocka_unit_test(safetensors_lengths),
      cmocka_unit_test(safetensors_numbers),
      cmocka_unit_test(indexes),
      cmocka_unit_test(folders_cut),
  };
  malformed m = {.folder = make_temp(), .backend = strdup(backend)};
  all = &m;
  int failed = cmocka_run_group_tests_name(backend, tests, NULL, NULL);
  print_counts();
  remove_tree(m.folder);
  free(m.folder);
  free(m.backend);
  return failed;
}

int main(void) {
  const char *list = getenv("FIMD_TEST_BACKENDS");
  char *names = strdup(list && *list ? list : "cpu"), *rest = names;
  int failed = 0;
  for (char *name; (name = strsep(&rest, ",")) != NULL;) failed += run_backend(name);
  free(names);
  return failed != 0;
}
