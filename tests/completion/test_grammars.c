/* Every grammar of the table loads into the linked tree-sitter, parses a few lines of its
 * language without an error, and its tags query finds the definition that stands there. */
#include "grammars/grammars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct sample {
  const char *language, *file, *definition, *text;
} sample;

static const sample samples[] = {
    {"c", "a.c", "area", "#define W 3\nint area(int w, int h) {\n  return w * h;\n}\n"},
    {"cpp", "a.hpp", "Box", "namespace g { class Box { public: int area() const; int w; }; }\n"},
    {"python", "a.py", "area", "class Box:\n    def area(self):\n        return self.w * 2\n"},
    {"javascript", "a.mjs", "area", "export const area = (w, h) => w * h;\nclass Box { m() {} }\n"},
    {"typescript", "a.ts", "Shape", "export type Shape = { w: number };\nfunction f(s: Shape) {}\n"},
    {"tsx", "a.tsx", "View", "function View(p: Props) { return <b>{p.name}</b>; }\n"},
    {"go", "a.go", "Area", "package g\n\nfunc (b *Box) Area() int { return b.w }\n"},
    {"rust", "a.rs", "area", "struct Box { w: i32 }\nimpl Box { fn area(&self) -> i32 { self.w } }\n"},
    {"java", "A.java", "area", "class A { int area(int w) { return w * w; } }\n"},
    {"c-sharp", "A.cs", "Area", "class A { int Area(int w) { return w * w; } }\n"},
    {"ruby", "a.rb", "area", "class Box\n  def area\n    @w * 2\n  end\nend\n"},
    {"php", "a.php", "area", "<?php\nfunction area($w) { return $w * 2; }\n"},
    {"bash", "a.sh", "area", "area() {\n  echo $(($1 * $2))\n}\n"},
    {"lua", "a.lua", "area", "local function area(w, h)\n  return w * h\nend\n"},
    {"css", "a.css", "box", ".box { width: 3px; }\n"},
    {"html", "a.html", "box", "<html><body><p id=\"box\">three</p></body></html>\n"},
    {"json", "a.json", "box", "{\"box\": {\"w\": 3}}\n"},
};

static const grammars_language *by_name(const char *name) {
  for (int i = 0; i < grammars_count(); i++)
    if (strcmp(grammars_at(i)->name, name) == 0) return grammars_at(i);
  return NULL;
}

static void test_table(void **state) {
  (void)state;
  assert_int_equal(grammars_count(), 17);
  assert_int_equal(sizeof samples / sizeof samples[0], 17);
  assert_null(grammars_at(-1));
  assert_null(grammars_at(17));
  for (int i = 0; i < grammars_count(); i++) {
    const grammars_language *l = grammars_at(i);
    for (const char *const *id = l->ids; *id; id++) assert_ptr_equal(grammars_find(*id, NULL), l);
    for (const char *const *e = l->endings; *e; e++) {
      char name[64];
      snprintf(name, sizeof name, "file:///x/y%s", *e);
      assert_ptr_equal(grammars_find(NULL, name), l);
      assert_ptr_equal(grammars_find("no-such-language", name), l);
    }
    assert_true((l->block_open == NULL) == (l->block_close == NULL));
  }
  assert_null(grammars_find(NULL, "file:///x/README"));
  assert_null(grammars_find(NULL, NULL));
  assert_ptr_equal(grammars_find("cpp", "file:///x/y.h"), by_name("cpp"));
}

static void test_abi(void **state) {
  (void)state;
  for (int i = 0; i < grammars_count(); i++) {
    uint32_t abi = 0;
    assert_true(grammars_abi_ok(grammars_at(i), &abi));
    assert_in_range(abi, 13, 15);
  }
}

static void test_parse_and_tags(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
    const sample *s = &samples[i];
    const grammars_language *l = grammars_find(NULL, s->file);
    assert_non_null(l);
    assert_string_equal(l->name, s->language);
    TSParser *parser = ts_parser_new();
    assert_true(ts_parser_set_language(parser, l->grammar()));
    TSTree *tree = ts_parser_parse_string(parser, NULL, s->text, (uint32_t)strlen(s->text));
    assert_non_null(tree);
    if (ts_node_has_error(ts_tree_root_node(tree))) fail_msg("%s: parse error", s->language);

    uint32_t at = 0;
    TSQueryError error = TSQueryErrorNone;
    TSQuery *query = ts_query_new(l->grammar(), l->tags, (uint32_t)strlen(l->tags), &at, &error);
    if (!query) fail_msg("%s: tags query: error %d at %u", s->language, (int)error, at);
    TSQueryCursor *cursor = ts_query_cursor_new();
    ts_query_cursor_exec(cursor, query, ts_tree_root_node(tree));
    TSQueryMatch match;
    bool found = false;
    while (ts_query_cursor_next_match(cursor, &match)) {
      bool definition = false, named = false;
      for (uint16_t c = 0; c < match.capture_count; c++) {
        uint32_t len = 0;
        const char *name = ts_query_capture_name_for_id(query, match.captures[c].index, &len);
        uint32_t from = ts_node_start_byte(match.captures[c].node);
        uint32_t to = ts_node_end_byte(match.captures[c].node);
        definition |= len > 11 && memcmp(name, "definition.", 11) == 0;
        named |= len == 4 && memcmp(name, "name", 4) == 0 && to - from == strlen(s->definition) &&
                 memcmp(s->text + from, s->definition, to - from) == 0;
      }
      found |= definition && named;
    }
    if (!found) fail_msg("%s: %s not found", s->language, s->definition);
    ts_query_cursor_delete(cursor);
    ts_query_delete(query);
    ts_tree_delete(tree);
    ts_parser_delete(parser);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),
      cmocka_unit_test(test_abi),
      cmocka_unit_test(test_parse_and_tags),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
