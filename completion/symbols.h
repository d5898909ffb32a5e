/* symbols.h - the definition index: which files of the workspace define a name, and how.
 *
 * Filled by the workspace's background thread, which reads the files that may be read and no
 * others, with the queries that documents are read with (definitions.c); asked by the engine thread
 * for the few hundred names near a cursor. Reading a file needs no lock; everything else is called
 * under the workspace's, for well under a millisecond. What is found for a name is a function of
 * the files alone, not of the order in which they came.
 *
 * Memory is bounded: a file whose symbols would exceed the bound is left out, as is what a file
 * has beyond COMPLETION__SYMBOLS_OF_FILE. */
#ifndef FIMD_COMPLETION_SYMBOLS_H
#define FIMD_COMPLETION_SYMBOLS_H

#include "completion/syntax.h"

#define COMPLETION__SYMBOLS_BYTES ((size_t)64 << 20)
#define COMPLETION__SYMBOLS_OF_FILE 2000
#define COMPLETION__SYMBOLS_COMMON 8 /* files; a name that more of them define says nothing */

typedef struct completion__symbols completion__symbols;
typedef struct completion__symbol_file completion__symbol_file;
typedef struct completion__symbol_name completion__symbol_name;

typedef struct completion__symbol {
  completion__slice name, text; /* borrowed from the file; text is the signature */
  uint32_t start;               /* of the text in the file, bytes */
  int line;                     /* likewise, from 0 */
  uint8_t kind;                 /* completion__kind */
  bool cut;                     /* as completion__definition's */
  completion__symbol_file *file;
  /* symbols.c: */
  uint32_t hash;
  completion__symbol_name *entry;
  struct completion__symbol *next, *previous; /* of the same name */
} completion__symbol;

struct completion__symbol_file {
  const char *path;  /* absolute */
  const char *shown; /* the end of it: relative to its folder */
  const grammars_language *language;
  bool hidden;  /* open in an editor, whose text counts */
  size_t bytes; /* that it takes */
  int n;
  completion__symbol symbols[]; /* [n] by hash, then by place; texts and path follow */
};

/* NULL: out of memory. max_bytes 0: COMPLETION__SYMBOLS_BYTES. */
completion__symbols *completion__symbols_new(size_t max_bytes);
void completion__symbols_delete(completion__symbols *s); /* and the files in it; NULL is a no-op */
size_t completion__symbols_bytes(const completion__symbols *s);

/* What a file's text [len] defines that others can use. `shown` is the offset in path where its
 * folder's path ends. *out is NULL where there is nothing. 0 or COMPLETION_ENOMEM. Any thread. */
int completion__symbol_file_read(completion__parser *p, const char *path, size_t shown,
                                 const char *text, size_t len, const atomic_bool *cancel,
                                 completion__symbol_file **out);

/* Takes the file over. 1; or it is freed, and 0: the index is full, or COMPLETION_ENOMEM. */
int completion__symbols_add(completion__symbols *s, completion__symbol_file *file);
/* Takes it out and frees it. NULL is a no-op. */
void completion__symbols_remove(completion__symbols *s, completion__symbol_file *file);

/* Calls on_symbol for what defines the name in a file that is not hidden: anywhere, or, where too
 * many do, in `first` [n_first] alone. `files`: how many define it. */
void completion__symbols_find(const completion__symbols *s, completion__slice name,
                              completion__symbol_file *const *first, int n_first,
                              void (*on_symbol)(void *user, const completion__symbol *symbol,
                                                int files),
                              void *user);
/* Has the file this signature still? */
bool completion__symbol_file_has(const completion__symbol_file *file, completion__slice text);

#endif
