/* settings.h - what a client may set, under "fimd" in initializationOptions and in
 * workspace/didChangeConfiguration. See settings.c for the keys. */
#ifndef FIMD_LSP_SETTINGS_H
#define FIMD_LSP_SETTINGS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "completion/completion.h"
#include "lsp/buffer.h"

#define LSP__LANGUAGES_MAX 64

/* Plain data, copied by assignment. */
typedef struct lsp__settings {
  bool enable;
  bool popup;     /* answer textDocument/completion; read at initialize */
  bool streaming; /* fimd/inlineCompletion/didUpdate; read at initialize */
  completion_options completion;
  int candidates; /* most texts of an answer that was asked for by hand */
  int debounce;   /* milliseconds: the longest that a request waits (debounce.h) */
  float unload_after; /* minutes; 0: never. Of the engine, and so for all clients */
  int language_count;
  struct {
    char name[32]; /* a language id, or "*" for all others */
    bool on;
  } languages[LSP__LANGUAGES_MAX];
} lsp__settings;

void lsp__settings_init(lsp__settings *s, const completion_options *start);
/* Takes what is good in the object; says of each other member why it was left, through tell. */
void lsp__settings_apply(lsp__settings *s, const cJSON *object,
                         void (*tell)(void *user, const char *text), void *user);
/* Whether guesses may come from the files of the workspace, so that they have to be read. */
bool lsp__settings_reads_workspace(const lsp__settings *s);
bool lsp__settings_language_on(const lsp__settings *s, const char *language);
/* unloadAfter and --unload-after as the engine takes them: nothing but 0 becomes 0, "never". */
int lsp__minutes_to_ms(float minutes);
/* The settings as an object. */
void lsp__settings_write(const lsp__settings *s, lsp__buffer *b);

#endif
