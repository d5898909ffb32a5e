/* folder_engine.h - the temporary folder of folder.h and the embedded model beside it, for a whole
 * group of tests. */
#ifndef FIMD_TESTS_COMPLETION_FOLDER_ENGINE_H
#define FIMD_TESTS_COMPLETION_FOLDER_ENGINE_H

#include "engine/engine.h"
#include "folder.h"

static engine *the_engine;
static char top[PATH_MAX]; /* where each test begins; its files are below top/t */

static inline int group_set_up(void **state) {
  (void)state;
  char err[256] = "";
  engine_options embedded = {.backend = "cpu", .threads = 1};
  if (engine_open(&the_engine, &embedded, err, sizeof err)) fail_msg("%s", err);
  return folder_make(top);
}

static inline int group_tear_down(void **state) {
  (void)state;
  engine_close(the_engine);
  return folder_remove(top);
}

/* The absolute path of a file below top/t; of the last few calls. */
static inline const char *at(const char *path) {
  static char paths[4][PATH_MAX + 64];
  static int next;
  char *p = paths[next++ % 4];
  snprintf(p, sizeof paths[0], "%s/t%s%s", top, *path ? "/" : "", path);
  return p;
}

#endif
