/* cli_trace.h - a recording of lsp --trace-file, read again. Private to lsp/.
 *
 * cli_trace_read.c checks the file and makes entries and requests of it; cli_trace.c plays them. */
#ifndef FIMD_LSP_CLI_TRACE_H
#define FIMD_LSP_CLI_TRACE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* A message of the client that is played, in its order. */
typedef struct trace_entry {
  double ms;
  bool from_client;
  const char *raw; /* [raw_len] borrowed from the file's text: the message as it was sent */
  size_t raw_len;
  cJSON *message;  /* owned */
} trace_entry;

/* What a completion request came to. */
typedef struct trace_outcome {
  bool answered, failed; /* failed: with an error, as cancelled ones are */
  bool whole;            /* all of its text is there */
  char *text;            /* owned: all items, apart by "\x1e"; NULL: no memory, or none yet */
  double ms;             /* from the request to the last of its text */
} trace_outcome;

typedef struct trace_request {
  size_t entry;       /* its index */
  char *id;           /* owned: as JSON */
  const char *method; /* borrowed from its entry */
  char *token;        /* owned: partialResultToken as JSON, or NULL */
  double at;          /* ms of the recording */
  double sent;        /* ms of now; 0: not yet */
  trace_outcome then, now;
} trace_request;

typedef struct trace_file {
  char *text; /* owned */
  trace_entry *entries; /* [n] owned */
  size_t n;
  trace_request *requests; /* [n_requests] owned, in their order */
  size_t n_requests;
  int others; /* messages of other clients, which are not played */
} trace_file;

/* Reads and checks a recording. False: what is wrong is said on standard error. Freed in any case
 * by trace__close. */
bool trace__open(trace_file *f, const char *path);
void trace__close(trace_file *f);

/* The newest request of this id, of those that were sent now; NULL: none. */
trace_request *trace__find(trace_file *f, const cJSON *id);
/* Takes what a message of the daemon, then or now, says about a request; `at` is when it came, ms.
 * False: it says nothing about any. */
bool trace__take(trace_file *f, const cJSON *message, bool now, double at);

#endif
