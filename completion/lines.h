/* lines.h - what a line says of the block it stands in, by its words and its last character.
 *
 * Rules of thumb for half-written code in seventeen languages, where a grammar cannot tell yet.
 * Lines are given without the blanks around them. */
#ifndef FIMD_COMPLETION_LINES_H
#define FIMD_COMPLETION_LINES_H

#include "completion/scan.h"

/* How the language marks blocks; braces where it is not known. */
static inline grammars_blocks completion__line_blocks(const grammars_language *l) {
  return l ? l->blocks : GRAMMARS_BLOCKS_BRACES;
}
/* The last character, or 0. */
static inline char completion__line_last(completion__slice t) { return t.len ? t.s[t.len - 1] : 0; }
/* The word that it begins with, or nothing. */
completion__slice completion__line_word(completion__slice line);
bool completion__line_holds(completion__slice line, const char *what);

/* Whether the end of a line begins a block. `first` is how the line begins: itself, or where it is
 * the rest of a line, what stands before that. */
bool completion__line_opens(const grammars_language *l, completion__slice first,
                            completion__slice line);
/* It closes a block and stands where the block began. */
bool completion__line_closes(const grammars_language *l, completion__slice line);
/* At its end its statement, brackets apart, is not over. */
bool completion__line_goes_on(const grammars_language *l, completion__slice above,
                              completion__slice line);
/* It begins an annotation of what follows: a decorator, an attribute. */
bool completion__line_annotates(const grammars_language *l, completion__slice line);
/* In this language a statement may go on with the next line, and nothing on this one tells. */
bool completion__line_may_chain(const grammars_language *l);
/* The line, not empty, goes on with the one above it. */
bool completion__line_chains(const grammars_language *l, completion__slice line);
/* It begins with else, catch and the like, which belong to the statement above. */
bool completion__line_continues(completion__slice line);
/* It begins with if, for and the like. */
bool completion__line_controls(completion__slice line);
/* A statement with this word may have an else, a catch or the like on a line of its own. */
bool completion__word_is_continued(completion__slice word);

/* Elements with tags are among its code. */
bool completion__line_has_tags(const grammars_language *l);
/* It begins with a tag that nothing closes: <br>. */
bool completion__line_lone_tag(completion__slice line);

#endif
