/* syntax.c - see syntax.h.
 *
 * tree-sitter ends the process when malloc fails; nothing here can help that. */
#include "completion/syntax.h"

#include <stdlib.h>
#include <string.h>

#include "completion/edits.h"
#include "completion/similar.h"

#define ELSEWHERE 1000     /* bytes: an error that far away is none of a place's */
#define SKIP_AFTER_SLOW 16 /* requests */
#define MATCH_LIMIT 256    /* of a query, in flight */

/* ---- the parser ------------------------------------------------------------------------ */

completion__parser *completion__parser_new(double patience_ms) {
  completion__parser *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->queries = calloc((size_t)grammars_count(), sizeof *p->queries);
  p->patience_ms = patience_ms;
  p->parser = ts_parser_new();
  p->cursor = ts_query_cursor_new();
  if (!p->queries || !p->parser || !p->cursor) {
    completion__parser_delete(p);
    return NULL;
  }
  ts_query_cursor_set_match_limit(p->cursor, MATCH_LIMIT);
  return p;
}

double completion__parser_patience(const completion__parser *p) { return p->patience_ms; }

void completion__parser_delete(completion__parser *p) {
  if (!p) return;
  for (int i = 0; p->queries && i < grammars_count(); i++)
    if (p->queries[i].query) ts_query_delete(p->queries[i].query);
  free(p->queries);
  if (p->cursor) ts_query_cursor_delete(p->cursor);
  if (p->parser) ts_parser_delete(p->parser);
  free(p);
}

void completion__syntax_delete(completion__syntax *s) {
  if (!s) return;
  if (s->tree) ts_tree_delete(s->tree);
  completion__text_release(s->text);
  free(s->definitions);
  free(s->found);
  completion__lines_delete(s->lines);
  free(s);
}

/* ---- the tree -------------------------------------------------------------------------- */

TSPoint completion__syntax_point(TSPoint at, completion__slice t) {
  for (size_t i = 0; i < t.len;) {
    const char *end = memchr(t.s + i, '\n', t.len - i);
    if (!end) {
      at.column += (uint32_t)(t.len - i);
      break;
    }
    at.row++;
    at.column = 0;
    i = (size_t)(end - t.s) + 1;
  }
  return at;
}

bool completion__syntax_edit(completion__slice from, completion__slice to, TSInputEdit *edit) {
  size_t same, same_end;
  if (!completion__edits_difference(from, to, &same, &same_end)) return false;
  TSPoint start = completion__syntax_point((TSPoint){0, 0}, completion__slice_cut(from, 0, same));
  *edit = (TSInputEdit){
      .start_byte = (uint32_t)same,
      .old_end_byte = (uint32_t)(from.len - same_end),
      .new_end_byte = (uint32_t)(to.len - same_end),
      .start_point = start,
      .old_end_point = completion__syntax_point(start, completion__slice_cut(from, same, from.len - same_end)),
      .new_end_point = completion__syntax_point(start, completion__slice_cut(to, same, to.len - same_end)),
  };
  return true;
}

bool completion__patience_ends(const completion__patience *p) {
  return (p->cancel && atomic_load(p->cancel)) || completion__now_ms() > p->until_ms;
}

static bool parse_progress(TSParseState *state) {
  return completion__patience_ends(state->payload);
}

static const char *read_text(void *payload, uint32_t at, TSPoint point, uint32_t *read) {
  (void)point;
  const completion__text *t = payload;
  *read = at < t->len ? (uint32_t)(t->len - at) : 0;
  return *read ? t->bytes + at : "";
}

static TSTree *parse_input(completion__parser *p, const TSTree *old, const grammars_language *l,
                           TSInput input, completion__patience *wait) {
  TSParseOptions options = {.payload = wait, .progress_callback = parse_progress};
  input.encoding = TSInputEncodingUTF8;
  if (!ts_parser_set_language(p->parser, l->grammar())) return NULL;
  TSTree *tree = ts_parser_parse_with_options(p->parser, old, input, options);
  ts_parser_reset(p->parser);
  return tree;
}

static TSTree *parse(completion__parser *p, TSTree *old, completion__text *text,
                     completion__patience *wait) {
  return parse_input(p, old, text->language, (TSInput){.payload = text, .read = read_text}, wait);
}

/* Widens what has changed since the definitions were found by one edit and what the trees before
 * and after it differ in. */
static void note_change(completion__syntax *s, const TSInputEdit *edit, const TSTree *old) {
  uint32_t low = edit->start_byte, high = edit->new_end_byte, n = 0;
  if (s->changed) {
    uint32_t moved = s->changed_high >= edit->old_end_byte
                         ? s->changed_high - edit->old_end_byte + edit->new_end_byte
                         : edit->new_end_byte;
    if (s->changed_low < low) low = s->changed_low;
    if (moved > high) high = moved;
  }
  TSRange *ranges = ts_tree_get_changed_ranges(old, s->tree, &n);
  for (uint32_t i = 0; i < n; i++) {
    if (ranges[i].start_byte < low) low = ranges[i].start_byte;
    if (ranges[i].end_byte > high) high = ranges[i].end_byte;
  }
  free(ranges);
  s->changed = true;
  s->changed_low = low;
  s->changed_high = high;
}

const TSTree *completion__syntax_tree(completion__parser *p, completion__document *d,
                                      completion__text *text, const atomic_bool *cancel) {
  if (!d->syntax) d->syntax = calloc(1, sizeof *d->syntax);
  completion__syntax *s = d->syntax;
  if (!s || !text->language || text->len > COMPLETION__SYNTAX_BYTES) return NULL;
  if (s->text == text && s->tree) return s->tree;
  if (s->skip > 0) {
    s->skip--;
    return NULL;
  }
  TSTree *old = s->tree;
  if (old && s->text->language != text->language) {
    ts_tree_delete(old);
    old = NULL;
  }
  TSInputEdit edit;
  bool edited = old && completion__syntax_edit(completion__text_slice(s->text),
                                               completion__text_slice(text), &edit);
  if (edited) ts_tree_edit(old, &edit);
  completion__patience wait = {completion__now_ms() + p->patience_ms, cancel};
  s->tree = parse(p, old, text, &wait);
  if (!s->tree && !(cancel && atomic_load(cancel))) s->skip = SKIP_AFTER_SLOW;
  if (!s->tree || !old) s->definitions_begun = false;
  if (!s->definitions_begun || edited) s->definitions_done = false;
  if (s->tree && edited && s->definitions_begun) note_change(s, &edit, old);
  if (old) ts_tree_delete(old);
  completion__text *held = completion__text_hold(text);
  completion__text_release(s->text);
  s->text = held;
  return s->tree;
}
/* ---- stretches of code, and errors ----------------------------------------------------- */

typedef struct stretch {
  const completion__slice *parts;
  int n;
} stretch;

static const char *read_parts(void *payload, uint32_t at, TSPoint point, uint32_t *read) {
  (void)point;
  const stretch *s = payload;
  size_t from = at;
  for (int i = 0; i < s->n; i++) {
    if (from < s->parts[i].len) {
      *read = (uint32_t)(s->parts[i].len - from);
      return s->parts[i].s + from;
    }
    from -= s->parts[i].len;
  }
  *read = 0;
  return "";
}

TSTree *completion__syntax_parse(completion__parser *p, const grammars_language *l,
                                 const completion__slice *parts, int n, const TSTree *old,
                                 const atomic_bool *cancel) {
  size_t len = 0;
  for (int i = 0; i < n; i++) len += parts[i].len;
  if (len > COMPLETION__SYNTAX_BYTES) return NULL;
  stretch s = {parts, n};
  completion__patience wait = {completion__now_ms() + p->patience_ms, cancel};
  return parse_input(p, old, l, (TSInput){.payload = &s, .read = read_parts}, &wait);
}

/* A parse that is over with the first error. */
typedef struct strict {
  completion__patience wait;
  bool failed;
} strict;

static bool strict_progress(TSParseState *state) {
  strict *s = state->payload;
  s->failed = state->has_error; /* in every way to read it */
  return s->failed || completion__patience_ends(&s->wait);
}

/* Did the tree, of an older text perhaps, have errors that the place has nothing to do with? */
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

bool completion__syntax_breaks(completion__parser *p, completion__document *d,
                               completion__text *text, size_t start, size_t end,
                               completion__slice put, const atomic_bool *cancel) {
  completion__syntax *s = d->syntax;
  if (s && s->tree && s->text != text && fails_elsewhere(s->tree, start)) return false;
  const TSTree *own = completion__syntax_tree(p, d, text, cancel);
  if (!own || ts_node_has_error(ts_tree_root_node(own))) return false;
  completion__slice all = completion__text_slice(text);
  const completion__slice parts[] = {completion__slice_cut(all, 0, start), put,
                                     completion__slice_cut(all, end, all.len)};
  TSPoint at = completion__syntax_point((TSPoint){0, 0}, parts[0]);
  TSInputEdit edit = {
      .start_byte = (uint32_t)start,
      .old_end_byte = (uint32_t)end,
      .new_end_byte = (uint32_t)(start + put.len),
      .start_point = at,
      .old_end_point = completion__syntax_point(at, completion__slice_cut(all, start, end)),
      .new_end_point = completion__syntax_point(at, put),
  };
  stretch code = {parts, 3};
  strict wait = {.wait = {completion__now_ms() + p->patience_ms, cancel}};
  TSInput input = {.payload = &code, .read = read_parts, .encoding = TSInputEncodingUTF8};
  TSParseOptions options = {.payload = &wait, .progress_callback = strict_progress};
  if (!ts_parser_set_language(p->parser, text->language->grammar())) return false;
  TSTree *old = ts_tree_copy(own);
  ts_tree_edit(old, &edit);
  TSTree *tree = ts_parser_parse_with_options(p->parser, old, input, options);
  ts_parser_reset(p->parser);
  bool broken = tree ? ts_node_has_error(ts_tree_root_node(tree)) : wait.failed;
  if (tree) ts_tree_delete(tree);
  ts_tree_delete(old);
  return broken;
}

int completion__syntax_errors(const TSTree *tree) {
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree));
  int errors = 0;
  for (bool more = true; more;) {
    TSNode node = ts_tree_cursor_current_node(&cursor);
    errors += ts_node_is_error(node) || ts_node_is_missing(node);
    if (ts_node_has_error(node) && ts_tree_cursor_goto_first_child(&cursor)) continue;
    while (!(more = ts_tree_cursor_goto_next_sibling(&cursor)))
      if (!ts_tree_cursor_goto_parent(&cursor)) break;
  }
  ts_tree_cursor_delete(&cursor);
  return errors;
}
