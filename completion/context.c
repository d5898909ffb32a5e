/* context.c - see context.h. */
#include "completion/context.h"

#include <stdlib.h>
#include <string.h>

#define NEAR_ABOVE 40 /* lines around the cursor whose words count as references */
#define NEAR_BELOW 20
#define WORD_MIN 3     /* bytes of a word that may be a reference */
#define WORDS_MAX 1024 /* slots of the table of words, a power of two */
#define SCOPES_MAX 8
#define IMPORT_BYTES 1200  /* of the document's own imports */
#define MENTION_BYTES 8192 /* at a document's start, searched for names of other files */

/* Scores: a scope is worth more than imports, those more than any signature. */
#define SCORE_SCOPE 1000.0
#define SCORE_IMPORT 500.0
#define SCORE_IMPORTED 0.05

/* ---- words near the cursor ------------------------------------------------------------- */

typedef struct word {
  completion__slice text;
  double weight;
} word;

typedef struct words {
  word slots[WORDS_MAX];
  int n;
} words;

static uint32_t hash(completion__slice t) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < t.len; i++) h = (h ^ (unsigned char)t.s[i]) * 16777619u;
  return h;
}

static word *words_slot(words *w, completion__slice t) {
  uint32_t i = hash(t) & (WORDS_MAX - 1);
  while (w->slots[i].text.len && !completion__slice_equal(w->slots[i].text, t))
    i = (i + 1) & (WORDS_MAX - 1);
  return &w->slots[i];
}

static void words_add(words *w, completion__slice t, double weight) {
  if (t.len < WORD_MIN || (t.s[0] >= '0' && t.s[0] <= '9') || w->n >= WORDS_MAX / 2) return;
  word *slot = words_slot(w, t);
  if (!slot->text.len) {
    slot->text = t;
    w->n++;
  }
  slot->weight += weight;
}

static void words_of_line(words *w, completion__slice line, double weight) {
  for (size_t i = 0; i < line.len;) {
    size_t start = i;
    while (i < line.len && completion__is_word(line.s[i])) i++;
    if (i > start) words_add(w, completion__slice_cut(line, start, i), weight);
    if (i == start) i++;
  }
}

/* A word weighs the more the nearer it is, and less the more often it is repeated. */
static void words_near(words *w, completion__slice t, size_t offset) {
  size_t start = completion__line_start(t, offset), end = completion__line_end(t, offset);
  words_of_line(w, completion__slice_cut(t, start, end), 2.0);
  size_t at = start;
  for (int i = 1; i <= NEAR_ABOVE && at > 0; i++) {
    size_t stop = at - 1;
    at = completion__line_start(t, stop);
    words_of_line(w, completion__slice_cut(t, at, stop), 1.0 / (1.0 + i / 4.0));
  }
  at = end;
  for (int i = 1; i <= NEAR_BELOW && at < t.len; i++) {
    size_t from = at + 1;
    at = completion__line_end(t, from);
    words_of_line(w, completion__slice_cut(t, from, at), 0.5 / (1.0 + i / 4.0));
  }
}

/* ---- pieces ---------------------------------------------------------------------------- */

typedef struct collecting {
  const completion__view *views;
  completion__context *out;
} collecting;

static bool better(const collecting *c, const completion__piece *a, const completion__piece *b) {
  if (a->score != b->score) return a->score > b->score;
  if (a->view != b->view) {
    if (a->view == 0 || b->view == 0) return a->view == 0;
    int order = strcmp(c->views[a->view].document->uri, c->views[b->view].document->uri);
    return order ? order < 0 : a->view < b->view;
  }
  return a->start < b->start;
}

static completion__slice piece_slice(const completion__view *views, const completion__piece *p) {
  return completion__slice_cut(completion__text_slice(views[p->view].text), p->start, p->end);
}

/* Puts the piece where it ranks; a piece with the same words, or inside another, stays out. */
static void add(collecting *c, completion__piece piece) {
  completion__context *x = c->out;
  completion__slice text = piece_slice(c->views, &piece);
  if (completion__slice_is_blank(text)) return;
  for (int i = 0; i < x->n; i++) {
    completion__piece *have = &x->pieces[i];
    bool same = completion__slice_equal(piece_slice(c->views, have), text);
    bool within = have->view == piece.view && have->start <= piece.start && piece.end <= have->end;
    if (!same && !within) continue;
    if (!better(c, &piece, have)) return;
    if (within && !same) { /* the larger piece is shown, at the better score */
      piece.start = have->start;
      piece.end = have->end;
      piece.cut = have->cut;
    }
    memmove(have, have + 1, (size_t)(x->n - i - 1) * sizeof *have);
    x->n--;
    i--;
  }
  int at = x->n;
  while (at > 0 && better(c, &piece, &x->pieces[at - 1])) at--;
  if (at == COMPLETION__PIECES_MAX) return;
  if (x->n == COMPLETION__PIECES_MAX) x->n--;
  memmove(&x->pieces[at + 1], &x->pieces[at], (size_t)(x->n - at) * sizeof x->pieces[0]);
  x->pieces[at] = piece;
  x->n++;
}

/* ---- the document itself --------------------------------------------------------------- */

static void add_scope(collecting *c, size_t start, size_t end, int depth) {
  const char *s = c->views[0].text->bytes;
  while (end > start && (s[end - 1] == '\n' || completion__is_blank(s[end - 1]))) end--;
  add(c, (completion__piece){.start = (uint32_t)start,
                             .end = (uint32_t)end,
                             .why = COMPLETION__WHY_SCOPE,
                             .score = SCORE_SCOPE + depth});
}

/* The heads of the nodes around the cursor that begin before the window: from their line's
 * start to the end of the line where their body begins. False: the code is broken there. */
static bool add_scopes(collecting *c, const TSTree *tree, size_t offset, size_t from) {
  completion__slice t = completion__text_slice(c->views[0].text);
  int found = 0;
  bool broken = false;
  /* Downwards, as a parent is dear to find and a child is not. */
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree));
  broken = ts_node_is_error(ts_tree_root_node(tree));
  while (found < SCOPES_MAX &&
         ts_tree_cursor_goto_first_child_for_byte(&cursor, (uint32_t)offset) >= 0) {
    TSNode node = ts_tree_cursor_current_node(&cursor);
    if (ts_node_start_byte(node) >= from) break;
    broken |= ts_node_is_error(node);
    TSNode body = ts_node_child_by_field_name(node, "body", 4);
    if (ts_node_is_null(body) || ts_node_start_byte(body) > offset ||
        ts_node_end_byte(body) < offset)
      continue;
    size_t start = completion__line_start(t, ts_node_start_byte(node));
    size_t body_start = ts_node_start_byte(body), body_line = completion__line_start(t, body_start);
    bool own_lines = completion__slice_is_blank(
        completion__slice_cut(t, body_line, body_start)); /* as Python's */
    size_t end = own_lines ? body_start : completion__line_end(t, body_start);
    add_scope(c, start, end < from ? end : from, found++);
  }
  ts_tree_cursor_delete(&cursor);
  return found > 0 && !broken;
}

/* The same by indentation, for code that is broken around the cursor: upwards, each line that
 * stands further left than all below it. */
static void add_scopes_by_indentation(collecting *c, size_t offset, size_t from) {
  completion__slice t = completion__text_slice(c->views[0].text);
  size_t at = completion__line_start(t, offset);
  int columns = completion__indent_columns(completion__slice_cut(t, at, offset)),
      depth = SCOPES_MAX;
  while (at > 0 && columns > 0 && depth > 0) {
    size_t end = at - 1;
    at = completion__line_start(t, end);
    completion__slice line = completion__slice_cut(t, at, end),
                      trimmed = completion__slice_trim(line);
    int here = completion__indent_columns(line);
    if (trimmed.len < 2 || here >= columns || !completion__is_word(trimmed.s[0])) continue;
    columns = here;
    depth--;
    if (end <= from) add_scope(c, at, end, depth);
  }
}

static bool is_import(const char *type) {
  return strstr(type, "import") || strstr(type, "include") || strstr(type, "using") ||
         strstr(type, "package") || strcmp(type, "use_declaration") == 0;
}

static void add_imports(collecting *c, const TSTree *tree, size_t from) {
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree));
  size_t bytes = 0;
  bool more = ts_tree_cursor_goto_first_child(&cursor);
  for (; more; more = ts_tree_cursor_goto_next_sibling(&cursor)) {
    TSNode node = ts_tree_cursor_current_node(&cursor);
    size_t start = ts_node_start_byte(node), end = ts_node_end_byte(node);
    if (end > from || bytes + (end - start) > IMPORT_BYTES) break;
    if (!ts_node_is_named(node) || !is_import(ts_node_type(node))) continue;
    bytes += end - start;
    while (end > start && c->views[0].text->bytes[end - 1] == '\n') end--;
    add(c, (completion__piece){.start = (uint32_t)start,
                               .end = (uint32_t)end,
                               .why = COMPLETION__WHY_IMPORT,
                               .score = SCORE_IMPORT});
  }
  ts_tree_cursor_delete(&cursor);
}

/* ---- signatures ------------------------------------------------------------------------ */

/* Languages whose declarations can be used from one another. */
static int family(const grammars_language *l) {
  static const char *const families[][4] = {{"c", "cpp"}, {"javascript", "typescript", "tsx"}};
  for (int f = 0; f < 2; f++)
    for (int i = 0; i < 4 && families[f][i]; i++)
      if (strcmp(l->name, families[f][i]) == 0) return f;
  for (int i = 0; i < grammars_count(); i++)
    if (grammars_at(i) == l) return 2 + i;
  return -1;
}

static bool is_import_line(completion__slice line) {
  static const char *const verbs[] = {"import", "include", "require", "from",
                                      "use",    "using",   "mod",     "source"};
  for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
    completion__slice verb = completion__slice_of(verbs[i], strlen(verbs[i]));
    size_t at = completion__slice_find(line, 0, verb);
    if (at < line.len && (at == 0 || !completion__is_word(line.s[at - 1])) &&
        (at + verb.len == line.len || !completion__is_word(line.s[at + verb.len])))
      return true;
  }
  return false;
}

/* True where the start of the document imports the other file by its name without ending. */
static bool mentions(const completion__view *v, const char *path) {
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  size_t len = strcspn(name, ".");
  if (len < 2) return false;
  completion__slice stem = completion__slice_of(name, len);
  completion__slice head = completion__slice_cut(completion__text_slice(v->text), 0, MENTION_BYTES);
  for (size_t at = completion__slice_find(head, 0, stem); at < head.len;
       at = completion__slice_find(head, at + 1, stem)) {
    bool left = at == 0 || !completion__is_word(head.s[at - 1]);
    bool right = at + len >= head.len || !completion__is_word(head.s[at + len]);
    size_t line = completion__line_start(head, at);
    if (left && right &&
        is_import_line(completion__slice_cut(head, line, completion__line_end(head, at))))
      return true;
  }
  return false;
}

static void add_signatures(collecting *c, completion__parser *p, words *w, int view, size_t from,
                           size_t to, const atomic_bool *cancel) {
  const completion__view *v = &c->views[view];
  const completion__definition *definitions;
  int n = completion__syntax_definitions(p, v->document, v->text, cancel, &definitions);
  bool imported = view > 0 && mentions(&c->views[0], v->place->path);
  completion__slice t = completion__text_slice(v->text);
  for (int i = 0; i < n; i++) {
    const completion__definition *d = &definitions[i];
    if (view == 0 ? d->end > from && d->start < to : d->local)
      continue; /* shown already, or not visible */
    const word *near = words_slot(w, completion__slice_cut(t, d->name, d->name + d->name_len));
    double score = near->weight;
    if (score == 0 && !imported) continue;
    if (score > 0 && view == 0 && d->local) score *= 0.25;
    if (score > 0 && imported) score *= 2.0;
    if (d->kind == COMPLETION__VALUE) score *= 0.5;
    bool referenced = score > 0;
    add(c, (completion__piece){
               .view = view,
               .start = d->start,
               .end = d->end,
               .cut = d->cut,
               .why = referenced ? COMPLETION__WHY_REFERENCED : COMPLETION__WHY_IMPORTED,
               .score = referenced ? score : SCORE_IMPORTED / (1 + i)});
  }
}

/* ---- all of it ------------------------------------------------------------------------- */

int completion__context_collect(completion__parser *p, const completion__view *views, int n_views,
                                size_t offset, size_t from, size_t to, const atomic_bool *cancel,
                                completion__context *out) {
  out->n = 0;
  if (n_views < 1 || !views[0].text->language) return 0;
  double start = completion__now_ms(), patience_ms = 2 * completion__parser_patience(p);
  collecting c = {views, out};
  if (from > 0 || to < views[0].text->len) {
    const TSTree *tree = completion__syntax_tree(p, views[0].document, views[0].text, cancel);
    if (from > 0 && !(tree && add_scopes(&c, tree, offset, from)))
      add_scopes_by_indentation(&c, offset, from);
    if (tree && from > 0) add_imports(&c, tree, from);
  }
  words *w = calloc(1, sizeof *w);
  if (!w) return COMPLETION_ENOMEM;
  words_near(w, completion__text_slice(views[0].text), offset);
  if (from > 0 || to < views[0].text->len) add_signatures(&c, p, w, 0, from, to, cancel);
  for (int i = 1; i < n_views; i++) {
    const grammars_language *l = views[i].text->language;
    if ((cancel && atomic_load(cancel)) || completion__now_ms() - start > patience_ms) break;
    if (l && family(l) == family(views[0].text->language))
      add_signatures(&c, p, w, i, 0, 0, cancel);
  }
  free(w);
  return 0;
}

int completion__context_text(const completion__view *views, const completion__piece *piece,
                             completion__buffer *out) {
  completion__slice text = piece_slice(views, piece);
  const grammars_language *l = views[piece->view].text->language;
  int status = completion__buffer_append(out, text.s, text.len);
  if (!status && piece->cut && l) {
    if (l->blocks == GRAMMARS_BLOCKS_INDENT) status = completion__buffer_add(out, " ...");
    if (l->blocks == GRAMMARS_BLOCKS_BRACES && strcmp(l->name, "go") != 0)
      status = completion__buffer_add(out, ";");
  }
  if (!status && !(out->len && out->s[out->len - 1] == '\n'))
    status = completion__buffer_add(out, "\n");
  return status;
}
