/* context.c - see context.h. */
#include "completion/context.h"

#include <stdlib.h>
#include <string.h>

#include "completion/secrets.h"
#include "completion/similar.h"

#define SCOPES_MAX 8
#define IMPORT_BYTES 1200        /* of the document's own imports */
#define IMPORTS_WITHIN (64 << 10) /* bytes at a document's start where they stand */
#define STORE_BYTES 8192

/* Scores: a scope is worth more than imports, those more than anything else. A word on the
 * cursor's line gives a signature 2, in an imported file 4. */
#define SCORE_SCOPE 1000.0
#define SCORE_IMPORT 500.0
#define SCORE_EDITED 1.5  /* divided by its number */
#define SCORE_SIMILAR 3.0 /* times the similarity, which is below 1 */

const char *completion__strwhy(completion__why why) {
  static const char *const names[] = {"scope",   "import",    "referenced", "edited",
                                      "similar", "mentioned", "imported"};
  return (size_t)why < sizeof names / sizeof *names ? names[why] : "";
}

/* ---- pieces ---------------------------------------------------------------------------- */

typedef completion__collecting collecting;

typedef struct completion__store { /* a block of texts */
  struct completion__store *next;
  size_t len, capacity;
  char bytes[];
} completion__store;

/* Zero-terminated; NULL: out of memory. */
static const char *store(completion__context *c, const char *s, size_t len) {
  if (!c->store || c->store->capacity - c->store->len < len + 1) {
    size_t capacity = len + 1 > STORE_BYTES ? len + 1 : STORE_BYTES;
    completion__store *block = malloc(sizeof *block + capacity);
    if (!block) return NULL;
    *block = (completion__store){.next = c->store, .capacity = capacity};
    c->store = block;
  }
  char *to = c->store->bytes + c->store->len;
  memcpy(to, s, len);
  to[len] = 0;
  c->store->len += len + 1;
  return to;
}

void completion__context_free(completion__context *c) {
  for (completion__store *s = c->store, *next; s; s = next) {
    next = s->next;
    free(s);
  }
  c->store = NULL;
  c->n = 0;
}

static bool better(const completion__piece *a, const completion__piece *b) {
  if (a->score != b->score) return a->score > b->score;
  if ((a->view == 0) != (b->view == 0)) return a->view == 0;
  int order = a->view == b->view && a->view >= 0 ? 0 : strcmp(a->key, b->key);
  if (order) return order < 0;
  return a->start != b->start ? a->start < b->start : a->end < b->end;
}

static bool same_file(const completion__piece *a, const completion__piece *b) {
  return a->view == b->view && (a->view >= 0 || strcmp(a->key, b->key) == 0);
}

/* Takes out what the piece makes superfluous. False: it is superfluous itself. */
static bool displace(completion__context *x, completion__piece *piece) {
  for (int i = 0; i < x->n; i++) {
    completion__piece *have = &x->pieces[i];
    bool same = completion__slice_equal(have->text, piece->text);
    bool within = same_file(have, piece) && have->start <= piece->start && piece->end <= have->end;
    if (!same && !within) continue;
    if (!better(piece, have)) return false;
    if (within && !same) { /* the larger piece is shown, at the better score */
      piece->start = have->start;
      piece->end = have->end;
      piece->text = have->text;
      piece->cut = have->cut;
    }
    memmove(have, have + 1, (size_t)(x->n - i - 1) * sizeof *have);
    x->n--;
    i--;
  }
  return true;
}

static bool has_room(const completion__context *x, const completion__piece *piece) {
  return x->n < COMPLETION__PIECES_MAX || better(piece, &x->pieces[x->n - 1]);
}

/* Lines of another document in which a secret stands, whole, as a piece may begin inside of one. */
static bool is_secret(const collecting *c, const completion__piece *piece) {
  if (piece->view < 0) return completion__secrets_in(piece->text);
  completion__slice t = completion__text_slice(c->r->views[piece->view].text);
  return piece->view > 0 &&
         completion__secrets_in(completion__slice_cut(t, completion__line_start(t, piece->start),
                                                      completion__line_end(t, piece->end)));
}

void completion__context_add(completion__collecting *c, completion__piece piece) {
  completion__context *x = c->out;
  if (piece.view >= 0) {
    const completion__view *v = &c->r->views[piece.view];
    piece.key = v->document->uri;
    piece.path = v->place->path;
    piece.text = completion__slice_cut(completion__text_slice(v->text), piece.start, piece.end);
    piece.language = v->text->language;
    piece.line = -1;
  }
  if (completion__slice_is_blank(piece.text) || !has_room(x, &piece) || is_secret(c, &piece) ||
      !displace(x, &piece))
    return;
  int at = x->n;
  while (at > 0 && better(&piece, &x->pieces[at - 1])) at--;
  if (at == COMPLETION__PIECES_MAX) return;
  if (x->n == COMPLETION__PIECES_MAX) x->n--;
  memmove(&x->pieces[at + 1], &x->pieces[at], (size_t)(x->n - at) * sizeof x->pieces[0]);
  x->pieces[at] = piece;
  x->n++;
}

void completion__context_add_copy(completion__collecting *c, completion__piece piece) {
  if (!has_room(c->out, &piece)) return;
  piece.text.s = store(c->out, piece.text.s, piece.text.len);
  const char *key = store(c->out, piece.key, strlen(piece.key));
  if (!piece.text.s || !key) return;
  piece.path = key + (piece.path - piece.key); /* the end of it */
  piece.key = key;
  completion__context_add(c, piece);
}

/* ---- the document itself --------------------------------------------------------------- */

static void add_scope(collecting *c, size_t start, size_t end, int depth) {
  const char *s = c->r->views[0].text->bytes;
  while (end > start && (s[end - 1] == '\n' || completion__is_blank(s[end - 1]))) end--;
  completion__context_add(c, (completion__piece){.start = (uint32_t)start,
                             .end = (uint32_t)end,
                             .why = COMPLETION__WHY_SCOPE,
                             .score = SCORE_SCOPE + depth});
}

/* The heads of the nodes around the cursor that begin before the window: from their line's
 * start to the end of the line where their body begins. False: the code is broken there. */
static bool add_scopes(collecting *c, const TSTree *tree, size_t offset, size_t from) {
  completion__slice t = completion__text_slice(c->r->views[0].text);
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
  completion__slice t = completion__text_slice(c->r->views[0].text);
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
    if (end > from || start > IMPORTS_WITHIN || bytes + (end - start) > IMPORT_BYTES) break;
    if (!ts_node_is_named(node) || !is_import(ts_node_type(node))) continue;
    bytes += end - start;
    while (end > start && c->r->views[0].text->bytes[end - 1] == '\n') end--;
    completion__context_add(c, (completion__piece){.start = (uint32_t)start,
                               .end = (uint32_t)end,
                               .why = COMPLETION__WHY_IMPORT,
                               .score = SCORE_IMPORT});
  }
  ts_tree_cursor_delete(&cursor);
}

/* ---- code: edited and similar ---------------------------------------------------------- */

/* What the prompt's window shows is not missing. */
static bool is_shown(const collecting *c, int view, size_t start, size_t end) {
  return view == 0 && end > c->r->from && start < c->r->to;
}

static void add_edited(collecting *c) {
  const completion__edits *edits = c->r->edits;
  int number = 0;
  for (int i = 0; edits && i < edits->n; i++) {
    int view = 0;
    while (view < c->r->n_views && c->r->views[view].document != edits->items[i].document) view++;
    size_t start, end;
    if (view == c->r->n_views ||
        !completion__edits_lines(&edits->items[i], c->r->views[view].text, &start, &end) ||
        is_shown(c, view, start, end))
      continue;
    completion__context_add(c, (completion__piece){.view = view,
                                                   .start = (uint32_t)start,
                                                   .end = (uint32_t)end,
                                                   .why = COMPLETION__WHY_EDITED,
                                                   .score = SCORE_EDITED / ++number});
  }
}

static int add_similar(collecting *c) {
  const completion__context_request *r = c->r;
  completion__similar found[COMPLETION__SIMILAR_MAX];
  int n = completion__similar_find(r->parser, r->views, r->n_views, r->offset, r->from, r->to,
                                   r->cancel, found);
  for (int i = 0; i < n; i++)
    completion__context_add(c, (completion__piece){.view = found[i].view,
                                                   .start = (uint32_t)found[i].start,
                                                   .end = (uint32_t)found[i].end,
                                                   .why = COMPLETION__WHY_SIMILAR,
                                                   .score = SCORE_SIMILAR * found[i].similarity});
  return n < 0 ? n : 0;
}

/* ---- all of it ------------------------------------------------------------------------- */

int completion__context_collect(const completion__context_request *r, completion__context *out) {
  *out = (completion__context){.n = 0};
  if (r->n_views < 1 || !r->views[0].text->language) return 0;
  collecting c = {r, out};
  if (r->from > 0) {
    const TSTree *tree = (r->signatures_only ? completion__syntax_near : completion__syntax_tree)(
        r->parser, r->views[0].document, r->views[0].text, r->cancel);
    if (!(tree && add_scopes(&c, tree, r->offset, r->from)))
      add_scopes_by_indentation(&c, r->offset, r->from);
    if (tree) add_imports(&c, tree, r->from);
  }
  int status = completion__context_signatures(&c);
  if (status || r->signatures_only) return status;
  add_edited(&c);
  return add_similar(&c);
}

static void find_lines(const completion__view *views, completion__context *c, int view) {
  completion__slice t = completion__text_slice(views[view].text);
  size_t at = 0;
  int line = 0;
  for (uint32_t after = 0;;) { /* in the order of the text */
    completion__piece *next = NULL;
    for (int i = 0; i < c->n; i++) {
      completion__piece *p = &c->pieces[i];
      if (p->view == view && p->line < 0 && p->start >= after && (!next || p->start < next->start))
        next = p;
    }
    if (!next) return;
    for (size_t end; (end = completion__line_end(t, at)) < next->start; line++) at = end + 1;
    next->line = line;
    after = next->start;
  }
}

void completion__context_lines(const completion__view *views, completion__context *c) {
  for (int i = 0; i < c->n; i++)
    if (c->pieces[i].view >= 0 && c->pieces[i].line < 0)
      find_lines(views, c, c->pieces[i].view);
}

int completion__context_text(const completion__piece *piece, completion__buffer *out) {
  const grammars_language *l = piece->language;
  int status = completion__buffer_append(out, piece->text.s, piece->text.len);
  if (!status && piece->cut && l) {
    if (l->blocks == GRAMMARS_BLOCKS_INDENT) status = completion__buffer_add(out, " ...");
    if (l->blocks == GRAMMARS_BLOCKS_BRACES && strcmp(l->name, "go") != 0)
      status = completion__buffer_add(out, ";");
  }
  if (!status && !(out->len && out->s[out->len - 1] == '\n'))
    status = completion__buffer_add(out, "\n");
  return status;
}
