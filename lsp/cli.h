/* cli.h - the command line: what its commands share. Private to lsp/. */
#ifndef FIMD_LSP_CLI_H
#define FIMD_LSP_CLI_H

#include "completion/completion.h"
#include "engine/engine.h"
#include "lsp/lsp.h"

/* What the options of any command were set to. Strings are borrowed from argv. */
typedef struct cli_options {
  engine_options engine;
  completion_options completion;
  lsp_options lsp;
  bool json, count, decode, color, no_color, special, quick;
  completion_mode mode;
  const char *ids, *workspace;
  bool own;  /* bench lookahead: the model's own text */
  int holes; /* of each kind; replay: in all */
  int commits;
  const char *kind; /* of hole */
  bool show, help, compare; /* replay */
  const char *draft; /* as --draft has it, or NULL */
  int candidates; /* of complete; 0: one */
  bool why;
  bool write; /* setup */
  int most;  /* guesses of every step, whatever it costs; 0: by cost */
  int n;
  const char **with; /* [n_with] borrowed from argv; owned array */
  int n_with;
  const char **args; /* [n_args] what is left after the options; owned array */
  int n_args;
} cli_options;

/* Commands return the process's exit code: 0, 1 where it failed, 2 for wrong usage. */
int cli_complete(const cli_options *o);
int cli_tokenize(const cli_options *o);
int cli_generate(const cli_options *o);
int cli_bench(const cli_options *o);
int cli_bench_engine(const cli_options *o); /* args[0] is "engine" */
int cli_bench_lookahead(const cli_options *o); /* args[0] is "lookahead" */
int cli_bench_keys(const cli_options *o);      /* args[0] is "keys" */
int cli_doctor(const cli_options *o);
int cli_setup(const cli_options *o);
int cli_demo(const cli_options *o);
int cli_replay(const cli_options *o);
int cli_trace(const cli_options *o);

/* Opens the engine or says on standard error why not. NULL on failure. */
engine *cli_engine_open(const cli_options *o);
/* A whole file ("-" and NULL: standard input), zero-terminated, owned by the caller. NULL on
 * failure, said on standard error. Files over 64 MiB are refused. */
char *cli_read_file(const char *path, size_t *len);
double cli_now_ms(void);
/* Prints and frees a JSON value. Returns 0, or 1 if memory ran out. */
struct cJSON;
int cli_print_json(struct cJSON *json);

/* One completion, start to end, on a completion service that the caller owns. Texts are owned by
 * *out: cli_result_free. Returns a completion_status. */
typedef struct cli_result {
  char *text;
  char *message; /* where status is negative */
  int status;
  size_t replace_start, replace_end;
  completion_stop stop;
  completion_stats stats;
  struct cJSON *others; /* an array of texts */
  struct cJSON *why;    /* completion_why as an object */
} cli_result;
int cli_run(completion *c, const completion_query *query, cli_result *out);
void cli_result_free(cli_result *r);

#endif
