/* folder.h - a temporary folder that is all a test sees of the machine: home and git's settings
 * too. For the tests of completion/ that read files. */
#ifndef FIMD_TESTS_COMPLETION_FOLDER_H
#define FIMD_TESTS_COMPLETION_FOLDER_H

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper.h"

static inline void run(const char *command) {
  if (system(command) != 0) fail_msg("failed: %s", command);
}

static inline void write_file(const char *path, const char *bytes, size_t len) {
  FILE *f = fopen(path, "wb");
  if (!f) fail_msg("%s cannot be written", path);
  if (len) assert_int_equal(fwrite(bytes, 1, len, f), len);
  assert_int_equal(fclose(f), 0);
}

static inline void write_text(const char *path, const char *text) {
  write_file(path, text, strlen(text));
}

/* Makes the folder and goes there; top[PATH_MAX] becomes its path, absolute and free of links.
 * 0, or -1 as cmocka's set-up functions have it. */
static inline int folder_make(char *top) {
  char made[] = "/tmp/fimd-test-XXXXXX", config[PATH_MAX + 8];
  if (!mkdtemp(made) || !realpath(made, top) || chmod(top, 0755) != 0 || chdir(top) != 0)
    return -1;
  snprintf(config, sizeof config, "%s/config", top);
  if (setenv("XDG_CONFIG_HOME", config, 1) || setenv("HOME", top, 1) ||
      setenv("GIT_CONFIG_NOSYSTEM", "1", 1) || setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1))
    return -1;
  unsetenv("GIT_DIR"), unsetenv("GIT_WORK_TREE"), unsetenv("GIT_INDEX_FILE");
  return 0;
}

/* Leaves it and removes it. */
static inline int folder_remove(const char *top) {
  char command[PATH_MAX + 16];
  snprintf(command, sizeof command, "rm -rf '%s'", top);
  return chdir("/") || system(command);
}

#endif
