/* cli_ask.c - another program is run and listened to, for a while at most. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsp/cli.h"
#include "lsp/cli_doctor.h"

/* In a group of its own, so that what it starts ends with it. */
static int start(char *const command[], int out, pid_t *child) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  if (posix_spawn_file_actions_init(&files) != 0) return ENOMEM;
  if (posix_spawnattr_init(&attributes) != 0) {
    posix_spawn_file_actions_destroy(&files);
    return ENOMEM;
  }
  int rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (rc == 0) rc = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  if (rc == 0)
    rc = posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  if (rc == 0) rc = posix_spawnattr_setpgroup(&attributes, 0);
  if (rc == 0) rc = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  if (rc == 0) rc = posix_spawnp(child, command[0], &files, &attributes, command, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return rc;
}

/* Until its end or the limit. What does not fit is read and forgotten. */
static bool listen_to(int in, double end, char *out, size_t size) {
  char rest[4096];
  size_t len = 0;
  for (;;) {
    struct pollfd p = {.fd = in, .events = POLLIN};
    double left = end - cli_now_ms();
    int ready = left > 0 ? poll(&p, 1, (int)left + 1) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    bool fits = len + 1 < size;
    ssize_t n = read(in, fits ? out + len : rest, fits ? size - 1 - len : sizeof rest);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    if (fits) out[len += (size_t)n] = '\0';
  }
}

/* Closing its output is not its end. */
static bool wait_for(pid_t child, double end, int *status) {
  for (;;) {
    pid_t ended = waitpid(child, status, WNOHANG);
    if (ended == child) return true;
    if (ended < 0 && errno != EINTR) return false;
    if (cli_now_ms() > end) return false;
    poll(NULL, 0, 2);
  }
}

cli_ask_status cli_ask(char *const command[], int limit_ms, char *out, size_t size) {
  double end = cli_now_ms() + limit_ms;
  int ends[2], status = 0;
  pid_t child;
  out[0] = '\0';
  if (pipe2(ends, O_CLOEXEC) != 0) return CLI_ASK_FAILED;
  int rc = start(command, ends[1], &child);
  close(ends[1]);
  bool ended = rc == 0 && listen_to(ends[0], end, out, size) && wait_for(child, end, &status);
  close(ends[0]);
  if (rc != 0) return rc == ENOENT ? CLI_ASK_ABSENT : CLI_ASK_FAILED;
  if (!ended) {
    kill(-child, SIGKILL);
    waitpid(child, &status, 0);
    return CLI_ASK_LATE;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CLI_ASK_OK : CLI_ASK_FAILED;
}
