/* fuzz_trace.c - a recording of --trace-file from somebody else: it is refused with words, or it
 * is read, and then asked what a player asks. */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "lsp/cli_trace.h"
#include "lsp/json.h"

FUZZ_RUNS(15000);

static void ask(trace_file *f) {
  for (size_t i = 0; i < f->n; i++) {
    const trace_entry *e = &f->entries[i];
    FUZZ_ASSERT(e->message && e->raw >= f->text);
    if (!e->from_client) trace__take(f, e->message, true, e->ms);
  }
  for (size_t i = 0; i < f->n_requests; i++) {
    trace_request *r = &f->requests[i];
    FUZZ_ASSERT(r->entry < f->n && r->id && r->method);
    r->sent = 1;
    FUZZ_ASSERT(trace__find(f, lsp__json_get(f->entries[r->entry].message, "id")));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static FILE *quiet;
  char path[64];
  trace_file f;
  if (!quiet) quiet = fopen("/dev/null", "w");
  int fd = memfd_create("trace", MFD_CLOEXEC);
  FUZZ_ASSERT(quiet && fd >= 0 && write(fd, data, size) == (ssize_t)size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  FILE *err = stderr;
  stderr = quiet; /* what it complains of is not read here */
  bool good = trace__open(&f, path);
  stderr = err;
  if (good) ask(&f);
  trace__close(&f);
  close(fd);
  return 0;
}
