/* seed_bench.c - what it takes to keep the n-gram pool: reading a workspace, and following edits
 * while it is read and afterwards.
 *   seed_bench DIR
 * Prints the folder's size, the time and memory of the pool, and for keystrokes in files of it (a
 * letter typed at a random place, the text handed over anew) how long the pool took to follow. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "completion/seed.h"
#include "completion/workspace.h"

#define FILES 40
#define KEYSTROKES 250 /* in each file */

typedef struct sample {
  char *paths[20000];
  int n;
} sample;

static int keep(void *user, const char *path) {
  sample *s = user;
  if (s->n < 20000) s->paths[s->n++] = strdup(path);
  return 0;
}

static double resident_mb(void) {
  long pages = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f == NULL || fscanf(f, "%*s %ld", &pages) != 1) pages = 0;
  if (f != NULL) fclose(f);
  return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static char *read_file(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  char *text = malloc((size_t)2 << 20);
  *len = 0;
  if (f != NULL && text != NULL) *len = fread(text, 1, ((size_t)2 << 20) - 4096, f);
  if (f != NULL) fclose(f);
  return text;
}

/* Types into the files; the milliseconds of every keystroke's update are added to ms[n]. */
static void type(engine *e, engine_pool *pool, const sample *s, double *ms, int *n, double *first,
                 size_t *largest) {
  uint32_t seed = 7;
  for (int i = 0; i < FILES && i < s->n; i++) {
    size_t len;
    seed = seed * 1664525u + 1013904223u;
    char *text = read_file(s->paths[(seed >> 8) % (uint32_t)s->n], &len);
    completion__seed *d = NULL;
    for (int k = 0; text != NULL && k <= KEYSTROKES; k++) {
      completion__text *t = completion__text_new(text, len, NULL);
      double start = completion__now_ms();
      if (t == NULL || completion__seed_sync(&d, pool, e, t) != 0) printf("out of memory\n");
      double took = completion__now_ms() - start;
      if (k > 0) ms[(*n)++] = took;
      else if (took > *first) *first = took, *largest = len;
      completion__text_release(t);
      seed = seed * 1664525u + 1013904223u;
      size_t at = len ? (seed >> 8) % len : 0;
      while (at < len && completion__utf8_inside(text[at])) at++;
      memmove(text + at + 1, text + at, len - at);
      text[at] = "abc (){};\n"[k % 10];
      len++;
    }
    completion__seed_delete(d);
    free(text);
  }
}

static void report(const char *when, double *ms, int n, double first, size_t largest) {
  if (n == 0) return;
  qsort(ms, (size_t)n, sizeof *ms, by_size);
  printf("%s: %d keystrokes, p50 %.3f ms, p99 %.3f ms, most %.3f ms; opening a file of %.0f kB "
         "%.1f ms\n", when, n, ms[n / 2], ms[n * 99 / 100], ms[n - 1], (double)largest / 1e3, first);
}

int main(int argc, char **argv) {
  engine *e;
  engine_pool *pool;
  char err[512];
  static sample files;
  static double ms[FILES * KEYSTROKES];
  if (argc != 2) {
    fprintf(stderr, "usage: seed_bench DIR\n");
    return 2;
  }
  if (engine_open(&e, &(engine_options){.backend = "cpu"}, err, sizeof err) != ENGINE_OK) {
    fprintf(stderr, "%s\n", err);
    return 1;
  }
  double before = resident_mb();
  if (engine_pool_new(&pool, 0) != ENGINE_OK) return 1;
  completion__workspace *w = completion__workspace_new(e, pool);
  if (w == NULL || completion__workspace_add(w, argv[1]) != 0) return 1;
  completion__workspace_wait(w);
  completion_workspace_info info = completion__workspace_get_info(w);
  engine_pool_info p = engine_pool_get_info(pool);
  malloc_trim(0);
  printf("%s: %d files, %.1f MB, %zu tokens in %.2f s; indexes %.1f MB (%.1f bytes a token), "
         "resident +%.1f MB; %zu files had no room\n", argv[1], info.files, (double)info.bytes / 1e6,
         p.tokens, info.ms / 1e3, (double)p.bytes / 1e6, (double)p.bytes / (double)p.tokens,
         resident_mb() - before, p.left_out);
  completion__workspace_each(w, keep, &files);
  int n = 0;
  double first = 0;
  size_t largest = 0;
  type(e, pool, &files, ms, &n, &first, &largest);
  report("afterwards", ms, n, first, largest);
  completion__workspace_remove(w, argv[1]); /* read again, while typing goes on */
  completion__workspace_add(w, argv[1]);
  n = 0;
  first = 0;
  type(e, pool, &files, ms, &n, &first, &largest);
  bool busy = completion__workspace_get_info(w).busy;
  report(busy ? "while it is read" : "while it is read (and a little longer)", ms, n, first, largest);
  completion__workspace_delete(w);
  engine_pool_delete(pool);
  engine_close(e);
  for (int i = 0; i < files.n; i++) free(files.paths[i]);
  return 0;
}
