/* server.c - the loop: the model, the clients, the signals, and the end. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/internal.h"

#define PARENT_CHECK_MS 3000

/* ---- the end --------------------------------------------------------------------------- */

static void close_handle(uv_handle_t *handle) {
  if (handle->type != UV_UNKNOWN_HANDLE && !uv_is_closing(handle)) uv_close(handle, NULL);
}

/* What must stay until the last client is gone, as other threads may still use it. */
static void close_if_empty(lsp__server *s) {
  if (!s->stopping || s->clients != NULL) return;
  lsp__loader_release(s->loader);
  s->loader = NULL;
  close_handle((uv_handle_t *)&s->wake);
}

void lsp__server_stop(lsp__server *s, int exit_code) {
  if (s->stopping) return;
  s->stopping = true;
  s->exit_code = exit_code;
  lsp__listen_close(&s->listener);
  close_handle((uv_handle_t *)&s->parent_timer);
  for (size_t i = 0; i < sizeof s->signals / sizeof *s->signals; i++)
    close_handle((uv_handle_t *)&s->signals[i]);
  for (lsp__client *c = s->clients, *next; c != NULL; c = next) {
    next = c->next;
    lsp__client_leave(c);
  }
  close_if_empty(s);
}

void lsp__client_unref(lsp__client *c) {
  if (--c->owners > 0) return;
  lsp__server *s = c->server;
  for (lsp__client **p = &s->clients; *p != NULL; p = &(*p)->next)
    if (*p == c) {
      *p = c->next;
      s->client_count--;
      break;
    }
  lsp__workspace_free(c);
  free(c);
  close_if_empty(s);
}

static void on_signal(uv_signal_t *handle, int number) {
  (void)number;
  lsp__server *s = handle->data;
  bool finished = s->options->transport != LSP_STDIO;
  for (lsp__client *c = s->clients; c != NULL && !finished; c = c->next)
    finished = c->phase == LSP__PHASE_SHUTDOWN;
  lsp__server_stop(s, finished ? 0 : 1);
}

static void on_parent_timer(uv_timer_t *timer) {
  lsp__server *s = timer->data;
  if (kill(s->parent, 0) != 0 && errno == ESRCH) lsp__server_stop(s, 1);
}

/* Only with standard input and output is the client our parent; and a process that cannot be
 * seen from the start lives elsewhere (in another container), which says nothing. */
void lsp__server_watch_parent(lsp__server *s, int64_t pid) {
  if (s->options->transport != LSP_STDIO || s->stopping || pid <= 1 || pid > INT32_MAX) return;
  if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) return;
  s->parent = (int)pid;
  uv_timer_start(&s->parent_timer, on_parent_timer, PARENT_CHECK_MS, PARENT_CHECK_MS);
  uv_unref((uv_handle_t *)&s->parent_timer);
}

/* ---- news from other threads ----------------------------------------------------------- */

void lsp__server_settings_changed(lsp__client *c) {
  lsp__server *s = c->server;
  if (s->model != LSP__MODEL_READY || c->settings.unload_after == c->unload_after) return;
  c->unload_after = c->settings.unload_after;
  engine_set_unload_after(s->engine, lsp__minutes_to_ms(c->settings.unload_after));
}

/* What the device met with, to all clients: what changes their work is shown, the rest logged. */
static void tell_event(lsp__server *s, engine_event event, const char *words) {
  bool good = event == ENGINE_EVENT_UNLOADED || event == ENGINE_EVENT_LOADED;
  int level = good ? LSP__LOG_LOG : LSP__LOG_WARNING;
  for (lsp__client *c = s->clients, *next; c != NULL; c = next) {
    next = c->next;
    c->owners++;
    lsp__client_log(c, level, "%s", words);
    if (event == ENGINE_EVENT_FELL_BACK || event == ENGINE_EVENT_FILE)
      lsp__client_show(c, level, "fimd: %s", words);
    if (event == ENGINE_EVENT_FILE) c->failure_told = true; /* the request that met it says less */
    lsp__client_unref(c);
  }
}

static void on_wake(uv_async_t *async) {
  lsp__server *s = async->data;
  engine_event event;
  char words[512];
  if (s->model == LSP__MODEL_LOADING && s->loader != NULL) {
    lsp__model_state before = s->model;
    double progress = s->progress;
    s->model = lsp__loader_state(s->loader, &s->progress, &s->engine, &s->model_error);
    if (s->model != before || s->progress != progress)
      for (lsp__client *c = s->clients, *next; c != NULL; c = next) {
        next = c->next;
        c->owners++;
        lsp__client_model_news(c);
        lsp__server_settings_changed(c);
        lsp__client_unref(c);
      }
  }
  while (s->loader != NULL && lsp__loader_event(s->loader, &event, words, sizeof words))
    tell_event(s, event, words);
  lsp__mailbox_deliver(s);
}

/* ---- clients --------------------------------------------------------------------------- */

static void begin_client(lsp__client *c, int error) {
  if (error != 0) {
    lsp__say("cannot serve a client: %s", uv_strerror(error));
    lsp__client_leave(c);
    lsp__client_unref(c);
    return;
  }
  if (c->unproven)
    lsp__connection_distrust(c->connection, LSP__STRANGER_MESSAGE, LSP__STRANGER_MS);
  if (c->server->model != LSP__MODEL_LOADING) lsp__client_model_news(c);
}

static void on_connection(uv_stream_t *listener, int status) {
  lsp__server *s = listener->data;
  if (status < 0 || s->stopping) return;
  bool full = s->client_count >= LSP__CLIENTS_MAX;
  lsp__client *c = full ? NULL : lsp__client_new(s);
  if (full)
    lsp__say("too many clients: %d are served, one more was let go", s->client_count);
  else if (c == NULL)
    lsp__say("no memory for another client, which was let go");
  else
    begin_client(c, lsp__connection_accept(listener, &lsp__client_events, c, &c->connection));
  lsp__listen_refuse(&s->listener); /* where it was not taken */
}

/* ---- start ----------------------------------------------------------------------------- */

static bool is_open_for(int fd, int one_way) {
  int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && ((flags & O_ACCMODE) == one_way || (flags & O_ACCMODE) == O_RDWR);
}

static const char *advice(int error) {
  return error == UV_EMFILE || error == UV_ENFILE ? "; allow more with ulimit -n" : "";
}

static int start_stdio(lsp__server *s, char *err, size_t errlen) {
  if (!is_open_for(STDIN_FILENO, O_RDONLY) || !is_open_for(STDOUT_FILENO, O_WRONLY)) {
    snprintf(err, errlen, "standard input or output is closed; an editor starts fimd with a pipe "
             "at both");
    return UV_EBADF;
  }
  lsp__client *c = lsp__client_new(s);
  int error = c == NULL ? UV_ENOMEM
                        : lsp__connection_open(&s->loop, 0, 1, &lsp__client_events, c, &c->connection);
  if (error == 0) return 0;
  if (c != NULL) {
    lsp__client_leave(c);
    lsp__client_unref(c);
  }
  snprintf(err, errlen, "cannot use standard input and output: %s%s", uv_strerror(error),
           advice(error));
  return error;
}

static int start_transport(lsp__server *s, char *err, size_t errlen) {
  const lsp_options *o = s->options;
  int port;
  if (o->transport == LSP_STDIO) return start_stdio(s, err, errlen);
  if (o->transport == LSP_SOCKET)
    return lsp__listen_socket(&s->listener, &s->loop, o->path != NULL ? o->path : "", on_connection,
                              s, err, errlen);
  int error = lsp__listen_port(&s->listener, &s->loop, o->port, &port, on_connection, s, err, errlen);
  if (error == 0) error = lsp__token_make(&s->token, o->token_file, port, err, errlen);
  if (error == 0)
    lsp__say("listening on 127.0.0.1:%d, the token is in %s", port, s->token.path);
  return error;
}

static int start_handles(lsp__server *s, char *err, size_t errlen) {
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  s->mail_end = &s->mail_first;
  int error = uv_async_init(&s->loop, &s->wake, on_wake);
  if (error == 0) error = uv_timer_init(&s->loop, &s->parent_timer);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers && error == 0; i++) {
    error = uv_signal_init(&s->loop, &s->signals[i]);
    s->signals[i].data = s;
    if (error == 0) error = uv_signal_start(&s->signals[i], on_signal, numbers[i]);
  }
  s->parent_timer.data = s->wake.data = s;
  if (error != 0)
    snprintf(err, errlen, "cannot start the event loop: %s%s", uv_strerror(error), advice(error));
  return error;
}

static int serve(lsp__server *s, char *err, size_t errlen) {
  const char *trace_file = s->options->trace_file;
  int error = start_handles(s, err, errlen);
  if (error == 0) error = start_transport(s, err, errlen);
  if (error == 0 && trace_file != NULL) /* nothing has come yet */
    error = lsp__recording_open(&s->recording, &s->loop, trace_file, err, errlen);
  if (error == 0) {
    error = lsp__loader_start(&s->loader, &s->options->engine, &s->wake);
    if (error != 0) snprintf(err, errlen, "cannot start loading: %s", uv_strerror(error));
  }
  if (error != 0) lsp__server_stop(s, 2);
  uv_run(&s->loop, UV_RUN_DEFAULT);
  lsp__recording_close(s->recording);
  lsp__token_remove(&s->token);
  return s->exit_code;
}

int lsp_serve(const lsp_options *options, char *err, size_t errlen) {
  lsp__server *s = calloc(1, sizeof *s);
  int code = 2, error;
  if (errlen > 0) err[0] = '\0';
  if (s == NULL) {
    snprintf(err, errlen, "out of memory");
    return code;
  }
  s->options = options;
  error = uv_loop_init(&s->loop);
  if (error != 0) {
    snprintf(err, errlen, "cannot start the event loop: %s%s", uv_strerror(error), advice(error));
    goto free_server;
  }
  error = uv_mutex_init(&s->lock);
  if (error != 0) {
    snprintf(err, errlen, "cannot make a lock: %s", uv_strerror(error));
    goto close_loop;
  }
  signal(SIGPIPE, SIG_IGN); /* a client that is gone is an error of the write */
  signal(SIGXFSZ, SIG_IGN); /* so is a file that may not grow */
  code = serve(s, err, errlen);
  uv_mutex_destroy(&s->lock);
close_loop:
  uv_loop_close(&s->loop);
free_server:
  free(s);
  return code;
}
