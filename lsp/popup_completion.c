/* popup_completion.c - textDocument/completion: the same text as an item of the editor's popup,
 * for editors without inline completions (Emacs's eglot shows it, too, as a preview).
 *
 * eglot matches candidates against the symbol at point and inserts plain insertText, so the
 * text begins with that symbol and there is no textEdit unless text right of the cursor has to
 * go. The label is the first line. The list is incomplete: another letter asks again. */
#include <string.h>

#include "lsp/internal.h"
#include "lsp/json.h"
#include "lsp/utf8.h"

#define LABEL_MAX 80 /* bytes */

static bool in_symbol(unsigned char c) {
  return c == '_' || c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
         (c >= 'a' && c <= 'z');
}

static void write_label(lsp__buffer *b, const char *text, size_t len) {
  const char *end = memchr(text, '\n', len);
  if (end != NULL) len = (size_t)(end - text);
  while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == ' ')) len--;
  bool cut = len > LABEL_MAX;
  if (cut)
    for (len = LABEL_MAX; len > 0 && lsp__utf8_is_continuation((unsigned char)text[len]);) len--;
  lsp__buffer label = {0};
  lsp__buffer_append(&label, text, len);
  if (cut) lsp__buffer_puts(&label, "\xE2\x80\xA6");
  lsp__json_key(b, "label");
  lsp__json_string_n(b, label.data != NULL ? label.data : "", label.len);
  b->failed = b->failed || label.failed;
  lsp__buffer_free(&label);
}

/* edit: the text takes the place of start..end; else the editor puts it where the symbol is. */
static void write_item(const lsp__request *r, const lsp__document *d, const char *text, size_t len,
                       bool edit, size_t start, size_t end, lsp__buffer *b) {
  lsp__json_begin(b, '{');
  write_label(b, text, len);
  lsp__json_key(b, "kind");
  lsp__json_int(b, 1); /* Text */
  lsp__json_key(b, "detail");
  lsp__json_string(b, "fimd");
  if (memchr(text, '\n', len) != NULL) {
    lsp__json_key(b, "documentation");
    lsp__json_string_n(b, text, len);
  }
  lsp__json_key(b, "insertTextFormat");
  lsp__json_int(b, 1); /* plain text */
  if (r->client->can_insert_as_is) {
    lsp__json_key(b, "insertTextMode");
    lsp__json_int(b, 1); /* as it is: the indentation is part of it */
  }
  lsp__json_key(b, edit ? "textEdit" : "insertText");
  if (edit) {
    lsp__json_begin(b, '{');
    lsp__json_key(b, "range");
    lsp__range_write(r, d, start, end, b);
    lsp__json_key(b, "newText");
  }
  lsp__json_string_n(b, text, len);
  if (edit) lsp__json_end(b, '}');
  lsp__json_end(b, '}');
}

static bool write_symbol_item(const lsp__request *r, const lsp__document *d,
                              const lsp__mail *mail, lsp__buffer *b) {
  const char *doc = d->text.data;
  size_t symbol = r->offset, start = mail->replace_start, end = mail->replace_end;
  while (symbol > 0 && in_symbol((unsigned char)doc[symbol - 1])) symbol--;
  bool edit = false;
  lsp__buffer text = {0};
  if (start >= symbol) {
    lsp__buffer_append(&text, doc + symbol, start - symbol);
    lsp__buffer_append(&text, mail->text, mail->len);
  } else if (mail->len >= symbol - start && memcmp(mail->text, doc + start, symbol - start) == 0) {
    lsp__buffer_append(&text, mail->text + (symbol - start), mail->len - (symbol - start));
  } else {
    symbol = start; /* it changes what is left of the symbol */
    edit = true;
    lsp__buffer_append(&text, mail->text, mail->len);
  }
  /* Text right of the cursor that would be put back as it was is left alone. */
  size_t right = end - r->offset;
  if (right > 0 && text.len >= right &&
      memcmp(text.data + text.len - right, doc + r->offset, right) == 0) {
    text.len -= right;
    end = r->offset;
  }
  edit = edit || end > r->offset;
  b->failed = b->failed || text.failed;
  bool shown = text.len > r->offset - symbol;
  if (shown) write_item(r, d, text.data, text.len, edit, symbol, end, b);
  lsp__buffer_free(&text);
  return shown;
}

static bool write_list(const lsp__request *r, const lsp__mail *mail, lsp__buffer *b) {
  const lsp__document *d = r != NULL ? lsp__client_document(r->client, r->uri) : NULL;
  bool fits = d != NULL && lsp__mail_fits(r, d, mail);
  bool shown = false;
  lsp__json_begin(b, '{');
  lsp__json_key(b, "isIncomplete");
  lsp__json_bool(b, true);
  lsp__json_key(b, "items");
  lsp__json_begin(b, '[');
  if (fits) shown = write_symbol_item(r, d, mail, b);
  lsp__json_end(b, ']');
  lsp__json_end(b, '}');
  return shown;
}

static bool write_result(lsp__request *r, const lsp__mail *mail, lsp__buffer *b) {
  return write_list(r, mail, b);
}

static void write_empty(lsp__buffer *b) { write_list(NULL, NULL, b); }

static const lsp__handler handler = {
    .popup = true, .write_result = write_result, .write_empty = write_empty};

void lsp__popup_completion(lsp__client *c, lsp__id id, const cJSON *params) {
  lsp__document *d;
  lsp__request *r = lsp__request_new(c, &handler, id, params, &d);
  if (r != NULL) lsp__request_submit(r);
}
