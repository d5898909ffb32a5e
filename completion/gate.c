/* gate.c - see gate.h. */
#include "completion/gate.h"

#include <string.h>

/* ---- the stretch ----------------------------------------------------------------------- */

static bool at_margin(completion__slice line) {
  return line.len && !completion__is_blank(line.s[0]) && line.s[0] != '\n';
}

static bool closes(completion__slice line) {
  return line.len && strchr(")]}", line.s[0]) != NULL;
}

/* A definition, or a paragraph, begins with the line: it stands at the margin behind an empty line
 * or one that closes something there. */
static bool begins(completion__slice previous, completion__slice line) {
  if (!at_margin(line) || closes(line)) return false;
  return completion__slice_is_blank(previous) || (at_margin(previous) && closes(previous));
}

static completion__slice line_at(completion__slice t, size_t start) {
  return completion__slice_cut(t, start, completion__line_end(t, start));
}

void completion__gate_stretch(completion__slice all, size_t start, size_t end, size_t *from,
                              size_t *to) {
  size_t at = completion__line_start(all, start);
  while (at > 0 && start - at < COMPLETION__GATE_BYTES) {
    size_t previous = completion__line_start(all, at - 1);
    if (begins(line_at(all, previous), line_at(all, at))) break;
    at = previous;
  }
  *from = at;
  at = completion__line_end(all, end);
  while (at < all.len && at - end < COMPLETION__GATE_BYTES) {
    size_t next = at + 1, previous = completion__line_start(all, at);
    if (next >= all.len || begins(line_at(all, previous), line_at(all, next))) break;
    at = completion__line_end(all, next);
  }
  *to = at;
}

/* ---- parses ---------------------------------------------------------------------------- */

bool completion__gate_open(completion__gate *g, completion__parser *p, const grammars_language *l,
                           completion__slice all, size_t start, size_t end,
                           const atomic_bool *cancel) {
  size_t from, to;
  if (!l) return false;
  completion__gate_stretch(all, start, end, &from, &to);
  *g = (completion__gate){.parser = p,
                          .language = l,
                          .cancel = cancel,
                          .before = completion__slice_cut(all, from, start),
                          .replaced = completion__slice_cut(all, start, end),
                          .after = completion__slice_cut(all, end, to)};
  /* What stands before it in the file is not code at all, for this grammar. */
  if (from > 0 && strcmp(l->name, "php") == 0) g->lead = completion__slice_of("<?php\n", 6);
  const completion__slice parts[] = {g->lead, g->before, g->replaced, g->after};
  g->tree = completion__syntax_parse(p, l, parts, 4, NULL, cancel);
  if (g->tree) g->errors = completion__syntax_errors(g->tree);
  return g->tree != NULL;
}

void completion__gate_close(completion__gate *g) {
  if (g->tree) ts_tree_delete(g->tree);
  g->tree = NULL;
}

int completion__gate_ask(const completion__gate *g, completion__slice put, size_t absorbed) {
  size_t at = g->lead.len + g->before.len;
  TSPoint start = completion__syntax_point(
      completion__syntax_point((TSPoint){0, 0}, g->lead), g->before);
  TSInputEdit edit = {
      .start_byte = (uint32_t)at,
      .old_end_byte = (uint32_t)(at + g->replaced.len + absorbed),
      .new_end_byte = (uint32_t)(at + put.len),
      .start_point = start,
      .old_end_point =
          completion__syntax_point(completion__syntax_point(start, g->replaced),
                                   completion__slice_cut(g->after, 0, absorbed)),
      .new_end_point = completion__syntax_point(start, put),
  };
  const completion__slice parts[] = {g->lead, g->before, put,
                                     completion__slice_cut(g->after, absorbed, g->after.len)};
  TSTree *old = ts_tree_copy(g->tree);
  ts_tree_edit(old, &edit);
  TSTree *tree = completion__syntax_parse(g->parser, g->language, parts, 4, old, g->cancel);
  ts_tree_delete(old);
  int errors = tree ? completion__syntax_errors(tree) - g->errors : -g->errors;
  if (tree) ts_tree_delete(tree);
  return errors;
}
