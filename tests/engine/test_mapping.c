/* test_mapping.c - a model's file that is cut, overwritten, replaced or removed while it is open:
 * no crash, an error that says so, and all as before once the file is whole again. */
#include "tests/engine/model_files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/internal.h"
#include "engine/mapping.h"

#define TINY "tests/data/tiny-random-hd128"
#define CUT 4096 /* bytes that are left: less than the header */

/* ---- SIGBUS ---------------------------------------------------------------------------- */

static struct sigaction ours; /* the handler that the first mapping installed */
static sigjmp_buf beyond;
static volatile sig_atomic_t others;

static void on_other(int number) {
  (void)number;
  others++;
  siglongjmp(beyond, 1);
}

/* cmocka sets a handler of its own at the start of every test. */
static void use_ours(void **state) {
  assert_null(*state);
  assert_int_equal(sigaction(SIGBUS, &ours, NULL), 0);
}

static char *file_of(const char *folder, const char *name) {
  return text_of("%s/%s", folder, name);
}

/* A file of n pages of 'x'. */
static char *pages_file(const char *folder, int n) {
  char *path = file_of(folder, "pages");
  size_t size = (size_t)n * 4096;
  char *data = malloc(size);
  memset(data, 'x', size);
  write_file(path, data, size);
  free(data);
  return path;
}

static void cut_file_reads_as_zeros(void **state) {
  use_ours(state);
  char *folder = make_temp(), *path = pages_file(folder, 8), err[256] = "";
  mapping *m, *other;
  size_t size;
  assert_int_equal(mapping_open(&m, path, err, sizeof err), 0);
  assert_int_equal(mapping_open(&other, TINY "/config.json", err, sizeof err), 0);
  const uint8_t *data = mapping_data(m, &size);
  assert_int_equal(size, 8 * 4096);
  assert_int_equal(data[size - 1], 'x');
  assert_false(mapping_is_changed(m));
  assert_int_equal(truncate(path, 2 * 4096), 0);
  assert_true(mapping_is_changed(m)); /* seen before any read */
  assert_false(mapping_is_damaged(m));
  assert_int_equal(data[2 * 4096 - 1], 'x');
  assert_false(mapping_is_damaged(m));
  assert_int_equal(data[5 * 4096 + 7], 0);
  assert_true(mapping_is_damaged(m));
  for (size_t i = 5 * 4096; i < size; i++) assert_int_equal(data[i], 0);
  assert_int_equal(data[2 * 4096], 0); /* a second fault, before the first */
  assert_int_equal(data[0], 'x');
  assert_true(mapping_is_changed(m));
  assert_false(mapping_is_damaged(other));
  assert_false(mapping_is_changed(other));
  mapping_close(m);
  assert_int_equal(mapping_open(&m, path, err, sizeof err), 0);
  assert_false(mapping_is_damaged(m)); /* a new mapping in the same slot */
  mapping_close(m);
  mapping_close(other);
  free(path);
  remove_tree(folder);
  free(folder);
}

static void other_faults_go_on(void **state) {
  use_ours(state);
  char *folder = make_temp(), *path = pages_file(folder, 2), err[256] = "";
  mapping *m;
  assert_int_equal(mapping_open(&m, path, err, sizeof err), 0);
  int fd = open(path, O_RDONLY);
  volatile uint8_t *foreign = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
  assert_ptr_not_equal(foreign, MAP_FAILED);
  close(fd);
  assert_int_equal(truncate(path, 0), 0);
  others = 0;
  volatile int sum = 0;
  if (sigsetjmp(beyond, 1) == 0) sum += foreign[0];
  assert_int_equal(others, 1);
  if (sigsetjmp(beyond, 1) == 0) raise(SIGBUS);
  assert_int_equal(others, 2);
  assert_false(mapping_is_damaged(m));
  size_t size;
  sum += mapping_data(m, &size)[4096];
  assert_int_equal(sum, 0);
  assert_int_equal(others, 2);
  munmap((void *)foreign, 8192);
  mapping_close(m);
  free(path);
  remove_tree(folder);
  free(folder);
}

/* Without another handler a fault that is not ours ends the process, as it should. Runs before
 * this process has a handler. */
static void check_default_action(void) {
  pid_t child = fork();
  if (child == 0) {
    char err[256];
    mapping *m;
    signal(SIGBUS, SIG_DFL);
    if (mapping_open(&m, TINY "/config.json", err, sizeof err)) _exit(1);
    FILE *f = tmpfile();
    if (!f || ftruncate(fileno(f), 4096)) _exit(2);
    volatile uint8_t *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(f), 0);
    if (ftruncate(fileno(f), 0)) _exit(3);
    _exit(p[0] ? 4 : 5);
  }
  int status;
  if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGBUS) {
    fprintf(stderr, "a foreign SIGBUS did not end the process: %#x\n", (unsigned)status);
    exit(1);
  }
}

static void replaced_file_goes_on(void **state) {
  use_ours(state);
  char *folder = make_temp(), *path = pages_file(folder, 2), *second = file_of(folder, "second");
  char err[256] = "";
  mapping *m;
  size_t size;
  assert_int_equal(mapping_open(&m, path, err, sizeof err), 0);
  write_file(second, "new", 3);
  assert_int_equal(rename(second, path), 0);
  assert_false(mapping_is_changed(m));
  assert_int_equal(mapping_data(m, &size)[8191], 'x');
  unlink(path);
  assert_false(mapping_is_changed(m));
  assert_int_equal(mapping_data(m, &size)[4096], 'x');
  mapping_close(m);
  free(second);
  free(path);
  remove_tree(folder);
  free(folder);
}

static void small_files_are_copied(void **state) {
  use_ours(state);
  char *folder = make_temp(), *path = pages_file(folder, 2), err[256] = "";
  uint8_t *data;
  size_t size;
  assert_int_equal(mapping_read_file(path, 8192, &data, &size, err, sizeof err), 0);
  assert_int_equal(size, 8192);
  assert_int_equal(data[8191], 'x');
  free(data);
  assert_int_equal(mapping_read_file(path, 8191, &data, &size, err, sizeof err), ENGINE_EFORMAT);
  assert_null(data);
  assert_non_null(strstr(err, "at most 8191 are allowed (at byte 8191)"));
  unlink(path);
  assert_int_equal(mapping_read_file(path, 1, &data, &size, err, sizeof err), ENGINE_ENOTFOUND);
  free(path);
  remove_tree(folder);
  free(folder);
}

/* ---- an engine ------------------------------------------------------------------------- */

typedef struct fixture {
  char *folder, *weights;
  uint8_t *file; /* [size] what is in it */
  size_t size, bytes;
  engine *e;
  engine_session *s;
  float *want, *got;
  int events[8]; /* by engine_event */
  char words[2048];
  bool cut_at_progress;
} fixture;

static void on_event(void *user, engine_event event, const char *words) {
  fixture *f = user;
  f->events[event]++;
  snprintf(f->words, sizeof f->words, "%s", words);
}

static void on_progress(void *user, double done) {
  fixture *f = user;
  if (f->cut_at_progress && done > 0.3) assert_int_equal(truncate(f->weights, CUT), 0);
}

static int open_engine(fixture *f, const char *backend, char *err, size_t errlen) {
  engine_options o = {.model = f->folder, .context = 64, .threads = 1, .backend = backend,
                      .max_batch = 16, .on_event = on_event, .on_progress = on_progress, .user = f};
  return engine_open(&f->e, &o, err, errlen);
}

static void copy_model(fixture *f) {
  *f = (fixture){0};
  size_t size;
  f->folder = make_temp();
  f->weights = file_of(f->folder, "model.safetensors");
  f->file = read_whole(TINY "/model.safetensors", &f->size);
  write_file(f->weights, f->file, f->size);
  uint8_t *config = read_whole(TINY "/config.json", &size);
  char *path = file_of(f->folder, "config.json");
  write_file(path, config, size);
  free(path);
  free(config);
}

static const int32_t prompt[24] = {7, 300, 12, 99, 444, 8, 8, 15, 200, 31, 5, 77, 410, 6};

static int logits(fixture *f, float *out) {
  int rc = engine_session_sync(f->s, prompt, 24, NULL, NULL);
  return rc ? rc : engine_session_logits(f->s, out);
}

static void begin_with_mode(fixture *f, const char *backend, mode_t mode) {
  char err[1024] = "";
  copy_model(f);
  assert_int_equal(chmod(f->weights, mode), 0);
  if (open_engine(f, backend, err, sizeof err)) fail_msg("%s", err);
  f->bytes = (size_t)engine_get_info(f->e)->vocab * sizeof(float);
  f->want = malloc(f->bytes);
  f->got = malloc(f->bytes);
  assert_int_equal(engine_session_new(f->e, &f->s), 0);
  assert_int_equal(logits(f, f->want), 0);
}

static void begin(fixture *f, const char *backend) { begin_with_mode(f, backend, 0600); }

static void end(fixture *f) {
  engine_session_delete(f->s);
  engine_close(f->e);
  free(f->want);
  free(f->got);
  free(f->file);
  free(f->weights);
  remove_tree(f->folder);
  free(f->folder);
}

static void expect_same(fixture *f) {
  memset(f->got, 0, f->bytes);
  assert_int_equal(logits(f, f->got), 0);
  assert_memory_equal(f->got, f->want, f->bytes);
}

/* Both read the file with every step, as opposed to a GPU: the first its embedding table alone. */
static const char *const backends[] = {"cpu", "cpu-reference"};
enum { N_BACKENDS = sizeof backends / sizeof *backends };

static void cut_between_two_uses(void **state) {
  use_ours(state);
  for (int i = 0; i < N_BACKENDS; i++) {
    fixture f;
    begin(&f, backends[i]);
    assert_int_equal(truncate(f.weights, CUT), 0);
    for (int round = 0; round < 3; round++) assert_int_equal(logits(&f, f.got), ENGINE_EFILE);
    assert_int_equal(f.events[ENGINE_EVENT_FILE], 1); /* said once, not with each request */
    assert_non_null(strstr(f.words, f.folder));
    assert_non_null(strstr(f.words, "cut short or overwritten while in use; put the whole file"));
    assert_non_null(strstr(f.words, "byte ")); /* what the reader says of what is left */
    assert_false(engine_get_state(f.e).loaded);
    write_file(f.weights, f.file, f.size);
    expect_same(&f);
    assert_int_equal(f.events[ENGINE_EVENT_LOADED], 1);
    assert_int_equal(engine_get_state(f.e).failures, 0);
    /* And once more: it is told again. */
    assert_int_equal(truncate(f.weights, CUT), 0);
    assert_int_equal(logits(&f, f.got), ENGINE_EFILE);
    assert_int_equal(f.events[ENGINE_EVENT_FILE], 2);
    end(&f);
  }
}

typedef struct writing {
  fixture *f;
  int steps;
  int32_t ids[16];
  int n;
  bool cut;
} writing;

static int on_step(void *user, const engine_step *step) {
  writing *w = user;
  for (int i = 0; i < step->n && w->n < 16; i++) w->ids[w->n++] = step->ids[i];
  if (++w->steps == 3 && w->cut) assert_int_equal(truncate(w->f->weights, CUT), 0);
  return 0;
}

static int generate(fixture *f, writing *w) {
  engine_generate_params p = {.max_tokens = 12, .ignore_stop = true};
  engine_generate_result r;
  int rc = engine_session_sync(f->s, prompt, 24, NULL, NULL);
  return rc ? rc : engine_session_generate(f->s, &p, NULL, on_step, w, &r);
}

static void cut_while_writing(void **state) {
  use_ours(state);
  for (int i = 0; i < N_BACKENDS; i++) {
    fixture f;
    begin(&f, backends[i]);
    writing whole = {.f = &f}, cut = {.f = &f, .cut = true}, again = {.f = &f};
    assert_int_equal(generate(&f, &whole), 0);
    assert_int_equal(whole.n, 12);
    assert_int_equal(generate(&f, &cut), ENGINE_EFILE);
    assert_int_equal(cut.steps, 3); /* no token that came of zeros */
    assert_int_equal(f.events[ENGINE_EVENT_FILE], 1);
    int n;
    engine_session_tokens(f.s, &n);
    assert_int_equal(n, 0);
    assert_int_equal(generate(&f, &again), ENGINE_EFILE);
    assert_int_equal(f.events[ENGINE_EVENT_FILE], 2); /* now it is known why */
    write_file(f.weights, f.file, f.size);
    assert_int_equal(generate(&f, &again), 0);
    assert_memory_equal(again.ids, whole.ids, sizeof whole.ids);
    end(&f);
  }
}

static void cut_while_loading(void **state) {
  use_ours(state);
  fixture f;
  char err[1024] = "";
  copy_model(&f);
  f.cut_at_progress = true;
  assert_int_equal(open_engine(&f, "cpu", err, sizeof err), ENGINE_EFILE);
  assert_null(f.e);
  assert_non_null(strstr(err, "the file was cut short while it was read"));
  end(&f);
}

static void removed_and_replaced_files_go_on(void **state) {
  use_ours(state);
  for (int i = 0; i < N_BACKENDS; i++) {
    fixture f;
    begin(&f, backends[i]);
    char *second = file_of(f.folder, "second");
    write_file(second, "not a model", 11);
    assert_int_equal(rename(second, f.weights), 0);
    expect_same(&f);
    unlink(f.weights);
    expect_same(&f);
    engine_unload(f.e); /* and a load finds the mapping */
    expect_same(&f);
    assert_int_equal(engine_get_state(f.e).loads, 2);
    assert_int_equal(f.events[ENGINE_EVENT_FILE], 0);
    free(second);
    end(&f);
  }
}

static void overwritten_files_are_read_again(void **state) {
  use_ours(state);
  fixture f;
  begin(&f, "cpu");
  struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
  write_file(f.weights, f.file, f.size);
  assert_int_equal(utimensat(AT_FDCWD, f.weights, old, 0), 0);
  expect_same(&f);
  assert_int_equal(engine_get_state(f.e).loads, 2);
  expect_same(&f);
  assert_int_equal(engine_get_state(f.e).loads, 2);
  assert_int_equal(f.events[ENGINE_EVENT_FILE], 0);
  /* Unloaded, then cut and removed: nothing is there to load, until it is. */
  engine_unload(f.e);
  assert_int_equal(truncate(f.weights, CUT), 0);
  char *aside = file_of(f.folder, "aside");
  assert_int_equal(logits(&f, f.got), ENGINE_EFILE);
  assert_int_equal(rename(f.weights, aside), 0);
  assert_int_equal(logits(&f, f.got), ENGINE_EFILE);
  write_file(f.weights, f.file, f.size);
  expect_same(&f);
  free(aside);
  end(&f);
}

/* Another model in the same place would mean other tokens for ids that are all over the daemon. */
static void another_model_is_refused(void **state) {
  use_ours(state);
  static const struct {
    const char *mark, *bytes;
    int skip, n;
  } changes[] = {
      {"qwen2.rope.freq_base value", "\x00\x24\x74\x49", 0, 4}, /* 1e6: another shape */
      {"token <|fim_prefix|>", "<|fim_perfix|>", 8, 14},         /* another vocabulary */
  };
  char *folder = make_temp(), *gguf = file_of(folder, "m.gguf"), err[1024] = "";
  image small = small_gguf(NULL, 0);
  write_file(gguf, small.data, small.size);
  fixture f = {.folder = gguf};
  if (open_engine(&f, "cpu", err, sizeof err)) fail_msg("%s", err);
  assert_int_equal(engine_session_new(f.e, &f.s), 0);
  int32_t ids[3] = {1, 2, 3};
  assert_int_equal(engine_session_sync(f.s, ids, 3, NULL, NULL), 0);
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    char saved[16];
    uint8_t *at = small.data + image_find(&small, changes[i].mark) + changes[i].skip;
    memcpy(saved, at, (size_t)changes[i].n);
    memcpy(at, changes[i].bytes, (size_t)changes[i].n);
    write_file(gguf, small.data, small.size);
    assert_int_equal(engine_session_sync(f.s, ids, 3, NULL, NULL), ENGINE_EFILE);
    assert_non_null(strstr(f.words, "is another model now"));
    memcpy(at, saved, (size_t)changes[i].n);
    write_file(gguf, small.data, small.size);
    assert_int_equal(engine_session_sync(f.s, ids, 3, NULL, NULL), 0);
  }
  engine_session_delete(f.s);
  engine_close(f.e);
  image_free(&small);
  free(gguf);
  remove_tree(folder);
  free(folder);
}

/* Whatever the file's mode, it is mapped to be read and no handle is kept. */
static void files_are_only_read(void **state) {
  use_ours(state);
  fixture f;
  begin_with_mode(&f, "cpu", 0400);
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[1024];
  int seen = 0;
  while (fgets(line, sizeof line, maps)) {
    if (!strstr(line, f.folder)) continue;
    seen++;
    if (!strstr(line, " r--p ")) fail_msg("%s", line);
  }
  fclose(maps);
  assert_int_equal(seen, 1);
  DIR *dir = opendir("/proc/self/fd");
  for (struct dirent *e; (e = readdir(dir));) {
    char at[64];
    snprintf(at, sizeof at, "/proc/self/fd/%.16s", e->d_name);
    ssize_t n = readlink(at, line, sizeof line - 1);
    line[n > 0 ? n : 0] = 0;
    assert_null(strstr(line, f.folder));
  }
  closedir(dir);
  end(&f);
}

int main(void) {
  check_default_action();
  char err[256];
  mapping *first;
  signal(SIGBUS, on_other);
  if (mapping_open(&first, TINY "/config.json", err, sizeof err)) return 1;
  sigaction(SIGBUS, NULL, &ours);
  mapping_close(first);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cut_file_reads_as_zeros),
      cmocka_unit_test(other_faults_go_on),
      cmocka_unit_test(replaced_file_goes_on),
      cmocka_unit_test(small_files_are_copied),
      cmocka_unit_test(cut_between_two_uses),
      cmocka_unit_test(cut_while_writing),
      cmocka_unit_test(cut_while_loading),
      cmocka_unit_test(removed_and_replaced_files_go_on),
      cmocka_unit_test(overwritten_files_are_read_again),
      cmocka_unit_test(another_model_is_refused),
      cmocka_unit_test(files_are_only_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
