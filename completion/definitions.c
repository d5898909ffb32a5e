/* definitions.c - the definitions in a document, by its grammar's tags query (syntax.h).
 *
 * A query over a whole file takes twenty times as long as the parse after a keystroke. So what was
 * found is kept, and after an edit only the part that changed is asked about again: where the text
 * is new, and where the old tree and the new one differ, which is what makes this exact. Other
 * definitions move along; those whose signature may have read some of the new text, without their
 * nodes having it, are read again. */
#include <stdlib.h>
#include <string.h>

#include "completion/scan.h"
#include "completion/syntax.h"

#define DEFINITIONS_MAX 20000
#define SIGNATURE_BYTES 400
#define TYPE_BYTES 600 /* a type's body is part of its signature up to here */
#define TYPE_LINES 16
#define LINE_REST 40 /* bytes around a node that its lines may add to the signature */
#define LOOKAHEAD 8  /* bytes that reading may look at beyond what it takes */

/* As the query has it; several may have one name. */
struct completion__found {
  completion__definition d;
  uint32_t whole_start;
  uint32_t from, until; /* bytes that the signature depends on */
};

typedef struct completion__found found;

/* ---- queries --------------------------------------------------------------------------- */

/* Who is referenced is found by words near the cursor; references in the query only cost, and what
 * is most frequent in code costs most. */
static void keep_definitions(TSQuery *q, const char *tags) {
  static const completion__slice mark = {"@definition.", 12};
  for (uint32_t i = 0; i < ts_query_pattern_count(q); i++) {
    completion__slice pattern =
        completion__slice_of(tags + ts_query_start_byte_for_pattern(q, i),
                             ts_query_end_byte_for_pattern(q, i) -
                                 ts_query_start_byte_for_pattern(q, i));
    if (completion__slice_find(pattern, 0, mark) == pattern.len) ts_query_disable_pattern(q, i);
  }
}

static const TSQuery *query_for(completion__parser *p, const grammars_language *l, bool *starved) {
  for (int i = 0; i < grammars_count(); i++) {
    if (grammars_at(i) != l) continue;
    completion__language_query *q = &p->queries[i];
    if (q->tried) return q->query;
    uint32_t at;
    TSQueryError error;
    TSQuery *query =
        ts_query_new(l->grammar(), l->tags, (uint32_t)strlen(l->tags), &at, &error);
    if (completion__parser_was_short(p)) { /* tried again next time */
      *starved = true;
      if (query) ts_query_delete(query);
      return NULL;
    }
    q->tried = true;
    q->query = query;
    if (!q->query) return NULL;
    keep_definitions(q->query, l->tags);
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

/* ---- signatures ------------------------------------------------------------------------ */

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

static void read_signature(found *f, completion__slice t, const grammars_language *l) {
  find_signature(&f->d, t, f->whole_start, f->d.whole_end, l);
  uint32_t name_end = f->d.name + f->d.name_len;
  f->from = (uint32_t)completion__line_start(t, f->whole_start);
  f->until = f->d.whole_end + LINE_REST > name_end + SIGNATURE_BYTES ? f->d.whole_end + LINE_REST
                                                                    : name_end + SIGNATURE_BYTES;
  f->until += LOOKAHEAD;
}

/* ---- finding --------------------------------------------------------------------------- */

typedef struct finding {
  completion__slice text;
  const grammars_language *language;
  uint32_t low, high; /* what changed */
  found *items;       /* [n] owned */
  int n, capacity;
  bool cut; /* time or memory ran out */
} finding;

static bool push(finding *f, const found *item) {
  if (f->n == f->capacity) {
    int capacity = f->capacity ? f->capacity * 2 : 64;
    found *grown = realloc(f->items, (size_t)capacity * sizeof *grown);
    if (!grown) {
      f->cut = true;
      return false;
    }
    f->items = grown;
    f->capacity = capacity;
  }
  f->items[f->n++] = *item;
  return true;
}

static bool touches(const finding *f, uint32_t start, uint32_t end) {
  return start <= f->high && end >= f->low;
}

static bool query_progress(TSQueryCursorState *state) {
  return completion__patience_ends(state->payload);
}

/* The definitions whose nodes touch what changed. */
static void ask(completion__parser *p, const TSQuery *query, const TSTree *tree,
                completion__patience *wait, finding *f) {
  TSQueryCursorOptions options = {.payload = wait, .progress_callback = query_progress};
  ts_query_cursor_set_byte_range(p->cursor, f->low ? f->low - 1 : 0,
                                 f->high < UINT32_MAX - 2 ? f->high + 2 : UINT32_MAX);
  ts_query_cursor_exec_with_options(p->cursor, query, ts_tree_root_node(tree), &options);
  TSQueryMatch match;
  while (f->n < DEFINITIONS_MAX && ts_query_cursor_next_match(p->cursor, &match)) {
    const TSNode *name = NULL, *whole = NULL;
    found item = {0};
    completion__definition *d = &item.d;
    for (uint16_t c = 0; c < match.capture_count; c++) {
      uint32_t len;
      const char *what = ts_query_capture_name_for_id(query, match.captures[c].index, &len);
      if (len == 4 && memcmp(what, "name", 4) == 0) name = &match.captures[c].node;
      if (len > 11 && memcmp(what, "definition.", 11) == 0) {
        whole = &match.captures[c].node;
        d->kind = kind_of(completion__slice_of(what + 11, len - 11));
      }
    }
    if (!name || !whole || !predicates_hold(query, &match, f->text)) continue;
    item.whole_start = ts_node_start_byte(*whole);
    d->whole_end = ts_node_end_byte(*whole);
    d->name = ts_node_start_byte(*name);
    d->name_len = ts_node_end_byte(*name) - d->name;
    if (d->name_len == 0 || d->whole_end > f->text.len || d->name + d->name_len > f->text.len ||
        !touches(f, item.whole_start, d->whole_end))
      continue;
    read_signature(&item, f->text, f->language);
    if (!push(f, &item)) break;
  }
  f->cut |= f->n == DEFINITIONS_MAX || completion__patience_ends(wait);
}

/* ---- keeping --------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b) {
  const found *x = a, *y = b;
  const uint32_t left[] = {x->d.start, x->d.name, x->d.kind, x->whole_start, x->d.whole_end},
                 right[] = {y->d.start, y->d.name, y->d.kind, y->whole_start, y->d.whole_end};
  for (size_t i = 0; i < sizeof left / sizeof *left; i++)
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  return 0;
}

/* Of the definitions as they were: moves those that nothing has happened to, the `kept` first of
 * them then, and adds those that must be read again. The others go. */
static int keep(completion__syntax *s, finding *f) {
  uint32_t shift = (uint32_t)s->text->len - s->definitions_len; /* modulo 2^32 */
  uint32_t old_high = f->high - shift; /* where the change ends in the old text */
  int kept = 0;
  for (int i = 0; i < s->n_found; i++) {
    found item = s->found[i];
    bool before = item.d.whole_end < f->low, after = item.whole_start > old_high;
    if (!before && !after) continue;
    if (after) {
      item.d.name += shift;
      item.d.start += shift;
      item.d.end += shift;
      item.d.whole_end += shift;
      item.whole_start += shift;
      item.from += shift;
      item.until += shift;
    }
    if (before ? item.until >= f->low : item.from <= f->high) {
      read_signature(&item, f->text, f->language);
      if (!push(f, &item)) break;
    } else {
      s->found[kept++] = item;
    }
  }
  return kept;
}

/* Those kept and those of `f`, both in order, become s->found. */
static bool merge(completion__syntax *s, int kept, finding *f) {
  found *all = malloc((size_t)(kept + f->n + 1) * sizeof *all);
  if (!all) return false;
  int n = 0, i = 0, j = 0;
  while (i < kept || j < f->n)
    all[n++] = j == f->n || (i < kept && by_place(&s->found[i], &f->items[j]) <= 0)
                   ? s->found[i++]
                   : f->items[j++];
  free(s->found);
  s->found = all;
  s->n_found = n;
  return true;
}

/* Drops what was found twice, and marks what stands inside a function. */
static bool settle(completion__syntax *s) {
  completion__definition *all =
      realloc(s->definitions, ((size_t)s->n_found + 1) * sizeof *all);
  s->n_definitions = 0;
  if (!all) return false;
  s->definitions = all;
  int n = 0;
  uint32_t function_end = 0;
  for (int i = 0; i < s->n_found; i++) {
    completion__definition d = s->found[i].d;
    if (n && all[n - 1].name == d.name) continue;
    d.local = d.start < function_end;
    if (!d.local && d.kind == COMPLETION__FUNCTION && d.whole_end > function_end)
      function_end = d.whole_end;
    all[n++] = d;
  }
  s->n_definitions = n;
  return true;
}

static void find(completion__parser *p, completion__syntax *s, const atomic_bool *cancel) {
  bool starved = completion__parser_was_short(p);
  completion__parser_begin(p);
  const TSQuery *query = query_for(p, s->text->language, &starved);
  if (s->definitions_begun && !s->changed.any) {
    s->definitions_done = true;
    return;
  }
  if (!s->definitions_begun) s->n_found = 0;
  finding f = {.text = completion__text_slice(s->text),
               .language = s->text->language,
               .low = s->definitions_begun ? s->changed.low : 0,
               .high = s->definitions_begun ? s->changed.high : (uint32_t)s->text->len};
  completion__patience wait = {completion__cpu_ms() + p->patience_ms, cancel};
  if (query) ask(p, query, s->tree, &wait, &f);
  int kept = s->definitions_begun ? keep(s, &f) : 0;
  if (f.n) qsort(f.items, (size_t)f.n, sizeof *f.items, by_place);
  bool held = merge(s, kept, &f) && settle(s);
  if (!held) s->n_found = s->n_definitions = 0; /* they are of the text before */
  starved = completion__parser_was_short(p) || !held || starved;
  bool good = !starved && !f.cut;
  free(f.items);
  /* Where time ran out, some serve better than none, and the next text is asked about as a whole;
   * this one again where somebody ended it, or where there was too little memory. */
  s->definitions_begun = good;
  s->definitions_done = !(cancel && atomic_load(cancel)) && !starved;
  s->definitions_len = (uint32_t)s->text->len;
  s->changed = (completion__range){.any = false};
}

static int definitions_of(completion__parser *p, completion__syntax *s, const TSTree *tree,
                          const atomic_bool *cancel, const completion__definition **definitions) {
  *definitions = NULL;
  if (!tree) return 0;
  if (!s->definitions_done) find(p, s, cancel);
  *definitions = s->definitions;
  return s->n_definitions;
}

int completion__syntax_definitions(completion__parser *p, completion__document *d,
                                   completion__text *text, const atomic_bool *cancel,
                                   const completion__definition **definitions) {
  const TSTree *tree = completion__syntax_tree(p, d, text, cancel);
  return definitions_of(p, d->syntax, tree, cancel, definitions);
}

int completion__syntax_definitions_near(completion__parser *p, completion__document *d,
                                        completion__text *text, const atomic_bool *cancel,
                                        const completion__definition **definitions) {
  const TSTree *tree = completion__syntax_near(p, d, text, cancel);
  return definitions_of(p, d->syntax, tree, cancel, definitions);
}
