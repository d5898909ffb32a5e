/* peek.c - see peek.h. */
#include "lsp/peek.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct slice {
  const char *s;
  size_t len;
} slice;

static size_t skip_blanks(slice t, size_t at) {
  while (at < t.len && memchr(" \t\r\n", t.s[at], 4) != NULL) at++;
  return at;
}

/* Behind the string whose opening quote is at `at`; the end where it is cut off. */
static size_t skip_string(slice t, size_t at) {
  for (at++; at < t.len; at++) {
    if (t.s[at] == '"') return at + 1;
    if (t.s[at] == '\\') at++;
  }
  return t.len;
}

/* Behind the value at `at`, which ends before a comma or a bracket that is not its own. */
static size_t skip_value(slice t, size_t at) {
  size_t depth = 0;
  while (at < t.len) {
    char c = t.s[at];
    if (c == '"') {
      at = skip_string(t, at);
      continue;
    }
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) return at;
    depth += c == '{' || c == '[';
    depth -= c == '}' || c == ']';
    at++;
  }
  return at;
}

/* The last member of that name in the object, which may be cut off; len 0: there is none. */
static slice member(slice t, const char *key) {
  slice found = {NULL, 0};
  size_t at = skip_blanks(t, 0), n = strlen(key);
  if (at == t.len || t.s[at] != '{') return found;
  for (at = skip_blanks(t, at + 1); at < t.len && t.s[at] == '"';) {
    size_t name = at + 1, end = skip_string(t, at);
    at = skip_blanks(t, end);
    if (at == t.len || t.s[at] != ':') break;
    size_t from = skip_blanks(t, at + 1), to = skip_value(t, from);
    if (end - name == n + 1 && memcmp(t.s + name, key, n) == 0)
      found = (slice){t.s + from, to - from};
    at = skip_blanks(t, to);
    if (at == t.len || t.s[at] != ',') break;
    at = skip_blanks(t, at + 1);
  }
  return found;
}

/* A string's text, if it is whole, short and has no escape but that of a slash or a quote. */
static bool read_string(slice t, char *out) {
  size_t n = 0;
  if (t.len == 0 || t.s[0] != '"') return false;
  for (size_t at = 1; at < t.len && n + 1 < LSP__PEEK_TEXT; at++) {
    if (t.s[at] == '"') {
      out[n] = '\0';
      return true;
    }
    if (t.s[at] == '\\' && (++at == t.len || memchr("\"\\/", t.s[at], 3) == NULL)) break;
    out[n++] = t.s[at];
  }
  out[0] = '\0';
  return false;
}

static bool read_number(slice t, int64_t *out) {
  int64_t value = 0;
  bool minus = t.len > 0 && t.s[0] == '-';
  size_t digits = 0;
  for (size_t at = minus; at < t.len && t.s[at] >= '0' && t.s[at] <= '9'; at++, digits++)
    if (digits < 16) value = value * 10 + (t.s[at] - '0');
  size_t end = skip_blanks(t, minus + digits);
  *out = minus ? -value : value;
  return digits > 0 && digits < 16 && end == t.len;
}

void lsp__peek_read(lsp__peek *out, const char *text, size_t len) {
  slice all = {text, len};
  char method[LSP__PEEK_TEXT];
  *out = (lsp__peek){.id.kind = LSP__ID_NULL};
  slice id = member(all, "id"), params = member(all, "params");
  bool named = read_string(member(all, "method"), method);
  if (!named)
    ; /* it may be an answer to us, which gets none */
  else if (read_string(id, out->id_text))
    out->id = (lsp__id){.kind = LSP__ID_STRING, .text = out->id_text};
  else if (id.s + id.len < text + len && read_number(id, &out->id.number)) /* it is not cut off */
    out->id.kind = LSP__ID_INT;
  size_t start = skip_blanks(all, 0);
  bool object = start == len || text[start] == '{';
  out->may_edit = named ? strcmp(method, "textDocument/didChange") == 0 ||
                              strcmp(method, "textDocument/didOpen") == 0
                        : object;
  if (out->may_edit) read_string(member(member(params, "textDocument"), "uri"), out->uri);
}
