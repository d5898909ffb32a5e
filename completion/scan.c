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

/* Inside a string: its end, an escape, or one more byte. */
static size_t step_string(completion__scan *s, completion__slice t, size_t at,
                          completion__scan_event *event) {
  char c = t.s[at];
  *event = COMPLETION__SCAN_INSIDE;
  if (c == '\\') return at + 1 < t.len && t.s[at + 1] != '\n' ? 2 : 1;
  if (s->triple) {
    char mark[4] = {s->quote, s->quote, s->quote, 0};
    if (!begins(t, at, mark)) return 1;
    *event = COMPLETION__SCAN_UNQUOTE;
    s->quote = 0;
    s->triple = false;
    return 3;
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

size_t completion__scan_step(completion__scan *s, completion__slice t, size_t at,
                             completion__scan_event *event) {
  const grammars_language *l = s->language;
  char c = t.s[at];
  *event = COMPLETION__SCAN_INSIDE;
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
  if (l && (begins(t, at, l->line_comment) || begins(t, at, l->line_comment2))) {
    s->line_comment = true;
    return 1;
  }
  if (completion__scan_is_quote(l, c)) {
    char mark[4] = {c, c, c, 0};
    s->quote = c;
    s->triple = l && l->blocks == GRAMMARS_BLOCKS_INDENT && begins(t, at, mark);
    *event = COMPLETION__SCAN_QUOTE;
    return s->triple ? 3 : 1;
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
  } else if (completion__scan_is_closer(c)) {
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
  size_t from =
      before.len > BEFORE_BYTES ? completion__line_start(before, before.len - BEFORE_BYTES) : 0;
  completion__scan_init(s, language);
  completion__scan_feed(s, completion__slice_cut(before, from, before.len));
}
