/* languages.c - whether every grammar and its query can be loaded, for `fimd doctor`. */
#include <stdio.h>
#include <string.h>
#include <tree_sitter/api.h>

#include "completion/completion.h"
#include "grammars/grammars.h"

/* Loads the grammar and compiles the tags query that go with a language. */
static bool usable(const grammars_language *l) {
  if (!grammars_abi_ok(l, NULL)) return false;
  TSParser *parser = ts_parser_new();
  if (parser == NULL) return false;
  bool ok = ts_parser_set_language(parser, l->grammar());
  ts_parser_delete(parser);
  uint32_t at;
  TSQueryError error;
  TSQuery *query = ok && l->tags != NULL
                       ? ts_query_new(l->grammar(), l->tags, (uint32_t)strlen(l->tags), &at, &error)
                       : NULL;
  if (l->tags != NULL && query == NULL) ok = false;
  if (query != NULL) ts_query_delete(query);
  return ok;
}

int completion_check_languages(char *bad, size_t size) {
  size_t used = 0;
  if (size > 0) bad[0] = '\0';
  for (int i = 0; i < grammars_count(); i++) {
    const grammars_language *l = grammars_at(i);
    if (usable(l)) continue;
    int n = used < size ? snprintf(bad + used, size - used, "%s%s", used > 0 ? " " : "", l->name) : 0;
    if (n > 0) used += (size_t)n;
  }
  return grammars_count();
}
