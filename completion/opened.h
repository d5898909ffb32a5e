/* opened.h - documents are parsed when they are opened, not when they are first asked about.
 *
 * The first parse of a file, with its definitions, takes more time than all else before the model
 * runs: 10 ms for 30 kB. So a thread of its own does it as soon as a document comes, in the order
 * in which they do, and the engine thread takes the result over with the first request.
 *
 * The request waits for a parse that is under way, and makes itself one that was not begun, of the
 * text that was opened in both cases. So what it gets is the same, whoever was faster. */
#ifndef FIMD_COMPLETION_OPENED_H
#define FIMD_COMPLETION_OPENED_H

#include "completion/syntax.h"

typedef struct completion__opened completion__opened;

/* NULL: out of memory. The thread begins with the first document. patience_ms as a parser's. */
completion__opened *completion__opened_new(double patience_ms);
/* Waits for the thread, not for what it was yet to do. NULL is a no-op. */
void completion__opened_delete(completion__opened *o);

/* Front thread. The document is only compared; its text is held. Without memory or a thread, or
 * for a text that is not parsed, nothing happens. */
void completion__opened_add(completion__opened *o, const completion__document *d,
                            completion__text *text);
/* It is closed: before its reference is given up. */
void completion__opened_remove(completion__opened *o, const completion__document *d);
/* Is there anything left to parse? */
bool completion__opened_busy(completion__opened *o);

/* Engine thread, with its parser: the document's syntax, as of the text that was opened, handed
 * over; NULL where nothing is known of it, or it was taken. Waits, but not once `cancel` is set:
 * then it is NULL, and the syntax stays for the next request. The parser may have borrowed from
 * then on what `o` owns. */
completion__syntax *completion__opened_take(completion__opened *o, completion__parser *p,
                                            const completion__document *d,
                                            const atomic_bool *cancel);
/* Any thread: somebody has set such a `cancel`. */
void completion__opened_wake(completion__opened *o);

#endif
