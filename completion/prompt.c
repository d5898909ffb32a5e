/* prompt.c - see prompt.h. */
#include "completion/prompt.h"

#include <stdlib.h>
#include <string.h>

#define BYTES_PER_TOKEN 8 /* more than code ever has on average: bounds what is tokenized */
#define GRID_MIN 2        /* lines between two places where the prefix may begin */
#define GRID_MAX 24
#define GRID_TOKENS 64   /* of the budget for each line of the grid */
#define HEAL_BYTES 24
#define TRIES 6           /* to fit the whole prefix where its parts said that it fits */

/* ---- tokens ---------------------------------------------------------------------------- */

static int status_of(int engine_result) {
  return engine_result == 0 ? 0 : engine_result == ENGINE_ENOMEM ? COMPLETION_ENOMEM : COMPLETION_EENGINE;
}

static int tokenize(const engine *e, completion__slice t, engine_tokens *out) {
  return t.len ? status_of(engine_tokenize(e, t.s, t.len, false, out)) : 0;
}

/* How many tokens, or a negative status. */
static int count(const engine *e, completion__slice t) {
  engine_tokens tokens = {0};
  int status = tokenize(e, t, &tokens);
  int n = tokens.n;
  engine_tokens_free(&tokens);
  return status ? status : n;
}

/* Bytes of text that the first n tokens stand for. */
static size_t bytes_of(const engine *e, const engine_tokens *tokens, int n) {
  size_t bytes = 0;
  for (int i = 0; i < n && i < tokens->n; i++) {
    size_t len;
    engine_token_text(e, tokens->ids[i], &len);
    bytes += len;
  }
  return bytes;
}

size_t completion__prompt_heal(completion__slice line) {
  size_t least = line.len > HEAL_BYTES ? line.len - HEAL_BYTES : 0, at = line.len;
  if (at == 0) return 0;
  char last = line.s[at - 1];
  if (completion__is_blank(last)) {
    while (at > least && completion__is_blank(line.s[at - 1])) at--;
  } else if (completion__is_word(last)) {
    while (at > least && completion__is_word(line.s[at - 1])) at--;
    if (at > least) at--; /* a blank or a mark belongs to the word's token */
  } else {
    while (at > least && !completion__is_word(line.s[at - 1]) && !completion__is_blank(line.s[at - 1])) at--;
    if (at > least && line.s[at - 1] == ' ') at--;
  }
  while (at < line.len && completion__utf8_inside(line.s[at])) at++;
  return line.len - at;
}

/* ---- windows --------------------------------------------------------------------------- */

/* The longest start of `after` within the budget, whole lines where there is one. */
static int suffix_window(const engine *e, completion__slice after, int budget, size_t *end) {
  completion__slice seen = completion__slice_cut(after, 0, (size_t)budget * BYTES_PER_TOKEN);
  while (seen.len < after.len && seen.len && completion__utf8_inside(after.s[seen.len])) seen.len--;
  for (int i = 0; i < TRIES; i++) {
    engine_tokens tokens = {0};
    int status = tokenize(e, seen, &tokens);
    int n = tokens.n;
    size_t fits = n > budget ? bytes_of(e, &tokens, budget) : seen.len;
    engine_tokens_free(&tokens);
    if (status) return status;
    bool cut = fits < seen.len || seen.len < after.len;
    if (fits > seen.len) fits = seen.len;
    if (cut) {
      size_t line = completion__line_start(after, fits);
      if (line > 0) fits = line;
      while (fits && fits < after.len && completion__utf8_inside(after.s[fits])) fits--;
    }
    seen.len = fits;
    if (n <= budget) {
      *end = fits;
      return 0;
    }
  }
  *end = 0;
  return 0;
}

/* Where the last part of `before` begins that fits the budget: at its start, else at a line
 * whose number is a multiple of the grid, else at a line, else inside the last line. */
static int prefix_window(const engine *e, completion__slice before, int budget, size_t *start) {
  size_t least = 0;
  if (before.len > (size_t)budget * BYTES_PER_TOKEN) least = before.len - (size_t)budget * BYTES_PER_TOKEN;
  int grid = budget / GRID_TOKENS;
  grid = grid < GRID_MIN ? GRID_MIN : grid > GRID_MAX ? GRID_MAX : grid;

  size_t capacity = 64, n = 0;
  size_t *marks = malloc(capacity * sizeof *marks); /* the grid's lines at or after least */
  if (!marks) return COMPLETION_ENOMEM;
  int status = 0, line = 0;
  for (size_t at = 0;; line++) {
    if (line % grid == 0 && at >= least) {
      if (n == capacity) {
        size_t *grown = realloc(marks, (capacity *= 2) * sizeof *marks);
        if (!grown) {
          status = COMPLETION_ENOMEM;
          goto done;
        }
        marks = grown;
      }
      marks[n++] = at;
    }
    size_t end = completion__line_end(before, at);
    if (end >= before.len) break;
    at = end + 1;
  }
  size_t from = before.len;
  int sum = 0;
  while (n > 0) { /* the grid's pieces, backwards */
    int tokens = count(e, completion__slice_cut(before, marks[n - 1], from));
    if (tokens < 0) {
      status = tokens;
      goto done;
    }
    if (sum + tokens > budget) break;
    sum += tokens;
    from = marks[--n];
  }
  if (from == before.len && before.len > 0) { /* not even one piece: lines, backwards */
    while (from > least) {
      size_t up = completion__line_start(before, from - 1);
      int tokens = count(e, completion__slice_cut(before, up, from));
      if (tokens < 0) {
        status = tokens;
        goto done;
      }
      if (sum + tokens > budget) break;
      sum += tokens;
      from = up;
    }
    if (from == before.len) { /* one long line */
      engine_tokens tokens = {0};
      size_t up = completion__line_start(before, before.len);
      if (up < least) up = least;
      while (up < before.len && completion__utf8_inside(before.s[up])) up++;
      status = tokenize(e, completion__slice_cut(before, up, before.len), &tokens);
      if (!status && tokens.n > budget) up += bytes_of(e, &tokens, tokens.n - budget + 1);
      while (up < before.len && completion__utf8_inside(before.s[up])) up++;
      engine_tokens_free(&tokens);
      from = up < before.len ? up : before.len;
    }
  }
  *start = from;
done:
  free(marks);
  return status;
}

/* ---- layout ---------------------------------------------------------------------------- */

typedef struct layout {
  const completion__prompt_request *r;
  engine_special special;
  bool repository;         /* the model knows repositories */
  size_t from, to;         /* before[from..] and after[..to] are shown */
  completion__context context;
  bool chosen[COMPLETION__PIECES_MAX];
  int pieces;              /* chosen */
  int others;              /* of them, of other documents */
} layout;

static int append_text(const layout *l, const char *s, size_t len, engine_tokens *out) {
  return tokenize(l->r->engine, completion__slice_of(s, len), out);
}

static int append_id(engine_tokens *out, int32_t id) { return status_of(engine_tokens_push(out, id)); }

/* The chosen pieces of one view in the order of its text, one after another. */
static int pieces_text(const layout *l, int view, completion__buffer *out) {
  uint32_t after = 0;
  bool first = true;
  int status = 0;
  for (;;) {
    const completion__piece *next = NULL;
    for (int i = 0; i < l->context.n; i++) {
      const completion__piece *p = &l->context.pieces[i];
      if (!l->chosen[i] || p->view != view || (!first && p->start <= after)) continue;
      if (!next || p->start < next->start) next = p;
    }
    if (!next || status) return status;
    status = completion__context_text(l->r->views, next, out);
    after = next->start;
    first = false;
  }
}

/* The other documents' sections and the header of the document's own. */
static int append_repository(const layout *l, engine_tokens *out) {
  const completion__view *views = l->r->views;
  completion__buffer text = {0};
  int status = append_id(out, l->special.repo_name);
  if (!status) status = completion__buffer_add(&text, views[0].place->repository);
  if (!status) status = completion__buffer_add(&text, "\n");
  if (!status) status = append_text(l, text.s, text.len, out);
  const char *last = NULL; /* by path, so that the order is the same next time */
  for (int done = 0; !status && done < l->r->n_views; done++) {
    int next = -1;
    for (int i = 1; i < l->r->n_views; i++) {
      bool any = false;
      for (int p = 0; p < l->context.n; p++) any |= l->chosen[p] && l->context.pieces[p].view == i;
      const char *uri = views[i].document->uri;
      if (any && (!last || strcmp(uri, last) > 0) && (next < 0 || strcmp(uri, views[next].document->uri) < 0))
        next = i;
    }
    if (next < 0) break;
    last = views[next].document->uri;
    text.len = 0;
    status = completion__buffer_add(&text, views[next].place->path);
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

static int append_all(const layout *l, engine_tokens *out) {
  const completion__prompt_request *r = l->r;
  int status = l->others ? append_repository(l, out) : 0;
  completion__buffer prefix = {0};
  if (!status) status = pieces_text(l, 0, &prefix);
  if (!status) status = completion__buffer_append(&prefix, r->before.s + l->from, r->before.len - l->from);
  if (!status) status = append_id(out, l->special.fim_prefix);
  if (!status) status = append_text(l, prefix.s, prefix.len, out);
  if (!status) status = append_id(out, l->special.fim_suffix);
  if (!status) status = append_text(l, r->after.s, l->to, out);
  if (!status) status = append_id(out, l->special.fim_middle);
  completion__buffer_free(&prefix);
  return status;
}

/* Chooses pieces by rank while they fit. *used: their tokens, headers included. */
static int choose(layout *l, int budget, int *used) {
  const completion__prompt_request *r = l->r;
  bool headed[COMPLETION__PIECES_MAX] = {false}; /* by the first piece of a document */
  *used = l->pieces = l->others = 0;
  for (int i = 0; i < l->context.n; i++) {
    const completion__piece *p = &l->context.pieces[i];
    l->chosen[i] = false;
    if (p->view == 0 ? p->end > l->from && p->start < r->before.len : !l->repository) continue;
    completion__buffer text = {0};
    int status = completion__context_text(r->views, p, &text);
    int tokens = status ? status : count(r->engine, completion__buffer_slice(&text));
    completion__buffer_free(&text);
    if (tokens < 0) return tokens;
    bool header = p->view > 0;
    for (int j = 0; j < i && header; j++) header = !(headed[j] && l->context.pieces[j].view == p->view);
    if (header) {
      const char *path = r->views[p->view].place->path;
      int n = count(r->engine, completion__slice_of(path, strlen(path)));
      if (n < 0) return n;
      tokens += n + 2;
      if (!l->others) { /* the repository's name and the document's own path */
        n = count(r->engine, completion__slice_of(r->views[0].place->path, strlen(r->views[0].place->path)));
        int m = count(r->engine, completion__slice_of(r->views[0].place->repository, strlen(r->views[0].place->repository)));
        if (n < 0 || m < 0) return n < 0 ? n : m;
        tokens += n + m + 4;
      }
    }
    if (*used + tokens > budget) continue;
    *used += tokens;
    l->chosen[i] = true;
    headed[i] = header;
    l->pieces++;
    l->others += p->view > 0;
  }
  return 0;
}

int completion__prompt_build(const completion__prompt_request *r, completion__prompt *out) {
  *out = (completion__prompt){0};
  layout *l = calloc(1, sizeof *l);
  if (!l) return COMPLETION_ENOMEM;
  l->r = r;
  l->special = engine_get_info(r->engine)->special;
  l->repository = l->special.repo_name >= 0 && l->special.file_sep >= 0;
  int status = COMPLETION_EUNFIT;
  if (l->special.fim_prefix < 0 || l->special.fim_suffix < 0 || l->special.fim_middle < 0) goto done;
  status = COMPLETION_EINVAL;
  if (r->budget < COMPLETION__PROMPT_MIN) goto done;

  /* Prefix, suffix and context share 3:1 and a quarter of all; what one leaves the others take. */
  int all = r->budget - 4, reserve = r->no_context ? 0 : all / 4;
  status = suffix_window(r->engine, r->after, all / 4, &l->to);
  int suffix = status ? status : count(r->engine, completion__slice_cut(r->after, 0, l->to));
  if (suffix < 0) {
    status = suffix;
    goto done;
  }
  status = prefix_window(r->engine, r->before, all - suffix - reserve, &l->from);
  int prefix = status ? status : count(r->engine, completion__slice_cut(r->before, l->from, r->before.len));
  if (prefix < 0) {
    status = prefix;
    goto done;
  }
  if (l->from == 0 && l->to < r->after.len) {
    status = suffix_window(r->engine, r->after, all - prefix - reserve, &l->to);
    suffix = status ? status : count(r->engine, completion__slice_cut(r->after, 0, l->to));
    if (suffix < 0) {
      status = suffix;
      goto done;
    }
  }
  int used = 0;
  if (!r->no_context) {
    double start = completion__now_ms();
    size_t text_len = r->views[0].text->len;
    status = completion__context_collect(r->parser, r->views, r->n_views, text_len - r->after.len, l->from,
                                         text_len - (r->after.len - l->to), r->cancel, &l->context);
    out->context_ms = completion__now_ms() - start;
    int room = all - prefix - suffix;
    if (!status) status = choose(l, room < all / 2 ? room : all / 2, &used);
    if (!status && l->from > 0 && used < reserve) { /* the prefix takes what is left */
      status = prefix_window(r->engine, r->before, all - suffix - used, &l->from);
      if (!status) status = choose(l, used, &used);
    }
  }
  if (!status && r->cancel && atomic_load(r->cancel)) status = COMPLETION_ECANCELLED;
  if (status) goto done;
  status = append_all(l, &out->tokens);
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
done:
  if (status) completion__prompt_free(out);
  free(l);
  return status;
}

void completion__prompt_free(completion__prompt *p) {
  engine_tokens_free(&p->tokens);
  *p = (completion__prompt){0};
}
