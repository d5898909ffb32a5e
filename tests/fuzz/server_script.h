/* server_script.h - how fuzz_server.c makes whole messages of an input: each operation is a byte,
 * its fields are the bytes after it, and most of what it writes is what a client might send. */
#ifndef FIMD_TESTS_FUZZ_SERVER_SCRIPT_H
#define FIMD_TESTS_FUZZ_SERVER_SCRIPT_H

#include "fuzz.h"
#include "lsp/buffer.h"

typedef enum script_kind {
  SCRIPT_MESSAGE,      /* body is to be sent */
  SCRIPT_MODEL,        /* the model is there from now on */
  SCRIPT_WAIT,         /* until what was asked is answered, if it will be */
  SCRIPT_RAW,          /* body's bytes are to be sent as they are */
} script_kind;

typedef struct script {
  fuzz_input *in;
  const char *folder; /* of the workspace: uris are in it */
  int64_t next_id;    /* of the requests that were made; the first is SCRIPT_FIRST_ID */
  bool over;          /* exit was said, or: after this nothing need be answered any more */
  bool raw;           /* bytes were sent that may have taken what follows for their own */
} script;

#define SCRIPT_FIRST_ID 1000

/* Makes the next one. *asked: the message is a request that must be answered, by next_id - 1. */
script_kind script_next(script *s, lsp__buffer *body, bool *asked);

#endif
