/* fuzz_server.c - a client's bytes into the whole server: its loop, a real connection, JSON-RPC,
 * documents, settings, requests, and completions from a tiny random model.
 *
 * The first byte says what is done with the rest: it is sent as it is; or cut at each byte 1E into
 * messages that get a header; or a script (server_script.h). The second says how far the model is:
 * loading, failed, there, there with everything made anew, which takes longer. What must hold: all
 * that comes back is framed strict JSON, every request of a script is answered exactly once, and
 * when the input is over the client is gone.
 *
 * One loop, one engine and, where nothing is made anew, one completion object serve all inputs:
 * its queries alone would take 30 ms each time. Documents and folders are taken out after each. The
 * linker puts the functions __wrap_ in the place of the real ones (fuzz.mk); no folder but
 * our own is ever read. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "lsp/internal.h"
#include "lsp/json.h"
#include "server_script.h"
#include "tests/engine/model_files.h"

#define REQUESTS_MAX 512
#define URIS_MAX 256

FUZZ_RUNS(200);

enum { LOADING, FAILED, READY, READY_ANEW };

/* ---- kept over all inputs ---------------------------------------------------------------- */

static lsp__server server;
static lsp_options options;
static engine *tiny;
static completion *shared;
static char *folder;
static bool anew;
static char *uris[URIS_MAX];
static int n_uris;

int __real_completion_new(completion **out, engine *e, const completion_options *o);
void __real_completion_delete(completion *c);
int __real_completion_document_set(completion *c, const completion_document *d);
int __real_completion_root_add(completion *c, const char *path);
void __real_completion_file_changed(completion *c, const char *path);
int __wrap_completion_new(completion **out, engine *e, const completion_options *o);
void __wrap_completion_delete(completion *c);
int __wrap_completion_document_set(completion *c, const completion_document *d);
int __wrap_completion_root_add(completion *c, const char *path);
void __wrap_completion_file_changed(completion *c, const char *path);

int __wrap_completion_new(completion **out, engine *e, const completion_options *o) {
  if (anew) return __real_completion_new(out, e, o);
  int status = shared ? 0 : __real_completion_new(&shared, e, o);
  *out = shared;
  return status ? status : completion_set_options(shared, o);
}

void __wrap_completion_delete(completion *c) {
  if (c != shared) __real_completion_delete(c);
}

int __wrap_completion_document_set(completion *c, const completion_document *d) {
  bool known = false;
  for (int i = 0; i < n_uris && !known; i++) known = strcmp(uris[i], d->uri) == 0;
  if (c == shared && !known && n_uris == URIS_MAX) return COMPLETION_ENOMEM;
  if (c == shared && !known) uris[n_uris++] = fuzz_string(d->uri, strlen(d->uri));
  return __real_completion_document_set(c, d);
}

static bool is_ours(const char *path) {
  size_t n = strlen(folder);
  return strncmp(path, folder, n) == 0 && (path[n] == '\0' || path[n] == '/') &&
         !strstr(path, "..");
}

int __wrap_completion_root_add(completion *c, const char *path) {
  return is_ours(path) ? __real_completion_root_add(c, path) : 0;
}

void __wrap_completion_file_changed(completion *c, const char *path) {
  if (is_ours(path)) __real_completion_file_changed(c, path);
}

static void forget_documents(void) {
  char sub[4096];
  for (int i = 0; i < n_uris; i++) {
    completion_document_remove(shared, uris[i]);
    free(uris[i]);
  }
  n_uris = 0;
  if (!shared) return;
  snprintf(sub, sizeof sub, "%s/sub", folder);
  completion_root_remove(shared, folder);
  completion_root_remove(shared, sub);
}

static void on_wake(uv_async_t *async) { lsp__mailbox_deliver(async->data); }

static void clean_up(void) {
  __real_completion_delete(shared);
  engine_close(tiny);
  remove_tree(folder);
  free(folder);
}

static void put_file(const char *name, const char *text) {
  char *path = text_of("%s/%s", folder, name);
  write_file(path, text, strlen(text));
  free(path);
}

static void start(void) {
  char err[256];
  folder = make_temp();
  image gguf = small_gguf(NULL, 0);
  char *path = text_of("%s/tiny.gguf", folder), *sub = text_of("%s/sub", folder);
  write_file(path, gguf.data, gguf.size);
  image_free(&gguf);
  engine_options o = {.model = path, .threads = 1, .backend = "cpu"};
  FUZZ_CHECK(engine_open(&tiny, &o, err, sizeof err) == 0, "%s", err);
  unlink(path);
  mkdir(sub, 0700);
  put_file("a.c", "#include \"x.h\"\nint f(int a) {\n  return a;\n}\n");
  put_file("sub/x.h", "int f(int a);\ntypedef struct x { int a; } x;\n");
  put_file("sub/ignored.c", "int secret;\n");
  put_file(".env", "KEY=1\n");
  put_file(".gitignore", "ignored.c\n");
  free(path);
  free(sub);
  atexit(clean_up);
  signal(SIGPIPE, SIG_IGN);
  stderr = fopen("/dev/null", "w"); /* of what the server says; sanitizers have their own */
  options.completion = (completion_options){.prompt_tokens = 128, .max_tokens = 4};
  FUZZ_ASSERT(engine_draft_parse("all", &options.completion.draft) == 0);
  options.completion.draft.most = 4; /* large steps of a tiny model take most of the time */
  server.options = &options;
  server.mail_end = &server.mail_first;
  FUZZ_ASSERT(uv_loop_init(&server.loop) == 0 && uv_mutex_init(&server.lock) == 0);
  FUZZ_ASSERT(uv_async_init(&server.loop, &server.wake, on_wake) == 0);
  server.wake.data = &server;
}

/* ---- the client's side ------------------------------------------------------------------- */

typedef struct peer {
  int fd;
  lsp__framing framing;
  int answers[REQUESTS_MAX]; /* by id - SCRIPT_FIRST_ID */
  bool must[REQUESTS_MAX];
  int waiting; /* of those that must be answered */
  bool cut;    /* the input ends without exit: what was not answered yet will not be */
} peer;

static void wrong(const char *what, const char *text) {
  dprintf(2, "fuzz_server: %s: %.400s\n", what, text);
  abort();
}

/* FIMD_FUZZ_TALK=1 shows what is said. */
static void show(const char *who, const char *text, size_t len) {
  static int shown = -1;
  if (shown < 0) shown = getenv("FIMD_FUZZ_TALK") != NULL;
  double ms = (double)(uv_hrtime() % 100000000000) / 1e6;
  if (shown) dprintf(2, "%s %8.1f %.*s\n", who, ms, (int)len, text);
}

static void hear(peer *p, const char *text, size_t len) {
  cJSON *tree;
  const char *why;
  size_t where;
  int64_t id;
  show("<-", text, len);
  if (lsp__json_parse(text, len, &tree, &why, &where) != LSP__OK) wrong(why, text);
  lsp__message m;
  lsp__message_read(tree, &m);
  if (m.kind == LSP__MESSAGE_INVALID) wrong("no JSON-RPC", text);
  bool response = m.kind == LSP__MESSAGE_RESPONSE && lsp__json_get_int(tree, "id", &id);
  if (response && id >= SCRIPT_FIRST_ID && id < SCRIPT_FIRST_ID + REQUESTS_MAX) {
    int i = (int)(id - SCRIPT_FIRST_ID);
    if (p->must[i] && ++p->answers[i] > 1) wrong("answered twice", text);
    p->waiting -= p->must[i];
  }
  cJSON_Delete(tree);
}

/* Takes what there is. False: the end. */
static bool drain(peer *p) {
  static char bytes[65536];
  for (;;) {
    ssize_t n = read(p->fd, bytes, sizeof bytes);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    for (const char *data = bytes; n > 0;) {
      lsp__framing_event event;
      size_t took = lsp__framing_feed(&p->framing, data, (size_t)n, &event);
      data += took;
      n -= (ssize_t)took;
      if (event == LSP__FRAMING_MESSAGE) hear(p, p->framing.body.data, p->framing.body.len);
      else if (event != LSP__FRAMING_NONE) wrong("badly framed", data);
    }
  }
}

/* One turn of the loop, which waits for news if there was none. */
static void turn(peer *p, bool wait) {
  if (wait) {
    struct pollfd fds[2] = {{uv_backend_fd(&server.loop), POLLIN, 0}, {p->fd, POLLIN, 0}};
    int ms = uv_backend_timeout(&server.loop);
    poll(fds, 2, ms < 0 || ms > 100 ? 100 : ms);
  }
  uv_run(&server.loop, UV_RUN_NOWAIT);
  drain(p);
}

static void send_bytes(peer *p, const char *data, size_t len) {
  while (len > 0 && server.clients) {
    ssize_t n = send(p->fd, data, len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return;
    if (n > 0) {
      data += n;
      len -= (size_t)n;
    }
    turn(p, false);
  }
}

static void send_message(peer *p, const char *body, size_t len) {
  char header[48];
  show("->", body, len);
  int n = snprintf(header, sizeof header, "Content-Length: %zu\r\n\r\n", len);
  send_bytes(p, header, (size_t)n);
  send_bytes(p, body, len);
}

/* ---- what is done with an input ---------------------------------------------------------- */

static void model_is(int state) {
  anew = state == READY_ANEW;
  server.model = state == LOADING  ? LSP__MODEL_LOADING
                 : state == FAILED ? LSP__MODEL_FAILED
                                   : LSP__MODEL_READY;
  server.engine = state >= READY ? tiny : NULL;
  server.model_error = "there is none";
  if (state != LOADING && server.clients) lsp__client_model_news(server.clients);
}

static void send_pieces(peer *p, fuzz_input *in) {
  size_t piece = fuzz_u8(in) + 1, len;
  while (in->left > 0 && server.clients) {
    const char *data = fuzz_take(in, piece, &len);
    send_bytes(p, data, len);
  }
}

static void send_bodies(peer *p, fuzz_input *in) {
  while (in->left > 0 && server.clients) {
    const uint8_t *end = memchr(in->data, 0x1E, in->left);
    size_t len;
    const char *body = fuzz_take(in, end ? (size_t)(end - in->data) : in->left, &len);
    if (end) fuzz_u8(in);
    send_message(p, body, len);
  }
}

/* A client that says exit still gets its answers; one whose input ends is gone. */
static void run_script(peer *p, fuzz_input *in) {
  static const char leave[] = "{\"jsonrpc\":\"2.0\",\"method\":\"exit\"}";
  script s = {.in = in, .folder = folder, .next_id = SCRIPT_FIRST_ID};
  while (in->left > 0 && server.clients && s.next_id < SCRIPT_FIRST_ID + REQUESTS_MAX) {
    lsp__buffer body = {0};
    bool over = s.over, asked;
    script_kind kind = script_next(&s, &body, &asked);
    if (asked && !over) {
      p->must[s.next_id - 1 - SCRIPT_FIRST_ID] = true;
      p->waiting++;
    }
    if (kind == SCRIPT_MESSAGE) send_message(p, body.data, body.len);
    else if (kind == SCRIPT_RAW) send_bytes(p, body.data, body.len);
    else if (kind == SCRIPT_MODEL && server.model == LSP__MODEL_LOADING) model_is(READY);
    else if (server.model != LSP__MODEL_LOADING)
      while (p->waiting > 0 && server.clients && !s.over) turn(p, true);
    lsp__buffer_free(&body);
  }
  if (!s.over) send_message(p, leave, sizeof leave - 1);
  p->cut = s.raw;
}

static void end_session(peer *p) {
  shutdown(p->fd, SHUT_WR);
  while (server.clients) turn(p, true);
  drain(p);
  for (int i = 0; i < REQUESTS_MAX; i++) {
    char id[16];
    snprintf(id, sizeof id, "%d", SCRIPT_FIRST_ID + i);
    if (p->must[i] && p->answers[i] != 1 && !p->cut) wrong("a request was not answered", id);
  }
  if (server.mail_first) wrong("mail is left", "");
  lsp__framing_free(&p->framing);
  close(p->fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static bool started;
  if (!started) start();
  started = true;
  fuzz_input in = {data, size};
  unsigned how = fuzz_u8(&in), state = fuzz_u8(&in);
  int fds[2];
  peer p = {.framing.max_message = LSP__MESSAGE_MAX};
  options.transport = how & 0x80 ? LSP_PORT : LSP_SOCKET;
  options.measured = how & 0x40;
  lsp__client *c = lsp__client_new(&server);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0 || !c)
    wrong("no socket", strerror(errno));
  if (lsp__connection_open(&server.loop, fds[0], fds[0], &lsp__client_events, c, &c->connection))
    wrong("no connection", "");
  close(fds[0]); /* it has copies */
  p.fd = fds[1];
  model_is(state < 0x80 ? LOADING : state < 0x88 ? FAILED : state < 0x90 ? READY_ANEW : READY);
  if (how % 4 == 0) send_pieces(&p, &in);
  else if (how % 4 == 1) send_bodies(&p, &in);
  else run_script(&p, &in);
  end_session(&p);
  forget_documents();
  engine_set_unload_after(tiny, 0);
  return 0;
}
