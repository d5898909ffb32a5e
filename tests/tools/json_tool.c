/* json_tool.c - tells what lsp/json.c thinks of JSON texts.
 *
 * Standard input: for each text a line with its length in bytes, then the bytes.
 * Standard output: for each a line, "accept" and what was understood, written again, or
 * "reject", the byte and the reason. Exit code 0 unless the input cannot be followed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/json.h"

static void write_value(lsp__buffer *b, const cJSON *item) {
  if (cJSON_IsObject(item) || cJSON_IsArray(item)) {
    bool object = cJSON_IsObject(item);
    lsp__json_begin(b, object ? '{' : '[');
    for (const cJSON *i = item->child; i != NULL; i = i->next) {
      if (object) lsp__json_key(b, i->string);
      write_value(b, i);
    }
    lsp__json_end(b, object ? '}' : ']');
  } else if (cJSON_IsString(item)) {
    size_t len;
    const char *text = lsp__json_take_text(item, &len);
    lsp__json_string_n(b, text, len);
  } else if (cJSON_IsNumber(item)) {
    lsp__json_double(b, item->valuedouble);
  } else if (cJSON_IsBool(item)) {
    lsp__json_bool(b, cJSON_IsTrue(item));
  } else {
    lsp__json_null(b);
  }
}

int main(void) {
  unsigned long len;
  while (scanf("%lu", &len) == 1) {
    if (getchar() != '\n' || len > (1ul << 28)) return 2;
    char *text = malloc(len + 1);
    if (text == NULL || fread(text, 1, len, stdin) != len) return 2;
    text[len] = '\0';
    cJSON *tree;
    const char *why;
    size_t where;
    if (lsp__json_parse(text, len, &tree, &why, &where) == 0) {
      lsp__buffer b = {0};
      write_value(&b, tree);
      printf("accept %s\n", b.failed ? "" : b.data);
      lsp__buffer_free(&b);
    } else {
      printf("reject %zu %s\n", where, why);
    }
    cJSON_Delete(tree);
    free(text);
  }
  return 0;
}
