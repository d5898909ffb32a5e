/* test_model_find.c - models by name, in a home folder of the test's own: where they are found,
 * which of several wins, and what is said when there is none. */
#include "engine/model.h"
#include "engine/model_source.h"

#include "tests/engine/model_files.h"

static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                        "LLAMA_CACHE", "XDG_CACHE_HOME"};

typedef struct home {
  char *path;
  image gguf;
} home;

static int new_home(void **state) {
  home *h = calloc(1, sizeof *h);
  h->path = make_temp();
  h->gguf = small_gguf(NULL, 0);
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
  setenv("HOME", h->path, 1);
  *state = h;
  return 0;
}

static int delete_home(void **state) {
  home *h = *state;
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) unsetenv(variables[i]);
  remove_tree(h->path);
  image_free(&h->gguf);
  free(h->path);
  free(h);
  return 0;
}

/* Puts the small model at a path below the home folder; returns the whole path. */
static char *put_gguf(const home *h, const char *below) {
  char *path = text_of("%s/%s", h->path, below), *slash = strrchr(path, '/');
  *slash = 0;
  make_folders(path);
  *slash = '/';
  write_file(path, h->gguf.data, h->gguf.size);
  return path;
}

static void put_text(const home *h, const char *below, const char *text) {
  char *path = text_of("%s/%s", h->path, below), *slash = strrchr(path, '/');
  *slash = 0;
  make_folders(path);
  *slash = '/';
  write_file(path, text, strlen(text));
  free(path);
}

/* A Hugging Face folder: links to the reference model. */
static char *put_folder(const home *h, const char *below) {
  static const char *const files[] = {"config.json", "model.safetensors"};
  char *path = text_of("%s/%s", h->path, below);
  make_folders(path);
  for (int i = 0; i < 2; i++) {
    char *from = text_of("tests/data/tiny-random-hd128/%s", files[i]);
    char *whole = realpath(from, NULL), *to = text_of("%s/%s", path, files[i]);
    assert_non_null(whole);
    assert_int_equal(symlink(whole, to), 0);
    free(from);
    free(whole);
    free(to);
  }
  return path;
}

static void assert_found(const char *what, const char *path) {
  char *found, *name, err[1024] = "";
  if (model__find(what, &found, &name, err, sizeof err)) fail_msg("%s: %s", what, err);
  assert_string_equal(found, path);
  free(found);
  free(name);
}

static void assert_missing(const char *what, const char *words) {
  char *found, *name, err[2048] = "";
  assert_int_equal(model__find(what, &found, &name, err, sizeof err), ENGINE_ENOTFOUND);
  assert_null(found);
  assert_null(name);
  if (!strstr(err, words)) fail_msg("%s: \"%s\" should say %s", what, err, words);
}

#define HUB ".cache/huggingface/hub/models--Qwen--Qwen2.5-Coder-1.5B/"
#define NAME "Qwen/Qwen2.5-Coder-1.5B"

/* ---- Hugging Face's cache -------------------------------------------------------------- */

static void hub_snapshot_of_main_is_found(void **state) {
  home *h = *state;
  char *old = put_folder(h, HUB "snapshots/aaa111"), *new = put_folder(h, HUB "snapshots/bbb222");
  put_text(h, HUB "refs/main", "aaa111\n");
  assert_found(NAME, old);
  put_text(h, HUB "refs/main", "bbb222");
  assert_found(NAME, new);
  char err[1024] = "";
  model *m;
  if (model_open(&m, NAME, err, sizeof err)) fail_msg("%s", err);
  assert_string_equal(m->name, NAME);
  assert_string_equal(m->path, new);
  model_close(m);
  free(old);
  free(new);
}

static void hub_without_main_takes_the_newest_whole_snapshot(void **state) {
  home *h = *state;
  char *old = put_folder(h, HUB "snapshots/aaa111"), *new = put_folder(h, HUB "snapshots/bbb222");
  struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
  assert_int_equal(utimensat(0, old, times, 0), 0);
  times[0].tv_sec = times[1].tv_sec = 1100000000;
  assert_int_equal(utimensat(0, new, times, 0), 0);
  assert_found(NAME, new);
  /* A newer one without its weights (a download that was cut off) does not count... */
  put_text(h, HUB "snapshots/ccc333/config.json", "{}");
  assert_found(NAME, new);
  /* ...and neither does a refs/main that leads out of the folder or to nothing. */
  put_text(h, HUB "refs/main", "../../elsewhere");
  assert_found(NAME, new);
  put_text(h, HUB "refs/main", "ddd444");
  assert_found(NAME, new);
  put_text(h, HUB "refs/main", "");
  assert_found(NAME, new);
  free(old);
  free(new);
}

static void variables_move_the_hub(void **state) {
  home *h = *state;
  char *plain = put_folder(h, HUB "snapshots/aaa111");
  char *in_home = put_folder(h, "hf/hub/models--Qwen--Qwen2.5-Coder-1.5B/snapshots/bbb");
  char *in_cache = put_folder(h, "hub/models--Qwen--Qwen2.5-Coder-1.5B/snapshots/ccc");
  char *in_xdg = put_folder(h, "xdg/huggingface/hub/models--Qwen--Qwen2.5-Coder-1.5B/snapshots/d");
  assert_found(NAME, plain);
  char *value = text_of("%s/xdg", h->path);
  setenv("XDG_CACHE_HOME", value, 1);
  assert_found(NAME, in_xdg);
  free(value);
  value = text_of("%s/hf", h->path);
  setenv("HF_HOME", value, 1);
  assert_found(NAME, in_home);
  free(value);
  value = text_of("%s/hub", h->path);
  setenv("HF_HUB_CACHE", value, 1);
  assert_found(NAME, in_cache);
  /* Without a home folder too, and with empty variables as with none. */
  unsetenv("HOME");
  assert_found(NAME, in_cache);
  setenv("HOME", h->path, 1);
  setenv("HF_HUB_CACHE", "", 1);
  setenv("HF_HOME", "", 1);
  setenv("XDG_CACHE_HOME", "", 1);
  assert_found(NAME, plain);
  free(value);
  free(plain);
  free(in_home);
  free(in_cache);
  free(in_xdg);
}

#define GGUF_NAME "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"
#define GGUF_HUB \
  ".cache/huggingface/hub/models--Qwen--Qwen2.5-Coder-1.5B-Instruct-GGUF/snapshots/a/"

static void files_in_a_snapshot_are_chosen_by_pattern(void **state) {
  home *h = *state;
  char *q8 = put_gguf(h, GGUF_HUB "qwen2.5-coder-1.5b-instruct-q8_0.gguf");
  assert_found(GGUF_NAME, q8);
  assert_found(GGUF_NAME ":Q8_0", q8);
  assert_found(GGUF_NAME ":qwen2.5-coder-1.5b-instruct-q8_0.gguf", q8);
  assert_missing(GGUF_NAME ":q4_0", "--include \"*[qQ]4_0*.gguf\"");
  char *q4 = put_gguf(h, GGUF_HUB "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf");
  assert_found(GGUF_NAME ":q4", q4);
  assert_missing(GGUF_NAME, "holds 2 .gguf files; name one by a part of its name");
  assert_missing(GGUF_NAME ":instruct", "holds 2 .gguf files that fit");
  /* The later parts of a split file are not models of their own. */
  char *part = put_gguf(h, GGUF_HUB "qwen-q6_k-00001-of-00002.gguf");
  free(put_gguf(h, GGUF_HUB "qwen-q6_k-00002-of-00002.gguf"));
  assert_found(GGUF_NAME ":q6_k", part);
  /* Exactly the pattern beats containing it. */
  char *exact = put_gguf(h, GGUF_HUB "q8_0.gguf");
  assert_found(GGUF_NAME ":q8_0.gguf", exact);
  free(exact);
  free(part);
  free(q4);
  free(q8);
}

/* ---- the other caches ------------------------------------------------------------------ */

static void other_caches_are_searched(void **state) {
  static const struct {
    const char *variable, *below;
  } cases[] = {
      {NULL, ".cache/llama.cpp/Qwen_Qwen2.5-Coder-1.5B-Instruct-GGUF_qwen2.5-coder-q8_0.gguf"},
      {"LLAMA_CACHE", "ll/Qwen_Qwen2.5-Coder-1.5B-Instruct-GGUF_qwen2.5-coder-q8_0.gguf"},
      {NULL, ".cache/fimd/models/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/a-Q8_0.gguf"},
      {NULL, ".lmstudio/models/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/a-q8_0.gguf"},
      {NULL, ".cache/lm-studio/models/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/a-q8_0.gguf"},
  };
  home *h = *state;
  free(put_gguf(h, ".cache/llama.cpp/Other_Qwen2.5-Coder-1.5B-Instruct-GGUF_a-q8_0.gguf"));
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_missing(GGUF_NAME ":q8_0", "hf download " GGUF_NAME);
    char *path = put_gguf(h, cases[i].below);
    if (cases[i].variable) {
      char *folder = text_of("%s/ll", h->path);
      setenv(cases[i].variable, folder, 1);
      free(folder);
    }
    assert_found(GGUF_NAME ":q8_0", path);
    assert_found(GGUF_NAME, path);
    assert_missing(GGUF_NAME ":q5", "hf download " GGUF_NAME);
    char err[1024] = "";
    model *m;
    if (model_open(&m, GGUF_NAME, err, sizeof err)) fail_msg("%s", err);
    assert_string_equal(m->name, GGUF_NAME);
    model_close(m);
    unlink(path);
    free(path);
  }
}

static void whole_folders_in_plain_caches_are_found(void **state) {
  home *h = *state;
  char *path = put_folder(h, ".cache/fimd/models/" NAME);
  assert_found(NAME, path);
  free(path);
}

/* ---- paths ----------------------------------------------------------------------------- */

static void paths_are_taken_as_they_are(void **state) {
  home *h = *state;
  char *path = put_gguf(h, "models/some file.gguf");
  assert_found(path, path);
  assert_found("~/models/some file.gguf", path);
  char *folder = text_of("%s/models", h->path);
  assert_found(folder, folder);
  char err[1024] = "";
  model *m;
  if (model_open(&m, "~/models/some file.gguf", err, sizeof err)) fail_msg("%s", err);
  assert_string_equal(m->name, "small");
  assert_string_equal(m->path, path);
  model_close(m);
  free(folder);
  free(path);
}

static void missing_paths_are_said_to_be_missing(void **state) {
  (void)state;
  static const char *const paths[] = {"/no/such/file", "./none", "none.gguf", "../none/x.gguf",
                                      "~/none", "~nobody/x", "", "none", "a/b/c", "Qwen/",
                                      "/Qwen", "Qwen/..", "Qwen/a:", "Qwen/a b", "Qwen/a;rm",
                                      "Qwen/a:$(x)", "Qwen/a:b/c"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    assert_missing(paths[i], "there is no such file or folder");
  char err[8];
  char *path, *name;
  assert_int_equal(model__find("none.gguf", &path, &name, err, 0), ENGINE_ENOTFOUND);
  assert_int_equal(model__find(NAME, &path, &name, err, 4), ENGINE_ENOTFOUND);
  assert_int_equal(strlen(err), 3);
}

static void missing_names_come_with_the_command(void **state) {
  static const char *const cases[][2] = {
      {NAME, "download it with: hf download " NAME " (looked in ~/.cache/huggingface/hub, "
             "~/.cache/llama.cpp, ~/.cache/fimd/models, "},
      {GGUF_NAME, "hf download " GGUF_NAME " --include \"*[qQ]8_0*.gguf\""},
      {GGUF_NAME ":Q4_K_M", "hf download " GGUF_NAME " --include \"*[qQ]4_[kK]_[mM]*.gguf\""},
      {GGUF_NAME ":a-q8_0.gguf", "hf download " GGUF_NAME " a-q8_0.gguf"},
      {NAME ":q8_0", "hf download " NAME " --include \"*[qQ]8_0*.gguf\""},
  };
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_missing(cases[i][0], cases[i][1]);
  unsetenv("HOME");
  assert_missing(NAME, "download it with: hf download " NAME);
}

/* A shard that an interrupted download left out: the command again. */
static void half_a_download_comes_with_the_command(void **state) {
  home *h = *state;
  char *folder = put_folder(h, HUB "snapshots/aaa111");
  char *weights = text_of("%s/model.safetensors", folder);
  unlink(weights);
  put_text(h, HUB "snapshots/aaa111/model.safetensors.index.json",
           "{\"weight_map\":{\"lm_head.weight\":\"model-00001-of-00002.safetensors\"}}");
  char err[1024] = "";
  model *m;
  assert_int_equal(model_open(&m, NAME, err, sizeof err), ENGINE_ENOTFOUND);
  assert_null(m);
  assert_non_null(strstr(err, "model-00001-of-00002.safetensors: "));
  assert_non_null(strstr(err, "complete it with: hf download " NAME));
  free(weights);
  free(folder);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, new_home, delete_home)
  const struct CMUnitTest tests[] = {
      TEST(hub_snapshot_of_main_is_found),
      TEST(hub_without_main_takes_the_newest_whole_snapshot),
      TEST(variables_move_the_hub),
      TEST(files_in_a_snapshot_are_chosen_by_pattern),
      TEST(other_caches_are_searched),
      TEST(whole_folders_in_plain_caches_are_found),
      TEST(paths_are_taken_as_they_are),
      TEST(missing_paths_are_said_to_be_missing),
      TEST(missing_names_come_with_the_command),
      TEST(half_a_download_comes_with_the_command),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
