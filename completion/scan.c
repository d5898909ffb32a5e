/* scan.c - see scan.h. */
#include "completion/scan.h"

#include <string.h>

#define BEFORE_BYTES ((size_t)16 << 10) /* read before a cursor */

void completion__scan_init(completion__scan *s, const grammars_language *language) {
  *s = (completion__scan){.language = language};
}

char completion__scan_closer_of(char opener) {
  return opener == '(' ? ')' : opener == '[' ? ']' : opener == '{' ? '}' : 0;
}

bool completion__scan_is_quote(const grammars_language *language, char c) {
  return c && strchr(language ? language->quotes : "\"", c) != NULL;
}

static bool begins(completion__slice t, size_t at, const char *mark) {
  if (!mark) return false;
  size_t n = strlen(mark);
  return t.len - at >= n && memcmp(t.s + at, mark, n) == 0;
}

bool completion__scan_is_comment(const grammars_language *language, completion__slice line) {
  line = completion__slice_trim(line);
  return language && line.len &&
         (begins(line, 0, language->line_comment) || begins(line, 0, language->line_comment2) ||
          begins(line, 0, language->block_open));
}

static bool is_space(char c) { return completion__is_blank(c) || c == '\n' || c == '\r'; }

bool completion__scan_same(completion__slice a, completion__slice b) {
  size_t i = 0, j = 0;
  for (;; i++, j++) {
    while (i < a.len && is_space(a.s[i])) i++;
    while (j < b.len && is_space(b.s[j])) j++;
    if (i == a.len || j == b.len) return i == a.len && j == b.len;
    if (a.s[i] != b.s[j]) return false;
  }
}

int completion__scan_weight(completion__slice t) {
  int n = 0;
  bool word = false;
  for (size_t i = 0; i < t.len; i++) {
    n += !is_space(t.s[i]) && !completion__utf8_inside(t.s[i]);
    word |= completion__is_word(t.s[i]);
  }
  return word ? n : 0;
}

/* ---- strings of several lines ---------------------------------------------------------- */

bool completion__language_is(const grammars_language *l, const char *name) {
  return l && strcmp(l->name, name) == 0;
}

static void end_string(completion__scan *s) {
  s->quote = 0;
  s->until[0] = 0;
  s->raw = s->here = false;
}

/* The string at t[at] begins with n bytes and ends with a mark: before, word and after. */
static size_t begin_string(completion__scan *s, char quote, bool raw, size_t n, const char *before,
                           completion__slice word, const char *after) {
  size_t a = strlen(before), b = strlen(after);
  if (a + word.len + b >= sizeof s->until) return 0;
  memcpy(s->until, before, a);
  if (word.len) memcpy(s->until + a, word.s, word.len);
  memcpy(s->until + a + word.len, after, b + 1);
  s->quote = quote;
  s->raw = raw;
  return n;
}

/* <<EOF, <<-EOF, <<~EOF, <<"EOF", PHP's <<<EOF: how many bytes its beginning has, or 0. */
static size_t here_document(completion__scan *s, completion__slice t, size_t at) {
  bool php = completion__language_is(s->language, "php"),
       ruby = completion__language_is(s->language, "ruby");
  if (!php && !ruby && !completion__language_is(s->language, "bash")) return 0;
  size_t n = at + 2;
  if (php != begins(t, at, "<<<")) return begins(t, at, "<<<") ? 3 : 0;
  if (php) n++;
  bool arithmetic = s->depth >= 2 && s->depth <= COMPLETION__SCAN_DEPTH &&
                    s->openers[s->depth - 1] == '(' && s->openers[s->depth - 2] == '(';
  if (arithmetic) return 0;
  bool sure = n < t.len && (t.s[n] == '-' || t.s[n] == '~');
  if (sure) n++;
  while (!ruby && n < t.len && completion__is_blank(t.s[n])) n++;
  char quote = n < t.len && (t.s[n] == '"' || t.s[n] == '\'') ? t.s[n] : 0;
  size_t word = n + (quote != 0), end = word;
  while (end < t.len && completion__is_word(t.s[end])) end++;
  if (end == word || (t.s[word] >= '0' && t.s[word] <= '9')) return 0;
  if (ruby && !sure && !(t.s[word] >= 'A' && t.s[word] <= 'Z')) return 0;
  size_t past = end + (quote && end < t.len && t.s[end] == quote);
  n = begin_string(s, 0, true, past - at, "", completion__slice_cut(t, word, end), "");
  s->here = n > 0;
  return n;
}

/* A string that a mark of its own ends: how many bytes its beginning has, or 0. */
static size_t marked_string(completion__scan *s, completion__slice t, size_t at) {
  const grammars_language *l = s->language;
  char c = t.s[at];
  bool in_word = at > 0 && completion__is_word(t.s[at - 1]);
  completion__slice none = completion__slice_of(NULL, 0);
  if (completion__scan_is_quote(l, c)) {
    char mark[4] = {c, c, c, 0};
    bool triple = l && (l->blocks == GRAMMARS_BLOCKS_INDENT || completion__language_is(l, "java") ||
                        completion__language_is(l, "c-sharp"));
    return triple && begins(t, at, mark) ? begin_string(s, c, false, 3, mark, none, "") : 0;
  }
  if (c == '<') return begins(t, at, "<<") ? here_document(s, t, at) : 0;
  size_t n = at + 1;
  if (c == '[' && completion__language_is(l, "lua")) { /* [[, [=[ */
    while (n < t.len && t.s[n] == '=') n++;
    if (n >= t.len || t.s[n] != '[') return 0;
    return begin_string(s, c, true, n + 1 - at, "]", completion__slice_cut(t, at + 1, n), "]");
  }
  if (c == 'r' && !in_word && completion__language_is(l, "rust")) { /* r#" */
    while (n < t.len && t.s[n] == '#') n++;
    if (n >= t.len || t.s[n] != '"') return 0;
    return begin_string(s, '"', true, n + 1 - at, "\"", completion__slice_cut(t, at + 1, n), "");
  }
  if (c == 'R' && !in_word && completion__language_is(l, "cpp") &&
      begins(t, at, "R\"")) { /* R"x( */
    size_t open = completion__slice_find(completion__slice_cut(t, 0, at + 20), at,
                                         completion__slice_of("(", 1));
    if (open >= t.len || t.s[open] != '(') return 0;
    return begin_string(s, '"', true, open + 1 - at, ")", completion__slice_cut(t, at + 2, open),
                        "\"");
  }
  return 0;
}

/* ---- character by character ------------------------------------------------------------ */

/* Inside a string: its end, an escape, or one more byte. */
static size_t step_string(completion__scan *s, completion__slice t, size_t at,
                          completion__scan_event *event) {
  char c = t.s[at];
  *event = COMPLETION__SCAN_INSIDE;
  if (c == '\\' && !s->raw) return at + 1 < t.len && t.s[at + 1] != '\n' ? 2 : 1;
  if (s->until[0]) {
    size_t from = at, mark = strlen(s->until);
    if (s->here) {
      if (at > 0 && t.s[at - 1] != '\n') return 1;
      while (from < t.len && completion__is_blank(t.s[from])) from++;
      if (from + mark < t.len && completion__is_word(t.s[from + mark])) return 1;
    }
    if (!begins(t, from, s->until)) return 1;
    *event = COMPLETION__SCAN_UNQUOTE;
    end_string(s);
    return from + mark - at;
  }
  if (c == s->quote) {
    *event = COMPLETION__SCAN_UNQUOTE;
    s->quote = 0;
  } else if (c == '\n' && s->quote != '`') {
    s->quote = 0; /* most strings end with the line, closed or not */
  }
  return 1;
}

/* A character literal such as '{' in a language where ' opens no string, or 0. */
static size_t character_literal(completion__slice t, size_t at) {
  if (at + 2 < t.len && t.s[at + 1] != '\\' && t.s[at + 2] == '\'') return 3;
  if (at + 3 < t.len && t.s[at + 1] == '\\' && t.s[at + 3] == '\'') return 4;
  return 0;
}

static bool comment_begins(const completion__scan *s, completion__slice t, size_t at) {
  const grammars_language *l = s->language;
  if (!l || !(begins(t, at, l->line_comment) || begins(t, at, l->line_comment2))) return false;
  if (t.s[at] != '#') return true;
  if (completion__language_is(l, "php")) return !begins(t, at, "#["); /* an attribute */
  return !completion__language_is(l, "bash") || at == 0 || t.s[at - 1] == '\n' ||
         t.s[at - 1] == ';' || completion__is_blank(t.s[at - 1]);
}

/* The ')' of a pattern in bash's case: nothing but the pattern stands before it on the line. */
static bool case_pattern(const completion__scan *s, completion__slice t, size_t at) {
  if (!completion__language_is(s->language, "bash") || t.s[at] != ')' ||
      (s->depth > 0 && s->depth <= COMPLETION__SCAN_DEPTH && s->openers[s->depth - 1] == '('))
    return false;
  size_t from = completion__line_start(t, at);
  completion__slice pattern = completion__slice_trim(completion__slice_cut(t, from, at));
  if (from == 0 || pattern.len == 0) return false;
  for (size_t i = 0; i < pattern.len; i++)
    if (strchr("$=;`(", pattern.s[i]) ||
        (completion__is_blank(pattern.s[i]) && !memchr(pattern.s, '|', pattern.len)))
      return false;
  return true;
}

size_t completion__scan_step(completion__scan *s, completion__slice t, size_t at,
                             completion__scan_event *event) {
  const grammars_language *l = s->language;
  char c = t.s[at];
  *event = COMPLETION__SCAN_INSIDE;
  if (c == '\n' && s->here && !s->quote && !s->block_comment) s->quote = '<';
  if (s->line_comment) {
    if (c == '\n') s->line_comment = false;
    return 1;
  }
  if (s->block_comment) {
    if (!begins(t, at, l->block_close)) return 1;
    s->block_comment = false;
    return strlen(l->block_close);
  }
  if (s->quote) return step_string(s, t, at, event);

  if (l && begins(t, at, l->block_open)) {
    s->block_comment = true;
    return strlen(l->block_open);
  }
  if (comment_begins(s, t, at)) {
    s->line_comment = true;
    return 1;
  }
  size_t marked = s->here ? 0 : marked_string(s, t, at);
  if (marked) {
    *event = s->quote ? COMPLETION__SCAN_QUOTE : COMPLETION__SCAN_OTHER;
    return marked;
  }
  if (completion__scan_is_quote(l, c)) {
    s->quote = c;
    *event = COMPLETION__SCAN_QUOTE;
    return 1;
  }
  if (c == '\'') {
    size_t n = character_literal(t, at);
    if (n) return n;
  }
  *event = COMPLETION__SCAN_OTHER;
  if (completion__scan_closer_of(c)) {
    if (s->depth < COMPLETION__SCAN_DEPTH) s->openers[s->depth] = c;
    s->depth++;
    *event = COMPLETION__SCAN_OPEN;
  } else if (completion__scan_is_closer(c) && !case_pattern(s, t, at)) {
    bool own = s->depth > COMPLETION__SCAN_DEPTH ||
               (s->depth > 0 && completion__scan_closer_of(s->openers[s->depth - 1]) == c);
    if (own) s->depth--;
    *event = own ? COMPLETION__SCAN_CLOSE : COMPLETION__SCAN_EXTRA;
  }
  return 1;
}

void completion__scan_feed(completion__scan *s, completion__slice t) {
  completion__scan_event event;
  for (size_t at = 0; at < t.len;) at += completion__scan_step(s, t, at, &event);
}

void completion__scan_before(completion__scan *s, const grammars_language *language,
                             completion__slice before) {
  size_t near = before.len > BEFORE_BYTES ? before.len - BEFORE_BYTES : 0;
  size_t from = completion__line_start(before, near);
  if (near - from > BEFORE_BYTES) from = near; /* a line of megabytes is not read for each key */
  completion__scan_init(s, language);
  completion__scan_feed(s, completion__slice_cut(before, from, before.len));
}
