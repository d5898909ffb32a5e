/* scan.h - brackets, strings and comments, character by character.
 *
 * Stop rules and polish look at text that is half written, at every decode step; a scanner of
 * a few states that cannot fail serves them better than a parse. It is exact in what real
 * code does on one line and knows the strings and comments that span lines. */
#ifndef FIMD_COMPLETION_SCAN_H
#define FIMD_COMPLETION_SCAN_H

#include "completion/text.h"
#include "grammars/grammars.h"

#define COMPLETION__SCAN_DEPTH 64 /* deeper brackets are counted but not told apart */
#define COMPLETION__SCAN_UNTIL 24 /* bytes of the mark that ends a string of several lines */

typedef enum completion__scan_event {
  COMPLETION__SCAN_OTHER = 0, /* code */
  COMPLETION__SCAN_INSIDE,    /* of a string or a comment */
  COMPLETION__SCAN_OPEN,      /* a bracket */
  COMPLETION__SCAN_CLOSE,     /* a bracket that was opened since the scan began */
  COMPLETION__SCAN_EXTRA,     /* a closing bracket that was not */
  COMPLETION__SCAN_QUOTE,     /* a string begins */
  COMPLETION__SCAN_UNQUOTE,   /* a string ends */
} completion__scan_event;

typedef struct completion__scan {
  const grammars_language *language; /* may be NULL */
  int depth;                         /* open brackets */
  char openers[COMPLETION__SCAN_DEPTH];
  char quote; /* the string's opening character, or 0 */
  /* What ends the string, or "" where the quote does: three quotes, the end of a raw string, the
   * word of a here-document. */
  char until[COMPLETION__SCAN_UNTIL];
  bool raw;  /* with no escapes */
  bool here; /* a here-document: begins with the next line, ends where `until` begins one */
  bool line_comment, block_comment;
} completion__scan;

void completion__scan_init(completion__scan *s, const grammars_language *language);
/* Reads what stands at t[at], at < t.len, and returns how many bytes it took (at least 1). */
size_t completion__scan_step(completion__scan *s, completion__slice t, size_t at,
                             completion__scan_event *event);
/* Reads all of t. */
void completion__scan_feed(completion__scan *s, completion__slice t);
/* The state after the text before a cursor: reads its last part only. */
void completion__scan_before(completion__scan *s, const grammars_language *language,
                             completion__slice before);

char completion__scan_closer_of(char opener); /* 0 if it is none */
static inline bool completion__scan_is_closer(char c) { return c == ')' || c == ']' || c == '}'; }
static inline bool completion__scan_in_code(const completion__scan *s) {
  return !s->quote && !s->line_comment && !s->block_comment;
}
/* True for a character that opens and closes strings in this language. */
bool completion__scan_is_quote(const grammars_language *language, char c);
bool completion__language_is(const grammars_language *l, const char *name);
/* The same but for blanks and line ends. */
bool completion__scan_same(completion__slice a, completion__slice b);
/* Characters that are neither; 0 where no letter or digit is among them. */
int completion__scan_weight(completion__slice t);
/* True where the line (trimmed) is nothing but a comment. */
bool completion__scan_is_comment(const grammars_language *language, completion__slice line);

#endif
