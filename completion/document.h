/* document.h - the texts that requests are made on, as immutable snapshots.
 *
 * The front thread replaces a document's text at every keystroke while a request on the
 * engine thread may still read the old one; so a text never changes, it is counted by
 * references, and a request holds those that it reads. Line ends are made '\n' once, here;
 * offsets of the outside are mapped. */
#ifndef FIMD_COMPLETION_DOCUMENT_H
#define FIMD_COMPLETION_DOCUMENT_H

#include <stdatomic.h>

#include "completion/completion.h"
#include "completion/text.h"
#include "grammars/grammars.h"

#define COMPLETION__TREES_MAX 64 /* documents of which more is kept than the text */
#define COMPLETION__TEXT_MAX ((size_t)64 << 20) /* bytes of one document */

typedef struct completion__syntax completion__syntax;
typedef struct completion__seed completion__seed;

/* What was found out about whether other documents may show this one (withheld.h), so that the
 * disk and the text are looked at once. */
typedef struct completion__withheld {
  bool by_rule, by_text;
  uint64_t rules;  /* of which by_rule was said; 0: of none yet */
  uint64_t serial; /* of the text of which by_text was said */
  bool in_root;    /* where it stood then */
} completion__withheld;

/* One version of a document's text. Immutable. */
typedef struct completion__text {
  atomic_int refs;
  const grammars_language *language; /* NULL: none that we know */
  char *bytes;                       /* [len] owned, line ends '\n', zero-terminated */
  size_t len;
  size_t raw_len;  /* bytes as given */
  size_t *returns; /* [n_returns] owned: offsets as given of the '\r' dropped before '\n' */
  size_t n_returns;
  bool crlf; /* the first line end was "\r\n" */
  uint64_t serial; /* no other text of the same documents has it; 0: of none */
} completion__text;

/* NULL: out of memory. */
completion__text *completion__text_new(const char *bytes, size_t len,
                                       const grammars_language *language);
completion__text *completion__text_hold(completion__text *t);
void completion__text_release(completion__text *t); /* NULL is a no-op */
/* The offset as given, 0..raw_len, in `bytes`. */
size_t completion__text_offset(const completion__text *t, size_t raw);
static inline completion__slice completion__text_slice(const completion__text *t) {
  return (completion__slice){t->bytes, t->len};
}

/* Where a document stands: what a prompt calls its repository and its file. Immutable. */
typedef struct completion__place {
  atomic_int refs;
  bool in_root;     /* under one of the workspace folders */
  const char *path; /* relative to the root, else the file's own name */
  char repository[];
} completion__place;

completion__place *completion__place_hold(completion__place *p);
void completion__place_release(completion__place *p); /* NULL is a no-op */

typedef struct completion__document {
  atomic_int refs;
  char *uri;                  /* owned */
  char *path;                 /* owned: of a file: uri, else the uri */
  completion__text *text;     /* front thread */
  completion__place *place;   /* front thread */
  uint64_t used;              /* front thread: when it was last set or asked about */
  bool viewed;                /* front thread: a request saw it, so that it may have a syntax */
  completion__syntax *syntax; /* engine thread; completion__syntax_delete on the last release */
  completion__seed *seed;     /* likewise: its tokens in the n-gram pool */
  completion__withheld withheld; /* engine thread */
} completion__document;

completion__document *completion__document_hold(completion__document *d);
void completion__document_release(completion__document *d); /* NULL is a no-op */

/* Documents and roots; front thread only. Zero-initialise. */
typedef struct completion__documents {
  completion__document **items; /* [n] owned references */
  int n, capacity;
  char **roots; /* [n_roots] owned, without a closing '/' */
  int n_roots;
  uint64_t clock;
} completion__documents;

void completion__documents_free(completion__documents *all);
completion__document *completion__documents_find(completion__documents *all, const char *uri);
int completion__documents_set(completion__documents *all, const completion_document *d);
void completion__documents_remove(completion__documents *all, const char *uri);
int completion__documents_root_add(completion__documents *all, const char *path);
void completion__documents_root_remove(completion__documents *all, const char *path);

/* What a request sees: the document asked about first, then the others, newest first. */
typedef struct completion__view {
  completion__document *document; /* owned references, all three */
  completion__text *text;
  completion__place *place;
} completion__view;

/* Fills views[max] and returns how many. */
int completion__documents_view(completion__documents *all, completion__document *first,
                               completion__view *views, int max);
/* Of the documents that requests saw those beyond COMPLETION__TREES_MAX, the longest unused first, at
 * most `max`: owned references, whose syntax the engine thread is to drop. Returns how many. */
int completion__documents_rest(completion__documents *all, completion__document **rest, int max);
void completion__view_release(completion__view *v);

#endif
