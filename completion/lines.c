/* lines.c - see lines.h. */
#include "completion/lines.h"

#include <string.h>

static const char *const continuing[] = {"else",    "elif",    "elsif",  "elseif", "except",
                                         "finally", "catch",   "rescue", "ensure", "when",
                                         "case",    "default", "in",     NULL};
static const char *const closing[] = {"end", "fi", "done", "esac", "until", NULL};
static const char *const controls[] = {"if", "for", "while",   "else",    "switch",
                                       "do", "try", "foreach", "finally", NULL};
static const char *const openings[] = {"then", "do", "else", "begin", "repeat", "in", NULL};
static const char *const starters[] = {"def",    "class", "module", "begin", "case",     "if",
                                       "unless", "while", "until",  "for",   "function", NULL};

/* After what these begin, "else" or the like may stand on a line of its own. */
static const char *const continued[] = {"if", "else",   "elif",  "elsif", "elseif", "try",
                                        "do", "except", "catch", "begin", "rescue", NULL};
/* Tags that nothing closes. */
static const char *const lone[] = {"area",  "base", "br",   "col",    "embed", "hr",  "img",
                                   "input", "link", "meta", "source", "track", "wbr", NULL};

static bool is_one_of(completion__slice word, const char *const *list) {
  for (; *list; list++)
    if (strlen(*list) == word.len && memcmp(*list, word.s, word.len) == 0) return true;
  return false;
}

completion__slice completion__line_word(completion__slice t) {
  size_t n = 0;
  while (n < t.len && completion__is_word(t.s[n])) n++;
  return completion__slice_cut(t, 0, n);
}

static completion__slice last_word(completion__slice t) {
  size_t n = t.len;
  while (n && completion__is_word(t.s[n - 1])) n--;
  return completion__slice_cut(t, n, t.len);
}

/* Statements of these end with ';', so a line without one goes on. */
static bool needs_semicolon(const grammars_language *l) {
  return completion__language_is(l, "c") || completion__language_is(l, "cpp") ||
         completion__language_is(l, "java") || completion__language_is(l, "c-sharp") ||
         completion__language_is(l, "php");
}

bool completion__line_holds(completion__slice line, const char *what) {
  return completion__slice_find(line, 0, completion__slice_of(what, strlen(what))) < line.len;
}

/* What stands behind the '=' of a line that begins with `first`, or nothing. */
static completion__slice assigned(completion__slice first, completion__slice line) {
  size_t at = completion__slice_find(line, 0, completion__slice_of("= ", 2));
  if (at < line.len) return completion__slice_cut(line, at + 2, line.len);
  return completion__slice_cut(line, 0, completion__line_last(first) == '=' ? line.len : 0);
}

/* A tag that stands alone on its line: <a ...>, not <a/>, <br>, <a>text</a>, <!...>. */
static bool opens_tag(completion__slice first, completion__slice line) {
  return completion__line_last(line) == '>' && first.len + line.len > 3 && first.len > 1 &&
         first.s[0] == '<' && first.s[1] != '/' && first.s[1] != '!' &&
         !(line.len > 1 && line.s[line.len - 2] == '/') && !completion__line_holds(first, "</") &&
         !completion__line_holds(line, "</") && !completion__line_lone_tag(first);
}

bool completion__line_opens(const grammars_language *l, completion__slice first,
                            completion__slice line) {
  char c = completion__line_last(line);
  if (c == '{' || c == '(' || c == '[') return true;
  switch (completion__line_blocks(l)) {
    case GRAMMARS_BLOCKS_INDENT:
      return c == ':';
    case GRAMMARS_BLOCKS_KEYWORD:
      if (is_one_of(last_word(line), closing)) return false;
      if (is_one_of(last_word(line), openings) || is_one_of(completion__line_word(first), starters))
        return true;
      if (completion__language_is(l, "ruby"))
        return (c == '|' && completion__line_holds(line, "do |")) ||
               is_one_of(completion__line_word(assigned(first, line)), starters);
      if (completion__language_is(l, "bash") && c == ')') /* a pattern of case */
        return !completion__line_holds(line, "(") && !completion__line_holds(first, "(");
      return completion__language_is(l, "lua") && c == ')' &&
             (completion__line_holds(line, "function") ||
              completion__line_holds(first, "function"));
    case GRAMMARS_BLOCKS_TAGS:
      return opens_tag(first, line);
    case GRAMMARS_BLOCKS_BRACES:
      break;
  }
  if (completion__line_has_tags(l) && opens_tag(first, line)) return true;
  return c == ':' && is_one_of(completion__line_word(first), continuing);
}

bool completion__line_closes(const grammars_language *l, completion__slice line) {
  if (line.len && completion__scan_is_closer(line.s[0])) return true;
  if (completion__line_blocks(l) == GRAMMARS_BLOCKS_KEYWORD)
    return is_one_of(completion__line_word(line), closing) ||
           (line.len > 1 && line.s[0] == ';' && line.s[1] == ';');
  return completion__line_has_tags(l) && line.len > 1 && line.s[0] == '<' && line.s[1] == '/';
}

bool completion__line_annotates(const grammars_language *l, completion__slice line) {
  return line.len > 1 && (line.s[0] == '@' || (line.s[0] == '#' && line.s[1] == '[') ||
                          (line.s[0] == '[' && completion__language_is(l, "c-sharp")));
}

bool completion__line_goes_on(const grammars_language *l, completion__slice above,
                              completion__slice line) {
  if (line.len == 0) return false;
  char c = completion__line_last(line);
  if (c == ',') { /* in a list, one element */
    char before = completion__line_last(above);
    return before != ',' && before != '{' && before != '[' && before != '(';
  }
  if (strchr("+-*/%&|^=<?.\\", c) && c) return true;
  if (completion__line_blocks(l) != GRAMMARS_BLOCKS_BRACES) return line.s[0] == '@';
  if (line.s[0] == '@' || (line.s[0] == '#' && line.len > 1 && line.s[1] == '[')) return true;
  if (c == ')' && is_one_of(completion__line_word(line), controls)) return true;
  if (is_one_of(line, controls)) return true;
  return needs_semicolon(l) && line.s[0] != '#' && c != ';' && c != '}' && c != ':';
}

bool completion__line_may_chain(const grammars_language *l) {
  return l && (completion__language_is(l, "ruby") ||
               (l->blocks == GRAMMARS_BLOCKS_BRACES && !completion__language_is(l, "go") &&
                !completion__language_is(l, "css") && !completion__language_is(l, "json")));
}

bool completion__line_chains(const grammars_language *l, completion__slice line) {
  return strchr(".?:&|", line.s[0]) || (line.s[0] == '-' && completion__language_is(l, "php"));
}

bool completion__line_has_tags(const grammars_language *l) {
  return completion__line_blocks(l) == GRAMMARS_BLOCKS_TAGS || completion__language_is(l, "tsx") ||
         completion__language_is(l, "javascript");
}

bool completion__line_lone_tag(completion__slice line) {
  return is_one_of(completion__line_word(completion__slice_cut(line, 1, line.len)), lone);
}

bool completion__line_continues(completion__slice line) {
  return is_one_of(completion__line_word(line), continuing);
}

bool completion__line_controls(completion__slice line) {
  return is_one_of(completion__line_word(line), controls);
}

bool completion__word_is_continued(completion__slice word) { return is_one_of(word, continued); }
