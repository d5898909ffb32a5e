/* document_tool.c - the document of lsp/, driven by JSON lines, so that another implementation
 * can be run beside it.
 *
 * In:  {"open": TEXT, "encoding": "utf-8"|"utf-16"|"utf-32"}
 *      {"changes": [contentChanges of didChange]}
 *      {"text": true}
 *      {"positions": [{"line":..,"character":..}...]}
 * Out: for open and changes the line of text_state.h; for text the text as a JSON string; for
 *      positions an array of what each becomes on its way through an offset. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/document.h"
#include "lsp/json.h"
#include "text_state.h"

static void print_state(const lsp__document *d) {
  char state[64];
  text_state(d->text.data, d->text.len, d->line_count, state, sizeof state);
  puts(state);
}

static void print_positions(const lsp__document *d, lsp__encoding encoding, const cJSON *list) {
  lsp__buffer b = {0};
  lsp__json_begin(&b, '[');
  for (const cJSON *i = list->child; i != NULL; i = i->next) {
    lsp__position p = {0};
    lsp__position_parse(i, &p);
    p = lsp__document_position(d, lsp__document_offset(d, p, encoding), encoding);
    lsp__json_begin(&b, '[');
    lsp__json_int(&b, p.line);
    lsp__json_int(&b, p.character);
    lsp__json_end(&b, ']');
  }
  lsp__json_end(&b, ']');
  puts(b.data);
  lsp__buffer_free(&b);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0); /* whoever drives us waits for each line */
  lsp__document *d = NULL;
  lsp__encoding encoding = LSP__UTF16;
  char *line = NULL;
  size_t capacity = 0;
  ssize_t n;
  while ((n = getline(&line, &capacity, stdin)) > 0) {
    cJSON *tree;
    const char *why, *name;
    size_t where, len;
    if (lsp__json_parse(line, (size_t)n, &tree, &why, &where) != 0) {
      fprintf(stderr, "not JSON at %zu: %s\n", where, why);
      return 2;
    }
    const cJSON *changes = lsp__json_get(tree, "changes"), *open = lsp__json_get(tree, "open");
    if (open != NULL) {
      const char *text = lsp__json_take_text(open, &len);
      lsp__document_delete(d);
      if (lsp__json_get_string(tree, "encoding", &name))
        encoding = (lsp__encoding)lsp__encoding_from_name(name);
      if (lsp__document_new(&d, "test:", "text", 1, text, len) != 0) return 3;
      print_state(d);
    } else if (changes != NULL) {
      if (lsp__document_change(d, changes, encoding, &why) != 0) {
        fprintf(stderr, "%s\n", why);
        return 3;
      }
      print_state(d);
    } else if (lsp__json_get(tree, "positions") != NULL) {
      print_positions(d, encoding, lsp__json_get(tree, "positions"));
    } else {
      lsp__buffer b = {0};
      lsp__json_string_n(&b, d->text.data, d->text.len);
      puts(b.data);
      lsp__buffer_free(&b);
    }
    cJSON_Delete(tree);
  }
  free(line);
  lsp__document_delete(d);
  return 0;
}
