/* scanner_memory.h - put in front of the grammars' scanners: they allocate as tree-sitter does.
 *
 * Some would call malloc themselves, and none looks at what comes back. */
#ifndef FIMD_GRAMMARS_SCANNER_MEMORY_H
#define FIMD_GRAMMARS_SCANNER_MEMORY_H

#include <stdlib.h>

extern void *(*ts_current_malloc)(size_t size);
extern void *(*ts_current_calloc)(size_t n, size_t size);
extern void *(*ts_current_realloc)(void *p, size_t size);
extern void (*ts_current_free)(void *p);

#define malloc(size) ts_current_malloc(size)
#define calloc(n, size) ts_current_calloc(n, size)
#define realloc(p, size) ts_current_realloc(p, size)
#define free(p) ts_current_free(p)

#endif
