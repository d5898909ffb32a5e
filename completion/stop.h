/* stop.h - when a completion is long enough.
 *
 * A base model never says "that was all": it goes on to the end of the file. What it writes
 * is judged at every step by syntax: inside a line one line, or if that leaves a bracket open or
 * opens a block, until it is closed; at the start of a block the block; on a blank line the one
 * statement begun there. The judge sees brackets, strings,
 * comments and indentation (scan.h), so that it works while the text is half written. */
#ifndef FIMD_COMPLETION_STOP_H
#define FIMD_COMPLETION_STOP_H

#include "completion/completion.h"
#include "completion/scan.h"

#define COMPLETION__REPEAT_WEIGHT 6 /* characters, blanks aside, that repeat not by chance */

typedef enum completion__extent {
  COMPLETION__LINE,      /* the rest of the line, or where that is complete the next one; with
                            what it opens, where it may */
  COMPLETION__STATEMENT, /* the statement begun at the cursor, with its block */
  COMPLETION__BLOCK,     /* statements until the block that was opened before the cursor ends */
} completion__extent;

/* Borrows the text before and after the cursor. */
typedef struct completion__stop {
  const grammars_language *language;
  completion__extent extent;
  bool strict_line;  /* COMPLETION_SINGLE_LINE: not even a line end first */
  bool inline_block; /* the block was opened on the cursor's own line */
  bool may_open;     /* a line may go on with what it opens */
  bool going;        /* ... and does: what it opened is being read */
  int base;          /* columns of the cursor's line */
  int max_lines;
  completion__scan start;   /* at the cursor, brackets forgotten */
  completion__scan line;    /* at the cursor, with the brackets of its own line */
  completion__slice prefix; /* the cursor's line before it */
  completion__slice tail;   /* the cursor's line after it */
  completion__slice above;  /* the last full line above the cursor's */
  completion__slice below;  /* the next full line under the cursor's */
  completion__slice below2; /* and the one under that */
} completion__stop;

void completion__stop_init(completion__stop *s, const grammars_language *language,
                           completion__slice before, completion__slice after, completion_mode mode,
                           int max_lines);

/* Judges all that was generated so far. COMPLETION_STOP_NONE: go on; else the reason, and
 * *keep is how many bytes of the text are to be kept. `ended`: nothing more will come; the
 * last line is then complete, and NONE means that all of it is kept. */
completion_stop completion__stop_check(const completion__stop *s, completion__slice text,
                                       bool ended, size_t *keep);

/* "line", "statement" or "block"; "" before the init. */
const char *completion__stop_strextent(const completion__stop *s);
/* The same where several lines are wanted (stop_lines.c). */
completion_stop completion__stop_lines(const completion__stop *s, completion__slice text,
                                       bool ended, size_t *keep);
/* Where a unit of a few bytes repeats at the end of the line: the length to keep, with the unit
 * once; else line.len. Rulers of one character ("-----") may be long. */
size_t completion__stop_periodic(completion__slice line);
/* Is the line, with so many columns of indentation, the next full one under the cursor? `nested`:
 * it stands within brackets of the text's own. */
bool completion__stop_repeats_below(const completion__stop *s, completion__slice line, int indent,
                                    bool nested);

/* True where the rest of a line is nothing but closing brackets, quotes and punctuation. */
bool completion__stop_tail_is_closers(const grammars_language *language, completion__slice tail);

#endif
