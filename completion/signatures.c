/* signatures.c - the signatures that a reader of the code near the cursor would look up: in the
 * document itself, in the other open ones, and in the files of the workspace. See context.h. */
#include <stdlib.h>
#include <string.h>

#include "completion/context.h"

#define NEAR_ABOVE 40 /* lines around the cursor whose words count as references */
#define NEAR_BELOW 20
#define WORD_MIN 3         /* bytes of a word that may be a reference */
#define WORDS_MAX 1024     /* slots of the table of words, a power of two */
#define MENTION_BYTES 8192 /* at a document's start, searched for names of other files */
#define MENTIONING 8       /* signatures whose types count */
#define MENTIONED_SHARE 0.3
#define SCORE_IMPORTED 0.05

typedef completion__collecting collecting;

/* ---- words near the cursor ------------------------------------------------------------- */

typedef struct word {
  completion__slice text;
  double weight;
  bool called; /* an argument list follows it somewhere */
  bool known;  /* the document itself, or a file that it imports and that is open, defines it */
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

static void words_add(words *w, completion__slice t, double weight, bool called) {
  if (t.len < WORD_MIN || (t.s[0] >= '0' && t.s[0] <= '9') || w->n >= WORDS_MAX / 2) return;
  word *slot = words_slot(w, t);
  if (!slot->text.len) {
    slot->text = t;
    w->n++;
  }
  slot->weight += weight;
  slot->called |= called;
}

static void words_of_line(words *w, completion__slice line, double weight) {
  for (size_t i = 0; i < line.len;) {
    size_t start = i;
    while (i < line.len && completion__is_word(line.s[i])) i++;
    bool called = i < line.len && (line.s[i] == '(' || line.s[i] == '!');
    if (i > start) words_add(w, completion__slice_cut(line, start, i), weight, called);
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

/* ---- signatures ------------------------------------------------------------------------ */

int completion__family(const grammars_language *l) {
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

static void add_signatures(collecting *c, words *w, int view, completion__why why) {
  const completion__context_request *r = c->r;
  const completion__view *v = &r->views[view];
  const completion__definition *definitions;
  int n = (r->signatures_only ? completion__syntax_definitions_near
                              : completion__syntax_definitions)(r->parser, v->document, v->text,
                                                                r->cancel, &definitions);
  bool mentioned = why == COMPLETION__WHY_MENTIONED;
  bool imported = view > 0 && mentions(&r->views[0], v->place->path);
  completion__slice t = completion__text_slice(v->text);
  for (int i = 0; i < n; i++) {
    const completion__definition *d = &definitions[i];
    if (mentioned && d->kind != COMPLETION__TYPE) continue;
    word *near = words_slot(w, completion__slice_cut(t, d->name, d->name + d->name_len));
    near->known |= near->text.len && (view == 0 || imported) && !d->local;
    if (view == 0 ? d->end > r->from && d->start < r->to : d->local)
      continue; /* shown already, or not visible */
    double score = near->weight;
    if (score == 0 && (!imported || mentioned)) continue;
    if (score > 0 && view == 0 && d->local) score *= 0.25;
    if (score > 0 && imported && !mentioned) score *= 2.0;
    if (d->kind == COMPLETION__VALUE) score *= 0.5;
    completion__context_add(
        c, (completion__piece){.view = view,
                               .start = d->start,
                               .end = d->end,
                               .cut = d->cut,
                               .why = score > 0 ? why : COMPLETION__WHY_IMPORTED,
                               .score = score > 0 ? score : SCORE_IMPORTED / (1 + i)});
  }
}

/* ---- of files that are not open -------------------------------------------------------- */

typedef struct looking {
  collecting *c;
  words *w;
  completion__why why;
  int family;
  const completion__slice *names;
} looking;

/* Where nothing but a name speaks for it, it should be used as what it is. */
static bool is_used_as(const word *near, const completion__symbol *s) {
  if (s->kind == COMPLETION__FUNCTION) return near->called;
  for (size_t i = 0; s->kind == COMPLETION__VALUE && i < s->name.len; i++)
    if (s->name.s[i] >= 'a' && s->name.s[i] <= 'z') return false;
  return true;
}

static void on_symbol(void *user, int name, const completion__symbol *s,
                      completion__nearness nearness, int files) {
  looking *l = user;
  const word *near = words_slot(l->w, l->names[name]);
  bool mentioned = l->why == COMPLETION__WHY_MENTIONED;
  if (completion__family(s->file->language) != l->family ||
      (mentioned && s->kind != COMPLETION__TYPE))
    return;
  double score = near->weight;
  if (score == 0) return;
  if (nearness == COMPLETION__IMPORTED) {
    score *= mentioned ? 1.0 : 1.8;
  } else {
    if (near->known || !is_used_as(near, s)) return;
    score *= (nearness == COMPLETION__SAME_FOLDER ? 0.9 : 0.6) / files;
  }
  if (s->kind == COMPLETION__VALUE) score *= 0.5;
  completion__context_add_copy(l->c, (completion__piece){.view = -1,
                                                         .key = s->file->path,
                                                         .path = s->file->shown,
                                                         .text = s->text,
                                                         .start = s->start,
                                                         .end = s->start + (uint32_t)s->text.len,
                                                         .line = s->line,
                                                         .language = s->file->language,
                                                         .cut = s->cut,
                                                         .why = l->why,
                                                         .score = score});
}

static void add_symbols(collecting *c, words *w, completion__why why) {
  const completion__view *v = &c->r->views[0];
  completion__slice names[WORDS_MAX];
  looking l = {.c = c,
               .w = w,
               .why = why,
               .family = completion__family(v->text->language),
               .names = names};
  completion__symbols_query q = {.text = completion__text_slice(v->text),
                                 .own = v->document->path,
                                 .names = names,
                                 .on_symbol = on_symbol,
                                 .user = &l};
  for (int i = 0; i < WORDS_MAX; i++)
    if (w->slots[i].text.len) names[q.n_names++] = w->slots[i].text;
  if (c->r->workspace && q.n_names) completion__workspace_symbols(c->r->workspace, &q);
}

/* ---- all of them ----------------------------------------------------------------------- */

static void add_all(collecting *c, words *w, completion__why why) {
  const completion__context_request *r = c->r;
  double start = completion__cpu_ms(), patience_ms = 2 * completion__parser_patience(r->parser);
  int own = completion__family(r->views[0].text->language);
  for (int i = 0; i < r->n_views; i++) {
    const grammars_language *l = r->views[i].text->language;
    if ((r->cancel && atomic_load(r->cancel)) || completion__cpu_ms() - start > patience_ms) break;
    if (l && completion__family(l) == own) add_signatures(c, w, i, why);
  }
  add_symbols(c, w, why);
}

/* The words of the best signatures that are not near the cursor themselves. */
static void words_mentioned(const collecting *c, words *near, words *out) {
  int best = 0;
  for (int i = 0; i < c->out->n && best < MENTIONING; i++) {
    const completion__piece *p = &c->out->pieces[i];
    if (p->why != COMPLETION__WHY_REFERENCED) continue;
    double weight = MENTIONED_SHARE * (p->score < 1 ? p->score : 1) / (1 + best++);
    words_of_line(out, p->text, weight);
  }
  for (int i = 0; i < WORDS_MAX; i++)
    if (out->slots[i].text.len && words_slot(near, out->slots[i].text)->text.len)
      out->slots[i].weight = 0;
}

int completion__context_signatures(completion__collecting *c) {
  words *w = calloc(2, sizeof *w);
  if (!w) return COMPLETION_ENOMEM;
  words_near(&w[0], completion__text_slice(c->r->views[0].text), c->r->offset);
  add_all(c, &w[0], COMPLETION__WHY_REFERENCED);
  words_mentioned(c, &w[0], &w[1]);
  if (w[1].n) add_all(c, &w[1], COMPLETION__WHY_MENTIONED);
  free(w);
  return 0;
}
