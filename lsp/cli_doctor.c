/* cli_doctor.c - `fimd doctor`: each thing a completion needs, a tick or a cross with one fix.
 *
 * A machine without a GPU is a tick: completions work there, only slower. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli.h"
#include "lsp/cli_doctor.h"

static void put_line(const char *mark, const char *what, const char *format, va_list args) {
  printf("  %s %-12s ", mark, what);
  vprintf(format, args);
  putchar('\n');
}

void cli_doctor_tick(const char *what, const char *format, ...) {
  va_list args;
  va_start(args, format);
  put_line("\u2713", what, format, args);
  va_end(args);
}

void cli_doctor_note(const char *what, const char *format, ...) {
  va_list args;
  va_start(args, format);
  put_line("\u00b7", what, format, args);
  va_end(args);
}

void cli_doctor_cross(int *crosses, const char *what, const char *fix, const char *format, ...) {
  va_list args;
  va_start(args, format);
  put_line("\u2717", what, format, args);
  va_end(args);
  printf("      fix: %s\n", fix);
  ++*crosses;
}

/* ---- the machine ----------------------------------------------------------------------- */

/* The first "name: value" line of a /proc file whose name begins with key. */
static bool proc_value(const char *path, const char *key, char *out, size_t size) {
  FILE *f = fopen(path, "r");
  if (f == NULL) return false;
  static const size_t max = 8192;
  char *line = malloc(max);
  bool found = false;
  while (line != NULL && !found && fgets(line, (int)max, f) != NULL) {
    if (strncmp(line, key, strlen(key)) != 0) continue;
    const char *value = strchr(line, ':');
    if (value == NULL) continue;
    value += 1 + strspn(value + 1, " \t");
    snprintf(out, size, "%.*s", (int)strcspn(value, "\n"), value);
    found = true;
  }
  free(line);
  fclose(f);
  return found;
}

static void check_cpu(int *crosses) {
  char name[128] = "unknown";
  proc_value("/proc/cpuinfo", "model name", name, sizeof name);
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni");
  if (avx2)
    cli_doctor_tick("CPU", "%s: AVX2%s", name, avx512 ? ", AVX-512 VNNI" : "");
  else
    cli_doctor_cross(crosses, "CPU", "run on a CPU with AVX2 (2013 or later), or on a GPU",
                     "%s: no AVX2, the portable code is several times slower", name);
#else
  (void)crosses;
  cli_doctor_tick("CPU", "%s: portable code", name);
#endif
}

/* The device's own memory, where it has some, and how much of it the model may take. */
static void check_device_memory(const cli_options *o, const engine *e) {
  const engine_info *i = engine_get_info(e);
  char limit[64] = "", idle[64] = "";
  if (o->engine.gpu_memory > 0)
    snprintf(limit, sizeof limit, ", --gpu-memory %.1f GB", (double)o->engine.gpu_memory / 1e9);
  if (o->engine.unload_after_ms > 0)
    snprintf(idle, sizeof idle, ", given back after %g min without a request",
             o->engine.unload_after_ms / 60e3);
  if (i->device_total > 0)
    cli_doctor_tick("GPU memory", "%.1f of %.1f GB left beside the model%s%s",
                    (double)i->device_free / 1e9, (double)i->device_total / 1e9, limit, idle);
  else if (limit[0] != '\0' || idle[0] != '\0')
    cli_doctor_tick("model memory", "the machine's own%s%s",
                    limit[0] != '\0' ? "; --gpu-memory is of no use" : "", idle);
}

static void check_memory(int *crosses, const engine *e) {
  char text[64];
  if (!proc_value("/proc/meminfo", "MemAvailable", text, sizeof text)) return;
  double available = strtod(text, NULL) * 1024;
  double needed = e == NULL ? 0 : (double)engine_get_info(e)->weight_bytes * 0.5;
  if (available > needed + 256e6)
    cli_doctor_tick("memory", "%.1f GB available", available / 1e9);
  else
    cli_doctor_cross(crosses, "memory",
                     "close other programs, or choose a smaller model with --model",
                     "only %.1f GB available", available / 1e9);
}

/* The driver's own library is asked, by dlopen: fimd runs on machines that have none. */
static void check_gpu(void) {
  void *cuda = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  int (*init)(unsigned) = NULL, (*version)(int *) = NULL, (*count)(int *) = NULL;
  int (*device_name)(char *, int, int) = NULL;
  int n = 0, v = 0;
  char name[128] = "";
  if (cuda != NULL) {
    *(void **)&init = dlsym(cuda, "cuInit");
    *(void **)&version = dlsym(cuda, "cuDriverGetVersion");
    *(void **)&count = dlsym(cuda, "cuDeviceGetCount");
    *(void **)&device_name = dlsym(cuda, "cuDeviceGetName");
  }
  if (init != NULL && count != NULL && init(0) == 0 && count(&n) == 0 && n > 0 &&
      device_name != NULL)
    device_name(name, sizeof name, 0);
  if (version != NULL) version(&v);
  if (n > 0)
    cli_doctor_tick("GPU", "%s, driver for CUDA %d.%d", name, v / 1000, v % 1000 / 10);
  else
    cli_doctor_tick("GPU", "none (%s): completions run on the CPU",
                    cuda == NULL ? "no NVIDIA driver is installed" : "the driver finds no device");
  if (cuda != NULL) dlclose(cuda);
}

/* ---- fimd itself ----------------------------------------------------------------------- */

static void check_grammars(int *crosses) {
  char bad[256] = "";
  int n = completion_check_languages(bad, sizeof bad);
  if (bad[0] == '\0')
    cli_doctor_tick("grammars", "%d languages, ABI accepted", n);
  else
    cli_doctor_cross(crosses, "grammars", "rebuild from a clean tree: make clean && make",
                     "cannot be loaded: %s", bad);
}

static void check_model(int *crosses, const engine *e) {
  const engine_info *i = engine_get_info(e);
  bool fim = i->special.fim_prefix >= 0 && i->special.fim_suffix >= 0 && i->special.fim_middle >= 0;
  if (fim)
    cli_doctor_tick("model", "%s, %.0f M parameters, %s, %.0f MB, context %d of %d (%s)", i->model,
                    (double)i->parameters / 1e6, i->types, (double)i->weight_bytes / 1e6,
                    i->context, i->trained_context, i->path);
  else
    cli_doctor_cross(crosses, "model", "choose a Qwen2.5-Coder model with --model",
                     "%s has no fill-in-the-middle tokens", i->model);
  cli_doctor_tick("backend", "%s%s%s", i->backend, i->backend_note[0] != '\0' ? "; " : "",
                  i->backend_note);
}

static void check_completion(int *crosses, const cli_options *o, engine *e) {
  static const char text[] = "def add(a, b):\n    return \n\n\nprint(add(1, 2))\n";
  completion_document d = {
      .uri = "file:///doctor.py", .language_id = "python", .text = text, .len = sizeof text - 1};
  completion_query q = {.uri = d.uri, .offset = 26, .mode = COMPLETION_SINGLE_LINE};
  completion *c = NULL;
  cli_result r = {0};
  int rc = completion_new(&c, e, &o->completion);
  if (rc == COMPLETION_OK) rc = completion_document_set(c, &d);
  if (rc == COMPLETION_OK) rc = cli_run(c, &q, &r);
  if (rc == COMPLETION_OK)
    cli_doctor_tick("completion", "'    return %s' in %.1f ms (prompt %d tokens, %d generated)",
                    r.text, r.stats.total_ms, r.stats.prompt_tokens, r.stats.tokens);
  else
    cli_doctor_cross(crosses, "completion",
                     "try --backend cpu-reference, and report it if that works", "failed: %s",
                     r.message != NULL ? r.message : completion_strstatus(rc));
  cli_result_free(&r);
  completion_delete(c);
}

static int check_all(const cli_options *o) {
  int crosses = 0;
  char err[1024] = "";
  engine *e = NULL;
  check_cpu(&crosses);
  int rc = engine_open(&e, &o->engine, err, sizeof err);
  check_gpu();
  check_memory(&crosses, e);
  check_grammars(&crosses);
  if (rc == ENGINE_OK) {
    check_device_memory(o, e);
    check_model(&crosses, e);
    check_completion(&crosses, o, e);
  } else {
    cli_doctor_cross(&crosses, "model",
                     rc == ENGINE_ENOMEM
                         ? "take one of the ways that it names"
                         : "name a model that is there, or leave out --model for the embedded one",
                     "%s", err);
  }
  engine_close(e);
  return crosses;
}

int cli_doctor(const cli_options *o) {
  int crosses = 0;
  const char *editor = o->n_args > 0 ? o->args[0] : NULL;
  if (o->n_args > 1 || (editor != NULL && !cli_doctor_knows_editor(editor))) {
    if (o->n_args == 1) fprintf(stderr, "fimd: doctor does not know '%s'\n", editor);
    fprintf(stderr, "fimd: usage: fimd doctor [neovim|emacs|vscode]\n");
    return 2;
  }
  printf("fimd " FIMD_VERSION "\n");
  fflush(stdout);
  if (editor == NULL) crosses = check_all(o);
  crosses += cli_doctor_editors(editor);
  if (crosses > 0) printf("%d thing%s to fix\n", crosses, crosses == 1 ? "" : "s");
  return crosses > 0;
}
