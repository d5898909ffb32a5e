/* gate.c - see gate.h. */
#include "completion/gate.h"

#include <string.h>

#include "completion/tree_memory.h"

#define ELSEWHERE 1000 /* bytes: an error that far away is none of a place's */

/* Of the parser's patience. A step mostly takes 50 microseconds. */
#define TIME_SHARE 25
#define STEPS_PER_MS 20.0
/* Of what is left of the budget: */
#define SHARE_READS 0.34
#define SHARE_STRETCH 0.34
#define SHORTER 4 /* so much the second stretch is */
#define LONGER 8  /* than it should be a stretch is for the sake of a whole line, at most */

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

void completion__gate_stretch(completion__slice all, size_t start, size_t end, size_t most,
                              size_t *from, size_t *to) {
  size_t at = completion__line_start(all, start);
  while (at > 0 && start - at < most) {
    size_t previous = completion__line_start(all, at - 1);
    if (start - previous > LONGER * most) break; /* a line of data: not what is written by hand */
    if (begins(line_at(all, previous), line_at(all, at))) break;
    at = previous;
  }
  *from = at;
  at = completion__line_end(all, end);
  while (at < all.len && at - end < most) {
    size_t next = at + 1, previous = completion__line_start(all, at);
    if (next >= all.len || begins(line_at(all, previous), line_at(all, next))) break;
    size_t after = completion__line_end(all, next);
    if (after - end > LONGER * most) break;
    at = after;
  }
  *to = at;
}

/* ---- parses ---------------------------------------------------------------------------- */

completion__gate_budget completion__gate_begin(completion__parser *p, const atomic_bool *cancel) {
  double ms = completion__parser_patience(p) / TIME_SHARE;
  return (completion__gate_budget){
      .parser = p, .cancel = cancel, .steps = ms * STEPS_PER_MS, .until_ms = completion__cpu_ms() + ms};
}

/* Code in parts, one after the other, and when to give up on it. */
typedef struct code {
  const completion__slice *parts;
  int n;
} code;

typedef struct waiting {
  completion__gate_budget *budget;
  double steps, until_ms; /* for this parse */
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
  w->steps--;
  w->budget->steps--;
  w->budget->spent++;
  w->failed = w->strict && state->has_error; /* in every way to read it */
  return w->failed || completion__tree_memory_short() ||
         (w->budget->cancel && atomic_load(w->budget->cancel)) ||
         w->steps < 0 || completion__cpu_ms() > w->until_ms;
}

/* A parse that may take so much of what is left of the budget. */
static waiting wait_for(completion__gate_budget *b, double share, bool strict) {
  double now = completion__cpu_ms();
  return (waiting){.budget = b,
                   .steps = b->steps * share,
                   .until_ms = now + (b->until_ms - now) * share,
                   .strict = strict};
}

/* NULL: it was given up, or not even begun. */
static TSTree *parse(const grammars_language *l, code c, const TSTree *old, waiting *w) {
  TSInput input = {.payload = &c, .read = read_code, .encoding = TSInputEncodingUTF8};
  TSParseOptions options = {.payload = w, .progress_callback = progress};
  if (!(w->steps > 0) || completion__cpu_ms() > w->until_ms) return NULL;
  return completion__parser_parse(w->budget->parser, l, old, input, options);
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

static bool open_stretch(completion__gate *g, completion__gate_budget *b,
                         const grammars_language *l, completion__slice all, size_t start,
                         size_t end, size_t most) {
  size_t from, to;
  completion__gate_stretch(all, start, end, most, &from, &to);
  if (start - from > LONGER * most || to - end > LONGER * most) return false; /* the line itself */
  *g = (completion__gate){.budget = b,
                          .language = l,
                          .before = completion__slice_cut(all, from, start),
                          .rest = completion__slice_cut(all, start, to),
                          .replaced = end - start};
  /* What stands before it in the file is not code at all, for this grammar. */
  if (from > 0 && strcmp(l->name, "php") == 0) g->lead = completion__slice_of("<?php\n", 6);
  const completion__slice parts[] = {g->lead, g->before, g->rest};
  waiting w = wait_for(b, SHARE_STRETCH, false);
  g->tree = parse(l, (code){parts, 3}, NULL, &w);
  if (g->tree) g->errors = completion__syntax_errors(g->tree);
  return g->tree != NULL;
}

bool completion__gate_open(completion__gate *g, completion__gate_budget *b,
                           const grammars_language *l, completion__slice all, size_t start,
                           size_t end) {
  return l && (open_stretch(g, b, l, all, start, end, COMPLETION__GATE_BYTES) ||
               open_stretch(g, b, l, all, start, end, COMPLETION__GATE_BYTES / SHORTER));
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
  waiting w = wait_for(g->budget, 1, false);
  TSTree *old = ts_tree_copy(g->tree);
  ts_tree_edit(old, &edit);
  TSTree *tree = parse(g->language, (code){parts, 4}, old, &w);
  ts_tree_delete(old);
  if (!tree) return COMPLETION__GATE_UNKNOWN;
  int errors = completion__syntax_errors(tree) - g->errors;
  ts_tree_delete(tree);
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

int completion__gate_reads(completion__gate_budget *b, completion__document *d,
                           completion__text *text, size_t start, size_t end,
                           completion__slice put) {
  const TSTree *near = completion__syntax_near(b->parser, d, text, b->cancel);
  if (!near || text->len + put.len > COMPLETION__SYNTAX_BYTES || fails_elsewhere(near, start))
    return -1;
  if (start == end && !put.len && !d->syntax->stale.any)
    return !ts_node_has_error(ts_tree_root_node(near));
  completion__slice all = completion__text_slice(text);
  const completion__slice parts[] = {completion__slice_cut(all, 0, start), put,
                                     completion__slice_cut(all, end, all.len)};
  TSInputEdit edit =
      edit_of((completion__slice){0}, parts[0], completion__slice_cut(all, start, end), put);
  waiting w = wait_for(b, SHARE_READS, true);
  TSTree *old = ts_tree_copy(near);
  ts_tree_edit(old, &edit);
  TSTree *tree = parse(text->language, (code){parts, 3}, old, &w);
  ts_tree_delete(old);
  if (!tree) return w.failed ? 0 : -1;
  bool read = !ts_node_has_error(ts_tree_root_node(tree));
  ts_tree_delete(tree);
  return read;
}
