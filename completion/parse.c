/* parse.c - what a grammar makes of a text, for those who measure: where it cannot be read, and
 * the nodes that a hole may be cut along. Whole parses without a time limit, of texts that are
 * small; a request's trees are syntax.c's. */
#include <stdlib.h>
#include <string.h>
#include <tree_sitter/api.h>

#include "completion/completion.h"
#include "completion/syntax.h"
#include "grammars/grammars.h"

/* 0 with the tree, owned by the caller; or a completion_status. */
static int parse(const char *language_id, const char *uri, const char *text, size_t len,
                 TSTree **tree) {
  const grammars_language *l = grammars_find(language_id, uri);
  if (!l || len > COMPLETION__SYNTAX_BYTES) return COMPLETION_EINVAL;
  TSParser *parser = ts_parser_new();
  if (!parser) return COMPLETION_ENOMEM;
  *tree = ts_parser_set_language(parser, l->grammar())
              ? ts_parser_parse_string(parser, NULL, text, (uint32_t)len)
              : NULL;
  ts_parser_delete(parser);
  return *tree ? COMPLETION_OK : COMPLETION_EINVAL;
}

/* To the next node before all children are left, into the children only where `inside`. */
static bool step(TSTreeCursor *cursor, bool inside) {
  if (inside && ts_tree_cursor_goto_first_child(cursor)) return true;
  while (!ts_tree_cursor_goto_next_sibling(cursor))
    if (!ts_tree_cursor_goto_parent(cursor)) return false;
  return true;
}

int completion_parse_errors(const char *language_id, const char *uri, const char *text,
                            size_t len) {
  TSTree *tree;
  int rc = parse(language_id, uri, text, len, &tree);
  if (rc != COMPLETION_OK) return rc;
  int errors = completion__syntax_errors(tree);
  ts_tree_delete(tree);
  return errors;
}

int completion_parse_nodes(const char *language_id, const char *uri, const char *text, size_t len,
                           int low, int high, completion_node **nodes) {
  TSTree *tree;
  int n = 0, capacity = 0, rc = parse(language_id, uri, text, len, &tree);
  *nodes = NULL;
  if (rc != COMPLETION_OK) return rc;
  TSTreeCursor cursor = ts_tree_cursor_new(ts_tree_root_node(tree));
  bool inside;
  do {
    TSNode node = ts_tree_cursor_current_node(&cursor);
    int lines = (int)(ts_node_end_point(node).row - ts_node_start_point(node).row) + 1;
    bool comment = strstr(ts_node_type(node), "comment") != NULL;
    inside = !comment && lines >= low;
    if (!ts_node_is_named(node) || comment || lines < low || lines > high ||
        ts_node_has_error(node) || ts_node_start_byte(node) == ts_node_end_byte(node))
      continue;
    if (n == capacity) {
      capacity = capacity ? capacity * 2 : 64;
      completion_node *grown = realloc(*nodes, (size_t)capacity * sizeof *grown);
      if (!grown) {
        rc = COMPLETION_ENOMEM;
        break;
      }
      *nodes = grown;
    }
    (*nodes)[n++] = (completion_node){ts_node_start_byte(node), ts_node_end_byte(node)};
  } while (step(&cursor, inside));
  ts_tree_cursor_delete(&cursor);
  ts_tree_delete(tree);
  if (rc == COMPLETION_OK) return n;
  free(*nodes);
  *nodes = NULL;
  return rc;
}
