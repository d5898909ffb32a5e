/* json.h - reads JSON in place over a bounds-checked cursor, private to engine/.
 *
 * For config.json, tokenizer.json, safetensors headers and their index: files where an error must name the byte,
 * a key that is there twice must not pass, and a header of 100 MB must not become a tree of
 * several GB. A tree library gives none of the three. Failures stick in the cursor (bytes.h);
 * after one, every call returns zero, false or an empty string. */
#ifndef FIMD_ENGINE_JSON_H
#define FIMD_ENGINE_JSON_H

#include "engine/bytes.h"

#define JSON_MAX_DEPTH 64

/* The character that begins the next value or ends the list; 0 at the end of the text. */
char json_peek(bytes *b);

/* Enters an object ('{') or an array ('['). Then, until it returns false:
 *   for (bool first = true; json_next(b, &first, '}');) { json_key(...); value; } */
void json_enter(bytes *b, char open, const char *field);
bool json_next(bytes *b, bool *first, char close);

/* Decodes a string into out[outlen], terminated; returns its length. Longer ones, and ones with
 * a NUL, fail. */
size_t json_string(bytes *b, const char *field, char *out, size_t outlen);
/* The same for a key, and takes the colon. */
size_t json_key(bytes *b, char *out, size_t outlen);
/* A number without fraction or exponent, in min..max. */
int64_t json_integer(bytes *b, const char *field, int64_t min, int64_t max);
double json_number(bytes *b, const char *field);
bool json_bool(bytes *b, const char *field);
bool json_null(bytes *b); /* takes a null if it is next */
/* Takes any value that is well-formed and at most JSON_MAX_DEPTH deep. */
void json_skip(bytes *b);
/* Fails if anything but white space is left. */
void json_end(bytes *b);

#endif
