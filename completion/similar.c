/* similar.c - see similar.h. */
#include "completion/similar.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW 12     /* lines */
#define ABOVE 8       /* of them, above the cursor; the rest is what follows */
#define WORD_MIN 3    /* bytes of an identifier */
#define LEAST 0.3     /* less similar is not shown */
#define LEAST_WORDS 5 /* around the cursor; fewer say nothing */
#define SLOTS 1024    /* of a set, a power of two */
#define BORDER 3      /* lines that a statement may have more than the window */
#define SHARED_MIN 2  /* identifiers around the cursor that a statement at either end has */
#define SHOWN_MIN 3   /* lines; whole statements that are fewer are not cut out */

struct completion__lines {
  completion__text *text; /* owned reference */
  int n;                  /* lines */
  uint32_t *starts;       /* [n + 1] owned: bytes */
  uint32_t *first;        /* [n + 1] owned: a line's identifiers are ids[first[i]..first[i + 1]) */
  uint32_t *ids;          /* owned: hashes, none 0, keywords left out */
};

void completion__lines_delete(completion__lines *l) {
  if (!l) return;
  completion__text_release(l->text);
  free(l->starts);
  free(l->first);
  free(l->ids);
  free(l);
}

/* ---- identifiers ----------------------------------------------------------------------- */

static bool begins(char c) { return completion__is_word(c) && !(c >= '0' && c <= '9'); }

/* The hash of the identifier that begins at *at, which moves behind it; 0: there is none. */
static uint32_t identifier(completion__slice t, size_t *at) {
  size_t from = *at;
  uint32_t h = 2166136261u;
  if (!completion__is_word(t.s[from])) {
    *at = from + 1;
    return 0;
  }
  while (*at < t.len && completion__is_word(t.s[*at]))
    h = (h ^ (unsigned char)t.s[(*at)++]) * 16777619u;
  h ^= h >> 15;
  return *at - from >= WORD_MIN && begins(t.s[from]) ? h + (h == 0) : 0;
}

typedef struct set {
  uint32_t slots[SLOTS];
  int n;
} set;

static bool set_has(const set *s, uint32_t id) {
  for (uint32_t i = id;; i++) {
    uint32_t in = s->slots[i & (SLOTS - 1)];
    if (in == id || in == 0) return in != 0;
  }
}

/* False: it was there, or the set is full. */
static bool set_add(set *s, uint32_t id) {
  uint32_t i = id;
  while (s->slots[i & (SLOTS - 1)] && s->slots[i & (SLOTS - 1)] != id) i++;
  if (s->slots[i & (SLOTS - 1)] || s->n >= SLOTS / 2) return false;
  s->slots[i & (SLOTS - 1)] = id;
  s->n++;
  return true;
}

/* Words of any code, which make nothing similar. */
static void add_keywords(set *s) {
  static const char words[] =
      "and async await bool break case char class const continue def default elif else end enum "
      "export extern false final float fn for from func function goto if impl import in include "
      "int interface let match mut new nil none None not null or package private protected pub "
      "public return Self self size_t static string struct super switch then this throw true True "
      "False try type typedef union unsigned use using var void while with yield";
  completion__slice t = {words, sizeof words - 1};
  for (size_t at = 0; at < t.len;) {
    uint32_t id = identifier(t, &at);
    if (id) set_add(s, id);
  }
}

static completion__lines *lines_new(completion__text *text) {
  completion__slice t = completion__text_slice(text);
  set keywords = {.n = 0};
  add_keywords(&keywords);
  completion__lines *l = calloc(1, sizeof *l);
  if (!l) return NULL;
  size_t lines = 1;
  for (size_t at = 0; (at = completion__line_end(t, at)) < t.len; at++) lines++;
  l->starts = malloc((lines + 1) * sizeof *l->starts);
  l->first = malloc((lines + 1) * sizeof *l->first);
  l->ids = malloc((t.len / (WORD_MIN + 1) + 1) * sizeof *l->ids);
  if (!l->starts || !l->first || !l->ids) {
    completion__lines_delete(l);
    return NULL;
  }
  uint32_t n = 0;
  for (size_t at = 0; (size_t)l->n < lines; l->n++) {
    size_t end = completion__line_end(t, at);
    completion__slice line = completion__slice_cut(t, 0, end);
    l->starts[l->n] = (uint32_t)at;
    l->first[l->n] = n;
    while (at < end) {
      uint32_t id = identifier(line, &at);
      if (id && !set_has(&keywords, id)) l->ids[n++] = id;
    }
    at = end + 1;
  }
  l->starts[lines] = (uint32_t)t.len + 1;
  l->first[lines] = n;
  l->text = completion__text_hold(text);
  return l;
}

/* The document's, made anew where its text changed; borrowed. NULL: out of memory. */
static const completion__lines *lines_of(const completion__view *v) {
  completion__syntax *s = v->document->syntax;
  if (s->lines && s->lines->text == v->text) return s->lines;
  completion__lines_delete(s->lines);
  return s->lines = lines_new(v->text);
}

static int line_at(const completion__lines *l, size_t offset) {
  int low = 0, high = l->n;
  while (high - low > 1) {
    int middle = low + (high - low) / 2;
    if (l->starts[middle] <= offset)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* ---- comparing ------------------------------------------------------------------------- */

typedef struct search {
  const completion__view *views;
  set wanted;
  uint32_t seen[SLOTS], seen_in[SLOTS]; /* a set made anew by another number */
  uint32_t number;
  completion__similar *best; /* [n] */
  int n;
} search;

/* Distinct identifiers of the lines [from, to), at most half the slots. */
static int count_distinct(search *s, const completion__lines *l, int from, int to) {
  int n = 0;
  s->number++;
  for (uint32_t i = l->first[from]; i < l->first[to] && n < SLOTS / 2; i++) {
    uint32_t slot = l->ids[i] & (SLOTS - 1);
    while (s->seen_in[slot] == s->number && s->seen[slot] != l->ids[i])
      slot = (slot + 1) & (SLOTS - 1);
    n += s->seen_in[slot] != s->number;
    s->seen_in[slot] = s->number;
    s->seen[slot] = l->ids[i];
  }
  return n;
}

static bool is_better(const search *s, const completion__similar *a, const completion__similar *b) {
  if (a->similarity != b->similarity) return a->similarity > b->similarity;
  if (a->view != b->view) {
    if (a->view == 0 || b->view == 0) return a->view == 0;
    return strcmp(s->views[a->view].document->uri, s->views[b->view].document->uri) < 0;
  }
  return a->start < b->start;
}

/* Of windows that overlap the better one stays. */
static void offer(search *s, completion__similar x) {
  for (int i = 0; i < s->n; i++) {
    completion__similar *b = &s->best[i];
    if (b->view != x.view || x.start >= b->end || b->start >= x.end) continue;
    if (!is_better(s, &x, b)) return;
    memmove(b, b + 1, (size_t)(--s->n - i) * sizeof *b);
    i--;
  }
  int at = s->n;
  while (at > 0 && is_better(s, &x, &s->best[at - 1])) at--;
  if (at == COMPLETION__SIMILAR_MAX) return;
  if (s->n == COMPLETION__SIMILAR_MAX) s->n--;
  memmove(&s->best[at + 1], &s->best[at], (size_t)(s->n - at) * sizeof *s->best);
  s->best[at] = x;
  s->n++;
}

/* The window of the lines from `first` on, which share so many identifiers. */
static void weigh(search *s, const completion__lines *l, int view, int first, int shared,
                  size_t from, size_t to) {
  double most = (double)shared / s->wanted.n;
  if (most < LEAST ||
      (s->n == COMPLETION__SIMILAR_MAX && most < s->best[s->n - 1].similarity))
    return;
  completion__similar x = {
      .view = view, .start = l->starts[first], .end = l->starts[first + WINDOW] - 1};
  if (view == 0 && x.end > from && x.start < to) return;
  int all = s->wanted.n + count_distinct(s, l, first, first + WINDOW) - shared;
  x.similarity = (double)shared / all;
  if (x.similarity >= LEAST) offer(s, x);
}

/* All windows of a document but those that have some of [from, to). Of neighbours that share the
 * same or fewer only the last is weighed. */
static void slide(search *s, const completion__lines *l, int view, size_t from, size_t to) {
  uint32_t counts[SLOTS] = {0}; /* how often the window's lines have what is in a slot */
  int shared = 0, before = 0;
  for (int line = 0; line < l->n; line++) {
    for (int leaves = 0; leaves < 2; leaves++) {
      int of = leaves ? line - WINDOW : line;
      for (uint32_t i = of >= 0 ? l->first[of] : 0; of >= 0 && i < l->first[of + 1]; i++) {
        uint32_t slot = l->ids[i], in;
        while ((in = s->wanted.slots[slot & (SLOTS - 1)]) && in != l->ids[i]) slot++;
        if (!in) continue;
        uint32_t *count = &counts[slot & (SLOTS - 1)];
        shared += leaves ? -(--*count == 0) : ++*count == 1;
      }
    }
    if (line >= WINDOW && shared < before) weigh(s, l, view, line - WINDOW, before, from, to);
    before = shared;
  }
  if (l->n >= WINDOW) weigh(s, l, view, l->n - WINDOW, before, from, to);
}

/* ---- borders --------------------------------------------------------------------------- */

static int lines_between(completion__slice t, size_t from, size_t to) {
  int n = 1;
  for (size_t at = from; (at = completion__line_end(t, at)) < to; at++) n++;
  return n;
}

/* How many of the identifiers around the cursor the lines of [from, to) have. */
static int count_shared(search *s, const completion__lines *l, size_t from, size_t to) {
  int n = 0, last = line_at(l, to ? to - 1 : 0);
  memset(s->seen, 0, sizeof s->seen);
  for (uint32_t i = l->first[line_at(l, from)]; i < l->first[last + 1]; i++) {
    uint32_t slot = l->ids[i], in;
    while ((in = s->wanted.slots[slot & (SLOTS - 1)]) && in != l->ids[i]) slot++;
    uint32_t *seen = &s->seen[slot & (SLOTS - 1)];
    n += in && !*seen;
    if (in) *seen = 1;
  }
  return n;
}

/* Does the node belong to the window [from, to)? It lies within, or half of it does and it is not
 * much longer. */
static bool belongs(completion__slice t, TSNode node, size_t from, size_t to) {
  size_t start = ts_node_start_byte(node), end = ts_node_end_byte(node);
  if (!ts_node_is_named(node) || end > t.len || end <= from || start >= to) return false;
  if (start >= from && end <= to) return true;
  int all = lines_between(t, start, end);
  int within = lines_between(t, start > from ? start : from, end < to ? end : to);
  return all <= WINDOW + BORDER && 2 * within >= all;
}

/* Whole statements: the smallest node around the lines where it is hardly longer, else those of its
 * children that belong there, without those at the ends that have nothing to do with it. Where
 * there are none, the lines as they are. */
static void cut_to_statements(search *s, const completion__lines *l, const TSTree *tree,
                              completion__slice t, completion__similar *x) {
  size_t from = x->start, to = x->end;
  while (from < to && (t.s[from] == '\n' || completion__is_blank(t.s[from]))) from++;
  while (to > from && (t.s[to - 1] == '\n' || completion__is_blank(t.s[to - 1]))) to--;
  if (from == to) return;
  TSNode node = ts_node_named_descendant_for_byte_range(ts_tree_root_node(tree), (uint32_t)from,
                                                        (uint32_t)to - 1);
  size_t start = ts_node_start_byte(node), end = ts_node_end_byte(node);
  if (end > t.len) return;
  if (lines_between(t, start, end) > WINDOW + BORDER || ts_node_is_null(ts_node_parent(node))) {
    TSTreeCursor cursor = ts_tree_cursor_new(node);
    bool more = ts_tree_cursor_goto_first_child_for_byte(&cursor, (uint32_t)from) >= 0;
    size_t last = 0; /* the end of the last one that has something to do with it */
    for (; more; more = ts_tree_cursor_goto_next_sibling(&cursor)) {
      TSNode child = ts_tree_cursor_current_node(&cursor);
      if (ts_node_start_byte(child) >= to) break;
      if (!belongs(t, child, from, to) ||
          count_shared(s, l, ts_node_start_byte(child), ts_node_end_byte(child)) < SHARED_MIN)
        continue;
      if (!last) start = ts_node_start_byte(child);
      last = ts_node_end_byte(child);
    }
    ts_tree_cursor_delete(&cursor);
    end = last;
    if (!last || lines_between(t, start, end) < SHOWN_MIN) return;
  }
  x->start = completion__line_start(t, start);
  x->end = end && t.s[end - 1] == '\n' ? end - 1 : completion__line_end(t, end);
}

/* ---- all of it ------------------------------------------------------------------------- */

static bool find_wanted(search *s, const completion__lines *l, size_t offset) {
  int line = line_at(l, offset), from = line < ABOVE ? 0 : line - ABOVE, to = from + WINDOW;
  if (to > l->n) to = l->n;
  for (uint32_t i = l->first[from]; i < l->first[to]; i++)
    set_add(&s->wanted, l->ids[i]);
  return s->wanted.n >= LEAST_WORDS;
}

int completion__similar_find(completion__parser *p, const completion__view *views, int n_views,
                             size_t offset, size_t from, size_t to, const atomic_bool *cancel,
                             completion__similar out[COMPLETION__SIMILAR_MAX]) {
  if (!views[0].document->syntax || !views[0].text->language) return 0;
  search *s = calloc(1, sizeof *s);
  const completion__lines *own = s ? lines_of(&views[0]) : NULL;
  int status = own ? 0 : COMPLETION_ENOMEM;
  if (!status) s->views = views;
  if (!status) s->best = out;
  if (!status && find_wanted(s, own, offset))
    for (int i = 0; i < n_views && !(cancel && atomic_load(cancel)); i++) {
      const completion__view *v = &views[i];
      if (!v->document->syntax || !v->text->language || v->text->len > COMPLETION__SYNTAX_BYTES ||
          completion__family(v->text->language) != completion__family(views[0].text->language))
        continue;
      const completion__lines *l = lines_of(v);
      if (l) slide(s, l, i, from, to);
    }
  int n = status ? status : s->n;
  for (int i = 0; i < n; i++) {
    const completion__view *v = &views[out[i].view];
    const TSTree *tree = completion__syntax_tree(p, v->document, v->text, cancel);
    completion__similar cut = out[i];
    const completion__lines *l = lines_of(v);
    if (tree && l) cut_to_statements(s, l, tree, completion__text_slice(v->text), &cut);
    if (cut.view != 0 || cut.end <= from || cut.start >= to) out[i] = cut;
  }
  free(s);
  return n;
}
