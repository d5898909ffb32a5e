/* grammars.h - which languages tree-sitter can read here, and what goes with each.
 *
 * A constant table: LSP language ids and file endings to a grammar, its tags query and its
 * comment marks. Needs no initialisation; every pointer is valid for the process's life. */
#ifndef FIMD_GRAMMARS_H
#define FIMD_GRAMMARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tree_sitter/api.h>

/* How a language marks the extent of a block: what a stop rule has to watch. */
typedef enum grammars_blocks {
  GRAMMARS_BLOCKS_BRACES,  /* { ... } */
  GRAMMARS_BLOCKS_INDENT,  /* a colon, then deeper indentation */
  GRAMMARS_BLOCKS_KEYWORD, /* ... end, fi, done, esac */
  GRAMMARS_BLOCKS_TAGS,    /* <a> ... </a> */
} grammars_blocks;

typedef struct grammars_language {
  const char *name;               /* of the table: "c-sharp" */
  const TSLanguage *(*grammar)(void);
  const char *tags;               /* zero-terminated query with @name and @definition.* */
  const char *const *ids;         /* LSP language ids, NULL-terminated */
  const char *const *endings;     /* of file names, with the dot, NULL-terminated */
  const char *line_comment;       /* "//" or NULL */
  const char *line_comment2;      /* PHP has two; or NULL */
  const char *block_open, *block_close; /* both NULL where there is none */
  const char *quotes;             /* characters that open and close a string */
  grammars_blocks blocks;
} grammars_language;

/* Number of languages, and the i-th: 0 <= i < count, else NULL. */
int grammars_count(void);
const grammars_language *grammars_at(int i);

/* The language for an LSP language id, or where that is NULL or unknown for the ending of a
 * file name or uri. NULL: none. */
const grammars_language *grammars_find(const char *language_id, const char *uri);

/* True where the grammar's ABI is one that the linked tree-sitter can load. */
bool grammars_abi_ok(const grammars_language *l, uint32_t *abi);

#endif
