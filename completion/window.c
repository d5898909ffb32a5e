/* window.c - see window.h. */
#include "completion/window.h"

#include <stdlib.h>

#include "completion/completion.h"

#define BYTES_PER_TOKEN 8 /* more than code ever has on average: bounds what is tokenized */
#define GRID_MIN 2        /* lines between two places where a prefix may begin */
#define GRID_MAX 24
#define GRID_TOKENS 64 /* of the budget for each line of the grid */
#define HEAL_BYTES 24
#define TRIES 6 /* to find a start of the text that fits */

int completion__window_tokenize(completion__tokenizer e, completion__slice t, engine_tokens *out) {
  int n = completion__memo_tokenize(e.memo, e.engine, t, out);
  return n < 0 ? n : 0;
}

int completion__window_count(completion__tokenizer e, completion__slice t) {
  return completion__memo_tokenize(e.memo, e.engine, t, NULL);
}

/* Bytes of text that tokens [from, to) stand for. */
static size_t bytes_of(completion__tokenizer e, const engine_tokens *tokens, int from, int to) {
  size_t bytes = 0;
  for (int i = from; i < to && i < tokens->n; i++) {
    size_t len;
    engine_token_text(e.engine, tokens->ids[i], &len);
    bytes += len;
  }
  return bytes;
}

/* ---- after ----------------------------------------------------------------------------- */

int completion__window_after(completion__tokenizer e, completion__slice after, int budget,
                             size_t *end) {
  completion__slice seen = completion__slice_cut(after, 0, (size_t)budget * BYTES_PER_TOKEN);
  for (int i = 0; i < TRIES; i++) {
    if (seen.len < after.len) { /* at a line's end, or at least between characters */
      size_t line = completion__line_start(after, seen.len);
      if (line > 0) seen.len = line;
      while (seen.len && completion__utf8_inside(after.s[seen.len])) seen.len--;
    }
    engine_tokens tokens = {0};
    int status = completion__window_tokenize(e, seen, &tokens), n = tokens.n;
    size_t fits = n > budget ? bytes_of(e, &tokens, 0, budget) : seen.len;
    engine_tokens_free(&tokens);
    if (status) return status;
    if (n <= budget) {
      *end = seen.len;
      return n;
    }
    seen.len = fits < seen.len ? fits : seen.len / 2; /* a normalised text may be longer */
  }
  *end = 0;
  return 0;
}

/* ---- before ---------------------------------------------------------------------------- */

/* Offsets, from `least` on, of the lines whose number is a multiple of `every`; owned. NULL:
 * out of memory. */
static size_t *grid_lines(completion__slice t, size_t least, int every, size_t *n) {
  size_t capacity = 64;
  size_t *lines = malloc(capacity * sizeof *lines);
  *n = 0;
  int number = 0;
  for (size_t at = 0; lines; number++) {
    if (number % every == 0 && at >= least) {
      if (*n == capacity) {
        size_t *grown = realloc(lines, (capacity *= 2) * sizeof *lines);
        if (!grown) {
          free(lines);
          return NULL;
        }
        lines = grown;
      }
      lines[(*n)++] = at;
    }
    size_t end = completion__line_end(t, at);
    if (end >= t.len) break;
    at = end + 1;
  }
  return lines;
}

/* From *from upwards, whole lines of which fewer than *sum tokens fill the budget. */
static int add_lines(completion__tokenizer e, completion__slice t, size_t least, int budget,
                     size_t *from) {
  int sum = 0;
  while (*from > least) {
    size_t up = completion__line_start(t, *from - 1);
    int tokens = completion__window_count(e, completion__slice_cut(t, up, *from));
    if (tokens < 0) return tokens;
    if (sum + tokens > budget) break;
    sum += tokens;
    *from = up;
  }
  return sum;
}

/* The end of a line that alone is too long. */
static int end_of_line(completion__tokenizer e, completion__slice t, size_t least, int budget,
                       size_t *from) {
  size_t up = completion__line_start(t, t.len);
  if (up < least) up = least;
  while (up < t.len && completion__utf8_inside(t.s[up])) up++;
  engine_tokens tokens = {0};
  int status = completion__window_tokenize(e, completion__slice_cut(t, up, t.len), &tokens);
  if (!status && tokens.n > budget) up += bytes_of(e, &tokens, 0, tokens.n - budget + 1);
  engine_tokens_free(&tokens);
  if (status) return status;
  while (up < t.len && completion__utf8_inside(t.s[up])) up++;
  *from = up < t.len ? up : t.len;
  return completion__window_count(e, completion__slice_cut(t, *from, t.len));
}

int completion__window_before(completion__tokenizer e, completion__slice before, int budget,
                              size_t *start) {
  size_t least = 0, n, from = before.len;
  if (budget < 0) budget = 0;
  if (before.len > (size_t)budget * BYTES_PER_TOKEN)
    least = before.len - (size_t)budget * BYTES_PER_TOKEN;
  int every = budget / GRID_TOKENS, sum = 0;
  every = every < GRID_MIN ? GRID_MIN : every > GRID_MAX ? GRID_MAX : every;
  size_t *lines = grid_lines(before, least, every, &n);
  if (!lines) return COMPLETION_ENOMEM;
  while (n > 0 && sum >= 0) { /* piece by piece, upwards */
    int tokens = completion__window_count(e, completion__slice_cut(before, lines[n - 1], from));
    if (tokens >= 0 && sum + tokens > budget) break;
    sum = tokens < 0 ? tokens : sum + tokens;
    from = lines[--n];
  }
  free(lines);
  if (sum == 0 && from == before.len) sum = add_lines(e, before, least, budget, &from);
  if (sum == 0 && from == before.len && from > 0)
    sum = end_of_line(e, before, least, budget, &from);
  *start = from;
  return sum;
}

/* ---- the last token -------------------------------------------------------------------- */

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_mark(char c) { return !is_letter(c) && !is_digit(c) && !completion__is_blank(c); }

size_t completion__window_heal(completion__slice line) {
  size_t least = line.len > HEAL_BYTES ? line.len - HEAL_BYTES : 0, at = line.len;
  if (at == 0 || is_digit(line.s[at - 1])) return 0; /* a digit is a token of its own */
  char last = line.s[at - 1];
  if (completion__is_blank(last)) {
    while (at > least && completion__is_blank(line.s[at - 1])) at--;
  } else if (is_letter(last)) {
    while (at > least && is_letter(line.s[at - 1])) at--;
    bool run =
        at > 1 && is_mark(line.s[at - 1]) && (is_mark(line.s[at - 2]) || line.s[at - 2] == ' ');
    if (at > least && !is_digit(line.s[at - 1]) && !run)
      at--; /* " name", ".name", but not "(.name" */
  } else {
    while (at > least && is_mark(line.s[at - 1])) at--;
    if (at > least && line.s[at - 1] == ' ') at--;
  }
  while (at < line.len && completion__utf8_inside(line.s[at])) at++;
  return line.len - at;
}
