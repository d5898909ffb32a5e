/* editor_files.h - the files of editors/ that the binary carries, for `fimd setup`. The table is
 * made by the Makefile from the files themselves. */
#ifndef FIMD_LSP_EDITOR_FILES_H
#define FIMD_LSP_EDITOR_FILES_H

#include <stddef.h>

typedef struct lsp__editor_file {
  const char *path; /* below editors/ */
  const char *text; /* [len] */
  size_t len;
} lsp__editor_file;

/* Ends with a path that is NULL. */
extern const lsp__editor_file lsp__editor_files[];

#endif
