/* document_sync.c - didChange's content changes, as JSON, into edits. See document.h. */
#include "lsp/document.h"
#include "lsp/json.h"

bool lsp__position_parse(const cJSON *item, lsp__position *out) {
  return lsp__json_get_int(item, "line", &out->line) &&
         lsp__json_get_int(item, "character", &out->character);
}

bool lsp__range_parse(const cJSON *item, lsp__range *out) {
  return lsp__position_parse(lsp__json_get(item, "start"), &out->start) &&
         lsp__position_parse(lsp__json_get(item, "end"), &out->end);
}

/* rangeLength is deprecated and says nothing that the range does not. */
static int apply(lsp__document *d, const cJSON *change, lsp__encoding encoding, const char **why) {
  size_t len;
  const char *text = lsp__json_take_text(lsp__json_get(change, "text"), &len);
  if (text == NULL) {
    *why = "a change has no text";
    return LSP__EINVAL;
  }
  const cJSON *item = lsp__json_get(change, "range");
  int status;
  if (item == NULL || cJSON_IsNull(item)) {
    status = lsp__document_replace(d, text, len);
    if (status == LSP__OK) d->lost = false;
  } else {
    if (d->lost) return LSP__OK; /* said when it was lost; only a whole text helps */
    lsp__range range;
    if (!lsp__range_parse(item, &range)) {
      *why = "a change's range is not a range";
      return LSP__EINVAL;
    }
    status = lsp__document_edit(d, range, encoding, text, len);
  }
  if (status == LSP__ELIMIT) *why = "the text grows too large";
  if (status == LSP__ENOMEM) *why = "out of memory";
  return status;
}

int lsp__document_change(lsp__document *d, const cJSON *changes, lsp__encoding encoding,
                         const char **why) {
  int status = LSP__OK;
  if (!cJSON_IsArray(changes)) {
    *why = "contentChanges is not an array";
    d->lost = d->dirty = true;
    return LSP__EINVAL;
  }
  for (const cJSON *c = changes->child; c != NULL; c = c->next) {
    int one = apply(d, c, encoding, why);
    if (one == LSP__OK) continue;
    d->lost = d->dirty = true;
    if (status == LSP__OK) status = one;
  }
  return status;
}
