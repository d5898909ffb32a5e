/* host.c - see host.h. Memory comes from mmap: zeroed and untouched until used, so a generous
 * bound (the logits of a whole batch, a long context) costs nothing. */
#include "kernels/cpu/host.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, ALIGN = 64 };

/* ---- memory ---------------------------------------------------------------------------- */

size_t host__mul(size_t a, size_t b) {
  size_t r;
  return __builtin_mul_overflow(a, b, &r) ? SIZE_MAX : r;
}

size_t host__add(size_t a, size_t b) {
  size_t r;
  return __builtin_add_overflow(a, b, &r) ? SIZE_MAX : r;
}

/* Small objects come from the heap, where the address sanitizer watches their bounds. */
static bool is_mapped(size_t bytes) { return bytes >= HUGE_PAGE; }

void *host__alloc(size_t bytes) {
  if (bytes == 0) bytes = 1;
  if (bytes > PTRDIFF_MAX - HUGE_PAGE) return NULL;
  if (!is_mapped(bytes)) {
    size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    void *p = aligned_alloc(ALIGN, rounded);
    if (p) memset(p, 0, rounded);
    return p;
  }
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p == MAP_FAILED ? NULL : p;
}

void host__free(void *p, size_t bytes) {
  if (!p) return;
  if (is_mapped(bytes)) munmap(p, bytes);
  else free(p);
}

void host__want_huge_pages(void *p, size_t bytes) {
  if (is_mapped(bytes)) madvise(p, bytes, MADV_HUGEPAGE); /* whatever it answers */
}

/* ---- buffers --------------------------------------------------------------------------- */

int host__buffer_new(kernels *k, const float *data, size_t count, kernels_buffer **out) {
  (void)k;
  size_t data_bytes = host__mul(count, sizeof(float)), bytes = host__add(data_bytes, ALIGN);
  _Static_assert(sizeof(host_buffer) <= ALIGN, "the head fits before the data");
  host_buffer *b = host__alloc(bytes);
  if (!b) return KERNELS_ENOMEM;
  b->bytes = bytes;
  b->data = (float *)(void *)((char *)b + ALIGN);
  if (data) memcpy(b->data, data, data_bytes);
  *out = &b->head;
  return KERNELS_OK;
}

int host__buffer_read(kernels *k, const kernels_buffer *b, float *out, size_t count) {
  (void)k;
  memcpy(out, host__data(b), count * sizeof *out);
  return KERNELS_OK;
}

void host__buffer_free(kernels *k, kernels_buffer *b) {
  (void)k;
  host__free(b, ((host_buffer *)b)->bytes);
}

size_t host__row_bytes(const kernels_matrix *m) {
  kernels_matrix row = {.type = m->type, .rows = 1, .cols = m->cols};
  return (size_t)kernels_matrix_bytes(&row);
}

/* ---- results --------------------------------------------------------------------------- */

enum { RUN = 32 };

static bool any_above(const float *x, float bound) {
  int any = 0;
  for (int j = 0; j < RUN; j++) any |= x[j] > bound;
  return any != 0;
}

void host__top_k(const float *logits, int n, int k, int32_t *ids, float *values) {
  int have = 0;
  for (int i = 0; i < n; i++) {
    /* Most runs of logits hold none that is good enough; that is quickly seen. */
    for (; have == k && i + RUN <= n && !any_above(logits + i, values[k - 1]); i += RUN) {}
    if (i == n) break;
    float v = logits[i] == logits[i] ? logits[i] : -__builtin_inff();
    if (have == k && !(v > values[k - 1])) continue;
    int at = have < k ? have++ : k - 1;
    while (at > 0 && v > values[at - 1]) {
      values[at] = values[at - 1];
      ids[at] = ids[at - 1];
      at--;
    }
    values[at] = v;
    ids[at] = i;
  }
}

float host__logsumexp(const float *logits, int n, float most) {
  double sum = 0;
  if (most == -INFINITY) return most; /* no number among them */
  for (int i = 0; i < n; i++)
    if (logits[i] == logits[i]) sum += exp((double)logits[i] - most);
  return (float)(most + log(sum));
}

int host__results_init(host_results *r, int max_out) {
  size_t n = (size_t)max_out * KERNELS_TOP_K_MAX;
  r->top_ids = calloc(n, sizeof *r->top_ids);
  r->top_logits = calloc(n, sizeof *r->top_logits);
  r->logsumexp = calloc((size_t)max_out, sizeof *r->logsumexp);
  return r->top_ids && r->top_logits && r->logsumexp ? KERNELS_OK : KERNELS_ENOMEM;
}

int host__results_grow(host_results *r, int n_out, int vocab) {
  size_t bytes = host__mul(host__mul((size_t)n_out, (size_t)vocab), sizeof(float));
  if (bytes <= r->logits_bytes) return KERNELS_OK;
  float *logits = host__alloc(bytes);
  if (!logits) return KERNELS_ENOMEM;
  host__free(r->logits, r->logits_bytes);
  r->logits = logits;
  r->logits_bytes = bytes;
  return KERNELS_OK;
}

void host__results_free(host_results *r) {
  host__free(r->logits, r->logits_bytes);
  free(r->top_ids);
  free(r->top_logits);
  free(r->logsumexp);
  *r = (host_results){0};
}

void host__results_get(const host_results *r, const kernels_batch *b, kernels_result *result) {
  if (result->n_out == 0) return;
  result->top_ids = r->top_ids;
  result->top_logits = r->top_logits;
  result->logits = b->want_logits ? r->logits : NULL;
  result->logsumexp = b->want_logsumexp ? r->logsumexp : NULL;
}
