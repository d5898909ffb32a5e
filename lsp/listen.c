/* listen.c - the Unix socket and the loopback port. See transport.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lsp/guard.h"
#include "lsp/transport.h"

#define BACKLOG 16

static int fail(char *err, size_t errlen, const char *what, const char *where, const char *why) {
  snprintf(err, errlen, "%s %s: %s", what, where, why);
  return LSP__EINVAL;
}

/* 0 where the path is free to bind, after the file of a dead server was removed. The connect
 * does not wait: a Unix socket accepts or refuses at once, and a full backlog is EAGAIN. */
static int make_room(const struct sockaddr_un *address, char *err, size_t errlen) {
  const char *path = address->sun_path;
  struct stat st;
  if (lstat(path, &st) != 0)
    return errno == ENOENT ? LSP__OK : fail(err, errlen, "cannot look at", path, strerror(errno));
  if (!S_ISSOCK(st.st_mode))
    return fail(err, errlen, "cannot listen on", path, "a file that is no socket is there");
  if (st.st_uid != geteuid())
    return fail(err, errlen, "cannot listen on", path, "a socket of another user is there");
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return fail(err, errlen, "cannot listen on", path, strerror(errno));
  int refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 ? errno : 0;
  close(fd);
  if (refused != ECONNREFUSED)
    return fail(err, errlen, "cannot listen on", path,
                refused == 0 || refused == EAGAIN ? "another server listens there"
                                                  : strerror(refused));
  if (unlink(path) != 0 && errno != ENOENT)
    return fail(err, errlen, "cannot replace", path, strerror(errno));
  return LSP__OK;
}

int lsp__listen_socket(lsp__listener *l, uv_loop_t *loop, const char *path,
                       uv_connection_cb on_connection, void *user, char *err, size_t errlen) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memset(l, 0, sizeof *l);
  size_t len = strlen(path);
  if (len == 0 || len >= sizeof address.sun_path)
    return fail(err, errlen, "cannot listen on", path, "a socket's path has 1 to 107 bytes");
  memcpy(address.sun_path, path, len + 1);
  int status = lsp__guard_folder(path, err, errlen);
  if (status == LSP__OK) status = make_room(&address, err, errlen);
  if (status != LSP__OK) return status;
  int error = uv_pipe_init(loop, &l->u.pipe, 0);
  if (error < 0) return fail(err, errlen, "cannot listen on", path, uv_strerror(error));
  /* The mode is right from the first moment. No other thread makes files yet. */
  mode_t before = umask(0177);
  error = uv_pipe_bind(&l->u.pipe, path);
  umask(before);
  if (error == 0) {
    l->u.handle.data = user;
    error = uv_listen(&l->u.stream, BACKLOG, on_connection);
  }
  if (error == 0) return LSP__OK;
  return fail(err, errlen, "cannot listen on", path, uv_strerror(error));
}

int lsp__listen_port(lsp__listener *l, uv_loop_t *loop, int port, int *bound,
                     uv_connection_cb on_connection, void *user, char *err, size_t errlen) {
  char name[32];
  struct sockaddr_in address;
  int len = sizeof address;
  memset(l, 0, sizeof *l);
  snprintf(name, sizeof name, "127.0.0.1:%d", port);
  int error = uv_ip4_addr("127.0.0.1", port, &address);
  if (error == 0) error = uv_tcp_init(loop, &l->u.tcp);
  if (error == 0) error = uv_tcp_bind(&l->u.tcp, (const struct sockaddr *)&address, 0);
  if (error == 0) {
    l->u.handle.data = user;
    error = uv_listen(&l->u.stream, BACKLOG, on_connection);
  }
  if (error == 0) error = uv_tcp_getsockname(&l->u.tcp, (struct sockaddr *)&address, &len);
  if (error < 0) return fail(err, errlen, "cannot listen on", name, uv_strerror(error));
  *bound = ntohs(address.sin_port);
  return LSP__OK;
}

static void on_refused(uv_handle_t *handle) {
  lsp__listener *l = handle->data;
  bool again = l->again;
  l->refusing = l->again = false;
  if (again) lsp__listen_refuse(l);
}

void lsp__listen_refuse(lsp__listener *l) {
  if (l->u.handle.type == UV_UNKNOWN_HANDLE || uv_is_closing(&l->u.handle)) return;
  l->again = l->refusing;
  if (l->refusing) return;
  int error = l->u.handle.type == UV_TCP ? uv_tcp_init(l->u.handle.loop, &l->refused.tcp)
                                         : uv_pipe_init(l->u.handle.loop, &l->refused.pipe, 0);
  if (error < 0) return;
  l->refused.handle.data = l;
  l->refusing = true;
  (void)uv_accept(&l->u.stream, &l->refused.stream); /* UV_EAGAIN: nobody waits any more */
  uv_close(&l->refused.handle, on_refused);
}

void lsp__listen_close(lsp__listener *l) {
  if (l->u.handle.type != UV_UNKNOWN_HANDLE && !uv_is_closing(&l->u.handle))
    uv_close(&l->u.handle, NULL);
}
