/* recording.h - all messages of a daemon, in and out, with their times, in a file: --trace-file.
 *
 * Off unless asked for on the command line, as it holds the text of all that is edited; the file is
 * local, for its owner only, and never one that was there. fimd trace plays it again (cli_trace.c).
 *
 * JSON Lines. The first is {"fimd": version, "trace": LSP__RECORDING_FORMAT}; each further one
 * {"ms": since the start, "client": 1 and up, "from": "client" or "server", and last "message": the
 * message as it was sent}, with "text" in the place of "message" for what was no JSON.
 *
 * Writing goes through the thread pool, so that a slow disk does not hold the loop up. */
#ifndef FIMD_LSP_RECORDING_H
#define FIMD_LSP_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#define LSP__RECORDING_FORMAT 1
#define LSP__RECORDING_QUEUE ((size_t)64 << 20) /* bytes waiting to be written; more: it ends */

typedef struct lsp__recording lsp__recording;

/* Makes the file. LSP__OK, or another status and why in err. */
int lsp__recording_open(lsp__recording **out, uv_loop_t *loop, const char *path, char *err,
                        size_t errlen);
/* text[len] is borrowed for the call. NULL is a no-op. What fails is said on standard error once,
 * and ends the recording, nothing else. */
void lsp__recording_add(lsp__recording *r, int client, bool from_client, bool is_json,
                        const char *text, size_t len);
/* After the loop has ended, which it does when all is written. NULL is a no-op. */
void lsp__recording_close(lsp__recording *r);

#endif
