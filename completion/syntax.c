/* syntax.c - see syntax.h.
 *
 * tree-sitter ends the process when malloc fails; nothing here can help that. */
#include "completion/syntax.h"

#include <stdlib.h>
#include <string.h>

#include "completion/scan.h"

#define SKIP_AFTER_SLOW 16 /* requests */
#define MATCH_LIMIT 256    /* of a query, in flight */
#define DEFINITIONS_MAX 20000
#define SIGNATURE_BYTES 400
#define TYPE_BYTES 600 /* a type's body is part of its signature up to here */
#define TYPE_LINES 16
#define LINE_REST 40 /* bytes around a node that its lines may add to the signature */

typedef struct language_query { /* made when a language is first met */
  TSQuery *query;               /* NULL: tried in vain */
  bool tried;
} language_query;

struct completion__parser {
  TSParser *parser;
  TSQueryCursor *cursor;
  language_query *queries; /* [grammars_count()] */
  double patience_ms;
};

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
  size_t least = from.len < to.len ? from.len : to.len, same = 0, same_end = 0;
  while (same < least && from.s[same] == to.s[same]) same++;
  if (same == from.len && same == to.len) return false;
  while (same && same < to.len && completion__utf8_inside(to.s[same])) same--;
  while (same_end < least - same && from.s[from.len - 1 - same_end] == to.s[to.len - 1 - same_end])
    same_end++;
  while (same_end && completion__utf8_inside(to.s[to.len - same_end])) same_end--;
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

typedef struct patience {
  double until_ms;
  const atomic_bool *cancel;
} patience;

static bool out_of_patience(const patience *p) {
  return (p->cancel && atomic_load(p->cancel)) || completion__now_ms() > p->until_ms;
}

static bool parse_progress(TSParseState *state) { return out_of_patience(state->payload); }
static bool query_progress(TSQueryCursorState *state) { return out_of_patience(state->payload); }

static const char *read_text(void *payload, uint32_t at, TSPoint point, uint32_t *read) {
  (void)point;
  const completion__text *t = payload;
  *read = at < t->len ? (uint32_t)(t->len - at) : 0;
  return *read ? t->bytes + at : "";
}

static TSTree *parse_input(completion__parser *p, const TSTree *old, const grammars_language *l,
                           TSInput input, patience *wait) {
  TSParseOptions options = {.payload = wait, .progress_callback = parse_progress};
  input.encoding = TSInputEncodingUTF8;
  if (!ts_parser_set_language(p->parser, l->grammar())) return NULL;
  TSTree *tree = ts_parser_parse_with_options(p->parser, old, input, options);
  ts_parser_reset(p->parser);
  return tree;
}

static TSTree *parse(completion__parser *p, TSTree *old, completion__text *text, patience *wait) {
  return parse_input(p, old, text->language, (TSInput){.payload = text, .read = read_text}, wait);
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
  if (old &&
      completion__syntax_edit(completion__text_slice(s->text), completion__text_slice(text), &edit))
    ts_tree_edit(old, &edit);
  patience wait = {completion__now_ms() + p->patience_ms, cancel};
  s->tree = parse(p, old, text, &wait);
  if (!s->tree && !(cancel && atomic_load(cancel))) s->skip = SKIP_AFTER_SLOW;
  if (old) ts_tree_delete(old);
  completion__text *held = completion__text_hold(text);
  completion__text_release(s->text);
  s->text = held;
  s->definitions_known = false;
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
  patience wait = {completion__now_ms() + p->patience_ms, cancel};
  return parse_input(p, old, l, (TSInput){.payload = &s, .read = read_parts}, &wait);
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

/* ---- definitions ----------------------------------------------------------------------- */

static const TSQuery *query_for(completion__parser *p, const grammars_language *l) {
  for (int i = 0; i < grammars_count(); i++) {
    if (grammars_at(i) != l) continue;
    language_query *q = &p->queries[i];
    if (q->tried) return q->query;
    q->tried = true;
    uint32_t at;
    TSQueryError error;
    q->query = ts_query_new(l->grammar(), l->tags, (uint32_t)strlen(l->tags), &at, &error);
    if (!q->query) return NULL;
    /* Who is referenced is found by words near the cursor; references in the query only cost. */
    for (uint32_t c = 0; c < ts_query_capture_count(q->query); c++) {
      uint32_t len;
      const char *name = ts_query_capture_name_for_id(q->query, c, &len);
      if (len > 10 && memcmp(name, "reference.", 10) == 0)
        ts_query_disable_capture(q->query, name, len);
    }
    return q->query;
  }
  return NULL;
}

/* #eq? and #not-eq? with a string; other predicates are taken as true. */
static bool predicates_hold(const TSQuery *q, const TSQueryMatch *m, completion__slice text) {
  uint32_t n;
  const TSQueryPredicateStep *steps = ts_query_predicates_for_pattern(q, m->pattern_index, &n);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t first = i;
    while (i < n && steps[i].type != TSQueryPredicateStepTypeDone) i++;
    if (i - first != 3 || steps[first].type != TSQueryPredicateStepTypeString ||
        steps[first + 1].type != TSQueryPredicateStepTypeCapture ||
        steps[first + 2].type != TSQueryPredicateStepTypeString)
      continue;
    uint32_t name_len, value_len;
    const char *name = ts_query_string_value_for_id(q, steps[first].value_id, &name_len);
    const char *value = ts_query_string_value_for_id(q, steps[first + 2].value_id, &value_len);
    bool wanted = name_len == 3 && memcmp(name, "eq?", 3) == 0;
    if (!wanted && !(name_len == 7 && memcmp(name, "not-eq?", 7) == 0)) continue;
    for (uint16_t c = 0; c < m->capture_count; c++) {
      if (m->captures[c].index != steps[first + 1].value_id) continue;
      completion__slice node = completion__slice_cut(text, ts_node_start_byte(m->captures[c].node),
                                                     ts_node_end_byte(m->captures[c].node));
      if (completion__slice_equal(node, completion__slice_of(value, value_len)) != wanted)
        return false;
    }
  }
  return true;
}

static uint8_t kind_of(completion__slice what) {
  static const char *const types[] = {"class", "interface", "type", "module"};
  static const char *const values[] = {"constant", "variable", "field", "macro"};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (completion__slice_equal(what, completion__slice_of(types[i], strlen(types[i]))))
      return COMPLETION__TYPE;
  for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
    if (completion__slice_equal(what, completion__slice_of(values[i], strlen(values[i]))))
      return COMPLETION__VALUE;
  return COMPLETION__FUNCTION;
}

/* Where a function's or a long type's head ends: at its body, found by reading on from its
 * name. Reading serves where the tree has the body elsewhere (C's declarators) or broken. */
static size_t head_end(completion__slice t, size_t from, size_t limit, const grammars_language *l,
                       bool *cut) {
  completion__scan scan;
  completion__scan_init(&scan, l);
  completion__scan_event event;
  *cut = false;
  if (limit > from + SIGNATURE_BYTES) limit = from + SIGNATURE_BYTES;
  for (size_t at = from; at < limit;) {
    char c = t.s[at];
    if (scan.depth == 0 && completion__scan_in_code(&scan)) {
      if (c == '{') {
        *cut = true;
        return at;
      }
      if (c == ';' || c == '}') return at;
      if (l->blocks == GRAMMARS_BLOCKS_INDENT && c == ':') {
        *cut = true;
        return at + 1;
      }
      if (c == '\n' && l->blocks != GRAMMARS_BLOCKS_BRACES) {
        *cut = l->blocks == GRAMMARS_BLOCKS_KEYWORD;
        return at;
      }
      if (c == '\n' && at + 1 < t.len && t.s[at + 1] == '\n') return at;
    }
    at += completion__scan_step(&scan, t, at, &event);
  }
  return completion__line_end(t, from) < limit ? completion__line_end(t, from) : limit;
}

static void find_signature(completion__definition *d, completion__slice t, size_t node_start,
                           size_t node_end, const grammars_language *l) {
  size_t line = completion__line_start(t, node_start), start = node_start;
  completion__slice lead = completion__slice_cut(t, line, node_start);
  while (lead.len && completion__is_blank(lead.s[0]))
    lead = completion__slice_cut(lead, 1, lead.len);
  if (lead.len <= LINE_REST && !(lead.len && memchr(lead.s, '{', lead.len)) &&
      !(lead.len && memchr(lead.s, ';', lead.len)))
    start = node_start - lead.len;
  size_t rest = completion__line_end(t, node_end);
  size_t lines = 0;
  for (size_t at = start; at < node_end; at = completion__line_end(t, at) + 1) lines++;
  bool cut = false;
  size_t end;
  if (d->kind == COMPLETION__TYPE && node_end - start <= TYPE_BYTES && lines <= TYPE_LINES)
    end = rest - node_end <= LINE_REST ? rest : node_end;
  else if (d->kind == COMPLETION__VALUE)
    end = completion__line_end(t, start) < start + SIGNATURE_BYTES ? completion__line_end(t, start)
                                                                   : node_end;
  else
    end = head_end(t, d->name + d->name_len, t.len, l, &cut);
  if (end > start + TYPE_BYTES) end = start + TYPE_BYTES;
  while (end > start && end < t.len && completion__utf8_inside(t.s[end])) end--;
  while (end > start && (completion__is_blank(t.s[end - 1]) || t.s[end - 1] == '\n')) end--;
  d->start = (uint32_t)start;
  d->end = (uint32_t)end;
  d->cut = cut;
}

static int by_place(const void *a, const void *b) {
  const completion__definition *x = a, *y = b;
  if (x->start != y->start) return x->start < y->start ? -1 : 1;
  if (x->name != y->name) return x->name < y->name ? -1 : 1;
  return x->kind - y->kind;
}

/* Sorts, drops what was found twice, and marks what stands inside a function. */
static void definitions_settle(completion__syntax *s) {
  qsort(s->definitions, (size_t)s->n_definitions, sizeof *s->definitions, by_place);
  int n = 0;
  uint32_t function_end = 0;
  for (int i = 0; i < s->n_definitions; i++) {
    completion__definition d = s->definitions[i];
    if (n && s->definitions[n - 1].name == d.name) continue;
    d.local = d.start < function_end;
    if (!d.local && d.kind == COMPLETION__FUNCTION && d.whole_end > function_end)
      function_end = d.whole_end;
    s->definitions[n++] = d;
  }
  s->n_definitions = n;
}

static void definitions_find(completion__parser *p, completion__syntax *s,
                             const atomic_bool *cancel) {
  const grammars_language *l = s->text->language;
  const TSQuery *query = query_for(p, l);
  s->n_definitions = 0;
  s->definitions_known = true;
  if (!query) return;
  completion__slice text = completion__text_slice(s->text);
  patience wait = {completion__now_ms() + p->patience_ms, cancel};
  TSQueryCursorOptions options = {.payload = &wait, .progress_callback = query_progress};
  ts_query_cursor_exec_with_options(p->cursor, query, ts_tree_root_node(s->tree), &options);
  int capacity = 0;
  free(s->definitions);
  s->definitions = NULL;
  TSQueryMatch match;
  while (s->n_definitions < DEFINITIONS_MAX && ts_query_cursor_next_match(p->cursor, &match)) {
    const TSNode *name = NULL, *whole = NULL;
    completion__definition d = {0};
    for (uint16_t c = 0; c < match.capture_count; c++) {
      uint32_t len;
      const char *what = ts_query_capture_name_for_id(query, match.captures[c].index, &len);
      if (len == 4 && memcmp(what, "name", 4) == 0) name = &match.captures[c].node;
      if (len > 11 && memcmp(what, "definition.", 11) == 0) {
        whole = &match.captures[c].node;
        d.kind = kind_of(completion__slice_of(what + 11, len - 11));
      }
    }
    if (!name || !whole || !predicates_hold(query, &match, text)) continue;
    d.name = ts_node_start_byte(*name);
    d.name_len = ts_node_end_byte(*name) - d.name;
    d.whole_end = ts_node_end_byte(*whole);
    if (d.name_len == 0 || d.whole_end > text.len || d.name + d.name_len > text.len) continue;
    find_signature(&d, text, ts_node_start_byte(*whole), d.whole_end, l);
    if (s->n_definitions == capacity) {
      capacity = capacity ? capacity * 2 : 64;
      completion__definition *grown = realloc(s->definitions, (size_t)capacity * sizeof *grown);
      if (!grown) break;
      s->definitions = grown;
    }
    s->definitions[s->n_definitions++] = d;
  }
  if (s->n_definitions) definitions_settle(s);
  if (cancel && atomic_load(cancel)) s->definitions_known = false;
}

int completion__syntax_definitions(completion__parser *p, completion__document *d,
                                   completion__text *text, const atomic_bool *cancel,
                                   const completion__definition **definitions) {
  *definitions = NULL;
  if (!completion__syntax_tree(p, d, text, cancel)) return 0;
  completion__syntax *s = d->syntax;
  if (!s->definitions_known) definitions_find(p, s, cancel);
  *definitions = s->definitions;
  return s->n_definitions;
}
