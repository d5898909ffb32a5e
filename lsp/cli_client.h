/* cli_client.h - the small LSP client of the commands that look at the daemon from outside, as an
 * editor does. Private to lsp/.
 *
 * It starts this very program as a child and speaks to it over standard input and output, one
 * request at a time, blocking. Positions are utf-8. Documents hold no zero bytes. */
#ifndef FIMD_LSP_CLI_CLIENT_H
#define FIMD_LSP_CLI_CLIENT_H

#include <stdio.h>
#include <sys/types.h>

#include "lsp/cli.h"

struct cJSON;

typedef struct cli_client cli_client;
struct cli_client {
  pid_t pid;
  FILE *in, *out; /* owned: from and to the daemon */
  int next_id;
  double sent_ms, received_ms; /* the last message's first byte out, the last one's last byte in */
};

/* Where a cursor stands, both from 0; character counts bytes. */
typedef struct cli_position {
  int line, character;
} cli_position;

/* Ghost text: it takes the place of the cursor's line from `from` to `to`, which count bytes and
 * stand on either side of the cursor. */
typedef struct cli_ghost {
  char *text; /* owned: free */
  int from, to;
  double ms;  /* from the request's first byte out to the answer's last byte in */
} cli_ghost;

/* The daemon gets the options for the model and for completions, save the seed. False: errno. */
bool cli_client_start(cli_client *c, const cli_options *o);
/* root: a folder's absolute path, or NULL for none. */
bool cli_client_initialize(cli_client *c, const char *root);
/* Says goodbye, unless the daemon is gone, and waits for its end. Its exit code, or -1. */
int cli_client_stop(cli_client *c);

/* Both take params over. The answer's result, owned by the caller; NULL where there is none: an
 * error is said on standard error. */
bool cli_client_notify(cli_client *c, const char *method, struct cJSON *params);
struct cJSON *cli_client_request(cli_client *c, const char *method, struct cJSON *params);

/* For who speaks for itself: a message as it is; and the next one of the daemon, owned by the
 * caller, NULL at the end of the stream. */
bool cli_client_send(cli_client *c, const char *text, size_t len);
struct cJSON *cli_client_receive(cli_client *c);

bool cli_client_open(cli_client *c, const char *uri, const char *language, const char *text);
bool cli_client_close(cli_client *c, const char *uri);
/* Types the text at a place. */
bool cli_client_type(cli_client *c, const char *uri, int version, cli_position at,
                     const char *text);
/* 1 with ghost text, 0 without, -1 where there was no answer. out->ms is set unless -1. */
int cli_client_ask(cli_client *c, const char *uri, cli_position at, cli_ghost *out);
/* The same of a daemon that is measured (lsp_options.measured): with a text for the model's own,
 * and without something; NULL: nothing of the kind. */
int cli_client_ask_measured(cli_client *c, const char *uri, cli_position at, const char *replay,
                            const char *without, cli_ghost *out);

cli_position cli_position_of(const char *text, size_t offset);
/* "file://...", owned by the caller; NULL: out of memory. */
char *cli_file_uri(const char *path);

#endif
