/* position.h - LSP positions in the three encodings that a client may choose from. */
#ifndef FIMD_LSP_POSITION_H
#define FIMD_LSP_POSITION_H

#include <stddef.h>
#include <stdint.h>

typedef enum lsp__encoding {
  LSP__UTF16 = 0, /* the protocol's default */
  LSP__UTF8,
  LSP__UTF32,
} lsp__encoding;

/* "utf-8" and the like; -1 where the name is none of ours. */
int lsp__encoding_from_name(const char *name);
const char *lsp__encoding_name(lsp__encoding encoding);

/* Zero-based; `character` counts the units of the encoding. As they came: past the end or
 * negative is clamped where they are used. */
typedef struct lsp__position {
  int64_t line, character;
} lsp__position;

typedef struct lsp__range {
  lsp__position start, end;
} lsp__range;

/* How many bytes of text[len] (one line) lie before `units`; at most len. A place inside a
 * character gives the character's start; *half (may be NULL) is then set where it is the middle
 * of a UTF-16 pair. */
size_t lsp__units_to_bytes(const char *text, size_t len, int64_t units, lsp__encoding encoding,
                           int *half);

/* How many units text[len] has. */
int64_t lsp__bytes_to_units(const char *text, size_t len, lsp__encoding encoding);

#endif
