/* secrets.h - lines of ordinary code in which a secret stands: a key, a token, a password.
 *
 * Such a line reaches no other document's prompt and no guesses, whether it comes from a file or
 * from an open document. In its own document's prompt it stays, as it is the user's own text there,
 * around the cursor, and the prompt never leaves this process.
 *
 * Known by what services put before their tokens, by the shape of a JWT, by a password in an
 * address, and by a long value with letters and digits that is given to a name such as password or
 * apiKey. The error is on the side of leaving out: a line too many costs a guess. A short password
 * is not told from another word. Whole files with a private key are left out by walk.h. */
#ifndef FIMD_COMPLETION_SECRETS_H
#define FIMD_COMPLETION_SECRETS_H

#include "completion/text.h"

/* Does one of the text's lines hold a secret? */
bool completion__secrets_in(completion__slice text);
/* Puts blanks in the place of each line of s[len] that does; returns how many. The line ends and so
 * all offsets stay. */
size_t completion__secrets_blank(char *s, size_t len);

#endif
