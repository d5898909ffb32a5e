/* grammars.c - the table behind grammars.h. */
#include "grammars/grammars.h"

#include <string.h>
#include <strings.h>

#define DECLARE(name)                            \
  const TSLanguage *tree_sitter_##name(void);    \
  extern const char grammars__tags_##name[]
DECLARE(bash);
DECLARE(c);
DECLARE(c_sharp);
DECLARE(cpp);
DECLARE(css);
DECLARE(go);
DECLARE(html);
DECLARE(java);
DECLARE(javascript);
DECLARE(json);
DECLARE(lua);
DECLARE(php);
DECLARE(python);
DECLARE(ruby);
DECLARE(rust);
DECLARE(typescript);
const TSLanguage *tree_sitter_tsx(void);
#undef DECLARE

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define C_COMMENTS .line_comment = "//", .block_open = "/*", .block_close = "*/"
#define HASH_COMMENTS .line_comment = "#"

static const grammars_language languages[] = {
    {.name = "c", .grammar = tree_sitter_c, .tags = grammars__tags_c,
     .ids = LIST("c"), .endings = LIST(".c", ".h"),
     C_COMMENTS, .quotes = "\"'", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "cpp", .grammar = tree_sitter_cpp, .tags = grammars__tags_cpp,
     .ids = LIST("cpp", "c++", "cuda-cpp", "cuda", "objective-cpp"),
     .endings = LIST(".cc", ".cpp", ".cxx", ".hpp", ".hh", ".hxx", ".cu", ".cuh", ".ipp"),
     C_COMMENTS, .quotes = "\"'", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "python", .grammar = tree_sitter_python, .tags = grammars__tags_python,
     .ids = LIST("python"), .endings = LIST(".py", ".pyi", ".pyw"),
     HASH_COMMENTS, .quotes = "\"'", .blocks = GRAMMARS_BLOCKS_INDENT},
    {.name = "javascript", .grammar = tree_sitter_javascript, .tags = grammars__tags_javascript,
     .ids = LIST("javascript", "javascriptreact"), .endings = LIST(".js", ".mjs", ".cjs", ".jsx"),
     C_COMMENTS, .quotes = "\"'`", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "typescript", .grammar = tree_sitter_typescript, .tags = grammars__tags_typescript,
     .ids = LIST("typescript"), .endings = LIST(".ts", ".mts", ".cts"),
     C_COMMENTS, .quotes = "\"'`", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "tsx", .grammar = tree_sitter_tsx, .tags = grammars__tags_typescript,
     .ids = LIST("typescriptreact"), .endings = LIST(".tsx"),
     C_COMMENTS, .quotes = "\"'`", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "go", .grammar = tree_sitter_go, .tags = grammars__tags_go,
     .ids = LIST("go"), .endings = LIST(".go"),
     C_COMMENTS, .quotes = "\"'`", .blocks = GRAMMARS_BLOCKS_BRACES},
    /* A lone ' is a lifetime in Rust, so it opens no string. */
    {.name = "rust", .grammar = tree_sitter_rust, .tags = grammars__tags_rust,
     .ids = LIST("rust"), .endings = LIST(".rs"),
     C_COMMENTS, .quotes = "\"", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "java", .grammar = tree_sitter_java, .tags = grammars__tags_java,
     .ids = LIST("java"), .endings = LIST(".java"),
     C_COMMENTS, .quotes = "\"'", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "c-sharp", .grammar = tree_sitter_c_sharp, .tags = grammars__tags_c_sharp,
     .ids = LIST("csharp", "c#"), .endings = LIST(".cs"),
     C_COMMENTS, .quotes = "\"'", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "ruby", .grammar = tree_sitter_ruby, .tags = grammars__tags_ruby,
     .ids = LIST("ruby"), .endings = LIST(".rb", ".rake", ".gemspec"),
     HASH_COMMENTS, .quotes = "\"'`", .blocks = GRAMMARS_BLOCKS_KEYWORD},
    {.name = "php", .grammar = tree_sitter_php, .tags = grammars__tags_php,
     .ids = LIST("php"), .endings = LIST(".php"), .line_comment2 = "#",
     C_COMMENTS, .quotes = "\"'", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "bash", .grammar = tree_sitter_bash, .tags = grammars__tags_bash,
     .ids = LIST("shellscript", "bash", "sh"), .endings = LIST(".sh", ".bash", ".bashrc"),
     HASH_COMMENTS, .quotes = "\"'`", .blocks = GRAMMARS_BLOCKS_KEYWORD},
    {.name = "lua", .grammar = tree_sitter_lua, .tags = grammars__tags_lua,
     .ids = LIST("lua"), .endings = LIST(".lua"), .line_comment = "--",
     .block_open = "--[[", .block_close = "]]", .quotes = "\"'",
     .blocks = GRAMMARS_BLOCKS_KEYWORD},
    {.name = "css", .grammar = tree_sitter_css, .tags = grammars__tags_css,
     .ids = LIST("css"), .endings = LIST(".css"), .block_open = "/*", .block_close = "*/",
     .quotes = "\"'", .blocks = GRAMMARS_BLOCKS_BRACES},
    {.name = "html", .grammar = tree_sitter_html, .tags = grammars__tags_html,
     .ids = LIST("html"), .endings = LIST(".html", ".htm"), .block_open = "<!--",
     .block_close = "-->", .quotes = "\"", .blocks = GRAMMARS_BLOCKS_TAGS},
    {.name = "json", .grammar = tree_sitter_json, .tags = grammars__tags_json,
     .ids = LIST("json", "jsonc"), .endings = LIST(".json"), .quotes = "\"",
     .blocks = GRAMMARS_BLOCKS_BRACES},
};

int grammars_count(void) { return (int)(sizeof languages / sizeof languages[0]); }

const grammars_language *grammars_at(int i) {
  return i >= 0 && i < grammars_count() ? &languages[i] : NULL;
}

static bool ends_with(const char *s, size_t len, const char *ending) {
  size_t n = strlen(ending);
  return len > n && strcasecmp(s + len - n, ending) == 0;
}

const grammars_language *grammars_find(const char *language_id, const char *uri) {
  if (language_id)
    for (int i = 0; i < grammars_count(); i++)
      for (const char *const *id = languages[i].ids; *id; id++)
        if (strcmp(*id, language_id) == 0) return &languages[i];
  if (!uri) return NULL;
  size_t len = strlen(uri);
  for (int i = 0; i < grammars_count(); i++)
    for (const char *const *e = languages[i].endings; *e; e++)
      if (ends_with(uri, len, *e)) return &languages[i];
  return NULL;
}

bool grammars_abi_ok(const grammars_language *l, uint32_t *abi) {
  uint32_t version = ts_language_abi_version(l->grammar());
  if (abi) *abi = version;
  return version >= TREE_SITTER_MIN_COMPATIBLE_LANGUAGE_VERSION &&
         version <= TREE_SITTER_LANGUAGE_VERSION;
}
