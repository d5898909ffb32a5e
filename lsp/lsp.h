/* lsp.h - the face: Language Server Protocol over stdio, a Unix socket or loopback TCP.
 *
 * The libuv loop does all input and output and never blocks; the model is loaded on a thread
 * of its own and requests that come meanwhile wait for it. */
#ifndef FIMD_LSP_H
#define FIMD_LSP_H

#include "completion/completion.h"
#include "engine/engine.h"

typedef enum lsp_transport {
  LSP_STDIO = 0,
  LSP_SOCKET, /* a Unix socket at path, mode 0600; serves clients until terminated */
  LSP_PORT,   /* TCP on 127.0.0.1, for clients that know the token (guard.h) */
} lsp_transport;

typedef struct lsp_options {
  lsp_transport transport;
  const char *path; /* LSP_SOCKET */
  int port;         /* LSP_PORT; 0: any free port, printed on standard error */
  const char *token_file; /* LSP_PORT; NULL: in XDG_RUNTIME_DIR */
  const char *trace_file; /* where to record all messages: a new file; NULL: nowhere */
  engine_options engine;         /* what to load; progress is reported to the client */
  completion_options completion; /* the start values of the client's settings */
  bool measured; /* a request's context may hold fimdReplay, a text that is taken for the model's
                    own, and fimdWithout, "gate", "polish" or "": its answer does without, and is
                    not taken from an answer with it */
} lsp_options;

/* Serves until the client says exit, its input ends, or a signal asks to stop. Returns the
 * process's exit code: 0 after shutdown + exit (or a clean end of a socket server), 1 where
 * the client left without shutdown, 2 where serving could not start (err says why). */
int lsp_serve(const lsp_options *options, char *err, size_t errlen);

#endif
