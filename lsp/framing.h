/* framing.h - the Content-Length framing of LSP, as a parser that does no input or output.
 *
 * Bytes go in as they come, in pieces of any size; messages come out. Header names are compared
 * without case, lines may end with "\n" alone, Content-Type and unknown headers are passed over.
 *
 * Recovery: a header that cannot be read leaves no length, so the parser looks for the next
 * "Content-Length:" that begins a readable header. That cannot be fooled by a JSON body, in
 * which a line end is always escaped. A message that is too large is passed over by its length. */
#ifndef FIMD_LSP_FRAMING_H
#define FIMD_LSP_FRAMING_H

#include <stdbool.h>
#include <stddef.h>

#include "lsp/buffer.h"

#define LSP__MESSAGE_MAX ((size_t)64 << 20) /* bytes of one message's body */
#define LSP__HEADER_MAX 4096                /* bytes of one message's header */
#define LSP__HEAD_MAX 4096                  /* bytes kept of a message that is passed over */

typedef enum lsp__framing_event {
  LSP__FRAMING_NONE = 0, /* all bytes taken, more are needed */
  LSP__FRAMING_MESSAGE,  /* body.data[body.len], zero-terminated, until the next feed */
  LSP__FRAMING_BAD_HEADER, /* said once, until a header can be read again */
  LSP__FRAMING_TOO_LARGE,  /* the message is passed over; head[head_len] is how it begins */
  LSP__FRAMING_NOMEM,      /* the same */
} lsp__framing_event;

/* Set max_message, zero the rest. */
typedef struct lsp__framing {
  size_t max_message;
  bool hasty; /* a message is said to be too large by its header alone; there is no head then */
  lsp__buffer body;
  enum { LSP__IN_HEADER = 0, LSP__IN_BODY, LSP__IN_SKIP } state;
  lsp__framing_event problem; /* of what is passed over, once its head is there; else NONE */
  bool lost;      /* looking for the next header */
  bool delivered; /* body holds a message that was handed out */
  size_t left;    /* bytes of the body still to come */
  size_t header_len;
  char header[LSP__HEADER_MAX];
  size_t head_len;
  char head[LSP__HEAD_MAX];
} lsp__framing;

/* Takes bytes up to the first event and returns how many it took; call again with the rest. An
 * event can come without a byte taken; with NONE all were. */
size_t lsp__framing_feed(lsp__framing *f, const char *data, size_t len,
                         lsp__framing_event *event);
/* True between two messages: an end of input here is a clean one. */
bool lsp__framing_idle(const lsp__framing *f);
void lsp__framing_free(lsp__framing *f);

#endif
