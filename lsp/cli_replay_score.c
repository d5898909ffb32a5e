/* cli_replay_score.c - the figures of one hole: see cli_replay.c for what each means. Pure. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli_replay.h"
#include "lsp/utf8.h"

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static size_t trimmed(const char *s, size_t len) {
  while (len > 0 && is_blank(s[len - 1])) len--;
  return len;
}

static size_t count_lines(const char *s, size_t len) {
  size_t n = 1;
  for (size_t i = 0; i < len; i++) n += s[i] == '\n';
  return n;
}

/* Where each character begins, for at most REPLAY_COMPARED of them. Returns how many. */
static size_t split(const char *s, size_t len, size_t *starts) {
  size_t n = 0;
  for (size_t i = 0; i < len && n < REPLAY_COMPARED; i++)
    if (!lsp__utf8_is_continuation((unsigned char)s[i])) starts[n++] = i;
  starts[n] = n < REPLAY_COMPARED ? len : starts[n - 1] + 1;
  return n;
}

static bool same_character(const char *a, const size_t *a_at, const char *b, const size_t *b_at) {
  size_t n = a_at[1] - a_at[0];
  return n == b_at[1] - b_at[0] && memcmp(a + a_at[0], b + b_at[0], n) == 0;
}

/* Edits that make one text of the other. row: [m + 1] */
static size_t distance(const char *a, const size_t *a_at, size_t n, const char *b,
                       const size_t *b_at, size_t m, size_t *row) {
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 0; i < n; i++) {
    size_t corner = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < m; j++) {
      size_t best = corner + !same_character(a, a_at + i, b, b_at + j);
      if (row[j] + 1 < best) best = row[j] + 1;
      corner = row[j + 1];
      if (corner + 1 < best) best = corner + 1;
      row[j + 1] = best;
    }
  }
  return row[m];
}

double replay__similarity(const char *a, size_t a_len, const char *b, size_t b_len) {
  size_t *room = malloc(3 * (REPLAY_COMPARED + 1) * sizeof *room);
  if (room == NULL) return -1;
  size_t *a_at = room, *b_at = a_at + REPLAY_COMPARED + 1, *row = b_at + REPLAY_COMPARED + 1;
  size_t n = split(a, a_len, a_at), m = split(b, b_len, b_at), longer = n > m ? n : m;
  size_t edits = distance(a, a_at, n, b, b_at, m, row);
  free(room);
  return longer == 0 ? 1 : 1 - (double)edits / (double)longer;
}

size_t replay__repeated(const char *a, size_t a_len, const char *b, size_t b_len) {
  size_t best = 0;
  for (size_t from = a_len; from-- > 0;) { /* does all of a from here on begin b? */
    if (is_blank(a[from]) || lsp__utf8_is_continuation((unsigned char)a[from])) continue;
    size_t i = from, j = 0, n = 0;
    bool word = false;
    for (;;) {
      while (i < a_len && is_blank(a[i])) i++;
      while (j < b_len && is_blank(b[j])) j++;
      if (i == a_len || j == b_len || a[i] != b[j]) break;
      n += !lsp__utf8_is_continuation((unsigned char)a[i]);
      word = word || isalnum((unsigned char)a[i]) || (unsigned char)a[i] >= 0x80;
      i++, j++;
    }
    if (i == a_len && word) best = n;
  }
  return best;
}

replay_stop replay__stop_of(const char *shown, size_t len, const char *truth, size_t truth_len) {
  len = trimmed(shown, len);
  truth_len = trimmed(truth, truth_len);
  size_t least = len < truth_len ? len : truth_len;
  size_t a = len, b = truth_len;
  if (memcmp(shown, truth, least) != 0) {
    a = count_lines(shown, len);
    b = count_lines(truth, truth_len);
  }
  return a == b ? REPLAY_STOP_RIGHT : a < b ? REPLAY_STOP_SHORT : REPLAY_STOP_LONG;
}

int replay__leaked(const char *text) {
  int n = 0;
  for (const char *p = text; (p = strstr(p, "<|")) != NULL;) {
    p += 2;
    size_t name = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    if (name > 0 && name <= 40 && p[name] == '|' && p[name + 1] == '>') n++;
  }
  return n;
}

/* Characters, of `most` bytes, that both begin with. */
static size_t agreeing(const char *a, size_t a_len, const char *b, size_t most) {
  size_t n = 0;
  for (size_t i = 0; i < a_len && i < most && a[i] == b[i];) {
    size_t one = lsp__utf8_length((unsigned char)a[i]);
    if (i + one > a_len || i + one > most || memcmp(a + i, b + i, one) != 0) break;
    i += one;
    n++;
  }
  return n;
}

bool replay__score(const char *shown, const char *truth, size_t truth_len, size_t absorbed_len,
                   const char *after, size_t after_len, replay_score *out) {
  *out = (replay_score){0};
  if (shown == NULL || shown[0] == '\0') return true;
  size_t len = strlen(shown), line = len;
  bool single = memchr(truth, '\n', truth_len) == NULL;
  const char *end = single ? memchr(shown, '\n', len) : NULL;
  if (end != NULL) line = (size_t)(end - shown);
  size_t a = trimmed(shown, line), b = trimmed(truth, truth_len);
  out->shown = true;
  out->exact = a == b && memcmp(shown, truth, a) == 0;
  out->similarity = replay__similarity(shown, trimmed(shown, len), truth, b);
  size_t repeated = replay__repeated(shown, len, after, after_len);
  out->repeats = repeated >= REPLAY_REPEAT &&
                 replay__repeated(truth, truth_len, after, after_len) < repeated;
  out->stop = replay__stop_of(shown, len, truth, truth_len);
  out->saved = agreeing(shown, len, truth, truth_len - absorbed_len);
  out->leaked = replay__leaked(shown);
  return out->similarity >= 0;
}
