/* pool.h - a few threads that share out the items of one loop after another.
 *
 * pool__run(p, n, work, arg) calls work(arg, i, thread) once for every i in 0..n-1, on the
 * calling thread (thread 0) and on the pool's workers (1..threads-1), and returns when all are
 * done. Which thread takes an item is left to chance, so items must not depend on it. */
#ifndef FIMD_KERNELS_CPU_POOL_H
#define FIMD_KERNELS_CPU_POOL_H

typedef struct pool pool;

/* NULL if memory or threads ran out. threads >= 1 counts the caller. */
pool *pool__new(int threads);
void pool__delete(pool *p); /* NULL is a no-op */
int pool__threads(const pool *p);
/* How many threads "all" means: the cores that this process may run on. */
int pool__cores(void);

/* One caller at a time. */
void pool__run(pool *p, int items, void (*work)(void *arg, int item, int thread), void *arg);

#endif
