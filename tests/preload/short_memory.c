/* short_memory.c - a library to preload: allocations fail when a test says so.
 *
 * FIMD_SHORT_MEMORY names a file of 64-bit numbers that the test and the program share:
 *   [0] the first allocation that fails, counted from 1 since [3] was set to 0; 0: none does
 *   [1] how many fail from there on
 *   [2] not 0: only those of the program's first thread count
 *   [3] counted so far    [4] failed so far
 * Allocations of all libraries pass here from main on, those within libc, too. With FIMD_SHORT_MEMORY_TRACE each
 * one that fails is named on standard error. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST, SPAN, ONE_THREAD, COUNTED, FAILED, NUMBERS };

static _Atomic int64_t *shared; /* [NUMBERS], NULL where there is no file */
static bool trace;
static _Thread_local bool tracing;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void *(*next_aligned_alloc)(size_t, size_t);
static int (*next_posix_memalign)(void **, size_t, size_t);

/* What dlsym itself may ask for before we know where to get it; never freed. */
static char early[4096];
static size_t early_used;

static void find_next(void) {
  if (next_malloc) return;
  next_calloc = dlsym(RTLD_NEXT, "calloc");
  next_realloc = dlsym(RTLD_NEXT, "realloc");
  next_aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
  next_posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
  next_malloc = dlsym(RTLD_NEXT, "malloc");
}

static void begin(void) {
  const char *path = getenv("FIMD_SHORT_MEMORY");
  find_next();
  trace = getenv("FIMD_SHORT_MEMORY_TRACE") != NULL;
  void *first[1];
  if (trace) backtrace(first, 1); /* loads what it needs now */
  int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *at = mmap(NULL, NUMBERS * sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (at != MAP_FAILED) shared = at;
}

/* What CUDA's library does before main, and would not survive, is not ours. */
typedef int main_function(int argc, char **argv, char **envp);
typedef int start_function(main_function *main, int argc, char **argv, void (*init)(void),
                           void (*fini)(void), void (*loader_fini)(void), void *stack_end);

static main_function *programs_main;

static int begin_main(int argc, char **argv, char **envp) {
  begin();
  return programs_main(argc, argv, envp);
}

int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void *stack_end);
int __libc_start_main(main_function *main, int argc, char **argv, void (*init)(void),
                      void (*fini)(void), void (*loader_fini)(void), void *stack_end) {
  start_function *next;
  *(void **)&next = dlsym(RTLD_NEXT, "__libc_start_main");
  programs_main = main;
  return next(begin_main, argc, argv, init, fini, loader_fini, stack_end);
}

static void tell(void) {
  void *frames[24];
  tracing = true;
  int n = backtrace(frames, 24);
  backtrace_symbols_fd(frames + 2, n - 2, 2);
  if (write(2, "\n", 1) < 0) errno = 0;
  tracing = false;
}

/* The address sanitizer asks libc about each new thread, and ends the program without an answer. */
static bool is_sanitizers(void *caller) {
  Dl_info info;
  return dladdr(caller, &info) && info.dli_sname && strcmp(info.dli_sname, "pthread_getattr_np") == 0;
}

static bool fails(void *caller) {
  find_next();
  if (!shared || tracing) return false;
  int64_t first = atomic_load(&shared[FIRST]);
  if (first == 0 || (atomic_load(&shared[ONE_THREAD]) && syscall(SYS_gettid) != getpid()))
    return false;
  int64_t n = atomic_fetch_add(&shared[COUNTED], 1) + 1;
  if (n < first || n - first >= atomic_load(&shared[SPAN])) return false;
  if (is_sanitizers(caller)) return false;
  atomic_fetch_add(&shared[FAILED], 1);
  if (trace) tell();
  errno = ENOMEM;
  return true;
}

void *malloc(size_t size) { return fails(__builtin_return_address(0)) ? NULL : next_malloc(size); }

void *calloc(size_t n, size_t size) {
  if (!next_calloc) {
    size_t bytes = (n * size + 15) / 16 * 16;
    if (bytes > sizeof early - early_used) return NULL;
    early_used += bytes;
    return early + early_used - bytes;
  }
  return fails(__builtin_return_address(0)) ? NULL : next_calloc(n, size);
}

void *realloc(void *old, size_t size) { return fails(__builtin_return_address(0)) ? NULL : next_realloc(old, size); }

void *aligned_alloc(size_t alignment, size_t size) {
  return fails(__builtin_return_address(0)) ? NULL : next_aligned_alloc(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  return fails(__builtin_return_address(0)) ? ENOMEM : next_posix_memalign(out, alignment, size);
}
