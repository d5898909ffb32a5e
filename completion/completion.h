/* completion.h - what to ask the model, and what to show of its answer.
 *
 * Takes documents and a cursor, reads the code around it with tree-sitter, lays out a
 * fill-in-the-middle prompt within a token budget, runs it on the engine, decides when to stop
 * and polishes the text. Knows nothing of JSON-RPC: positions are byte offsets in UTF-8.
 *
 * Threads: every function here may be called from one "front" thread (the LSP loop). Context,
 * prompt and decoding run on the engine thread; on_update and on_done are called there. Folders are
 * read, and documents that were opened are parsed, by a thread each.
 *
 * Errors: 0 or a negative completion_status. */
#ifndef FIMD_COMPLETION_H
#define FIMD_COMPLETION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"

typedef enum completion_status {
  COMPLETION_OK = 0,
  COMPLETION_ENOMEM = -1,
  COMPLETION_EINVAL = -2,     /* no such document, offset past the end, not a character start */
  COMPLETION_ECANCELLED = -3,
  COMPLETION_EENGINE = -4,    /* the engine failed; result.message says how */
  COMPLETION_EUNFIT = -5,     /* the model has no FIM tokens */
} completion_status;

const char *completion_strstatus(int status);

typedef struct completion completion;
typedef struct completion_job completion_job;

/* ---- options --------------------------------------------------------------------------- */

typedef struct completion_options {
  int prompt_tokens;     /* budget for the whole prompt; 0: 2048, at most the context less
                            max_tokens */
  int max_tokens;        /* most tokens of a completion; 0: 64 */
  int max_lines;         /* most lines shown; 0: 8 */
  bool no_context;       /* leave out what tree-sitter finds (signatures, other files) */
  bool no_gate;          /* show also what the grammar cannot read */
  bool no_polish;        /* show what the model wrote as it is (for measuring) */
  /* Where an automatic request is not even begun: */
  bool no_comments, no_strings; /* inside of them */
  bool mid_line;         /* true: also where the rest of the line is more than closers and blanks */
  float confidence;      /* 0 to 1: an automatic request shows nothing whose tokens' probabilities
                            have a smaller geometric mean; 0: no such limit */
  bool no_draft;         /* decode plainly, one token a step */
  engine_draft draft;    /* how tokens are guessed ahead; zeroed: from all sources */
  float temperature;     /* 0: greedy */
  float top_p;
  uint64_t seed;
} completion_options;

/* *out is owned by the caller. The engine is borrowed until completion_delete. The options are
 * copied; NULL means all defaults. Creates one session on the engine. */
int completion_new(completion **out, engine *e, const completion_options *options);
/* Cancels what runs, waits for it (its on_done is called), frees all. NULL is a no-op. */
void completion_delete(completion *c);
/* Puts the defaults where prompt_tokens, max_tokens and max_lines are 0. */
void completion_fill_options(completion_options *options);
/* New options for the requests that start from now on. */
int completion_set_options(completion *c, const completion_options *options);

/* Loads every grammar. Returns how many languages there are; bad[size] gets the names of those
 * whose grammar or queries cannot be used, apart by blanks, or "". Needs no engine. */
int completion_check_languages(char *bad, size_t size);

/* ---- code by its grammar: for measuring; any thread ------------------------------------ */

/* In how many places the grammar cannot read the text: nodes that are ERROR or MISSING. The
 * language is found as a document's. COMPLETION_EINVAL: no grammar, or a text over 1 MiB. */
int completion_parse_errors(const char *language_id, const char *uri, const char *text, size_t len);

typedef struct completion_node {
  size_t start, end; /* bytes */
} completion_node;

/* The named nodes of low to high lines, comments and broken ones aside, parents first. Returns how
 * many, or as above or COMPLETION_ENOMEM; *nodes is owned by the caller: free. */
int completion_parse_nodes(const char *language_id, const char *uri, const char *text, size_t len,
                           int low, int high, completion_node **nodes);

/* ---- documents ------------------------------------------------------------------------- */

/* A text the editor has open, or that the command line read. Everything is copied. */
typedef struct completion_document {
  const char *uri;         /* its identity: "file:///..." or any other string */
  const char *language_id; /* LSP's: "c", "cpp", "python", "typescript", "typescriptreact", ...;
                              NULL or unknown: guessed from the uri's ending */
  const char *text;        /* [len] UTF-8 */
  size_t len;
} completion_document;

/* Adds the document or replaces its text. */
int completion_document_set(completion *c, const completion_document *d);
void completion_document_remove(completion *c, const char *uri);

/* A workspace folder: paths in prompts are relative to it and its base name is the repository
 * name. "path" is a file path, not a uri. */
int completion_root_add(completion *c, const char *path);
void completion_root_remove(completion *c, const char *path);

/* Much has changed in a folder that was added, or the rules of what may be read: all of it is
 * looked at again, in the background. */
int completion_root_changed(completion *c, const char *path);

/* The files of the workspace folders that git does not ignore, that are no secrets, not binary and
 * not huge are read, in the background, into the pool that guesses come from (engine.h). */
typedef struct completion_workspace_info {
  bool busy;      /* folders are being walked, or documents that were opened are parsed */
  int status;     /* completion_status of the last walk */
  int files;      /* that the folders' last walks read */
  size_t bytes;   /* of them */
  int left_out;   /* secret, binary, too large or unreadable */
  bool cut;       /* there were more than are read */
  double ms;      /* that it took */
} completion_workspace_info;
completion_workspace_info completion_workspace_get_info(completion *c);
/* Returns when nothing is left to read. */
void completion_workspace_wait(completion *c);
/* Is it a file with ignore rules? They say which other files may be read. */
bool completion_is_rules(const char *path);
/* A file was written, made or removed on the disk; path is absolute. One with ignore rules also
 * says anew which open documents others may show. */
void completion_file_changed(completion *c, const char *path);
/* Calls on_file with each file that was read, absolute, until it returns non-zero: that then. It
 * must not call back. */
int completion_workspace_each(completion *c, int (*on_file)(void *user, const char *path),
                              void *user);
/* The pool, with the documents as of the last request. Borrowed until completion_delete. */
engine_pool *completion_pool(completion *c);

/* ---- a request ------------------------------------------------------------------------- */

typedef enum completion_stop {
  COMPLETION_STOP_NONE = 0,
  COMPLETION_STOP_MODEL,     /* the model ended it */
  COMPLETION_STOP_LINE,      /* a single line was asked for or decided on */
  COMPLETION_STOP_BLOCK,     /* the block begun at the cursor is complete */
  COMPLETION_STOP_SUFFIX,    /* it began to repeat what follows the cursor */
  COMPLETION_STOP_REPEAT,    /* it began to repeat itself */
  COMPLETION_STOP_LIMIT,     /* max_tokens, max_lines or the context */
  COMPLETION_STOP_CANCELLED,
} completion_stop;

const char *completion_strstop(completion_stop stop);

/* Why nothing is shown. */
typedef enum completion_quiet {
  COMPLETION_QUIET_NO = 0,   /* there is text */
  COMPLETION_QUIET_COMMENT,  /* in a comment: no_comments */
  COMPLETION_QUIET_STRING,   /* in a string: no_strings */
  COMPLETION_QUIET_MID_LINE, /* there is code to the right of the cursor: not mid_line */
  COMPLETION_QUIET_NOTHING,  /* the model wrote nothing, or nothing but blanks */
  COMPLETION_QUIET_THERE,    /* all that it wrote stands there already */
  COMPLETION_QUIET_BROKEN,   /* the grammar cannot read it, no part of it either */
  COMPLETION_QUIET_UNSURE,   /* the model was not sure enough: confidence */
} completion_quiet;

/* One or two words, as "mid-line". */
const char *completion_strquiet(completion_quiet quiet);

/* How a request was answered. */
typedef enum completion_source {
  COMPLETION_FROM_MODEL = 0, /* it was decoded for this request */
  COMPLETION_FROM_TYPED,     /* the last answer, or a running request's, of which some was typed */
  COMPLETION_FROM_RECENT,    /* an answer of before, at the same place in the same text */
  COMPLETION_FROM_NOTHING,   /* not even begun: quiet */
} completion_source;
const char *completion_strsource(completion_source source);

/* A piece of the prompt, in the order of rank. */
typedef struct completion_piece {
  const char *path;   /* of the file, relative to its workspace folder */
  const char *why;    /* "scope", "import", "referenced", "imported", ... */
  int line, lines;    /* where it stands in the file, from 0, and how many it has */
  double score;       /* what it was ranked by */
  bool chosen;        /* it is in the prompt; else there was no room */
} completion_piece;

/* What was decided, and what for. */
typedef struct completion_why {
  completion_quiet quiet;
  completion_source source;
  const char *extent; /* how much was asked for: "line", "statement", "block" */
  const char *language; /* the grammar's name, or "" */
  double confidence;  /* geometric mean of the tokens' probabilities; 0: not known */
  int errors;         /* places the grammar cannot read with the text, less those without it; valid
                         where gated */
  bool gated;         /* the grammar was asked */
  bool unjudged;      /* it was, and had no time to say anything: nothing was cut */
  bool hurried;       /* it was, and had no time for every shorter text: more was cut, perhaps */
  int cut;            /* bytes that were taken away from what the model wrote, for it */
  const completion_piece *pieces; /* [n_pieces] of the prompt */
  int n_pieces;
} completion_why;

typedef struct completion_stats {
  int prompt_tokens;
  int prefilled_tokens; /* of them, computed for this request (the rest was in the KV cache) */
  int tokens, steps;    /* of the answer itself, without further candidates */
  int late_steps;       /* of them, begun or under way when the request was cancelled */
  int drafted, accepted; /* guesses that the steps verified, and those of them in the answer */
  int context_pieces;   /* signatures and snippets that tree-sitter contributed */
  double context_ms, prompt_ms, prefill_ms, first_token_ms, decode_ms, total_ms;
  double host_ms;       /* of decode_ms, outside the model's steps */
  double gate_ms;       /* parsing what was written, polish included */
} completion_stats;

typedef struct completion_result {
  int status;          /* completion_status; text is empty unless 0 */
  const char *message; /* words for a person where status is negative, else NULL */
  const char *text;    /* [len] what to show, UTF-8, zero-terminated; begins with the selected
                          text where the query has one; may be empty */
  size_t len;
  size_t replace_start, replace_end; /* bytes of the document that the text takes the place of;
                          replace_start <= cursor <= replace_end, all on the cursor's line */
  bool final;          /* false in on_update */
  /* Where the query asks for several: the others, distinct, best first, each taking the place of
   * the same bytes. [n_others] zero-terminated. */
  const char *const *others;
  int n_others;
  completion_why why;  /* zeroed in on_update */
  completion_stop stop;
  completion_stats stats;
} completion_result;

#define COMPLETION_CANDIDATES_MAX 5

typedef enum completion_mode {
  COMPLETION_AUTO = 0,    /* by syntax: inside a line one line; at a block's start several */
  COMPLETION_SINGLE_LINE,
  COMPLETION_MULTI_LINE,
} completion_mode;

typedef struct completion_query {
  const char *uri; /* of a document that was set; copied */
  size_t offset;   /* cursor, bytes */
  completion_mode mode;
  /* The editor's own popup has an item selected that would replace selected_start..offset
   * by selected_text (LSP selectedCompletionInfo). The completion continues that text.
   * NULL: none. Copied. */
  const char *selected_text;
  size_t selected_start;
  size_t selected_end;
  int max_tokens; /* 0: the option's */
  const char *without; /* for measuring: "gate" or "polish", which the answer does without, or "";
                          it is not taken from an answer of before. Borrowed for the call */
  const char *replay; /* for measuring: what is taken for the model's own text from the cursor on,
                         as long as it lasts (engine_generate_params.replay). Copied. NULL: none */
  bool automatic; /* nobody asked for it by hand: it may be kept quiet (completion_options) */
  int candidates; /* most texts, up to COMPLETION_CANDIDATES_MAX; 0: one */
  /* Each whole first line and later growth, polished as if final; the next update or the
   * result extends or replaces it. NULL: not wanted. The result is borrowed for the call. */
  void (*on_update)(void *user, const completion_result *partial);
  /* A request of this object that was typed into (completion_job_type) and whose cursor is where
   * this one's is: its text becomes this one's, and its lines are told to this one while it runs.
   * Borrowed for the call. NULL: none. */
  completion_job *follows;
  /* Exactly once for every started request, whatever happens. Borrowed for the call. */
  void (*on_done)(void *user, const completion_result *result);
  void *user;
} completion_query;

/* The prompt that a request at this place would have, were it the first; and the pool is brought up
 * to the documents, with this one in focus. Appends to *out. Waits for the engine thread. For
 * measuring. COMPLETION_EINVAL, COMPLETION_EUNFIT, COMPLETION_ENOMEM. */
int completion_prompt(completion *c, const char *uri, size_t offset, engine_tokens *out);

/* Starts a request; it sees the documents as they are now. On success *job (may be NULL) is a
 * reference owned by the caller: completion_job_release. On failure on_done is never called. */
int completion_start(completion *c, const completion_query *query, completion_job **job);
/* Asks a request to end at the next decode step or prefill chunk; its result will have
 * status COMPLETION_ECANCELLED unless it had already finished. Not after completion_delete. */
void completion_job_cancel(completion_job *job);
void completion_job_release(completion_job *job);

/* Typing through: the document has changed by nothing but text[len] that was put in at the cursor
 * of the request, or where it was typed into before, at the end of that. Where this agrees with
 * what the request has written, or may write, it goes on, its on_update is called no more, and a
 * request at the new place is answered from it. Returns how many bytes of the text the cursor is
 * past: all, but of a pair of brackets or quotes, the second of which editors add, one.
 * COMPLETION_ECANCELLED: it does not agree, has not begun or is over; the request should be
 * cancelled. Not after completion_delete. */
long completion_job_type(completion_job *job, const char *text, size_t len);

#endif
