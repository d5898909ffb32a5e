/* transport.h - bytes in and out of one peer, and the listening sockets. libuv lives here.
 *
 * Nothing blocks: messages to a peer are queued and written when it reads. A peer that does not
 * read is let go when LSP__QUEUE_MAX bytes wait for it. */
#ifndef FIMD_LSP_TRANSPORT_H
#define FIMD_LSP_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "lsp/buffer.h"
#include "lsp/framing.h"

#define LSP__QUEUE_MAX ((size_t)64 << 20) /* bytes waiting to be read by one peer */
#define LSP__SPARE_MAX 1024                /* bytes of a message that is sent without memory */
#define LSP__CLOSE_MS 2000                /* how long a closing connection waits for its reader */

typedef struct lsp__connection lsp__connection;

/* All are called on the loop, none from within lsp__connection_send or _close. */
typedef struct lsp__connection_events {
  /* text[len], zero-terminated, borrowed for the call. */
  void (*on_message)(void *user, const char *text, size_t len);
  /* head[len]: how the message begins that is passed over, if one is; borrowed likewise. */
  void (*on_problem)(void *user, lsp__framing_event problem, const char *head, size_t len);
  /* At most once: no message comes any more. why is NULL at a clean end of input. The owner
   * then calls lsp__connection_close. */
  void (*on_end)(void *user, const char *why);
  /* Once, after lsp__connection_close: the connection is gone. */
  void (*on_closed)(void *user);
} lsp__connection_events;

/* Serves two descriptors: pipes, sockets, terminals or files. They stay open at the end. On
 * failure no event comes and *out is NULL; the result is a libuv error. */
int lsp__connection_open(uv_loop_t *loop, int in, int out_fd, const lsp__connection_events *events,
                         void *user, lsp__connection **out);
/* Takes the client that waits on a listener. UV_EACCES: it is another user's. */
int lsp__connection_accept(uv_stream_t *listener, const lsp__connection_events *events, void *user,
                           lsp__connection **out);
/* Frames and queues body's bytes; the buffer is emptied (its memory is taken). LSP__ELIMIT: the
 * queue is full, LSP__ENOMEM: it could not be queued; on_end will come. A buffer that had failed
 * is only dropped. */
int lsp__connection_send(lsp__connection *c, lsp__buffer *body);
/* The same for a text that is copied and needs no memory, of at most LSP__SPARE_MAX bytes; one at a
 * time. LSP__ELIMIT: it is too long, or the one before is still under way, and on_end comes. */
int lsp__connection_send_spare(lsp__connection *c, const char *text, size_t len);
/* Has on_end come soon, with a constant phrase. */
void lsp__connection_end(lsp__connection *c, const char *why);
/* Of somebody who has yet to say who they are: no message over max_message bytes, and on_end comes
 * after so many ms, unless lsp__connection_trust is called before. */
void lsp__connection_distrust(lsp__connection *c, size_t max_message, int ms);
void lsp__connection_trust(lsp__connection *c);
/* Stops reading, lets what is queued go out (for at most LSP__CLOSE_MS), closes. */
void lsp__connection_close(lsp__connection *c);

/* ---- listening (listen.c) -------------------------------------------------------------- */

typedef struct lsp__listener {
  union {
    uv_stream_t stream;
    uv_handle_t handle;
    uv_pipe_t pipe;
    uv_tcp_t tcp;
  } u, refused; /* refused: the client that is being let go */
  bool refusing, again; /* it is not closed yet; and another waits for that */
} lsp__listener;

/* A Unix socket of mode 0600 in a folder that others cannot write to. A socket file of this user
 * that nobody listens on is replaced; any other file in its place is an error. on_connection has libuv's meaning; listener->u.handle.data = user. */
int lsp__listen_socket(lsp__listener *l, uv_loop_t *loop, const char *path,
                       uv_connection_cb on_connection, void *user, char *err, size_t errlen);
/* TCP on 127.0.0.1 and nowhere else. *bound is the port. */
int lsp__listen_port(lsp__listener *l, uv_loop_t *loop, int port, int *bound,
                     uv_connection_cb on_connection, void *user, char *err, size_t errlen);
/* Lets the client go that waits on the listener, if one does; without memory. A client that nobody
 * takes would keep all later ones out. */
void lsp__listen_refuse(lsp__listener *l);
/* Stops listening; libuv removes the socket file. After a failed listen, too. */
void lsp__listen_close(lsp__listener *l);

#endif
