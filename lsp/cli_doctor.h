/* cli_doctor.h - what the parts of `fimd doctor` share. Private to the command line. */
#ifndef FIMD_LSP_CLI_DOCTOR_H
#define FIMD_LSP_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

/* A line each: all is well; nothing is wrong and nothing to praise; something is wrong, and what
 * to do about it. */
void cli_doctor_tick(const char *what, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cli_doctor_note(const char *what, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cli_doctor_cross(int *crosses, const char *what, const char *fix, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

bool cli_doctor_knows_editor(const char *name);
/* A line for every editor, or for the one of that name. Returns how many crosses there are. */
int cli_doctor_editors(const char *only);

typedef enum cli_ask_status {
  CLI_ASK_OK = 0,
  CLI_ASK_ABSENT = -1, /* no such program on the PATH */
  CLI_ASK_FAILED = -2, /* it could not be started, or its exit status was not 0 */
  CLI_ASK_LATE = -3,   /* it was ended after so many milliseconds */
} cli_ask_status;
/* Runs a program of the PATH, command[0], and takes what it writes to its standard output, up to
 * size - 1 bytes and zero-terminated. Its input is empty, its errors are nobody's. */
cli_ask_status cli_ask(char *const command[], int limit_ms, char *out, size_t size);

#endif
