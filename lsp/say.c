/* say.c - see say.h. */
#include "lsp/say.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 1024 /* less than PIPE_BUF: a pipe that is ready takes all of it */

void lsp__say(const char *format, ...) {
  char line[WORDS_MAX] = "fimd: ";
  struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
  va_list args;
  va_start(args, format);
  vsnprintf(line + 6, sizeof line - 7, format, args);
  va_end(args);
  size_t len = strlen(line);
  line[len++] = '\n';
  if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT)) return;
  if (write(STDERR_FILENO, line, len) < 0) return; /* nobody is there to be told */
}

void lsp__hold_descriptors(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
