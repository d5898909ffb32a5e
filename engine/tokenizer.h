/* tokenizer.h - byte-level BPE with Qwen2's pre-tokenizer, private to engine/.
 *
 * One tokenizer is built from a vocabulary, whichever file format it was read from. It is
 * immutable after tokenizer_new: any number of threads may use it (each call has its own
 * scratch). */
#ifndef FIMD_ENGINE_TOKENIZER_H
#define FIMD_ENGINE_TOKENIZER_H

#include "engine/engine.h"

typedef struct tokenizer tokenizer;

typedef struct tokenizer_string {
  const char *data; /* [len] not terminated */
  size_t len;
} tokenizer_string;

typedef enum tokenizer_kind {
  TOKENIZER_UNUSED = 0, /* an id with no text (padding of the embedding table) */
  TOKENIZER_NORMAL,     /* a byte-level BPE piece, in the printable byte alphabet ("\u0120for") */
  TOKENIZER_ADDED,      /* matched literally before BPE, but ordinary text */
  TOKENIZER_SPECIAL,    /* the same, and not part of the text ("<|fim_prefix|>") */
} tokenizer_kind;

/* What a refusal is about, for who knows where in the file that is: -1, or an index. */
typedef struct tokenizer_blame {
  int token, merge;
} tokenizer_blame;

/* A vocabulary as read from a file: borrowed during tokenizer_new, from a stranger: everything
 * in it is checked there. */
typedef struct tokenizer_vocab {
  int n_tokens;                   /* ids are 0..n_tokens-1 */
  const tokenizer_string *tokens; /* [n_tokens] */
  const uint8_t *kinds;           /* [n_tokens] tokenizer_kind */
  int n_merges;
  const tokenizer_string (*merges)[2]; /* [n_merges] left, right; the first has the best rank */
  tokenizer_blame *blame; /* set by tokenizer_new; or NULL */
} tokenizer_vocab;

/* 0, ENGINE_ENOMEM, or ENGINE_EFORMAT with words in err (a duplicate token, a merge of pieces
 * that are not in the vocabulary, a byte without a piece, ...). */
int tokenizer_new(tokenizer **out, const tokenizer_vocab *vocab, char *err, size_t errlen);
/* From the text of a Hugging Face tokenizer.json. n_vocab: the model's vocab_size; ids at or
 * above it are ENGINE_EFORMAT, ids that the file leaves out are unused. A model type other than
 * BPE, another normalizer than NFC or none, another pre-tokenizer than Qwen2's: ENGINE_EFORMAT,
 * with the byte. */
int tokenizer_new_json(tokenizer **out, const char *json, size_t len, int n_vocab, char *err,
                       size_t errlen);
void tokenizer_delete(tokenizer *t);

/* See engine_tokenize, engine_token_text and their like in engine.h. */
int tokenizer_encode(const tokenizer *t, const char *text, size_t len, bool parse_special,
                     engine_tokens *out);
const char *tokenizer_text(const tokenizer *t, int32_t id, size_t *len);
tokenizer_kind tokenizer_token_kind(const tokenizer *t, int32_t id); /* UNUSED out of range */
int tokenizer_size(const tokenizer *t);
/* Whether both give the same ids for every text. */
bool tokenizer_same(const tokenizer *a, const tokenizer *b);
/* The id of a token by its literal text ("<|fim_prefix|>"), or -1. */
int32_t tokenizer_find(const tokenizer *t, const char *text);

#endif
