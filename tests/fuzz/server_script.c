/* server_script.c - see server_script.h. */
#include "server_script.h"

#include "grammars/grammars.h"
#include "lsp/json.h"

/* ---- fields ------------------------------------------------------------------------------ */

/* Now and then a value of another type than is due. */
static bool odd(script *s, lsp__buffer *b) {
  switch (fuzz_u8(s->in)) {
    case 0xF9: lsp__json_null(b); return true;
    case 0xFA: lsp__json_int(b, -1); return true;
    case 0xFB: lsp__json_double(b, 1e300); return true;
    case 0xFC: lsp__json_string(b, "odd"); return true;
    case 0xFD: lsp__json_begin(b, '['), lsp__json_end(b, ']'); return true;
    case 0xFE: lsp__json_begin(b, '{'), lsp__json_end(b, '}'); return true;
    case 0xFF: lsp__json_bool(b, true); return true;
    default: return false;
  }
}

static void put_number(script *s, lsp__buffer *b, const char *key) {
  lsp__json_key(b, key);
  if (odd(s, b)) return;
  unsigned n = fuzz_u8(s->in);
  lsp__json_int(b, n < 0xF0 ? n % 24 : n == 0xF0 ? INT64_C(1) << 53 : n == 0xF1 ? INT32_MAX : n);
}

static void put_word(script *s, lsp__buffer *b, const char *key, const char *const *words,
                     size_t n) {
  lsp__json_key(b, key);
  if (!odd(s, b)) lsp__json_string(b, words[fuzz_u8(s->in) % n]);
}

/* Code of the input, a line of it, or the same many times. */
static void put_text(script *s, lsp__buffer *b, const char *key) {
  static const char *const lines[] = {
      "int f(int a) {\n  return a;\n}\n", "\xF0\x9F\x98\x80", "\r\n", "def f(x):\n    return x\n",
      "{\"a\": [1, 2", "// ", "\xE2\x82\xAC\t", "f("};
  size_t len;
  lsp__json_key(b, key);
  if (odd(s, b)) return;
  unsigned how = fuzz_u8(s->in);
  const char *text = lines[how % 8];
  lsp__buffer made = {0};
  if (how < 0x80) text = fuzz_take(s->in, fuzz_u8(s->in), &len);
  else len = strlen(text);
  for (unsigned i = how < 0xE0 ? 1 : how % 32 + 2; i > 0; i--) lsp__buffer_append(&made, text, len);
  lsp__json_string_n(b, made.data ? made.data : "", made.len);
  lsp__buffer_free(&made);
}

static void put_uri(script *s, lsp__buffer *b) {
  static const char *const files[] = {"a.c", "b.py", "c.ts", "sub/d.go",
                                      ".env", "sub/ignored.c", "e.json", ".gitignore"};
  lsp__json_key(b, "uri");
  if (odd(s, b)) return;
  unsigned n = fuzz_u8(s->in);
  char uri[256];
  snprintf(uri, sizeof uri, "file://%s/%s", s->folder, files[n % 8]);
  lsp__json_string(b, n < 0xC0   ? uri
                      : n < 0xE0 ? "untitled:one"
                      : n < 0xF0 ? ""
                                 : "file:///%00%zz");
}

static void begin(lsp__buffer *b, const char *key) {
  if (key) lsp__json_key(b, key);
  lsp__json_begin(b, '{');
}

static void put_document(script *s, lsp__buffer *b) {
  begin(b, "textDocument");
  put_uri(s, b);
  put_number(s, b, "version");
  lsp__json_end(b, '}');
}

static void put_position(script *s, lsp__buffer *b, const char *key) {
  begin(b, key);
  put_number(s, b, "line");
  put_number(s, b, "character");
  lsp__json_end(b, '}');
}

static void put_range(script *s, lsp__buffer *b) {
  begin(b, "range");
  put_position(s, b, "start");
  put_position(s, b, "end");
  lsp__json_end(b, '}');
}

static void put_settings(script *s, lsp__buffer *b) {
  static const char *const numbers[] = {"maxTokens", "maxLines", "promptTokens",
                                        "temperature", "topP", "seed",
                                        "confidence", "candidates", "unknown"};
  static const char *const flags[] = {"enable", "noContext", "comments", "strings",
                                      "midLine", "parseGate", "popup", "streaming"};
  static const char *const drafts[] = {"all", "none", "prompt", "pool",
                                       "recycle", "lookahead", "lookahead:4,3,2"};
  begin(b, "fimd");
  lsp__json_put_int(b, "debounce", 0);
  for (unsigned n = fuzz_u8(s->in) % 4; n > 0; n--) put_number(s, b, numbers[fuzz_u8(s->in) % 9]);
  for (unsigned n = fuzz_u8(s->in) % 4; n > 0; n--) {
    unsigned f = fuzz_u8(s->in);
    lsp__json_put_bool(b, flags[f % 8], f & 0x80);
  }
  if (fuzz_u8(s->in) & 1) put_word(s, b, "draft", drafts, 7);
  lsp__json_end(b, '}');
}

static void put_folders(script *s, lsp__buffer *b, const char *key) {
  lsp__json_key(b, key);
  if (odd(s, b)) return;
  lsp__json_begin(b, '[');
  for (unsigned n = fuzz_u8(s->in) % 3; n > 0; n--) {
    begin(b, NULL);
    char uri[256];
    snprintf(uri, sizeof uri, "file://%s%s", s->folder, fuzz_u8(s->in) & 1 ? "/sub/" : "");
    lsp__json_put_text(b, "uri", uri);
    lsp__json_end(b, '}');
  }
  lsp__json_end(b, ']');
}

/* ---- messages ---------------------------------------------------------------------------- */

static void initialize(script *s, lsp__buffer *b) {
  static const char *const encodings[] = {"utf-16", "utf-8", "utf-32", "none"};
  static const char *const traces[] = {"off", "messages", "verbose"};
  unsigned flags = fuzz_u8(s->in);
  put_word(s, b, "trace", traces, 3);
  put_folders(s, b, "workspaceFolders");
  begin(b, "capabilities");
  begin(b, "general");
  lsp__json_key(b, "positionEncodings");
  lsp__json_begin(b, '[');
  lsp__json_string(b, encodings[flags & 3]);
  lsp__json_end(b, ']');
  lsp__json_end(b, '}');
  begin(b, "window");
  lsp__json_put_bool(b, "workDoneProgress", flags & 4);
  lsp__json_end(b, '}');
  begin(b, "workspace");
  lsp__json_put_bool(b, "configuration", flags & 8);
  begin(b, "didChangeWatchedFiles");
  lsp__json_put_bool(b, "dynamicRegistration", flags & 16);
  lsp__json_end(b, '}');
  lsp__json_end(b, '}');
  begin(b, "experimental");
  begin(b, "fimd");
  lsp__json_put_bool(b, "streaming", flags & 32);
  lsp__json_end(b, '}');
  lsp__json_end(b, '}');
  lsp__json_end(b, '}');
  begin(b, "initializationOptions");
  put_settings(s, b);
  lsp__json_end(b, '}');
}

static void did_open(script *s, lsp__buffer *b) {
  begin(b, "textDocument");
  put_uri(s, b);
  put_number(s, b, "version");
  lsp__json_put_text(b, "languageId", grammars_at((int)fuzz_u8(s->in) % grammars_count())->ids[0]);
  put_text(s, b, "text");
  lsp__json_end(b, '}');
}

static void did_change(script *s, lsp__buffer *b) {
  put_document(s, b);
  lsp__json_key(b, "contentChanges");
  if (odd(s, b)) return;
  lsp__json_begin(b, '[');
  for (unsigned n = fuzz_u8(s->in) % 3 + 1; n > 0; n--) {
    begin(b, NULL);
    put_text(s, b, "text");
    if (fuzz_u8(s->in) < 0xE0) put_range(s, b);
    lsp__json_end(b, '}');
  }
  lsp__json_end(b, ']');
}

static void inline_completion(script *s, lsp__buffer *b) {
  put_document(s, b);
  put_position(s, b, "position");
  unsigned flags = fuzz_u8(s->in);
  begin(b, "context");
  lsp__json_put_int(b, "triggerKind", 1 + (flags & 1));
  if (flags & 2) {
    begin(b, "selectedCompletionInfo");
    put_text(s, b, "text");
    put_range(s, b);
    lsp__json_end(b, '}');
  }
  lsp__json_end(b, '}');
  if (flags & 4) put_number(s, b, "partialResultToken");
}

static void completion_popup(script *s, lsp__buffer *b) {
  put_document(s, b);
  put_position(s, b, "position");
}

static void command(script *s, lsp__buffer *b) {
  static const char *const commands[] = {"fimd.why", "fimd.showStatistics", "rm"};
  put_word(s, b, "command", commands, 3);
  lsp__json_key(b, "arguments");
  if (odd(s, b)) return;
  lsp__json_begin(b, '[');
  begin(b, NULL);
  put_uri(s, b);
  lsp__json_end(b, '}');
  lsp__json_end(b, ']');
}

static void cancel(script *s, lsp__buffer *b) {
  lsp__json_key(b, "id");
  if (!odd(s, b)) lsp__json_int(b, s->next_id - 1 - fuzz_u8(s->in) % 4);
}

static void files(script *s, lsp__buffer *b) {
  lsp__json_key(b, "changes");
  if (odd(s, b)) return;
  lsp__json_begin(b, '[');
  for (unsigned n = fuzz_u8(s->in) % 3; n > 0; n--) {
    begin(b, NULL);
    put_uri(s, b);
    lsp__json_put_int(b, "type", 1 + n);
    lsp__json_end(b, '}');
  }
  lsp__json_end(b, ']');
}

static void folders(script *s, lsp__buffer *b) {
  begin(b, "event");
  put_folders(s, b, "added");
  put_folders(s, b, "removed");
  lsp__json_end(b, '}');
}

static void configuration(script *s, lsp__buffer *b) {
  lsp__json_key(b, "settings");
  if (odd(s, b)) return;
  lsp__json_begin(b, '{');
  put_settings(s, b);
  lsp__json_end(b, '}');
}

static void trace(script *s, lsp__buffer *b) {
  static const char *const traces[] = {"off", "messages", "verbose"};
  put_word(s, b, "value", traces, 3);
}

static void why(script *s, lsp__buffer *b) { if (fuzz_u8(s->in) & 1) put_uri(s, b); }
static void nothing(script *s, lsp__buffer *b) { (void)s, (void)b; }

static const struct method {
  const char *name;
  bool request;
  void (*params)(script *s, lsp__buffer *b);
} methods[] = {
    {"textDocument/didChange", false, did_change},
    {"textDocument/inlineCompletion", true, inline_completion},
    {"textDocument/didOpen", false, did_open},
    {"$/cancelRequest", false, cancel},
    {"textDocument/completion", true, completion_popup},
    {"initialize", true, initialize},
    {"initialized", false, nothing},
    {"textDocument/didClose", false, put_document},
    {"textDocument/didSave", false, put_document},
    {"workspace/executeCommand", true, command},
    {"fimd/status", true, nothing},
    {"fimd/why", true, why},
    {"workspace/didChangeConfiguration", false, configuration},
    {"workspace/didChangeWatchedFiles", false, files},
    {"workspace/didChangeWorkspaceFolders", false, folders},
    {"$/setTrace", false, trace},
    {"shutdown", true, nothing},
    {"exit", false, nothing},
    {"no/such", true, nothing},
};

/* To one of the requests that the daemon makes itself. */
static void answer(script *s, lsp__buffer *b) {
  unsigned n = fuzz_u8(s->in);
  lsp__json_begin(b, '{');
  lsp__json_put_text(b, "jsonrpc", "2.0");
  lsp__json_put_int(b, "id", n % 5);
  if (n & 0x80) {
    begin(b, "error");
    lsp__json_end(b, '}');
  } else {
    lsp__json_key(b, "result");
    lsp__json_begin(b, '[');
    lsp__json_begin(b, '{');
    put_number(s, b, "maxTokens");
    lsp__json_end(b, '}');
    lsp__json_end(b, ']');
  }
  lsp__json_end(b, '}');
}

static void message(script *s, const struct method *m, lsp__buffer *b) {
  lsp__json_begin(b, '{');
  lsp__json_put_text(b, "jsonrpc", "2.0");
  if (m->request) lsp__json_put_int(b, "id", s->next_id++);
  lsp__json_put_text(b, "method", m->name);
  lsp__json_key(b, "params");
  lsp__json_begin(b, '{');
  m->params(s, b);
  lsp__json_end(b, '}');
  lsp__json_end(b, '}');
  if (strcmp(m->name, "exit") == 0) s->over = true;
}

script_kind script_next(script *s, lsp__buffer *body, bool *asked) {
  const size_t n = sizeof methods / sizeof *methods;
  unsigned op = fuzz_u8(s->in);
  size_t len;
  *asked = false;
  if (op >= 0xC0 && op < 0xE0) return SCRIPT_WAIT;
  if (op >= 0xE0 && op < 0xF0) return SCRIPT_MODEL;
  if (op == 0xFF) {
    const char *raw = fuzz_take(s->in, fuzz_u8(s->in), &len);
    lsp__buffer_append(body, raw, len);
    s->over = s->raw = true;
    return SCRIPT_RAW;
  }
  if (op >= 0xF0) {
    answer(s, body);
    return SCRIPT_MESSAGE;
  }
  const struct method *m = &methods[op % n];
  *asked = m->request;
  message(s, m, body);
  return SCRIPT_MESSAGE;
}
