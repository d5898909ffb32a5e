/* What a user sees, language by language: tests/data/cases/NAME.txt holds documents with a cursor,
 * what a model goes on to write there, and what the cursor's line is to become. Nothing here is
 * decoded: the text is given to the stop rules as the decode loop would, a byte at a time and a
 * token at a time, what they keep to the polish, and the grammar reads the outcome.
 *
 * A file is read as its README says. A case that fails though a user would expect it is marked
 * "fails": it is counted, and must be unmarked once it holds. */
#include "completion/completion.h"
#include "completion/polish.h"
#include "completion/stop.h"
#include "helper.h"

#define CASES_LEAST 12
#define FOLDER "tests/data/cases/"

typedef struct a_case {
  char name[100];
  completion__buffer document, written, shown; /* owned */
  char stop[16];    /* completion_strstop */
  char extent[16];  /* "none", "single" or "multi": of what is shown */
  completion_mode mode;
  int lines;        /* max_lines */
  bool crlf;        /* the document's line ends; \n everywhere in the file */
  bool errors;      /* the grammar will find more errors than before */
  bool fails;       /* known to */
} a_case;

static const struct language {
  const char *name, *file;
} languages[] = {
    {"c", "a.c"},      {"cpp", "a.cpp"},   {"python", "a.py"}, {"javascript", "a.js"}, {"typescript", "a.ts"},
    {"tsx", "a.tsx"},  {"go", "a.go"},     {"rust", "a.rs"},   {"java", "a.java"},     {"csharp", "a.cs"},
    {"ruby", "a.rb"},  {"php", "a.php"},   {"bash", "a.sh"},   {"lua", "a.lua"},       {"css", "a.css"},
    {"html", "a.html"}, {"json", "a.json"},
};

/* ---- the files ------------------------------------------------------------------------- */

static void add(completion__buffer *b, completion__slice t) {
  assert_int_equal(completion__buffer_append(b, t.s, t.len), 0);
}

/* The words behind "--- shown:". */
static void read_terms(a_case *c, completion__slice line, const char *where) {
  char text[200];
  if (line.len >= sizeof text) fail_msg("%s: %s: a long line", where, c->name);
  memcpy(text, line.s, line.len);
  text[line.len] = 0;
  c->lines = 8;
  char *rest = text;
  int n = 0;
  for (char *word; (word = strtok_r(rest, " ", &rest)); n++) {
    if (n == 0) snprintf(c->stop, sizeof c->stop, "%s", word);
    else if (n == 1) snprintf(c->extent, sizeof c->extent, "%s", word);
    else if (!strcmp(word, "mode=single")) c->mode = COMPLETION_SINGLE_LINE;
    else if (!strcmp(word, "mode=multi")) c->mode = COMPLETION_MULTI_LINE;
    else if (!strncmp(word, "lines=", 6)) c->lines = atoi(word + 6);
    else if (!strcmp(word, "crlf")) c->crlf = true;
    else if (!strcmp(word, "errors")) c->errors = true;
    else if (!strcmp(word, "fails")) c->fails = true;
    else fail_msg("%s: %s: what is \"%s\"?", where, c->name, word);
  }
  if (n < 2) fail_msg("%s: %s: no stop reason and extent", where, c->name);
}

/* The next case at *at, or false. */
static bool read_case(completion__slice file, size_t *at, a_case *c, const char *where) {
  static const char mark_case[] = "=== ", mark_written[] = "--- written", mark_shown[] = "--- shown: ";
  *c = (a_case){0};
  completion__buffer *into = NULL;
  while (*at < file.len) {
    size_t end = completion__line_end(file, *at);
    completion__slice line = completion__slice_cut(file, *at, end);
    if (completion__slice_starts(line, slice(mark_case))) {
      if (into) break;
      snprintf(c->name, sizeof c->name, "%.*s", (int)(line.len - 4), line.s + 4);
      into = &c->document;
    } else if (completion__slice_equal(line, slice(mark_written))) {
      into = &c->written;
    } else if (completion__slice_starts(line, slice(mark_shown))) {
      read_terms(c, completion__slice_cut(line, sizeof mark_shown - 1, line.len), where);
      into = &c->shown;
    } else if (into) {
      add(into, line);
      add(into, slice("\n"));
    }
    *at = end + 1;
  }
  if (into && into != &c->shown) fail_msg("%s: %s is not whole", where, c->name);
  if (c->written.len) c->written.s[--c->written.len] = 0;
  while (c->shown.len && c->shown.s[c->shown.len - 1] == '\n') c->shown.s[--c->shown.len] = 0;
  return into != NULL;
}

static void free_case(a_case *c) {
  completion__buffer_free(&c->document);
  completion__buffer_free(&c->written);
  completion__buffer_free(&c->shown);
}

/* ---- a case ---------------------------------------------------------------------------- */

/* Where a piece that begins at `at` ends: a byte, or blanks with a word or one other character. */
static size_t piece_end(completion__slice t, size_t at, bool tokens) {
  if (!tokens) return at + 1;
  if (t.s[at] == '\n') {
    while (at < t.len && (t.s[at] == '\n' || completion__is_blank(t.s[at]))) at++;
    return at;
  }
  if (completion__is_blank(t.s[at]) && at + 1 < t.len) at++;
  if (!completion__is_word(t.s[at])) return at + 1;
  while (at < t.len && completion__is_word(t.s[at])) at++;
  return at;
}

static completion_stop judge(const completion__stop *s, completion__slice text, bool tokens,
                             size_t *keep) {
  for (size_t n = 0; n < text.len;) {
    n = piece_end(text, n, tokens);
    completion_stop stop = completion__stop_check(s, completion__slice_cut(text, 0, n), false, keep);
    if (stop != COMPLETION_STOP_NONE) return stop;
  }
  completion_stop stop = completion__stop_check(s, text, true, keep);
  return stop == COMPLETION_STOP_NONE ? COMPLETION_STOP_MODEL : stop;
}

/* What the cursor's line becomes: appended to out. Returns whether text is shown: 0 none, 1 in one
 * line, 2 in several. */
static int accept(const a_case *c, const completion__polish *p, size_t keep,
                  completion__buffer *out) {
  completion__buffer shown = {0};
  size_t absorb = 0, line = completion__line_start(p->before, p->before.len);
  completion__slice text = completion__slice_cut(completion__buffer_slice(&c->written), 0, keep);
  assert_int_equal(completion__polish_text(p, text, &shown, &absorb), 0);
  assert_true(absorb <= completion__line_end(p->after, 0));
  if (shown.len) {
    add(out, completion__slice_cut(p->before, line, p->before.len));
    add(out, completion__buffer_slice(&shown));
    add(out, completion__slice_cut(p->after, absorb, completion__line_end(p->after, 0)));
  }
  int kind = shown.len == 0 ? 0 : memchr(shown.s, '\n', shown.len) ? 2 : 1;
  completion__buffer_free(&shown);
  return kind;
}

/* More places the grammar cannot read with the line in the document than without it. */
static int new_errors(const char *file, const completion__polish *p, completion__slice line) {
  completion__buffer with = {0}, without = {0};
  add(&without, p->before);
  add(&without, p->after);
  add(&with, completion__slice_cut(p->before, 0, completion__line_start(p->before, p->before.len)));
  add(&with, line);
  add(&with, completion__slice_cut(p->after, completion__line_end(p->after, 0), p->after.len));
  int before = completion_parse_errors(NULL, file, without.s, without.len);
  int after = completion_parse_errors(NULL, file, with.s, with.len);
  assert_true(before >= 0 && after >= 0);
  completion__buffer_free(&with);
  completion__buffer_free(&without);
  return after - before;
}

/* "\r\n" for every "\n". */
static completion__buffer with_line_ends(completion__slice t, bool crlf) {
  completion__buffer b = {0};
  add(&b, slice(""));
  for (size_t i = 0; i < t.len; i++)
    add(&b, crlf && t.s[i] == '\n' ? slice("\r\n") : completion__slice_cut(t, i, i + 1));
  return b;
}

static bool holds(const char *file, const a_case *c, bool tokens, bool tell) {
  static const char *const extents[] = {"none", "single", "multi"};
  const grammars_language *l = grammars_find(NULL, file);
  completion__polish p = {.language = l, .crlf = c->crlf};
  split_at_cursor(c->document.s, &p.before, &p.after);
  completion__stop rules;
  completion__stop_init(&rules, l, p.before, p.after, c->mode, c->lines);
  size_t keep = 0;
  completion__slice written = completion__buffer_slice(&c->written);
  completion_stop stop = judge(&rules, written, tokens, &keep);
  completion__buffer got = {0}, partial = {0};
  for (size_t at = 0; at < keep; at++) /* what updates would show must not fail */
    if (written.s[at] == '\n') accept(c, &p, at, &partial);
  int kind = accept(c, &p, keep, &got);
  completion__buffer expected = with_line_ends(completion__buffer_slice(&c->shown), c->crlf);
  int errors = kind ? new_errors(file, &p, completion__buffer_slice(&got)) : 0;
  bool ok = !strcmp(completion_strstop(stop), c->stop) && !strcmp(extents[kind], c->extent) &&
            completion__slice_equal(completion__buffer_slice(&got), completion__buffer_slice(&expected)) &&
            (errors > 0) == c->errors;
  if (!ok && tell)
    printf("%s, \"%s\" by %s: stop %s not %s, %s not %s, %d new errors; the line became\n%s\n  not\n%s\n\n",
           file, c->name, tokens ? "tokens" : "bytes", completion_strstop(stop), c->stop,
           extents[kind], c->extent, errors, got.s ? got.s : "", expected.s);
  completion__buffer_free(&got);
  completion__buffer_free(&partial);
  completion__buffer_free(&expected);
  return ok;
}

static void test_cases(void **state) {
  (void)state;
  int failed = 0;
  for (size_t i = 0; i < sizeof languages / sizeof languages[0]; i++) {
    char path[100];
    snprintf(path, sizeof path, FOLDER "%s.txt", languages[i].name);
    completion__buffer file = read_sample(path);
    int n = 0, known = 0;
    a_case c;
    for (size_t at = 0; read_case(completion__buffer_slice(&file), &at, &c, path); n++) {
      bool bytes = holds(languages[i].file, &c, false, !c.fails);
      bool tokens = holds(languages[i].file, &c, true, !c.fails && bytes);
      known += c.fails;
      failed += c.fails == (bytes && tokens);
      if (c.fails && bytes && tokens) printf("%s, \"%s\" holds: unmark it\n", path, c.name);
      free_case(&c);
    }
    printf("%-11s %3d cases, %d of them known to fail\n", languages[i].name, n, known);
    if (n < CASES_LEAST) printf("%s: fewer than %d cases\n", path, CASES_LEAST), failed++;
    completion__buffer_free(&file);
  }
  if (failed) fail_msg("%d cases", failed);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
