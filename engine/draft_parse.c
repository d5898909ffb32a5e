/* draft_parse.c - methods of guessing and their sources, as words. */
#include <stdlib.h>
#include <string.h>

#include "engine/draft.h"

static const char *const names[ENGINE_SOURCES] = {
    "accepted", "file", "open", "imported", "workspace", "prompt", "recycled", "window",
};

const char *engine_source_name(engine_source source) {
  return source < ENGINE_SOURCES ? names[source] : "unknown";
}

int engine_draft_parse(const char *text, engine_draft *out) {
  const unsigned pool = DRAFT_BIT(ENGINE_SOURCE_ACCEPTED) | DRAFT_BIT(ENGINE_SOURCE_FILE) |
                        DRAFT_BIT(ENGINE_SOURCE_OPEN) | DRAFT_BIT(ENGINE_SOURCE_IMPORTED) |
                        DRAFT_BIT(ENGINE_SOURCE_WORKSPACE);
  const struct {
    const char *name;
    unsigned sources;
  } methods[] = {
      {"none", 0},
      {"prompt", DRAFT_BIT(ENGINE_SOURCE_PROMPT)},
      {"pool", pool},
      {"recycle", DRAFT_BIT(ENGINE_SOURCE_RECYCLED)},
      {"lookahead", DRAFT_BIT(ENGINE_SOURCE_WINDOW)},
      {"all", pool | DRAFT_BIT(ENGINE_SOURCE_PROMPT) | DRAFT_BIT(ENGINE_SOURCE_RECYCLED)},
  };
  *out = (engine_draft){0};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
    if (strcmp(text, methods[i].name) == 0) {
      out->sources = methods[i].sources;
      return ENGINE_OK;
    }
  if (strncmp(text, "lookahead:", 10) != 0) return ENGINE_EINVAL;
  char *at = (char *)(uintptr_t)text + 10;
  int *const numbers[] = {&out->w, &out->n, &out->g};
  for (int i = 0; i < 3; i++) {
    char *end;
    long v = *at >= '0' && *at <= '9' ? strtol(at, &end, 10) : 0;
    if (v < 1 || v > 1000 || *end != (i < 2 ? ',' : '\0')) return ENGINE_EINVAL;
    *numbers[i] = (int)v;
    at = end + 1;
  }
  out->sources = DRAFT_BIT(ENGINE_SOURCE_WINDOW);
  return lookahead_fits(out->w, out->n, out->g) ? ENGINE_OK : ENGINE_EINVAL;
}
