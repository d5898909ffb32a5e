/* mapping.c - files in memory, and the one handler of SIGBUS. See mapping.h.
 *
 * The kernel answers a read behind the end of a mapped file with SIGBUS, whoever reads: a
 * parser, a kernel's thread, a driver. There is no call that could fail instead, so a handler puts
 * zeros there, notes it, and lets the read go on; whoever uses the model asks afterwards. What it
 * needs to know is process-wide, as a signal is: a list of slots that grows and is never freed, so
 * that the handler may walk it without a lock while other threads open and close files. */
#include "engine/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/engine.h"

typedef struct slot {
  struct slot *next;     /* set before the slot is in the list, and never again */
  atomic_bool taken;
  atomic_uintptr_t base; /* 0: nothing is mapped */
  atomic_size_t size;
  atomic_bool damaged;
} slot;

struct mapping {
  slot *slot;
  char *path; /* owned */
  struct stat opened;
};

/* ---- the handler ----------------------------------------------------------------------- */

static _Atomic(slot *) slots;
static pthread_once_t installed = PTHREAD_ONCE_INIT;
static struct sigaction previous; /* written once, before the handler can run */
static uintptr_t page;

/* Zeros from the page of the fault to the mapping's end. */
static bool mend(uintptr_t at) {
  for (slot *s = atomic_load(&slots); s; s = s->next) {
    uintptr_t base = atomic_load(&s->base);
    size_t size = atomic_load(&s->size);
    if (!base || at < base || at - base >= size || atomic_load(&s->base) != base) continue;
    uintptr_t from = at & ~(page - 1);
    atomic_store(&s->damaged, true);
    return mmap((void *)from, base + size - from, PROT_READ,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
  }
  return false;
}

/* Only what a signal handler may do: atomics and system calls. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
  int saved = errno;
  bool mended = info->si_code > 0 && mend((uintptr_t)info->si_addr);
  errno = saved;
  if (mended) return;
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(number, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(number);
  } else { /* the read is tried again, and ends the process as it would have without us */
    sigaction(number, &previous, NULL);
    if (info->si_code <= 0) raise(number);
  }
}

static void install(void) {
  page = (uintptr_t)sysconf(_SC_PAGESIZE);
  struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGBUS, NULL, &previous) == 0) sigaction(SIGBUS, &action, NULL);
}

/* A free slot, or a new one; NULL: out of memory. */
static slot *slot_take(void) {
  for (slot *s = atomic_load(&slots); s; s = s->next) {
    bool taken = false;
    if (atomic_compare_exchange_strong(&s->taken, &taken, true)) return s;
  }
  slot *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  atomic_init(&s->taken, true);
  s->next = atomic_load(&slots);
  while (!atomic_compare_exchange_weak(&slots, &s->next, s)) continue;
  return s;
}

/* ---- mappings -------------------------------------------------------------------------- */

/* An open file that can be read whole; *st is what it is. */
static int open_regular(const char *path, int *fd, struct stat *st, char *err, size_t errlen) {
  /* O_NONBLOCK: a FIFO in the place of a model must not hang the daemon. */
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (*fd < 0) {
    int missing = errno == ENOENT || errno == ENOTDIR;
    snprintf(err, errlen, "%s: %s", path, strerror(errno));
    return missing ? ENGINE_ENOTFOUND : ENGINE_EFORMAT;
  }
  if (fstat(*fd, st) != 0) snprintf(err, errlen, "%s: %s", path, strerror(errno));
  else if (!S_ISREG(st->st_mode)) snprintf(err, errlen, "%s: is not a regular file", path);
  else if (st->st_size <= 0) snprintf(err, errlen, "%s: the file is empty (at byte 0)", path);
  else return 0;
  close(*fd);
  return ENGINE_EFORMAT;
}

static int map(mapping *m, int fd, char *err, size_t errlen) {
  size_t size = (size_t)m->opened.st_size;
  void *base = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (base == MAP_FAILED) {
    int status = errno == ENOMEM ? ENGINE_ENOMEM : ENGINE_EFORMAT;
    snprintf(err, errlen, "%s: cannot be mapped: %s", m->path, strerror(errno));
    return status;
  }
  atomic_store(&m->slot->damaged, false);
  atomic_store(&m->slot->size, size);
  atomic_store(&m->slot->base, (uintptr_t)base);
  return 0;
}

int mapping_open(mapping **out, const char *path, char *err, size_t errlen) {
  *out = NULL;
  pthread_once(&installed, install);
  int fd;
  struct stat st;
  int status = open_regular(path, &fd, &st, err, errlen);
  if (status) return status;
  mapping *m = calloc(1, sizeof *m);
  if (m) {
    m->opened = st;
    m->slot = slot_take();
    m->path = strdup(path);
  }
  if (!m || !m->slot || !m->path) {
    status = ENGINE_ENOMEM;
    snprintf(err, errlen, "out of memory");
  } else {
    status = map(m, fd, err, errlen);
  }
  close(fd);
  if (status) mapping_close(m);
  else *out = m;
  return status;
}

void mapping_close(mapping *m) {
  if (!m) return;
  if (m->slot) {
    uintptr_t base = atomic_exchange(&m->slot->base, 0);
    if (base) munmap((void *)base, atomic_load(&m->slot->size));
    atomic_store(&m->slot->taken, false);
  }
  free(m->path);
  free(m);
}

const uint8_t *mapping_data(const mapping *m, size_t *size) {
  *size = atomic_load(&m->slot->size);
  return (const uint8_t *)atomic_load(&m->slot->base);
}

/* ---- changes --------------------------------------------------------------------------- */

bool mapping_is_damaged(const mapping *m) { return atomic_load(&m->slot->damaged); }

bool mapping_is_changed(const mapping *m) {
  struct stat now;
  const struct stat *then = &m->opened;
  if (mapping_is_damaged(m)) return true;
  /* Another file in its place, or none: ours is still whole. */
  if (stat(m->path, &now) != 0 || now.st_dev != then->st_dev || now.st_ino != then->st_ino)
    return false;
  return now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
         now.st_mtim.tv_nsec != then->st_mtim.tv_nsec;
}

/* ---- copies ---------------------------------------------------------------------------- */

int mapping_read_file(const char *path, size_t max, uint8_t **data, size_t *size, char *err,
                      size_t errlen) {
  int fd;
  struct stat st;
  *data = NULL;
  *size = 0;
  int status = open_regular(path, &fd, &st, err, errlen);
  if (status) return status;
  size_t want = (size_t)st.st_size;
  if ((uint64_t)st.st_size > max) {
    status = ENGINE_EFORMAT;
    snprintf(err, errlen, "%s: the file has %lld bytes; at most %zu are allowed (at byte %zu)",
             path, (long long)st.st_size, max, max);
  } else if (!(*data = malloc(want))) {
    status = ENGINE_ENOMEM;
    snprintf(err, errlen, "out of memory");
  }
  while (!status && *size < want) {
    ssize_t got = read(fd, *data + *size, want - *size);
    if (got > 0) *size += (size_t)got;
    else if (got == 0) break; /* cut meanwhile: the reader sees a text that ends early */
    else if (errno != EINTR) {
      status = ENGINE_EFORMAT;
      snprintf(err, errlen, "%s: %s", path, strerror(errno));
    }
  }
  close(fd);
  if (status) {
    free(*data);
    *data = NULL;
  }
  return status;
}
