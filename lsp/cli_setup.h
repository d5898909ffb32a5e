/* cli_setup.h - where an editor looks for fimd's files and what they say: `fimd setup` writes that,
 * `fimd doctor` holds what is there against it. Private to the command line. */
#ifndef FIMD_LSP_CLI_SETUP_H
#define FIMD_LSP_CLI_SETUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "lsp/buffer.h"

/* This program. */
void cli_setup_program(char out[PATH_MAX]);

/* The folder of the package that Neovim loads by itself. These return false with a sentence in err
 * where HOME is no folder, or a name too long. */
bool cli_setup_neovim_folder(char out[PATH_MAX], char *err, size_t errlen);
/* Emacs' package, and the file that Emacs reads at its start. */
bool cli_setup_emacs_places(char package[PATH_MAX], char init[PATH_MAX], char *err, size_t errlen);
/* The extension's package that `make vsix` has built, beside the program or where `make install`
 * puts it. */
bool cli_setup_vsix(const char *program, char out[PATH_MAX]);

/* Called with each file of an editor's package; path and text[len] are borrowed for the call. */
typedef void (*cli_setup_visit)(void *user, const char *path, const char *text, size_t len);
/* False: out of memory. */
bool cli_setup_neovim_files(const char *folder, const char *program, cli_setup_visit visit,
                            void *user);
void cli_setup_emacs_files(const char *package, cli_setup_visit visit, void *user);

typedef enum cli_setup_init {
  CLI_SETUP_ADDED,    /* our lines were not there: they are at the end now */
  CLI_SETUP_REPLACED, /* they were there */
  CLI_SETUP_HALF,     /* their closing mark is gone, so nothing was made */
} cli_setup_init;
/* Appends Emacs' init file as it is to be to *out: have[len], zero-terminated, with our lines. */
cli_setup_init cli_setup_emacs_init(const char *have, size_t len, const char *package,
                                    const char *program, lsp__buffer *out);

#endif
