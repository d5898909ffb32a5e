/* tree_memory.h - where tree-sitter gets its memory, as it ends the process where it gets none.
 *
 * When malloc fails tree-sitter is given memory of a reserve, and the thread is marked short: its
 * parse stops at the next chance, and what was made is given back, so that the reserve is whole
 * again. A document then has no tree for that request, and is parsed anew at the next one.
 * Only where the reserve ends, too, is tree-sitter left to its own end: COMPLETION__TREE_RESERVE is
 * what all threads together may take between two chances to stop. */
#ifndef FIMD_COMPLETION_TREE_MEMORY_H
#define FIMD_COMPLETION_TREE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#define COMPLETION__TREE_RESERVE ((size_t)16 << 20) /* bytes; they are touched only when needed */

/* Before what is tree-sitter's, on any thread, as often as one likes: it allocates here from then
 * on, and the reserve is filled. */
void completion__tree_memory_fill(void);
/* Has this thread been given memory of the reserve? */
bool completion__tree_memory_short(void);
/* The same, and forgets it. */
bool completion__tree_memory_was_short(void);
/* Frees what tree-sitter hands out to be freed by us. NULL is a no-op. */
void completion__tree_memory_free(void *p);
/* Blocks of the reserve that are in use, for tests. */
size_t completion__tree_memory_in_use(void);

#endif
