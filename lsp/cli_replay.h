/* cli_replay.h - `fimd replay`: what its files share. What the figures mean is said once, in
 * cli_replay.c. Private to lsp/. */
#ifndef FIMD_LSP_CLI_REPLAY_H
#define FIMD_LSP_CLI_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define REPLAY_KEYS 3         /* keystrokes typed into a hole */
#define REPLAY_LINES_MAX 8    /* of a hole */
#define REPLAY_HOLE_MIN 7     /* characters of a hole's first line: more than are typed */
#define REPLAY_REPEAT 6       /* non-blank characters that count as a repeated suffix */
#define REPLAY_COMPARED 4096  /* characters of a text that are compared */

typedef enum replay_kind {
  REPLAY_HUNK,
  REPLAY_TAIL,
  REPLAY_MIDDLE,
  REPLAY_NODE,
  REPLAY_KINDS
} replay_kind;

const char *replay__kind_name(replay_kind kind);
/* "hunk" and so on to the kind. False: no such name. */
bool replay__kind_parse(const char *name, replay_kind *kind);

/* ---- random numbers that a seed repeats (cli_replay_holes.c) ----------------------------- */

typedef struct replay_random {
  uint64_t state;
} replay_random;

/* 0..below-1; 0 for below 0. */
size_t replay__pick(replay_random *r, size_t below);

/* ---- git (cli_replay_git.c) -------------------------------------------------------------- */

/* Texts are zero-terminated and owned by the caller; NULL on failure, which is said on standard
 * error where `loud`. `root` is a folder. */
char *replay__git_root(const char *folder); /* the work tree's, or a bare repository's own */
char *replay__git_head(const char *root);   /* the commit's id */
/* The newest ids, apart by line ends, no merges. */
char *replay__git_commits(const char *root, const char *head, int most);
/* What a commit changed in files that were there before, without lines of context. */
char *replay__git_diff(const char *root, const char *commit, size_t *len);
/* A file of a revision ("ID", "ID^"). */
char *replay__git_file(const char *root, const char *revision, const char *path, size_t *len);
/* Entries "mode type id\tpath", each zero-terminated: of the folder ("lib/"; "": the root), or of
 * the whole tree where that is NULL. */
char *replay__git_list(const char *root, const char *revision, const char *folder, size_t *len);

/* ---- holes (cli_replay_holes.c): pure ------------------------------------------------------ */

/* Consecutive lines that a commit put in the place of others. */
typedef struct replay_hunk {
  const char *path;      /* [path_len] borrowed from the diff */
  size_t path_len;
  int old_line, old_count; /* as "@@ -old_line,old_count" has them */
  const char *added;     /* borrowed: the first "+" line */
  int n_added;
} replay_hunk;

/* The next hunk with added lines at or after *at, which moves behind it. False: no more. */
bool replay__hunk_next(const char *diff, size_t len, size_t *at, replay_hunk *out);

/* A place where text is taken away. */
typedef struct replay_hole {
  char *text; /* [len] owned: with the hole's text in place; zero-terminated */
  size_t len;
  size_t from, to; /* the hole: neither empty nor beginning or ending in blanks */
} replay_hole;

/* Each: 1 with a hole, 0 where there is none at the place that was picked, -1 out of memory.
 * On 1 out->text is a new text, else NULL. */
/* Some of the hunk's added lines, in the old file with the hunk's earlier lines applied. */
int replay__hole_hunk(replay_random *r, const char *old, size_t len, const replay_hunk *hunk,
                      replay_hole *out);
/* From a place in a line to its end. */
int replay__hole_tail(replay_random *r, const char *text, size_t len, replay_hole *out);
/* A node of a line (middle), or one of several lines (node). uri: for its ending. */
int replay__hole_node(replay_random *r, replay_kind kind, const char *uri, const char *text,
                      size_t len, replay_hole *out);
bool replay__hole_is_single(const replay_hole *h);
/* UTF-8 without zero bytes or carriage returns, of a size and a shape that people write. */
bool replay__text_is_fit(const char *text, size_t len);

/* ---- a repository's holes (cli_replay_source.c) ------------------------------------------ */

typedef struct replay_source {
  char *root, *head; /* owned: an absolute path, a commit's id */
  char *commits;     /* owned: zero-terminated ids, one behind the other */
  int n_commits;
  char *tree;         /* owned: what `files` points into */
  const char **files; /* [n_files] owned array: code */
  int n_files;
} replay_source;

/* A hole and where it is from. */
typedef struct replay_find {
  replay_hole hole;    /* replay__find_free */
  char *path;          /* owned: from the root */
  char revision[80];   /* which the files beside it are of */
  const char *language; /* LSP language id */
} replay_find;

/* False: not a repository with a commit; said on standard error. */
bool replay__source_open(replay_source *s, const char *folder, int commits);
void replay__source_close(replay_source *s);
/* As the hole functions. */
int replay__source_try(const replay_source *s, replay_kind kind, replay_random *r,
                       replay_find *out);
void replay__find_free(replay_find *f);
/* The LSP language id of a file of code; NULL for any other. */
const char *replay__language(const char *path);
/* Paths, at most `most`, of code in the same language that lies beside the file; owned strings.
 * Returns how many. */
int replay__neighbours(const replay_source *s, const replay_find *f, char **paths, int most);

/* ---- figures of one hole (cli_replay_score.c): pure --------------------------------------- */

typedef enum replay_stop { REPLAY_STOP_RIGHT, REPLAY_STOP_SHORT, REPLAY_STOP_LONG } replay_stop;

typedef struct replay_score {
  bool shown, exact, repeats;
  double similarity; /* 0..1 */
  replay_stop stop;
  size_t saved; /* characters */
  int leaked;   /* special tokens */
} replay_score;

/* shown: ghost text from the cursor on, "" or NULL for none; truth: [truth_len] what stands there
 * instead, of which the last absorbed_len bytes are text after the hole that the ghost text takes
 * the place of; after: [after_len] what follows both. False: out of memory. */
bool replay__score(const char *shown, const char *truth, size_t truth_len, size_t absorbed_len,
                   const char *after, size_t after_len, replay_score *out);

/* 1 less the edits between them for each character of the longer; 1 where both are empty. -1:
 * out of memory. */
double replay__similarity(const char *a, size_t a_len, const char *b, size_t b_len);
/* Non-blank characters at the end of a that b begins with. */
size_t replay__repeated(const char *a, size_t a_len, const char *b, size_t b_len);
replay_stop replay__stop_of(const char *shown, size_t len, const char *truth, size_t truth_len);
int replay__leaked(const char *text);

/* --compare: how the last request is asked again. */
typedef enum replay_variant {
  REPLAY_ANEW,
  REPLAY_WITHOUT_GATE,
  REPLAY_WITHOUT_POLISH,
  REPLAY_VARIANTS
} replay_variant;

/* All that one hole gave. */
typedef struct replay_outcome {
  replay_score score;
  int errors_asked, errors_after, errors_true; /* -1: not known */
  double first_ms, typed_ms[REPLAY_KEYS]; /* the request on opening; after each keystroke */
  double prefilled_first, prefilled_typed; /* tokens; the second for all keystrokes */
} replay_outcome;

/* ---- one hole through the daemon (cli_replay_play.c) --------------------------------------- */

typedef struct cli_client cli_client;

/* Opens the file with the hole cut out and files beside it, types, asks at every keystroke and
 * closes them. *shown: the measured ghost text from the cursor on, owned by the caller, or NULL.
 * False: the daemon failed, or out of memory. */
/* variants: NULL, or [REPLAY_VARIANTS], of which only the scores and errors are set. */
bool replay__play(cli_client *c, const replay_source *s, const replay_find *f,
                  replay_outcome *out, replay_outcome *variants, char **shown);
/* Bytes of the hole's text that are typed. */
size_t replay__typed(const replay_hole *h);
/* Waits until the model is loaded and the workspace is read. */
bool replay__wait_ready(cli_client *c);

/* ---- figures of many (cli_replay_report.c) ------------------------------------------------ */

typedef struct replay_sums {
  long holes, shown, exact, repeats, leaked, stops[3];
  long parsed, whole, broken, wrong; /* see cli_replay.c */
  long errors_added;
  double similarity, saved, prefilled_first, prefilled_typed;
  double *first_ms, *last_ms, *typed_ms; /* [holes], [holes], [holes * REPLAY_KEYS] owned */
} replay_sums;

/* False: out of memory. */
bool replay__sums_add(replay_sums *s, const replay_outcome *o);
void replay__sums_free(replay_sums *s);
/* sums: [REPLAY_KINDS + 1], of each kind and, last, of all. Percentiles sort their arrays. */
void replay__print_table(replay_sums *sums);
/* sums: [REPLAY_VARIANTS]. */
void replay__print_variants(const replay_sums *sums);
struct cJSON;
void replay__add_json(struct cJSON *to, replay_sums *sums);

#endif
