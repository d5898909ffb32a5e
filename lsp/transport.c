/* transport.c - one peer's connection. See transport.h.
 *
 * Standard input and output may be pipes, sockets, terminals or, in tests and scripts, files;
 * libuv has streams for the first three, and for files requests that run on its thread pool. */
#include "lsp/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/guard.h"

#define CHUNK 65536

typedef union endpoint {
  uv_handle_t handle;
  uv_stream_t stream;
  uv_pipe_t pipe;
  uv_tcp_t tcp;
  uv_tty_t tty;
} endpoint;

typedef struct outgoing outgoing;
struct outgoing {
  uv_write_t write; /* the stream's request */
  uv_fs_t fs;       /* or the file's */
  lsp__connection *connection;
  outgoing *next;
  char header[48];
  size_t header_len, body_len, done;
  char *body; /* owned */
};

struct lsp__connection {
  uv_loop_t *loop;
  const lsp__connection_events *events;
  void *user;
  endpoint in, out;
  bool in_open, out_open; /* the handles above are in use */
  int in_file, out_file;  /* descriptors of files, or -1 */
  uv_stream_t *writer;    /* &in.stream or &out.stream, NULL where out_file is used */
  uv_timer_t timer;       /* fires a delayed end, and the limit of a close */
  uv_fs_t read;
  bool reading;           /* a file's read is under way */
  bool ended, closing, flushed;
  bool deaf;              /* nothing reaches the peer any more */
  const char *why;
  int handles;            /* open libuv handles and file requests under way */
  size_t queued;          /* bytes in unfinished writes */
  outgoing *first, *last; /* of a file: one write at a time */
  outgoing spare;         /* for when there is no memory for another; in use: spare.connection */
  char spare_body[LSP__SPARE_MAX];
  lsp__framing framing;
  char chunk[CHUNK];
};

static void finished(outgoing *o) {
  lsp__connection *c = o->connection;
  c->queued -= o->header_len + o->body_len;
  if (o->body != c->spare_body) free(o->body);
  if (o == &c->spare)
    c->spare = (outgoing){0};
  else
    free(o);
}

/* ---- ending ---------------------------------------------------------------------------- */

static void released(lsp__connection *c) {
  if (--c->handles > 0) return;
  while (c->first != NULL) { /* what a file never took */
    outgoing *o = c->first;
    c->first = o->next;
    finished(o);
  }
  lsp__framing_free(&c->framing);
  const lsp__connection_events *events = c->events;
  void *user = c->user;
  free(c);
  events->on_closed(user);
}

static void on_handle_closed(uv_handle_t *handle) { released(handle->data); }

/* The input is over, which the peer's output may not be: what it waits for is still sent. */
static void end_input(lsp__connection *c, const char *why) {
  if (c->in_open) uv_read_stop(&c->in.stream);
  if (c->ended) return;
  c->ended = true;
  if (!c->closing) c->events->on_end(c->user, why);
}

static void end(lsp__connection *c, const char *why) {
  c->deaf = true;
  end_input(c, why);
}

static void on_end_timer(uv_timer_t *timer) {
  lsp__connection *c = timer->data;
  end(c, c->why);
}

/* For failures that are noticed where no event may be raised. */
void lsp__connection_end(lsp__connection *c, const char *why) {
  c->deaf = true;
  if (c->ended || c->closing || c->why != NULL) return;
  c->why = why;
  uv_timer_start(&c->timer, on_end_timer, 0, 0);
}

static void on_distrust_timer(uv_timer_t *timer) {
  end(timer->data, "it did not say in time who it is");
}

void lsp__connection_distrust(lsp__connection *c, size_t max_message, int ms) {
  c->framing.max_message = max_message;
  c->framing.hasty = true;
  uv_timer_start(&c->timer, on_distrust_timer, (uint64_t)ms, 0);
}

void lsp__connection_trust(lsp__connection *c) {
  c->framing.max_message = LSP__MESSAGE_MAX;
  c->framing.hasty = false;
  if (!c->ended && !c->closing && c->why == NULL) uv_timer_stop(&c->timer);
}

static void close_handles(lsp__connection *c) {
  if (c->flushed) return;
  c->flushed = true;
  if (c->in_open) uv_close(&c->in.handle, on_handle_closed);
  if (c->out_open) uv_close(&c->out.handle, on_handle_closed);
  uv_close((uv_handle_t *)&c->timer, on_handle_closed);
}

static void on_close_timer(uv_timer_t *timer) { close_handles(timer->data); }

static void close_if_flushed(lsp__connection *c) {
  if (c->closing && c->queued == 0) close_handles(c);
}

void lsp__connection_close(lsp__connection *c) {
  if (c->closing) return;
  c->closing = true;
  if (c->in_open) uv_read_stop(&c->in.stream);
  uv_timer_start(&c->timer, on_close_timer, LSP__CLOSE_MS, 0);
  close_if_flushed(c);
}

/* ---- reading --------------------------------------------------------------------------- */

static void take(lsp__connection *c, const char *data, size_t len) {
  lsp__framing_event event;
  do {
    size_t n = lsp__framing_feed(&c->framing, data, len, &event);
    data += n;
    len -= n;
    if (event == LSP__FRAMING_MESSAGE)
      c->events->on_message(c->user, c->framing.body.data, c->framing.body.len);
    else if (event != LSP__FRAMING_NONE)
      c->events->on_problem(c->user, event, c->framing.head,
                            event == LSP__FRAMING_BAD_HEADER ? 0 : c->framing.head_len);
  } while (event != LSP__FRAMING_NONE && !c->closing && !c->ended);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  lsp__connection *c = handle->data;
  *buf = uv_buf_init(c->chunk, CHUNK);
}

static void ended_reading(lsp__connection *c, ssize_t status) {
  if (status < 0 && status != UV_EOF && status != UV_ECONNRESET && status != UV_EIO)
    end(c, uv_strerror((int)status));
  else
    end_input(c, lsp__framing_idle(&c->framing) ? NULL : "the input ends inside a message");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  lsp__connection *c = stream->data;
  if (n < 0)
    ended_reading(c, n);
  else if (n > 0)
    take(c, buf->base, (size_t)n);
}

static void read_file(lsp__connection *c);

static void on_file_read(uv_fs_t *fs) {
  lsp__connection *c = fs->data;
  ssize_t n = fs->result;
  uv_fs_req_cleanup(fs);
  c->reading = false;
  if (!c->closing && !c->ended) {
    if (n <= 0) {
      ended_reading(c, n == 0 ? UV_EOF : n);
    } else {
      take(c, c->chunk, (size_t)n);
      read_file(c);
    }
  }
  released(c);
}

static void read_file(lsp__connection *c) {
  if (c->closing || c->ended) return;
  uv_buf_t buf = uv_buf_init(c->chunk, CHUNK);
  c->read.data = c;
  int status = uv_fs_read(c->loop, &c->read, c->in_file, &buf, 1, -1, on_file_read);
  if (status < 0) {
    lsp__connection_end(c, uv_strerror(status));
    return;
  }
  c->reading = true;
  c->handles++;
}

/* ---- writing --------------------------------------------------------------------------- */

static void on_written(uv_write_t *write, int status) {
  outgoing *o = write->data;
  lsp__connection *c = o->connection;
  finished(o);
  if (status < 0 && status != UV_ECANCELED) end(c, uv_strerror(status));
  close_if_flushed(c);
}

static void write_file(lsp__connection *c);

static void on_file_written(uv_fs_t *fs) {
  outgoing *o = fs->data;
  lsp__connection *c = o->connection;
  ssize_t n = fs->result;
  uv_fs_req_cleanup(fs);
  if (n > 0) o->done += (size_t)n;
  if (n <= 0) end(c, n < 0 ? uv_strerror((int)n) : "the output takes no bytes");
  while (n <= 0 && o != NULL) { /* nothing further will get through */
    c->first = o->next;
    finished(o);
    o = c->first;
  }
  if (n > 0 && o->done == o->header_len + o->body_len) {
    c->first = o->next;
    finished(o);
  }
  if (c->first == NULL) c->last = NULL;
  if (n > 0 && !c->flushed) write_file(c);
  close_if_flushed(c);
  released(c);
}

static void write_file(lsp__connection *c) {
  outgoing *o = c->first;
  if (o == NULL) return;
  uv_buf_t bufs[2] = {uv_buf_init(o->header, (unsigned)o->header_len),
                      uv_buf_init(o->body, (unsigned)o->body_len)};
  size_t skip = o->done;
  for (int i = 0; i < 2; i++) {
    size_t n = skip < bufs[i].len ? skip : bufs[i].len;
    bufs[i].base += n;
    bufs[i].len -= n;
    skip -= n;
  }
  o->fs.data = o;
  int status = uv_fs_write(c->loop, &o->fs, c->out_file, bufs, 2, -1, on_file_written);
  if (status < 0)
    lsp__connection_end(c, uv_strerror(status));
  else
    c->handles++;
}

static void enqueue_file(lsp__connection *c, outgoing *o) {
  bool idle = c->first == NULL;
  if (idle)
    c->first = o;
  else
    c->last->next = o;
  c->last = o;
  if (idle) write_file(c);
}

/* Another message's place, or the one that is kept for want of memory; NULL: that is in use. */
static outgoing *new_outgoing(lsp__connection *c) {
  outgoing *o = calloc(1, sizeof *o);
  if (o == NULL && c->spare.connection == NULL) o = &c->spare;
  if (o != NULL) o->connection = c;
  return o;
}

/* Takes over o and its body. */
static void send_out(lsp__connection *c, outgoing *o, char *body, size_t len) {
  o->body = body;
  o->body_len = len;
  o->header_len = (size_t)snprintf(o->header, sizeof o->header, "Content-Length: %zu\r\n\r\n", len);
  c->queued += o->header_len + o->body_len;
  if (c->writer == NULL) {
    enqueue_file(c, o);
    return;
  }
  uv_buf_t bufs[2] = {uv_buf_init(o->header, (unsigned)o->header_len),
                      uv_buf_init(o->body, (unsigned)o->body_len)};
  o->write.data = o;
  int status = uv_write(&o->write, c->writer, bufs, 2, on_written);
  if (status < 0) {
    finished(o);
    lsp__connection_end(c, uv_strerror(status));
  }
}

static bool is_over(const lsp__connection *c) { return c->deaf || c->closing; }

int lsp__connection_send(lsp__connection *c, lsp__buffer *body) {
  int result = LSP__OK;
  if (is_over(c)) goto drop;
  result = LSP__ENOMEM;
  if (body->failed) goto drop;
  result = LSP__ELIMIT;
  if (body->len > LSP__QUEUE_MAX || c->queued > LSP__QUEUE_MAX - body->len) {
    lsp__connection_end(c, "the client does not read what it is sent");
    goto drop;
  }
  result = LSP__ENOMEM;
  outgoing *o = new_outgoing(c);
  if (o == NULL) {
    lsp__connection_end(c, "out of memory");
    goto drop;
  }
  send_out(c, o, body->data, body->len);
  *body = (lsp__buffer){0};
  return LSP__OK;
drop:
  lsp__buffer_free(body);
  return result;
}

int lsp__connection_send_spare(lsp__connection *c, const char *text, size_t len) {
  if (is_over(c)) return LSP__OK;
  if (len > LSP__SPARE_MAX || c->spare.connection != NULL) {
    lsp__connection_end(c, "out of memory");
    return LSP__ELIMIT;
  }
  memcpy(c->spare_body, text, len);
  c->spare.connection = c;
  send_out(c, &c->spare, c->spare_body, len);
  return LSP__OK;
}

/* ---- opening --------------------------------------------------------------------------- */

static lsp__connection *connection_new(uv_loop_t *loop, const lsp__connection_events *events,
                                       void *user) {
  lsp__connection *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->loop = loop;
  c->events = events;
  c->user = user;
  c->in_file = c->out_file = -1;
  c->framing.max_message = LSP__MESSAGE_MAX;
  uv_timer_init(loop, &c->timer);
  c->timer.data = c;
  c->handles = 1;
  return c;
}

/* A connection that failed to open: closes what was opened, raises nothing. */
static void on_abandoned(void *user) { (void)user; }
static void abandon(lsp__connection *c) {
  static const lsp__connection_events none = {.on_closed = on_abandoned};
  c->events = &none;
  c->closing = c->ended = true;
  close_handles(c);
}

/* Makes a stream of a descriptor (a copy of it, as closing the stream closes it), or says that
 * it is a file. */
static int open_endpoint(lsp__connection *c, int fd, bool readable, endpoint *e, bool *open,
                         int *file) {
  uv_handle_type type = uv_guess_handle(fd);
  int status, copy;
  if (type == UV_FILE) {
    *file = fd;
    return 0;
  }
  copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return uv_translate_sys_error(errno);
  if (type == UV_TTY)
    status = uv_tty_init(c->loop, &e->tty, copy, readable);
  else if (type == UV_TCP)
    status = uv_tcp_init(c->loop, &e->tcp);
  else if (type == UV_NAMED_PIPE)
    status = uv_pipe_init(c->loop, &e->pipe, 0);
  else
    status = UV_EINVAL;
  if (status < 0) {
    close(copy);
    return status;
  }
  e->handle.data = c;
  *open = true;
  c->handles++;
  if (type == UV_TCP) status = uv_tcp_open(&e->tcp, copy);
  if (type == UV_NAMED_PIPE) status = uv_pipe_open(&e->pipe, copy);
  if (status < 0) close(copy);
  return status;
}

int lsp__connection_open(uv_loop_t *loop, int in, int out_fd, const lsp__connection_events *events,
                         void *user, lsp__connection **out) {
  *out = NULL;
  lsp__connection *c = connection_new(loop, events, user);
  if (c == NULL) return UV_ENOMEM;
  int status = open_endpoint(c, in, true, &c->in, &c->in_open, &c->in_file);
  if (status == 0) status = open_endpoint(c, out_fd, false, &c->out, &c->out_open, &c->out_file);
  if (status == 0 && c->in_open) status = uv_read_start(&c->in.stream, on_alloc, on_read);
  if (status < 0) {
    abandon(c);
    return status;
  }
  c->writer = c->out_open ? &c->out.stream : NULL;
  if (!c->in_open) read_file(c);
  *out = c;
  return 0;
}

int lsp__connection_accept(uv_stream_t *listener, const lsp__connection_events *events, void *user,
                           lsp__connection **out) {
  *out = NULL;
  lsp__connection *c = connection_new(listener->loop, events, user);
  if (c == NULL) return UV_ENOMEM;
  int status = listener->type == UV_TCP ? uv_tcp_init(c->loop, &c->in.tcp)
                                        : uv_pipe_init(c->loop, &c->in.pipe, 0);
  if (status == 0) {
    c->in.handle.data = c;
    c->in_open = true;
    c->handles++;
    status = uv_accept(listener, &c->in.stream);
  }
  uv_os_fd_t fd;
  if (status == 0 && listener->type == UV_NAMED_PIPE &&
      (uv_fileno(&c->in.handle, &fd) != 0 || !lsp__guard_peer(fd, geteuid())))
    status = UV_EACCES;
  if (status == 0 && listener->type == UV_TCP) uv_tcp_nodelay(&c->in.tcp, 1);
  if (status == 0) status = uv_read_start(&c->in.stream, on_alloc, on_read);
  if (status < 0) {
    abandon(c);
    return status;
  }
  c->writer = &c->in.stream;
  *out = c;
  return 0;
}
