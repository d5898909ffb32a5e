/* cli_replay_git.c - what `fimd replay` asks of git: plumbing commands with fixed arguments, run
 * without a shell, with what a repository's own configuration could start (diff drivers, text
 * conversion, a file system monitor, a fetch of missing objects) switched off. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsp/cli_replay.h"

#define OUTPUT_MAX ((size_t)32 << 20)
#define ARGUMENTS_MAX 16

/* The environment without what points git elsewhere, and with no way to the network.
 * Owned array of borrowed strings; NULL: out of memory. */
static char **git_environment(void) {
  static char no_fetch[] = "GIT_NO_LAZY_FETCH=1", no_protocol[] = "GIT_ALLOW_PROTOCOL=none";
  static char no_prompt[] = "GIT_TERMINAL_PROMPT=0", no_locks[] = "GIT_OPTIONAL_LOCKS=0";
  size_t n = 0, kept = 0;
  while (environ[n] != NULL) n++;
  char **out = malloc((n + 5) * sizeof *out);
  if (out == NULL) return NULL;
  for (size_t i = 0; i < n; i++)
    if (strncmp(environ[i], "GIT_", 4) != 0 || strncmp(environ[i], "GIT_CONFIG", 10) == 0)
      out[kept++] = environ[i];
  out[kept++] = no_fetch;
  out[kept++] = no_protocol;
  out[kept++] = no_prompt;
  out[kept++] = no_locks;
  out[kept] = NULL;
  return out;
}

static int spawn_git(const char *const *argv, bool loud, int out, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t signals;
  char **environment = git_environment();
  if (environment == NULL) return ENOMEM;
  int rc = posix_spawn_file_actions_init(&actions);
  if (rc != 0) goto free_environment;
  rc = posix_spawnattr_init(&attributes);
  if (rc != 0) goto destroy_actions;
  /* We ignore SIGPIPE; git shall end by it when we have read enough. */
  sigemptyset(&signals);
  sigaddset(&signals, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (rc == 0) rc = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  if (rc == 0 && !loud)
    rc = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  if (rc == 0)
    rc = posix_spawnp(pid, "git", &actions, &attributes, (char *const *)argv, environment);
  posix_spawnattr_destroy(&attributes);
destroy_actions:
  posix_spawn_file_actions_destroy(&actions);
free_environment:
  free(environment);
  return rc;
}

/* All that can be read, zero-terminated, owned by the caller; NULL: too much, or out of memory. */
static char *read_all(int fd, size_t *len) {
  size_t n = 0, capacity = 0;
  char *text = NULL;
  for (;;) {
    if (n + 1 >= capacity) {
      capacity = capacity == 0 ? 65536 : capacity * 2;
      char *grown = capacity > 2 * OUTPUT_MAX ? NULL : realloc(text, capacity);
      if (grown == NULL) break;
      text = grown;
    }
    ssize_t got = read(fd, text + n, capacity - n - 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;
    if (got == 0) {
      text[n] = '\0';
      *len = n;
      return text;
    }
    n += (size_t)got;
  }
  free(text);
  return NULL;
}

/* What git says; arguments end with NULL. */
static char *ask(const char *folder, bool loud, const char *const *arguments, size_t *len) {
  const char *argv[ARGUMENTS_MAX + 10] = {"git", "--no-pager", "-c", "core.quotePath=false",
                                         "-c", "core.fsmonitor=false", "-C", folder};
  int ends[2], status = 0, n = 8;
  pid_t pid;
  while (*arguments != NULL && n < ARGUMENTS_MAX + 9) argv[n++] = *arguments++;
  if (pipe2(ends, O_CLOEXEC) != 0) return NULL;
  int rc = spawn_git(argv, loud, ends[1], &pid);
  close(ends[1]);
  if (rc != 0) {
    close(ends[0]);
    fprintf(stderr, "fimd: git cannot be started: %s\n", strerror(rc));
    return NULL;
  }
  char *text = read_all(ends[0], len);
  close(ends[0]);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  if (text != NULL && (!WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
    free(text);
    text = NULL;
  }
  return text;
}

static char *first_line(char *text) {
  if (text != NULL) text[strcspn(text, "\n")] = '\0';
  return text;
}

char *replay__git_root(const char *folder) {
  size_t len;
  static const char *const tree[] = {"rev-parse", "--show-toplevel", NULL};
  static const char *const bare[] = {"rev-parse", "--absolute-git-dir", NULL};
  char *root = first_line(ask(folder, false, tree, &len));
  return root != NULL ? root : first_line(ask(folder, true, bare, &len));
}

char *replay__git_head(const char *root) {
  size_t len;
  static const char *const a[] = {"rev-parse", "--verify", "HEAD^{commit}", NULL};
  return first_line(ask(root, true, a, &len));
}

char *replay__git_commits(const char *root, const char *head, int most) {
  size_t len;
  char count[32];
  snprintf(count, sizeof count, "--max-count=%d", most);
  const char *const a[] = {"rev-list", "--no-merges", count, head, "--", NULL};
  return ask(root, true, a, &len);
}

char *replay__git_diff(const char *root, const char *commit, size_t *len) {
  const char *const a[] = {"diff-tree", "-r", "-p", "-U0", "--no-commit-id", "--no-color",
                           "--no-ext-diff", "--no-textconv", "--no-renames", "--diff-filter=M",
                           "--src-prefix=a/", "--dst-prefix=b/", commit, "--", NULL};
  return ask(root, false, a, len);
}

char *replay__git_file(const char *root, const char *revision, const char *path, size_t *len) {
  size_t size = strlen(revision) + strlen(path) + 2;
  char *name = malloc(size);
  if (name == NULL) return NULL;
  snprintf(name, size, "%s:%s", revision, path);
  const char *const a[] = {"cat-file", "blob", name, NULL};
  char *text = ask(root, false, a, len);
  free(name);
  return text;
}

char *replay__git_list(const char *root, const char *revision, const char *folder, size_t *len) {
  const char *const whole[] = {"ls-tree", "-r", "-z", "--full-tree", revision, NULL};
  const char *const top[] = {"ls-tree", "-z", "--full-tree", revision, NULL};
  const char *const in[] = {"ls-tree", "-z", "--full-tree", revision, "--", folder, NULL};
  return ask(root, false, folder == NULL ? whole : folder[0] == '\0' ? top : in, len);
}
