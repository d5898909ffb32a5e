/* bytes.h - a bounds-checked cursor over a stranger's file, private to engine/.
 *
 * Reads advance it; the first read that would run past the end, or the first bytes_fail, is
 * remembered with its words and its byte, and all later reads return zeros without moving.
 * So a parser reads a whole record and checks `failed` once before it uses any of it. */
#ifndef FIMD_ENGINE_BYTES_H
#define FIMD_ENGINE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
  const uint8_t *data; /* [size] borrowed */
  size_t size, at;
  const char *file;    /* begins every message; borrowed */
  char about[112];     /* what is being read, for messages: "tensor blk.0.attn_q.weight" */
  char *err;           /* [errlen] borrowed: the words of the first failure */
  size_t errlen;
  bool failed;
} bytes;

void bytes_init(bytes *b, const void *data, size_t size, const char *file, char *err,
                size_t errlen);

/* Sets what later messages are about: "kind name"; name[len] may be anything (it is made
 * printable), kind "" says nothing. */
void bytes_about(bytes *b, const char *kind, const char *name, size_t len);

/* Records a failure, unless there was one: "file: about: words (at byte N)". Returns
 * ENGINE_EFORMAT. */
int bytes_fail(bytes *b, uint64_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The next n bytes, borrowed from the file; NULL after a failure. field names them. */
const uint8_t *bytes_take(bytes *b, uint64_t n, const char *field);
/* Little-endian numbers; 0 after a failure. */
uint8_t bytes_u8(bytes *b, const char *field);
uint16_t bytes_u16(bytes *b, const char *field);
uint32_t bytes_u32(bytes *b, const char *field);
uint64_t bytes_u64(bytes *b, const char *field);
size_t bytes_left(const bytes *b);

/* Copies s[len] with everything but printable ASCII made '?', cut with "..." where it does not
 * fit. Returns out. Names from files pass through here before a person or a terminal sees them. */
char *bytes_printable(char *out, size_t outlen, const char *s, size_t len);

#endif
