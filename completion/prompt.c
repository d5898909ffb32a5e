/* prompt.c - see prompt.h. */
#include "completion/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "completion/window.h"

#define GROWTH 10 /* one part of so many of the budget is left free */
#define TRIES 6   /* to fit the whole where its parts said that it fits */

/* ---- layout ---------------------------------------------------------------------------- */

typedef struct layout {
  const completion__prompt_request *r;
  engine_special special;
  bool repositories; /* the model knows them */
  size_t from, to;   /* before[from..] and after[..to] are shown */
  completion__context context;
  bool chosen[COMPLETION__PIECES_MAX];
  int pieces; /* chosen */
  int others; /* of them, of other documents */
  /* The chosen pieces, laid out. */
  engine_tokens repository; /* all before <|fim_prefix|> */
  completion__buffer head;  /* the prefix up to its window */
} layout;

static completion__tokenizer tokenizer(const layout *l) {
  return (completion__tokenizer){l->r->engine, l->r->memo};
}

static int append_text(const layout *l, const char *s, size_t len, engine_tokens *out) {
  return completion__window_tokenize(tokenizer(l), completion__slice_of(s, len), out);
}

static int append_id(engine_tokens *out, int32_t id) {
  return engine_tokens_push(out, id) ? COMPLETION_ENOMEM : 0;
}

/* Are they of one file? */
static bool same_file(const completion__piece *a, const completion__piece *b) {
  return a->view == b->view && strcmp(a->key, b->key) == 0;
}

/* The chosen pieces of the file of one, in the order of its text, one after another. */
static int pieces_text(const layout *l, const completion__piece *of, completion__buffer *out) {
  uint32_t after = 0;
  bool first = true;
  int status = 0;
  for (;;) {
    const completion__piece *next = NULL;
    for (int i = 0; i < l->context.n; i++) {
      const completion__piece *p = &l->context.pieces[i];
      if (!l->chosen[i] || !same_file(p, of) || (!first && p->start <= after)) continue;
      if (!next || p->start < next->start) next = p;
    }
    if (!next || status) return status;
    status = completion__context_text(next, out);
    after = next->start;
    first = false;
  }
}

/* The other files' sections and the header of the document's own. */
static int append_repository(const layout *l, engine_tokens *out) {
  const completion__view *views = l->r->views;
  completion__buffer text = {0};
  int status = append_id(out, l->special.repo_name);
  if (!status) status = completion__buffer_add(&text, views[0].place->repository);
  if (!status) status = completion__buffer_add(&text, "\n");
  if (!status) status = append_text(l, text.s, text.len, out);
  const char *last = NULL; /* by path, so that the order is the same next time */
  while (!status) {
    const completion__piece *next = NULL;
    for (int i = 0; i < l->context.n; i++) {
      const completion__piece *p = &l->context.pieces[i];
      if (l->chosen[i] && p->view != 0 && (!last || strcmp(p->key, last) > 0) &&
          (!next || strcmp(p->key, next->key) < 0))
        next = p;
    }
    if (!next) break;
    last = next->key;
    text.len = 0;
    status = completion__buffer_add(&text, next->path);
    if (!status) status = completion__buffer_add(&text, "\n");
    if (!status) status = pieces_text(l, next, &text);
    if (!status) status = append_id(out, l->special.file_sep);
    if (!status) status = append_text(l, text.s, text.len, out);
  }
  text.len = 0;
  if (!status) status = completion__buffer_add(&text, views[0].place->path);
  if (!status) status = completion__buffer_add(&text, "\n");
  if (!status) status = append_id(out, l->special.file_sep);
  if (!status) status = append_text(l, text.s, text.len, out);
  completion__buffer_free(&text);
  return status;
}

/* Lays the chosen pieces out. */
static int lay_out(layout *l) {
  l->repository.n = 0;
  l->head.len = 0;
  int status = l->others ? append_repository(l, &l->repository) : 0;
  for (int i = 0; i < l->context.n && !status; i++)
    if (l->chosen[i] && l->context.pieces[i].view == 0)
      return pieces_text(l, &l->context.pieces[i], &l->head);
  return status;
}

static int append_all(const layout *l, engine_tokens *out) {
  const completion__prompt_request *r = l->r;
  int status =
      engine_tokens_append(out, l->repository.ids, l->repository.n) ? COMPLETION_ENOMEM : 0;
  completion__buffer prefix = {0};
  if (!status) status = completion__buffer_append(&prefix, l->head.s, l->head.len);
  if (!status)
    status = completion__buffer_append(&prefix, r->before.s + l->from, r->before.len - l->from);
  if (!status) status = append_id(out, l->special.fim_prefix);
  if (!status) status = append_text(l, prefix.s, prefix.len, out);
  if (!status) status = append_id(out, l->special.fim_suffix);
  if (!status) status = append_text(l, r->after.s, l->to, out);
  if (!status) status = append_id(out, l->special.fim_middle);
  completion__buffer_free(&prefix);
  return status;
}

/* Tokens of a text that the prompt will have, or of the line that a path stands on. */
static int count(const layout *l, completion__slice t) {
  return completion__window_count(tokenizer(l), t);
}

static int count_name(const layout *l, const char *name) {
  int n = count(l, completion__slice_of(name, strlen(name)));
  return n < 0 ? n : n + 2;
}

/* Tokens that the headers take which piece i is the first to need. */
static int count_headers(const layout *l, int i) {
  const completion__piece *p = &l->context.pieces[i];
  if (p->view == 0) return 0;
  for (int j = 0; j < i; j++)
    if (l->chosen[j] && same_file(&l->context.pieces[j], p)) return 0;
  int own = count_name(l, p->path);
  if (own < 0 || l->others) return own;
  int path = count_name(l, l->r->views[0].place->path);
  int repository = count_name(l, l->r->views[0].place->repository);
  return path < 0 ? path : repository < 0 ? repository : own + path + repository;
}

static bool is_code(const completion__piece *p) {
  return p->why == COMPLETION__WHY_EDITED || p->why == COMPLETION__WHY_SIMILAR;
}

/* Is it in the window, or can the model not be told of other files? */
static bool is_superfluous(const layout *l, const completion__piece *p) {
  return p->view == 0 ? p->end > l->from && p->start < l->r->before.len : !l->repositories;
}

/* Chooses pieces by rank while they fit; what is edited or similar takes half of the room at
 * most. *used: their tokens, headers included. */
static int choose(layout *l, int budget, int *used) {
  int code = 0;
  *used = l->pieces = l->others = 0;
  for (int i = 0; i < l->context.n; i++) {
    const completion__piece *p = &l->context.pieces[i];
    l->chosen[i] = false;
    if (is_superfluous(l, p)) continue;
    completion__buffer text = {0};
    int status = completion__context_text(p, &text);
    int tokens = status ? status : count(l, completion__buffer_slice(&text));
    completion__buffer_free(&text);
    int headers = tokens < 0 ? tokens : count_headers(l, i);
    if (headers < 0) return headers;
    tokens += headers;
    if (*used + tokens > budget || (is_code(p) && code + tokens > budget / 2)) continue;
    *used += tokens;
    if (is_code(p)) code += tokens;
    l->chosen[i] = true;
    l->pieces++;
    l->others += p->view != 0;
  }
  return 0;
}

static int collect(layout *l, bool signatures_only, completion__prompt *out) {
  const completion__prompt_request *r = l->r;
  completion__context_free(&l->context);
  if (r->no_context) return 0;
  double start = completion__now_ms();
  size_t text_len = r->views[0].text->len;
  completion__context_request request = {.parser = r->parser,
                                         .views = r->views,
                                         .n_views = r->n_views,
                                         .workspace = r->workspace,
                                         .edits = r->edits,
                                         .offset = text_len - r->after.len,
                                         .from = l->from,
                                         .to = text_len - (r->after.len - l->to),
                                         .signatures_only = signatures_only,
                                         .cancel = r->cancel};
  int status = completion__context_collect(&request, &l->context);
  out->context_ms += completion__now_ms() - start;
  return status;
}

/* Windows and pieces within the budget. Prefix, suffix and context share 3:1 and a quarter of
 * all; what one of them leaves the others take. */
static int arrange(layout *l, int all, completion__prompt *out) {
  const completion__prompt_request *r = l->r;
  completion__tokenizer e = tokenizer(l);
  int reserve = r->no_context ? 0 : all / 4, used = 0;
  int suffix = completion__window_after(e, r->after, all / 4, &l->to);
  if (suffix < 0) return suffix;
  int prefix = completion__window_before(e, r->before, all - suffix - reserve, &l->from);
  if (prefix >= 0 && l->from > 0) {
    all -= all / GROWTH; /* for the lines to come, so that the next prompts begin as this one */
    prefix = completion__window_before(e, r->before, all - suffix - reserve, &l->from);
  }
  if (prefix < 0) return prefix;
  if (l->from == 0 && l->to < r->after.len) {
    suffix = completion__window_after(e, r->after, all - prefix - reserve, &l->to);
    if (suffix < 0) return suffix;
  }
  int status = collect(l, false, out), room = all - prefix - suffix;
  if (!status) status = choose(l, room < all / 2 ? room : all / 2, &used);
  if (!status && l->from > 0 && used < reserve) { /* the prefix takes what is left */
    prefix = completion__window_before(e, r->before, all - suffix - used, &l->from);
    status = prefix < 0 ? prefix : choose(l, used, &used);
  }
  return status ? status : lay_out(l);
}

/* The same from what is settled. False: it serves no more. */
static bool arrange_as_settled(layout *l, int all, completion__prompt *out) {
  const completion__prompt_request *r = l->r;
  completion__settled *s = r->settled;
  if (!s || !completion__settled_holds(s, r->views, r->n_views, r->workspace, r->budget,
                                       r->no_context, r->before))
    return false;
  l->from = s->from;
  int head = count(l, completion__buffer_slice(&s->head));
  int prefix =
      count(l, completion__slice_cut(r->before, s->from, r->before.len));
  if (head < 0 || prefix < 0) return false;
  int used = s->repository.n + head, left = all - used - prefix, want = all / 4;
  if (s->from > 0 && prefix < (all - used) / 4) return false; /* too little of it is shown */
  int spare = left - (r->no_context || used > all / 4 ? 0 : all / 4 - used);
  if (s->from == 0 && spare > want) want = spare;
  int suffix = completion__window_after(tokenizer(l), r->after, want, &l->to);
  if (suffix < 0 || suffix > left || collect(l, true, out)) return false;
  for (int i = 0; i < l->context.n; i++) /* what the window shows is not missing */
    if (is_superfluous(l, &l->context.pieces[i]))
      l->context.pieces[i].why = COMPLETION__WHY_IMPORTED;
  if (!r->no_context && !completion__settled_has_best(s, &l->context)) return false;
  l->pieces = s->n;
  return engine_tokens_append(&l->repository, s->repository.ids, s->repository.n) == 0 &&
         completion__buffer_append(&l->head, s->head.s, s->head.len) == 0;
}

/* Keeps what was arranged; where memory runs out, nothing. */
static void settle(const layout *l, const completion__listed *listed) {
  const completion__prompt_request *r = l->r;
  completion__settled *s = r->settled;
  if (!s || !completion__settled_begin(s, r->views, r->budget, r->no_context, &l->context,
                                       l->chosen, r->before, l->from))
    return;
  if (engine_tokens_append(&s->repository, l->repository.ids, l->repository.n) ||
      completion__buffer_append(&s->head, l->head.s, l->head.len)) {
    completion__settled_clear(s);
    return;
  }
  s->listed = completion__listed_copy(listed);
}

static int build(layout *l, completion__prompt *out) {
  const completion__prompt_request *r = l->r;
  l->special = engine_get_info(r->engine)->special;
  l->repositories = l->special.repo_name >= 0 && l->special.file_sep >= 0;
  if (l->special.fim_prefix < 0 || l->special.fim_suffix < 0 || l->special.fim_middle < 0)
    return COMPLETION_EUNFIT;
  if (r->budget < COMPLETION__PROMPT_MIN) return COMPLETION_EINVAL;
  int all = r->budget - 4; /* the special tokens */
  bool settled = arrange_as_settled(l, all, out);
  if (!settled) {
    l->repository.n = 0;
    l->head.len = 0;
    completion__context_free(&l->context);
  }
  int status = settled ? 0 : arrange(l, all, out);
  if (!status && r->cancel && atomic_load(r->cancel)) status = COMPLETION_ECANCELLED;
  if (!status && !settled) {
    completion__context_lines(r->views, &l->context);
    out->listed = completion__listed_make(&l->context, l->chosen);
    settle(l, &out->listed);
  } else if (!status) {
    out->listed = completion__listed_copy(&r->settled->listed);
  }
  if (!status) status = append_all(l, &out->tokens);
  for (int i = 0; i < TRIES && !status && out->tokens.n > r->budget; i++) {
    /* Tokens across the seams: the sum was larger than the parts. Less of the prefix. */
    size_t cut = completion__line_end(r->before, l->from);
    l->from = cut < r->before.len ? cut + 1 : r->before.len;
    l->to = completion__line_start(r->after, l->to ? l->to - 1 : 0);
    out->tokens.n = 0;
    status = append_all(l, &out->tokens);
  }
  if (!status && out->tokens.n > r->budget) status = COMPLETION_EINVAL;
  out->pieces = l->pieces;
  return status;
}

int completion__prompt_build(const completion__prompt_request *r, completion__prompt *out) {
  *out = (completion__prompt){0};
  layout *l = calloc(1, sizeof *l);
  if (!l) return COMPLETION_ENOMEM;
  l->r = r;
  int status = build(l, out);
  if (status) completion__prompt_free(out);
  engine_tokens_free(&l->repository);
  completion__buffer_free(&l->head);
  completion__context_free(&l->context);
  free(l);
  return status;
}

void completion__prompt_free(completion__prompt *p) {
  engine_tokens_free(&p->tokens);
  completion__listed_free(&p->listed);
  *p = (completion__prompt){0};
}
