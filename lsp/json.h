/* json.h - strict JSON in (cJSON behind a scanner) and JSON out (a writer).
 *
 * What is decided here, and why:
 * - Text must be well-formed UTF-8 and follow RFC 8259 to the letter, from the first byte to
 *   the last: no byte order mark, no trailing comma, no control character in a string, nothing
 *   after the value. cJSON is laxer, so a scanner passes over the text before it.
 * - Bounds: LSP__JSON_DEPTH containers inside each other, LSP__JSON_VALUES values, numbers of
 *   at most LSP__JSON_NUMBER characters that are finite as a double.
 * - Keys are compared with their case. Of duplicate keys the last one counts, as in JavaScript.
 * - "\u0000" is legal and an editor's buffer may hold it, but cJSON's strings end at a zero
 *   byte. It is kept as the two bytes C0 80, which no checked UTF-8 holds; lsp__json_take_text
 *   turns it back, and the writer writes it as "\u0000".
 * - A lone surrogate ("\ud800") is kept in its three-byte form (see utf8.h) and written back as
 *   an escape.
 *
 * The writer is our own because cJSON's output cannot hold a zero byte or report an allocation
 * that failed in the middle of a tree without a check at every step; this one has a sticky
 * failure. */
#ifndef FIMD_LSP_JSON_H
#define FIMD_LSP_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsp/buffer.h"

#define LSP__JSON_DEPTH 512
#define LSP__JSON_VALUES 2000000
#define LSP__JSON_NUMBER 1024

/* ---- in -------------------------------------------------------------------------------- */

/* *out is owned: cJSON_Delete. LSP__EINVAL: not JSON, LSP__ELIMIT: past a bound; *why (never
 * NULL then) is a constant phrase and *where the byte. */
int lsp__json_parse(const char *text, size_t len, cJSON **out, const char **why, size_t *where);

/* The member of an object, or NULL (also where it is no object). */
const cJSON *lsp__json_get(const cJSON *object, const char *key);
/* The same down a path of keys that ends with NULL. */
const cJSON *lsp__json_path(const cJSON *object, ...) __attribute__((sentinel));
/* A member's value where it has the type, else false (and *out is as it was). The string is
 * borrowed from the tree. */
bool lsp__json_get_string(const cJSON *object, const char *key, const char **out);
bool lsp__json_get_bool(const cJSON *object, const char *key, bool *out);
/* Only whole numbers that an int64 holds exactly (up to 2^53). */
bool lsp__json_get_int(const cJSON *object, const char *key, int64_t *out);
bool lsp__json_to_int(const cJSON *item, int64_t *out);

/* The text of a string item, zero bytes as zero bytes; borrowed from the tree and to be asked
 * for once. NULL where the item is no string. */
const char *lsp__json_take_text(const cJSON *item, size_t *len);

/* ---- out ------------------------------------------------------------------------------- */

/* Commas are put where they belong: after what ends a value. */
void lsp__json_begin(lsp__buffer *b, char bracket); /* '{' or '[' */
void lsp__json_end(lsp__buffer *b, char bracket);   /* '}' or ']' */
void lsp__json_key(lsp__buffer *b, const char *key);
void lsp__json_string(lsp__buffer *b, const char *text);
/* Bytes that are not UTF-8 are written as U+FFFD. */
void lsp__json_string_n(lsp__buffer *b, const char *text, size_t len);
void lsp__json_int(lsp__buffer *b, int64_t value);
void lsp__json_double(lsp__buffer *b, double value); /* null where it is not finite */
void lsp__json_bool(lsp__buffer *b, bool value);
void lsp__json_null(lsp__buffer *b);
/* A member of an object; put_text with NULL writes none. */
void lsp__json_put_text(lsp__buffer *b, const char *key, const char *value);
void lsp__json_put_int(lsp__buffer *b, const char *key, int64_t value);
void lsp__json_put_double(lsp__buffer *b, const char *key, double value);
void lsp__json_put_bool(lsp__buffer *b, const char *key, bool value);

#endif
