/* settings.c - the keys, their types and bounds.
 *
 * A setting from a workspace can change how completions are made, never what program runs or
 * which file is read or what the model is loaded into: model, backend, threads and GPU memory
 * belong to the command line. */
#include "lsp/settings.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "lsp/debounce.h"
#include "lsp/json.h"

typedef enum kind { BOOL, NOT, INT, SEED, REAL, LANGUAGES, DRAFT, COMMAND_LINE, ELSEWHERE } kind;

/* ELSEWHERE: no setting, initialize reads it. NOT: true where the field is false, as options of completion/ are zero by default. */
static const struct key {
  const char *name;
  kind kind;
  size_t offset;
  double low, high;
  const char *option; /* of the command line */
} keys[] = {
    {"enable", BOOL, offsetof(lsp__settings, enable), 0, 0, NULL},
    {"popup", BOOL, offsetof(lsp__settings, popup), 0, 0, NULL},
    {"streaming", BOOL, offsetof(lsp__settings, streaming), 0, 0, NULL},
    {"languages", LANGUAGES, 0, 0, 0, NULL},
    {"maxTokens", INT, offsetof(lsp__settings, completion.max_tokens), 1, 1024, NULL},
    {"maxLines", INT, offsetof(lsp__settings, completion.max_lines), 1, 200, NULL},
    {"promptTokens", INT, offsetof(lsp__settings, completion.prompt_tokens), 64, 131072, NULL},
    {"temperature", REAL, offsetof(lsp__settings, completion.temperature), 0, 2, NULL},
    {"topP", REAL, offsetof(lsp__settings, completion.top_p), 0, 1, NULL},
    {"seed", SEED, offsetof(lsp__settings, completion.seed), 0, 9007199254740992.0, NULL},
    {"noContext", BOOL, offsetof(lsp__settings, completion.no_context), 0, 0, NULL},
    {"comments", NOT, offsetof(lsp__settings, completion.no_comments), 0, 0, NULL},
    {"strings", NOT, offsetof(lsp__settings, completion.no_strings), 0, 0, NULL},
    {"midLine", BOOL, offsetof(lsp__settings, completion.mid_line), 0, 0, NULL},
    {"parseGate", NOT, offsetof(lsp__settings, completion.no_gate), 0, 0, NULL},
    {"confidence", REAL, offsetof(lsp__settings, completion.confidence), 0, 1, NULL},
    {"candidates", INT, offsetof(lsp__settings, candidates), 1, COMPLETION_CANDIDATES_MAX, NULL},
    {"debounce", INT, offsetof(lsp__settings, debounce), 0, 2000, NULL},
    {"draft", DRAFT, 0, 0, 0, NULL},
    {"unloadAfter", REAL, offsetof(lsp__settings, unload_after), 0, 10080, NULL},
    {"model", COMMAND_LINE, 0, 0, 0, "--model"},
    {"backend", COMMAND_LINE, 0, 0, 0, "--backend"},
    {"threads", COMMAND_LINE, 0, 0, 0, "--threads"},
    {"context", COMMAND_LINE, 0, 0, 0, "--context"},
    {"gpuMemory", COMMAND_LINE, 0, 0, 0, "--gpu-memory"},
    {"token", ELSEWHERE, 0, 0, 0, NULL},
};

typedef struct teller {
  void (*tell)(void *user, const char *text);
  void *user;
} teller;

static void say(const teller *t, const char *key, const char *what) {
  char text[256];
  snprintf(text, sizeof text, "setting fimd.%.64s %s", key, what);
  t->tell(t->user, text);
}

void lsp__settings_init(lsp__settings *s, const completion_options *start) {
  memset(s, 0, sizeof *s);
  s->enable = true;
  s->popup = true;
  s->candidates = 3;
  s->debounce = LSP__DEBOUNCE_MS;
  s->completion = *start;
}

/* {"markdown": false, "*": true} */
static void apply_languages(lsp__settings *s, const cJSON *item, const teller *t) {
  if (!cJSON_IsObject(item)) {
    say(t, "languages", "must be an object of language ids and booleans");
    return;
  }
  s->language_count = 0;
  for (const cJSON *i = item->child; i != NULL; i = i->next) {
    int n = s->language_count;
    if (!cJSON_IsBool(i) || strlen(i->string) >= sizeof s->languages[0].name) {
      say(t, "languages", "has a member that is not a language id with a boolean");
      continue;
    }
    if (n == LSP__LANGUAGES_MAX) {
      say(t, "languages", "has more members than are kept");
      return;
    }
    strcpy(s->languages[n].name, i->string);
    s->languages[n].on = cJSON_IsTrue(i);
    s->language_count++;
  }
}

static void apply_number(lsp__settings *s, const struct key *k, const cJSON *item,
                         const teller *t) {
  void *field = (char *)s + k->offset;
  int64_t whole = 0;
  bool good = cJSON_IsNumber(item) && item->valuedouble >= k->low && item->valuedouble <= k->high;
  if (good && k->kind != REAL) good = lsp__json_to_int(item, &whole);
  if (!good) {
    char what[96];
    snprintf(what, sizeof what, "must be a %snumber in %.16g..%.16g",
             k->kind == REAL ? "" : "whole ", k->low, k->high);
    say(t, k->name, what);
  } else if (k->kind == REAL) {
    *(float *)field = (float)item->valuedouble;
  } else if (k->kind == INT) {
    *(int *)field = (int)whole;
  } else {
    *(uint64_t *)field = (uint64_t)whole;
  }
}

static void apply_draft(lsp__settings *s, const cJSON *item, const teller *t) {
  engine_draft draft;
  if (!cJSON_IsString(item) || engine_draft_parse(item->valuestring, &draft) != ENGINE_OK) {
    say(t, "draft", "must be all, none, prompt, pool, recycle, lookahead or lookahead:W,N,G");
    return;
  }
  s->completion.draft = draft;
  s->completion.no_draft = draft.sources == 0;
}

static const struct key *find_key(const char *name) {
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (strcmp(keys[i].name, name) == 0) return &keys[i];
  return NULL;
}

void lsp__settings_apply(lsp__settings *s, const cJSON *object,
                         void (*tell)(void *user, const char *text), void *user) {
  teller t = {tell, user};
  if (!cJSON_IsObject(object)) {
    if (object != NULL && !cJSON_IsNull(object)) tell(user, "settings of fimd must be an object");
    return;
  }
  for (const cJSON *item = object->child; item != NULL; item = item->next) {
    const struct key *k = find_key(item->string);
    if (k == NULL) {
      say(&t, item->string, "is not known");
    } else if (cJSON_IsNull(item) || k->kind == ELSEWHERE) {
      continue; /* null: as clients say "not set" */
    } else if (k->kind == COMMAND_LINE) {
      char what[96];
      snprintf(what, sizeof what, "is read at the start only: restart with %s", k->option);
      say(&t, k->name, what);
    } else if (k->kind == LANGUAGES) {
      apply_languages(s, item, &t);
    } else if (k->kind == DRAFT) {
      apply_draft(s, item, &t);
    } else if (k->kind != BOOL && k->kind != NOT) {
      apply_number(s, k, item, &t);
    } else if (cJSON_IsBool(item)) {
      *(bool *)((char *)s + k->offset) = cJSON_IsTrue(item) == (k->kind == BOOL);
    } else {
      say(&t, k->name, "must be true or false");
    }
  }
}

bool lsp__settings_reads_workspace(const lsp__settings *s) {
  const unsigned files = 1u << ENGINE_SOURCE_IMPORTED | 1u << ENGINE_SOURCE_WORKSPACE;
  unsigned sources = s->completion.draft.sources;
  return !s->completion.no_draft && (sources == 0 || (sources & files) != 0);
}

bool lsp__settings_language_on(const lsp__settings *s, const char *language) {
  bool on = true;
  for (int i = 0; i < s->language_count; i++) {
    if (strcmp(s->languages[i].name, language) == 0) return s->languages[i].on;
    if (strcmp(s->languages[i].name, "*") == 0) on = s->languages[i].on;
  }
  return on;
}

int lsp__minutes_to_ms(float minutes) {
  double ms = (double)minutes * 60e3;
  return ms <= 0 ? 0 : ms < 1 ? 1 : (int)ms;
}

/* What engine_draft_parse would make it of again. */
static void write_draft(const completion_options *o, lsp__buffer *b) {
  static const char *const names[] = {"prompt", "pool", "recycle", "lookahead"};
  const engine_draft *d = &o->draft;
  const char *name = o->no_draft ? "none" : "all";
  char window[64];
  engine_draft named;
  for (size_t i = 0; i < sizeof names / sizeof *names && !o->no_draft; i++)
    if (engine_draft_parse(names[i], &named) == ENGINE_OK && named.sources == d->sources)
      name = names[i];
  if (!o->no_draft && d->w > 0) {
    snprintf(window, sizeof window, "lookahead:%d,%d,%d", d->w, d->n, d->g);
    name = window;
  }
  lsp__json_string(b, name);
}

void lsp__settings_write(const lsp__settings *s, lsp__buffer *b) {
  lsp__settings filled = *s; /* borrows */
  completion_fill_options(&filled.completion);
  lsp__json_begin(b, '{');
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const struct key *k = &keys[i];
    const void *field = (const char *)&filled + k->offset;
    if (k->kind == COMMAND_LINE || k->kind == ELSEWHERE) continue;
    lsp__json_key(b, k->name);
    if (k->kind == BOOL) lsp__json_bool(b, *(const bool *)field);
    if (k->kind == NOT) lsp__json_bool(b, !*(const bool *)field);
    if (k->kind == INT) lsp__json_int(b, *(const int *)field);
    if (k->kind == SEED) lsp__json_int(b, (int64_t)*(const uint64_t *)field);
    if (k->kind == REAL) lsp__json_double(b, *(const float *)field);
    if (k->kind == DRAFT) write_draft(&s->completion, b);
    if (k->kind != LANGUAGES) continue;
    lsp__json_begin(b, '{');
    for (int n = 0; n < s->language_count; n++) {
      lsp__json_key(b, s->languages[n].name);
      lsp__json_bool(b, s->languages[n].on);
    }
    lsp__json_end(b, '}');
  }
  lsp__json_end(b, '}');
}
