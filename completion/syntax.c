/* syntax.c - see syntax.h. */
#include "completion/syntax.h"

#include <stdlib.h>
#include <string.h>

#include "completion/edits.h"
#include "completion/opened.h"
#include "completion/similar.h"
#include "completion/tree_memory.h"

#define SKIP_AFTER_SLOW 16 /* requests */
#define MATCH_LIMIT 256    /* of a query, in flight */
#define NEAR_BYTES 200     /* of text that a tree may not have been made from */

/* ---- the parser ------------------------------------------------------------------------ */

completion__parser *completion__parser_new(double patience_ms) {
  completion__parser *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  completion__tree_memory_fill();
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

/* What the parser keeps for later may lie in the reserve, which is to be whole again. */
static void renew(completion__parser *p) {
  ts_parser_delete(p->parser);
  ts_query_cursor_delete(p->cursor);
  p->parser = ts_parser_new();
  p->cursor = ts_query_cursor_new();
  ts_query_cursor_set_match_limit(p->cursor, MATCH_LIMIT);
}

bool completion__parser_was_short(completion__parser *p) {
  if (!completion__tree_memory_was_short()) return false;
  p->worn = true;
  return true;
}

void completion__parser_begin(completion__parser *p) {
  completion__tree_memory_fill();
  if (!p->worn) return;
  renew(p);
  p->worn = completion__tree_memory_was_short();
}

TSTree *completion__parser_parse(completion__parser *p, const grammars_language *l,
                                 const TSTree *old, TSInput input, TSParseOptions options) {
  /* What was edited or deleted since, with memory of the reserve, may be the old tree. */
  if (completion__parser_was_short(p)) old = NULL;
  completion__parser_begin(p);
  TSTree *tree = !completion__tree_memory_short() && ts_parser_set_language(p->parser, l->grammar())
                     ? ts_parser_parse_with_options(p->parser, old, input, options)
                     : NULL;
  ts_parser_reset(p->parser);
  p->starved = completion__parser_was_short(p);
  if (tree && p->starved) {
    ts_tree_delete(tree);
    tree = NULL;
  }
  return tree;
}

double completion__parser_patience(const completion__parser *p) { return p->patience_ms; }

void completion__parser_borrow(completion__parser *p, const completion__parser *from,
                               const grammars_language *l) {
  for (int i = 0; i < grammars_count(); i++) {
    if (grammars_at(i) != l || p->queries[i].tried || !from->queries[i].tried) continue;
    p->queries[i] = from->queries[i];
    p->queries[i].borrowed = true;
  }
}

void completion__parser_delete(completion__parser *p) {
  if (!p) return;
  for (int i = 0; p->queries && i < grammars_count(); i++)
    if (p->queries[i].query && !p->queries[i].borrowed) ts_query_delete(p->queries[i].query);
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
      .old_end_point = completion__syntax_point(
          start, completion__slice_cut(from, same, from.len - same_end)),
      .new_end_point =
          completion__syntax_point(start, completion__slice_cut(to, same, to.len - same_end)),
  };
  return true;
}

bool completion__patience_ends(const completion__patience *p) {
  return (p->cancel && atomic_load(p->cancel)) || completion__cpu_ms() > p->until_ms;
}

static bool parse_progress(TSParseState *state) {
  return completion__tree_memory_short() || completion__patience_ends(state->payload);
}

static const char *read_text(void *payload, uint32_t at, TSPoint point, uint32_t *read) {
  (void)point;
  const completion__text *t = payload;
  *read = at < t->len ? (uint32_t)(t->len - at) : 0;
  return *read ? t->bytes + at : "";
}

static TSTree *parse(completion__parser *p, const TSTree *old, completion__text *text,
                     completion__patience *wait) {
  TSInput input = {.payload = text, .read = read_text, .encoding = TSInputEncodingUTF8};
  TSParseOptions options = {.payload = wait, .progress_callback = parse_progress};
  return completion__parser_parse(p, text->language, old, input, options);
}

/* ---- keeping up ------------------------------------------------------------------------ */

/* Where the range lies after an edit, and the edit's new text. */
static void widen(completion__range *r, const TSInputEdit *edit) {
  uint32_t low = edit->start_byte, high = edit->new_end_byte;
  if (r->any) {
    uint32_t moved = r->high >= edit->old_end_byte
                         ? r->high - edit->old_end_byte + edit->new_end_byte
                         : edit->new_end_byte;
    if (r->low < low) low = r->low;
    if (moved > high) high = moved;
  }
  *r = (completion__range){true, low, high};
}

static void add_range(completion__range *r, uint32_t low, uint32_t high) {
  if (r->any && r->low < low) low = r->low;
  if (r->any && r->high > high) high = r->high;
  *r = (completion__range){true, low, high};
}

/* What the definitions have to look at again: where the text was edited, and where the trees before
 * and after differ. */
static void note_parse(completion__syntax *s, const TSTree *old) {
  uint32_t n = 0;
  TSRange *ranges = ts_tree_get_changed_ranges(old, s->tree, &n);
  for (uint32_t i = 0; i < n; i++)
    add_range(&s->changed, ranges[i].start_byte, ranges[i].end_byte);
  completion__tree_memory_free(ranges);
  if (s->stale.any) add_range(&s->changed, s->stale.low, s->stale.high);
}

static void take_text(completion__syntax *s, completion__text *text) {
  completion__text *held = completion__text_hold(text);
  completion__text_release(s->text);
  s->text = held;
}

/* Moves the old tree along with the edit, if there is one. */
static void follow(completion__syntax *s, completion__text *text) {
  TSInputEdit edit;
  if (s->text != text && completion__syntax_edit(completion__text_slice(s->text),
                                                 completion__text_slice(text), &edit)) {
    ts_tree_edit(s->tree, &edit);
    widen(&s->changed, &edit);
    widen(&s->stale, &edit);
    s->definitions_done = false;
  }
  take_text(s, text);
}

/* What is known of the document, if only of the text that was opened. */
static completion__syntax *known(completion__parser *p, completion__document *d,
                                 const atomic_bool *cancel) {
  if (!d->syntax && p->opened) d->syntax = completion__opened_take(p->opened, p, d, cancel);
  return d->syntax;
}

const TSTree *completion__syntax_tree(completion__parser *p, completion__document *d,
                                      completion__text *text, const atomic_bool *cancel) {
  if (!known(p, d, cancel)) {
    if (cancel && atomic_load(cancel)) return NULL; /* what is known may only not have been given */
    d->syntax = calloc(1, sizeof *d->syntax);
  }
  completion__syntax *s = d->syntax;
  if (!s || !text->language || text->len > COMPLETION__SYNTAX_BYTES) return NULL;
  if (s->text == text && s->tree && !s->stale.any) return s->tree;
  if (s->skip > 0) {
    s->skip--;
    return NULL;
  }
  if (s->tree && s->text->language != text->language) {
    ts_tree_delete(s->tree);
    s->tree = NULL;
  }
  TSTree *old = s->tree;
  if (old) follow(s, text);
  if (old && !s->stale.any) return old; /* another copy of the text */
  completion__patience wait = {completion__cpu_ms() + p->patience_ms, cancel};
  TSTree *tree = parse(p, old, text, &wait);
  bool cancelled = cancel && atomic_load(cancel);
  if (!tree && cancelled && !p->starved && old) return NULL; /* it stays, as it is near enough */
  if (!tree && !cancelled && !p->starved) s->skip = SKIP_AFTER_SLOW;
  s->tree = tree;
  if (!tree || !old) s->definitions_begun = s->definitions_done = false;
  if (tree && old && s->definitions_begun) note_parse(s, old);
  if (s->changed.any) s->definitions_done = false;
  s->stale = (completion__range){.any = false};
  if (old) ts_tree_delete(old);
  if (!old) take_text(s, text);
  return s->tree;
}

const TSTree *completion__syntax_near(completion__parser *p, completion__document *d,
                                      completion__text *text, const atomic_bool *cancel) {
  completion__syntax *s = known(p, d, cancel);
  if (!s || !s->tree || s->text->language != text->language) goto exact;
  if (s->text == text) return s->tree;
  completion__range before = s->stale;
  size_t start, same_end, longer = s->text->len > text->len ? s->text->len : text->len;
  if (completion__edits_difference(completion__text_slice(s->text), completion__text_slice(text),
                                   &start, &same_end) &&
      longer - start - same_end > NEAR_BYTES)
    goto exact;
  if (before.any && before.high - before.low > NEAR_BYTES) goto exact;
  follow(s, text);
  return s->tree;
exact:
  return completion__syntax_tree(p, d, text, cancel);
}

void completion__syntax_refresh(completion__parser *p, completion__document *d,
                                const atomic_bool *cancel) {
  completion__syntax *s = d->syntax;
  if (s && s->tree && s->stale.any) completion__syntax_tree(p, d, s->text, cancel);
}

/* ---- errors ---------------------------------------------------------------------------- */

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
