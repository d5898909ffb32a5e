/* guard.c - see guard.h. */
#include "lsp/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsp/buffer.h"

/* ---- the folder ------------------------------------------------------------------------ */

/* The folder of a file, owned; NULL: out of memory. */
static char *folder_of(const char *file) {
  const char *slash = strrchr(file, '/');
  if (slash == NULL) return strdup(".");
  return slash == file ? strdup("/") : strndup(file, (size_t)(slash - file));
}

/* In a sticky folder, as /tmp, others can add files but not touch ours. */
static const char *fault_of(const struct stat *st) {
  if (!S_ISDIR(st->st_mode)) return "is no folder";
  if (st->st_uid != geteuid() && st->st_uid != 0)
    return "belongs to another user; name one of your own";
  if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st->st_mode & S_ISVTX) == 0)
    return "can be written to by others; take that away (chmod go-w) or name another one";
  return NULL;
}

int lsp__guard_folder(const char *file, char *err, size_t errlen) {
  struct stat st;
  char *folder = folder_of(file);
  if (folder == NULL) {
    snprintf(err, errlen, "out of memory");
    return LSP__ENOMEM;
  }
  bool there = stat(folder, &st) == 0;
  const char *fault = there ? fault_of(&st) : strerror(errno);
  if (fault != NULL)
    snprintf(err, errlen, "cannot use %s: the folder %s%s %s", file, folder, there ? "" : ":", fault);
  free(folder);
  return fault == NULL ? LSP__OK : LSP__EINVAL;
}

bool lsp__guard_peer(int fd, uid_t user) {
  struct ucred peer;
  socklen_t len = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == user;
}

/* ---- the token ------------------------------------------------------------------------- */

static int draw(char hex[LSP__TOKEN_HEX + 1]) {
  unsigned char bytes[LSP__TOKEN_BYTES];
  size_t have = 0;
  while (have < sizeof bytes) {
    ssize_t n = getrandom(bytes + have, sizeof bytes - have, 0);
    if (n < 0 && errno != EINTR) return -1;
    if (n > 0) have += (size_t)n;
  }
  for (size_t i = 0; i < sizeof bytes; i++) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
  return 0;
}

static char *path_for(const char *path, int port, char *err, size_t errlen) {
  const char *run = getenv("XDG_RUNTIME_DIR");
  char *out = NULL;
  if (path == NULL && (run == NULL || run[0] != '/')) {
    snprintf(err, errlen, "--port needs a place for the token that its clients must know: name a "
             "file with --token-file, or set XDG_RUNTIME_DIR");
    return NULL;
  }
  if (path != NULL)
    out = strdup(path);
  else if (asprintf(&out, "%s/fimd-%d.token", run, port) < 0)
    out = NULL;
  if (out == NULL) snprintf(err, errlen, "out of memory");
  return out;
}

/* Whether there is nothing at the path, or a token of ours. */
static bool is_free(const char *path, char *err, size_t errlen) {
  struct stat st;
  if (lstat(path, &st) != 0) {
    if (errno == ENOENT) return true;
    snprintf(err, errlen, "cannot look at %s: %s", path, strerror(errno));
    return false;
  }
  bool ours = S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size == LSP__TOKEN_HEX + 1;
  if (!ours)
    snprintf(err, errlen, "cannot write the token to %s: something else is there, which is left "
             "as it is; name another file with --token-file", path);
  return ours;
}

/* Through a new file that is renamed, so that nobody sees half of it, no link is followed, and the
 * mode is right from the first moment. */
static int write_file(lsp__token *t) {
  char text[LSP__TOKEN_HEX + 1], *made = NULL;
  if (asprintf(&made, "%s.XXXXXX", t->path) < 0) return errno = ENOMEM, -1;
  memcpy(text, t->hex, LSP__TOKEN_HEX);
  text[LSP__TOKEN_HEX] = '\n';
  int fd = mkostemp(made, O_CLOEXEC), error = fd < 0 ? errno : 0;
  ssize_t n = fd < 0 ? -1 : write(fd, text, sizeof text);
  if (fd >= 0 && n != (ssize_t)sizeof text) error = n < 0 ? errno : ENOSPC;
  if (fd >= 0 && close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && rename(made, t->path) != 0) error = errno;
  if (error != 0 && fd >= 0) unlink(made);
  free(made);
  errno = error;
  return error == 0 ? 0 : -1;
}

int lsp__token_make(lsp__token *t, const char *path, int port, char *err, size_t errlen) {
  *t = (lsp__token){.path = path_for(path, port, err, errlen)};
  int status = t->path != NULL ? lsp__guard_folder(t->path, err, errlen) : LSP__EINVAL;
  if (status == LSP__OK && !is_free(t->path, err, errlen)) status = LSP__EINVAL;
  if (status == LSP__OK && draw(t->hex) != 0) {
    snprintf(err, errlen, "cannot make a token: %s", strerror(errno));
    status = LSP__EINVAL;
  }
  if (status == LSP__OK && write_file(t) != 0) {
    snprintf(err, errlen, "cannot write the token to %s: %s; name another file with --token-file",
             t->path, strerror(errno));
    status = LSP__EINVAL;
  }
  if (status != LSP__OK) {
    free(t->path);
    *t = (lsp__token){0};
  }
  return status;
}

bool lsp__token_is(const lsp__token *t, const char *said) {
  if (t->path == NULL || said == NULL || strlen(said) != LSP__TOKEN_HEX) return false;
  unsigned char differs = 0;
  for (size_t i = 0; i < LSP__TOKEN_HEX; i++) differs |= (unsigned char)(t->hex[i] ^ said[i]);
  return differs == 0;
}

void lsp__token_mask(const lsp__token *t, char *text, size_t len) {
  if (t->path == NULL) return;
  for (char *at; (at = memmem(text, len, t->hex, LSP__TOKEN_HEX)) != NULL;)
    memset(at, '*', LSP__TOKEN_HEX);
}

void lsp__token_remove(lsp__token *t) {
  char text[LSP__TOKEN_HEX + 2];
  int fd = t->path != NULL ? open(t->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
  ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
  if (fd >= 0) close(fd);
  if (n == LSP__TOKEN_HEX + 1 && memcmp(text, t->hex, LSP__TOKEN_HEX) == 0) unlink(t->path);
  free(t->path);
  *t = (lsp__token){0};
}
