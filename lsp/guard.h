/* guard.h - who may speak to a daemon that listens: the user who started it, nobody else.
 *
 * A Unix socket is guarded by its mode, its folder and the kernel's word on who is at the other
 * end. A port has none of these, as every user of the machine and every web page can reach it; so
 * its clients must know a token, which is in a file that only the user can read. */
#ifndef FIMD_LSP_GUARD_H
#define FIMD_LSP_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define LSP__TOKEN_BYTES 32
#define LSP__TOKEN_HEX (2 * LSP__TOKEN_BYTES)
#define LSP__STRANGER_MESSAGE ((size_t)1 << 20) /* bytes of a message before the token was told */
#define LSP__STRANGER_MS 10000                  /* from the connection to the token */

/* Whether nobody but the user (and root) can put files into the folder of this file, or exchange
 * those that are there. LSP__OK, or LSP__EINVAL and why in err, with what to do. */
int lsp__guard_folder(const char *file, char *err, size_t errlen);

/* Whether the process at the other end of a Unix socket is run by this user. */
bool lsp__guard_peer(int fd, uid_t user);

typedef struct lsp__token {
  char hex[LSP__TOKEN_HEX + 1];
  char *path; /* owned; NULL: there is no file */
} lsp__token;

/* Makes a new token and the file with it. path NULL: fimd-PORT.token in XDG_RUNTIME_DIR. Only a
 * token of before is replaced. LSP__OK, or another status and why in err; *t is then zeroed. */
int lsp__token_make(lsp__token *t, const char *path, int port, char *err, size_t errlen);
/* In a time that does not depend on where they differ. said may be NULL. */
bool lsp__token_is(const lsp__token *t, const char *said);
/* Overwrites each occurrence in text[len]. */
void lsp__token_mask(const lsp__token *t, char *text, size_t len);
/* Removes the file, if the token still stands in it: what took its place may have its inode, too.
 * A zeroed token is a no-op. */
void lsp__token_remove(lsp__token *t);

#endif
