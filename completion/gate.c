/* gate.c - see gate.h. */
#include "completion/gate.h"

#include <string.h>

#define ELSEWHERE 1000 /* bytes: an error that far away is none of a place's */

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

/* Code in parts, one after the other, and when to give up on it. */
typedef struct code {
  const completion__slice *parts;
  int n;
} code;

typedef struct waiting {
  completion__patience patience;
  bool strict; /* give up with the first error */
  bool failed; /* that is why */
} waiting;

static const char *read_code(void *payload, uint32_t at, TSPoint point, uint32_t *read) {
  (void)point;
  const code *c = payload;
  size_t from = at;
  for (int i = 0; i < c->n; i++) {
    if (from < c->parts[i].len) {
      *read = (uint32_t)(c->parts[i].len - from);
      return c->parts[i].s + from;
    }
    from -= c->parts[i].len;
  }
  *read = 0;
  return "";
}

static bool progress(TSParseState *state) {
  waiting *w = state->payload;
  w->failed = w->strict && state->has_error; /* in every way to read it */
  return w->failed || completion__patience_ends(&w->patience);
}

static TSTree *parse(completion__parser *p, const grammars_language *l, code c, const TSTree *old,
                     waiting *w) {
  TSInput input = {.payload = &c, .read = read_code, .encoding = TSInputEncodingUTF8};
  TSParseOptions options = {.payload = w, .progress_callback = progress};
  if (!ts_parser_set_language(p->parser, l->grammar())) return NULL;
  TSTree *tree = ts_parser_parse_with_options(p->parser, old, input, options);
  ts_parser_reset(p->parser);
  return tree;
}

static waiting wait_for(const completion__parser *p, const atomic_bool *cancel, bool strict) {
  return (waiting){.patience = {completion__now_ms() + completion__parser_patience(p), cancel},
                   .strict = strict};
}

/* The edit by which `put` takes the place of `out` behind `before`. */
static TSInputEdit edit_of(completion__slice lead, completion__slice before, completion__slice out,
                           completion__slice put) {
  size_t at = lead.len + before.len;
  TSPoint start =
      completion__syntax_point(completion__syntax_point((TSPoint){0, 0}, lead), before);
  return (TSInputEdit){.start_byte = (uint32_t)at,
                       .old_end_byte = (uint32_t)(at + out.len),
                       .new_end_byte = (uint32_t)(at + put.len),
                       .start_point = start,
                       .old_end_point = completion__syntax_point(start, out),
                       .new_end_point = completion__syntax_point(start, put)};
}

/* ---- from near ------------------------------------------------------------------------- */

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
                          .rest = completion__slice_cut(all, start, to),
                          .replaced = end - start};
  /* What stands before it in the file is not code at all, for this grammar. */
  if (from > 0 && strcmp(l->name, "php") == 0) g->lead = completion__slice_of("<?php\n", 6);
  const completion__slice parts[] = {g->lead, g->before, g->rest};
  waiting w = wait_for(p, cancel, false);
  g->tree = parse(p, l, (code){parts, 3}, NULL, &w);
  if (g->tree) g->errors = completion__syntax_errors(g->tree);
  return g->tree != NULL;
}

void completion__gate_close(completion__gate *g) {
  if (g->tree) ts_tree_delete(g->tree);
  g->tree = NULL;
}

int completion__gate_ask(const completion__gate *g, completion__slice put, size_t absorbed) {
  completion__slice out = completion__slice_cut(g->rest, 0, g->replaced + absorbed);
  TSInputEdit edit = edit_of(g->lead, g->before, out, put);
  const completion__slice parts[] = {g->lead, g->before, put,
                                     completion__slice_cut(g->rest, out.len, g->rest.len)};
  waiting w = wait_for(g->parser, g->cancel, false);
  TSTree *old = ts_tree_copy(g->tree);
  ts_tree_edit(old, &edit);
  TSTree *tree = parse(g->parser, g->language, (code){parts, 4}, old, &w);
  ts_tree_delete(old);
  int errors = tree ? completion__syntax_errors(tree) - g->errors : -g->errors;
  if (tree) ts_tree_delete(tree);
  return errors;
}

/* ---- the document as a whole ----------------------------------------------------------- */

/* Has the tree, of an older text perhaps, errors that the place has nothing to do with? */
static bool fails_elsewhere(const TSTree *tree, size_t at) {
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree));
  bool found = false;
  for (bool more = true; more && !found;) {
    TSNode node = ts_tree_cursor_current_node(&cursor);
    if (ts_node_is_error(node) || ts_node_is_missing(node))
      found = ts_node_end_byte(node) + ELSEWHERE < at || ts_node_start_byte(node) > at + ELSEWHERE;
    if (ts_node_has_error(node) && ts_tree_cursor_goto_first_child(&cursor)) continue;
    while (!(more = ts_tree_cursor_goto_next_sibling(&cursor)))
      if (!ts_tree_cursor_goto_parent(&cursor)) break;
  }
  ts_tree_cursor_delete(&cursor);
  return found;
}

int completion__gate_reads(completion__parser *p, completion__document *d, completion__text *text,
                           size_t start, size_t end, completion__slice put,
                           const atomic_bool *cancel) {
  const TSTree *near = completion__syntax_near(p, d, text, cancel);
  if (!near || text->len + put.len > COMPLETION__SYNTAX_BYTES || fails_elsewhere(near, start))
    return -1;
  completion__slice all = completion__text_slice(text);
  const completion__slice parts[] = {completion__slice_cut(all, 0, start), put,
                                     completion__slice_cut(all, end, all.len)};
  TSInputEdit edit =
      edit_of((completion__slice){0}, parts[0], completion__slice_cut(all, start, end), put);
  waiting w = wait_for(p, cancel, true);
  TSTree *old = ts_tree_copy(near);
  ts_tree_edit(old, &edit);
  TSTree *tree = parse(p, text->language, (code){parts, 3}, old, &w);
  ts_tree_delete(old);
  if (!tree) return w.failed ? 0 : -1;
  bool read = !ts_node_has_error(ts_tree_root_node(tree));
  ts_tree_delete(tree);
  return read;
}
