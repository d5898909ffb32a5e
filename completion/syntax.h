/* syntax.h - a document's syntax tree and the definitions in it, kept up to date.
 *
 * Engine thread only. The last text and tree of each document are kept; a new text is parsed
 * from them with the one edit that the common prefix and suffix of both texts give, so that a
 * keystroke costs what it changed. Broken code is the normal case. Time and size are bounded:
 * a document that is too large or too slow simply has no tree. */
#ifndef FIMD_COMPLETION_SYNTAX_H
#define FIMD_COMPLETION_SYNTAX_H

#include <stdatomic.h>

#include "completion/document.h"

#define COMPLETION__SYNTAX_BYTES ((size_t)1 << 20) /* larger documents are not parsed */

typedef enum completion__kind {
  COMPLETION__FUNCTION, /* functions, methods */
  COMPLETION__TYPE,     /* classes, structs, interfaces, aliases, modules */
  COMPLETION__VALUE,    /* constants, variables, fields, macros: shown as one line */
} completion__kind;

/* Offsets are bytes of the text. */
typedef struct completion__definition {
  uint32_t name, name_len;
  uint32_t start, end; /* the signature: what a reader needs, without a function's body */
  uint32_t whole_end;  /* of the definition with its body */
  uint8_t kind;        /* completion__kind */
  bool cut;            /* a body follows that the signature leaves out */
  bool local;          /* stands inside a function */
} completion__definition;

typedef struct completion__range {
  bool any;
  uint32_t low, high; /* bytes of the text */
} completion__range;

struct completion__syntax {
  completion__text *text;              /* owned reference: what the tree is of; NULL: none yet */
  TSTree *tree;                        /* owned, NULL where there is no tree of `text` */
  completion__range stale;             /* what the tree was moved along with, but not made from */
  /* definitions.c */
  completion__definition *definitions; /* [n_definitions] owned, by start */
  int n_definitions;
  struct completion__found *found;   /* [n_found] owned: what they are made from */
  int n_found;
  bool definitions_done;    /* of this text */
  bool definitions_begun;   /* else they hold but for what changed since: */
  uint32_t definitions_len; /* bytes of the text that they are of */
  completion__range changed;
  struct completion__lines *lines;    /* owned: similar.c's */
  int skip;               /* requests to wait before trying again after a parse was too slow */
};

typedef struct completion__language_query { /* made when a language is first met */
  TSQuery *query;                           /* NULL: tried in vain */
  bool tried;
  bool borrowed; /* from another parser */
} completion__language_query;

typedef struct completion__parser {
  struct completion__opened *opened; /* borrowed: who may have parsed a document already, or NULL */
  TSParser *parser;
  TSQueryCursor *cursor;
  completion__language_query *queries; /* [grammars_count()] */
  double patience_ms;
  bool starved; /* there was too little memory for the last parse */
  bool worn;    /* `parser` and `cursor` may hold memory of the reserve, tree_memory.h */
} completion__parser;

#ifndef COMPLETION__PATIENCE_MS
#define COMPLETION__PATIENCE_MS 150.0
#endif

/* A parse or a query that takes longer than patience_ms (completion__cpu_ms) is given up:
 * COMPLETION__PATIENCE_MS where somebody waits for ghost text; tests, which a slow machine must not
 * fail, give INFINITY. NULL: out of memory. */
completion__parser *completion__parser_new(double patience_ms);
double completion__parser_patience(const completion__parser *p);
/* The query of a language that `from`, who outlives p, has made: one takes up to 30 ms. */
void completion__parser_borrow(completion__parser *p, const completion__parser *from,
                               const grammars_language *l);
void completion__parser_delete(completion__parser *p); /* NULL is a no-op */
/* Before tree-sitter is used without a parse. */
void completion__parser_begin(completion__parser *p);
/* Whether memory ran short since it was last asked, or a parse began: what was made of it then is
 * to be given back. */
bool completion__parser_was_short(completion__parser *p);
/* tree-sitter's parse. NULL: it was given up; p->starved where that was for want of memory. The
 * progress callback stops it when completion__tree_memory_short says so. */
TSTree *completion__parser_parse(completion__parser *p, const grammars_language *l,
                                 const TSTree *old, TSInput input, TSParseOptions options);

/* Makes the document's syntax that of the text. Returns the tree, borrowed until the next call
 * for this document, or NULL: no grammar, too large, too slow, cancelled, out of memory. */
const TSTree *completion__syntax_tree(completion__parser *p, completion__document *d,
                                      completion__text *text, const atomic_bool *cancel);
/* The same where a tree will do that does not know the last few words yet: the tree of before,
 * moved along with the text. A parse costs several times what all else does after a keystroke; it
 * can wait until the answer was given: completion__syntax_refresh. */
const TSTree *completion__syntax_near(completion__parser *p, completion__document *d,
                                      completion__text *text, const atomic_bool *cancel);
void completion__syntax_refresh(completion__parser *p, completion__document *d,
                                const atomic_bool *cancel);
/* The definitions in the text, by where they stand; borrowed likewise. 0 where there is no tree. */
int completion__syntax_definitions(completion__parser *p, completion__document *d,
                                   completion__text *text, const atomic_bool *cancel,
                                   const completion__definition **definitions);
/* Those in the tree that completion__syntax_near gives. */
int completion__syntax_definitions_near(completion__parser *p, completion__document *d,
                                        completion__text *text, const atomic_bool *cancel,
                                        const completion__definition **definitions);
/* Where a text ends that begins at a point. */
TSPoint completion__syntax_point(TSPoint at, completion__slice t);
/* In how many places the grammar could not read the text: nodes that are ERROR or MISSING. */
int completion__syntax_errors(const TSTree *tree);
/* Languages whose declarations can be used from one another have the same number. */
int completion__family(const grammars_language *l);
void completion__syntax_delete(completion__syntax *s); /* NULL is a no-op; any thread */

/* How long something may take. Of the thread that made it. */
typedef struct completion__patience {
  double until_ms; /* completion__cpu_ms */
  const atomic_bool *cancel; /* may be NULL */
} completion__patience;
bool completion__patience_ends(const completion__patience *p);

/* The one edit that makes `from` into `to`. False: they are equal. */
bool completion__syntax_edit(completion__slice from, completion__slice to, TSInputEdit *edit);

#endif
