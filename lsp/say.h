/* say.h - words for a person on standard error, by who must not wait for them to be read.
 *
 * A client may have made standard error a pipe that it does not read; once that is full, a write
 * would wait for ever, and with it every other client. */
#ifndef FIMD_LSP_SAY_H
#define FIMD_LSP_SAY_H

/* "fimd: " and one line, or nothing where it would have to wait. */
void lsp__say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Puts something that can be neither read nor written in the place of each of the descriptors 0 to 2
 * that is closed. Else the next file that is opened would be taken for standard output or error. */
void lsp__hold_descriptors(void);

#endif
