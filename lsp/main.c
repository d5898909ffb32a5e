/* main.c - the command line of fimd. The only file that ends the process. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lsp/cli.h"
#include "lsp/say.h"
#include "lsp/settings.h"

static const char help_text[] =
    "fimd " FIMD_VERSION " - fill-in-the-middle completions from your own machine, over LSP\n"
    "\n"
    "Serve an editor\n"
    "  fimd                          LSP on standard input and output (this help on a terminal)\n"
    "  fimd lsp                      the same\n"
    "    --socket PATH               a Unix socket (mode 0600) instead\n"
    "    --port N                    TCP on 127.0.0.1 instead (0: any free port, printed)\n"
    "    --token-file FILE           where to write what a client on the port must send first, in\n"
    "                                initializationOptions.fimd.token (default: fimd-N.token in\n"
    "                                XDG_RUNTIME_DIR); fimd's own commands use no port\n"
    "    --trace-file FILE           record all messages in a new file, texts included\n"
    "\n"
    "Set up an editor\n"
    "  fimd setup neovim|emacs|vscode   what it needs to show ghost text, and where it goes\n"
    "    --write                     put it there\n"
    "\n"
    "Complete from the shell\n"
    "  fimd complete FILE LINE:COL   print the completion at a place (both counted from 1)\n"
    "    --with FILE                 a further open file to take context from (repeatable)\n"
    "    --single-line, --multi-line one line, or a block (default: decided by syntax)\n"
    "    --candidates N              up to N texts (at most 5), the likeliest first\n"
    "    --why                       what was decided, and the pieces of the prompt and why\n"
    "    --json                      text, tokens, steps, model, backend, milliseconds\n"
    "\n"
    "Look at the model\n"
    "  fimd tokenize < TEXT          token ids on one line; special tokens are recognised\n"
    "    --count, --decode           only how many; ids back to text\n"
    "  fimd generate --ids \"1 2 3\"   continue raw tokens; --ids - those of each line of the input\n"
    "    -n N                        exactly this many tokens, no stop rule (default 32)\n"
    "    --json                      tokens, steps, milliseconds\n"
    "\n"
    "Check this machine\n"
    "  fimd doctor                   what works, what does not, and one fix for each\n"
    "  fimd doctor neovim|emacs|vscode  only whether this editor is there and set up\n"
    "  fimd bench [--json]           time the tokenizer, prefill and decode\n"
    "  fimd bench engine [MODEL]     a table: prefill, decode, steps of 1 to 128 tokens, GB/s\n"
    "    --random-weights SIZE:TYPE  a true shape without a file: 0.5b 1.5b 3b 7b 14b 32b, in\n"
    "                                f32 f16 bf16 q8_0 q4_0 q4_k q6_k (also for generate)\n"
    "    --random-tokenizer DIR      the folder of a tokenizer.json for them (bench lookahead)\n"
    "    --quick, --json             fewer runs of each; the table as JSON\n"
    "  fimd bench lookahead --workspace DIR [DIR...]\n"
    "                                tokens a step and speed-up of every way to guess ahead, on\n"
    "                                holes in the folder's files, with the hole's text replayed\n"
    "    --own                       with the model's own text instead\n"
    "    --most N                    N guesses in every step, whatever it costs here\n"
    "    --holes N, --seed N         of each kind (default 50); which ones\n"
    "    --quick, --json             fewer methods; the figures as JSON\n"
    "  fimd bench keys DIR...        what a keystroke costs from end to end, and where the time\n"
    "                                goes, on places in the folders' files, their text replayed\n"
    "    --own                       with the model's own text instead\n"
    "    --holes N, --seed N, --json how many places (default 100); which ones; as JSON\n"
    "  fimd replay DIR               exact matches, characters saved, latencies and more on holes\n"
    "                                in a git repository's code; see fimd replay --help\n"
    "    --holes N, --commits N      how many holes; how many of the newest commits (default 200)\n"
    "    --kind KIND, --seed N       only hunk, tail, middle or node; which holes\n"
    "    --show, --json              every hole, too; the figures as JSON\n"
    "  fimd trace FILE [--json]      play a recording to a fresh daemon: what was shown when, how\n"
    "                                long it took, then and now, and how many texts differ\n"
    "  fimd demo                     ghost text in five languages, through the daemon\n"
    "\n"
    "Model and machine (every command)\n"
    "  --model M                     a .gguf file, a Hugging Face folder, or a name such as\n"
    "                                Qwen/Qwen2.5-Coder-1.5B (default: the embedded model)\n"
    "  --backend NAME                auto, cuda, cpu or cpu-reference (default: auto)\n"
    "  --threads N                   CPU threads (default: one per core)\n"
    "  --context N                   KV cache in tokens (default: the model's, at most 8192)\n"
    "  --gpu-memory SIZE             most GPU memory to take, as 20GB or 8GiB (default: what is\n"
    "                                free); a model that does not fit is refused before loading\n"
    "  --unload-after MINUTES        give the model's memory back after so long without a request;\n"
    "                                the next one loads it again (default: 0, never)\n"
    "\n"
    "Completions (lsp, complete, generate)\n"
    "  --max-tokens N                longest completion (default 64)\n"
    "  --max-lines N                 most lines shown (default 8)\n"
    "  --prompt-tokens N             budget for the prompt (default 2048)\n"
    "  --no-context                  leave out what tree-sitter finds elsewhere\n"
    "  --no-gate, --no-polish        show also what the grammar cannot read; show it as written\n"
    "  --no-comments, --no-strings   an editor's automatic requests are not answered in there\n"
    "  --mid-line                    they are answered also before more code in the line\n"
    "  --confidence P                they show nothing that the model gives less than P (0 to 1)\n"
    "  --draft METHOD                guess ahead: none, lookahead[:W,N,G], prompt, pool, recycle,\n"
    "                                all (default all); it changes the speed, never the tokens\n"
    "                                (for bench lookahead: only this method)\n"
    "  --temperature T, --top-p P    0 is greedy (default 0; 1)\n"
    "  --seed N                      of the sampling (default 0)\n"
    "\n"
    "  fimd --version, fimd help\n";

enum {
  OPT_SOCKET = 256,
  OPT_PORT,
  OPT_TOKEN_FILE,
  OPT_TRACE_FILE,
  OPT_WITH,
  OPT_SINGLE,
  OPT_MULTI,
  OPT_JSON,
  OPT_COUNT,
  OPT_DECODE,
  OPT_IDS,
  OPT_MODEL,
  OPT_BACKEND,
  OPT_THREADS,
  OPT_CONTEXT,
  OPT_GPU_MEMORY,
  OPT_UNLOAD_AFTER,
  OPT_RANDOM_WEIGHTS,
  OPT_RANDOM_TOKENIZER,
  OPT_QUICK,
  OPT_WORKSPACE,
  OPT_HOLES,
  OPT_OWN,
  OPT_MOST,
  OPT_COMMITS,
  OPT_KIND,
  OPT_SHOW,
  OPT_MAX_TOKENS,
  OPT_MAX_LINES,
  OPT_PROMPT_TOKENS,
  OPT_NO_CONTEXT,
  OPT_CANDIDATES,
  OPT_WHY,
  OPT_WRITE,
  OPT_MEASURED,
  OPT_COMPARE,
  OPT_NO_GATE,
  OPT_NO_POLISH,
  OPT_NO_COMMENTS,
  OPT_NO_STRINGS,
  OPT_MID_LINE,
  OPT_CONFIDENCE,
  OPT_DRAFT,
  OPT_TEMPERATURE,
  OPT_TOP_P,
  OPT_SEED,
  OPT_COLOR,
  OPT_STDIO,
  OPT_CLIENT_PID,
};

static const struct option long_options[] = {
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"port", required_argument, NULL, OPT_PORT},
    {"token-file", required_argument, NULL, OPT_TOKEN_FILE},
    {"trace-file", required_argument, NULL, OPT_TRACE_FILE},
    {"stdio", no_argument, NULL, OPT_STDIO},
    {"clientProcessId", required_argument, NULL, OPT_CLIENT_PID},
    {"with", required_argument, NULL, OPT_WITH},
    {"single-line", no_argument, NULL, OPT_SINGLE},
    {"multi-line", no_argument, NULL, OPT_MULTI},
    {"json", no_argument, NULL, OPT_JSON},
    {"count", no_argument, NULL, OPT_COUNT},
    {"decode", no_argument, NULL, OPT_DECODE},
    {"ids", required_argument, NULL, OPT_IDS},
    {"model", required_argument, NULL, OPT_MODEL},
    {"backend", required_argument, NULL, OPT_BACKEND},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"context", required_argument, NULL, OPT_CONTEXT},
    {"gpu-memory", required_argument, NULL, OPT_GPU_MEMORY},
    {"unload-after", required_argument, NULL, OPT_UNLOAD_AFTER},
    {"random-weights", required_argument, NULL, OPT_RANDOM_WEIGHTS},
    {"random-tokenizer", required_argument, NULL, OPT_RANDOM_TOKENIZER},
    {"quick", no_argument, NULL, OPT_QUICK},
    {"workspace", required_argument, NULL, OPT_WORKSPACE},
    {"holes", required_argument, NULL, OPT_HOLES},
    {"own", no_argument, NULL, OPT_OWN},
    {"most", required_argument, NULL, OPT_MOST},
    {"commits", required_argument, NULL, OPT_COMMITS},
    {"kind", required_argument, NULL, OPT_KIND},
    {"show", no_argument, NULL, OPT_SHOW},
    {"max-tokens", required_argument, NULL, OPT_MAX_TOKENS},
    {"max-lines", required_argument, NULL, OPT_MAX_LINES},
    {"prompt-tokens", required_argument, NULL, OPT_PROMPT_TOKENS},
    {"no-context", no_argument, NULL, OPT_NO_CONTEXT},
    {"candidates", required_argument, NULL, OPT_CANDIDATES},
    {"why", no_argument, NULL, OPT_WHY},
    {"write", no_argument, NULL, OPT_WRITE},
    {"compare", no_argument, NULL, OPT_COMPARE},
    {"measured", no_argument, NULL, OPT_MEASURED}, /* of the daemons that bench keys and replay start */
    {"no-gate", no_argument, NULL, OPT_NO_GATE},
    {"no-polish", no_argument, NULL, OPT_NO_POLISH},
    {"no-comments", no_argument, NULL, OPT_NO_COMMENTS},
    {"no-strings", no_argument, NULL, OPT_NO_STRINGS},
    {"mid-line", no_argument, NULL, OPT_MID_LINE},
    {"confidence", required_argument, NULL, OPT_CONFIDENCE},
    {"draft", required_argument, NULL, OPT_DRAFT},
    {"temperature", required_argument, NULL, OPT_TEMPERATURE},
    {"top-p", required_argument, NULL, OPT_TOP_P},
    {"seed", required_argument, NULL, OPT_SEED},
    {"color", no_argument, NULL, OPT_COLOR},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {NULL, 0, NULL, 0},
};

static const struct command {
  const char *name;
  int (*run)(const cli_options *o);
} commands[] = {
    {"complete", cli_complete}, {"tokenize", cli_tokenize}, {"generate", cli_generate},
    {"bench", cli_bench},       {"doctor", cli_doctor},     {"demo", cli_demo},
    {"replay", cli_replay},     {"trace", cli_trace},       {"setup", cli_setup},
};

/* ---- values ---------------------------------------------------------------------------- */

static bool parse_int(const char *name, const char *text, int low, int high, int *out) {
  char *end;
  errno = 0;
  long v = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || v < low || v > high) {
    fprintf(stderr, "fimd: %s: '%s' is not a whole number in %d..%d\n", name, text, low, high);
    return false;
  }
  *out = (int)v;
  return true;
}

static bool parse_float(const char *name, const char *text, double high, float *out) {
  char *end;
  errno = 0;
  double v = strtod(text, &end);
  if (errno != 0 || end == text || *end != '\0' || !(v >= 0 && v <= high)) {
    fprintf(stderr, "fimd: %s: '%s' is not a number in 0..%g\n", name, text, high);
    return false;
  }
  *out = (float)v;
  return true;
}

/* "20GB", "8.5 GiB". A number alone is refused: bytes are never meant. */
static bool parse_size(const char *name, const char *text, size_t *out) {
  static const struct {
    const char *name;
    double bytes;
  } units[] = {{"MB", 1e6}, {"GB", 1e9}, {"MiB", 1048576.0}, {"GiB", 1073741824.0}};
  char *end;
  errno = 0;
  double v = strtod(text, &end);
  if (errno == 0 && end != text && v > 0) {
    end += strspn(end, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
      if (strcasecmp(end, units[i].name) != 0 || v * units[i].bytes > 1e15) continue;
      *out = (size_t)(v * units[i].bytes);
      return true;
    }
  }
  fprintf(stderr, "fimd: %s: '%s' is not a size such as 20GB, 20000MB or 20GiB\n", name, text);
  return false;
}

static bool parse_draft(const char *text, completion_options *c) {
  if (engine_draft_parse(text, &c->draft) == ENGINE_OK) {
    c->no_draft = c->draft.sources == 0;
    return true;
  }
  fprintf(stderr, "fimd: --draft: '%s' is not none, lookahead[:W,N,G], prompt, pool, recycle or all\n",
          text);
  return false;
}

static bool parse_minutes(const char *name, const char *text, int *ms) {
  float minutes;
  if (!parse_float(name, text, 10080, &minutes)) return false;
  *ms = lsp__minutes_to_ms(minutes);
  return true;
}

static bool parse_seed(const char *text, uint64_t *out) {
  char *end;
  errno = 0;
  *out = strtoull(text, &end, 10);
  if (errno == 0 && end != text && *end == '\0' && *text != '-') return true;
  fprintf(stderr, "fimd: --seed: '%s' is not a whole number\n", text);
  return false;
}

static bool set_option(cli_options *o, int option, const char *value) {
  completion_options *c = &o->completion;
  engine_options *e = &o->engine;
  int ignored;
  switch (option) {
  case OPT_SOCKET: o->lsp.transport = LSP_SOCKET; o->lsp.path = value; return true;
  case OPT_PORT: o->lsp.transport = LSP_PORT; return parse_int("--port", value, 0, 65535, &o->lsp.port);
  case OPT_TOKEN_FILE: o->lsp.token_file = value; return true;
  case OPT_TRACE_FILE: o->lsp.trace_file = value; return true;
  case OPT_STDIO: o->lsp.transport = LSP_STDIO; return true;
  /* Language clients pass the editor's process id; the initialize request carries it too. */
  case OPT_CLIENT_PID: return parse_int("--clientProcessId", value, 0, INT_MAX, &ignored);
  case OPT_WITH: o->with[o->n_with++] = value; return true;
  case OPT_SINGLE: o->mode = COMPLETION_SINGLE_LINE; return true;
  case OPT_MULTI: o->mode = COMPLETION_MULTI_LINE; return true;
  case OPT_JSON: o->json = true; return true;
  case OPT_COUNT: o->count = true; return true;
  case OPT_DECODE: o->decode = true; return true;
  case OPT_COLOR: o->color = true; return true;
  case OPT_IDS: o->ids = value; return true;
  case 'n': return parse_int("-n", value, 0, 1 << 20, &o->n);
  case OPT_MODEL: e->model = value; return true;
  case OPT_BACKEND: e->backend = value; return true;
  case OPT_THREADS: return parse_int("--threads", value, 0, 1024, &e->threads);
  case OPT_CONTEXT: return parse_int("--context", value, 0, 1 << 20, &e->context);
  case OPT_GPU_MEMORY: return parse_size("--gpu-memory", value, &e->gpu_memory);
  case OPT_UNLOAD_AFTER: return parse_minutes("--unload-after", value, &e->unload_after_ms);
  case OPT_RANDOM_WEIGHTS: e->random_weights = value; return true;
  case OPT_RANDOM_TOKENIZER: e->random_tokenizer = value; return true;
  case OPT_QUICK: o->quick = true; return true;
  case OPT_WORKSPACE: o->workspace = value; return true;
  case OPT_HOLES: return parse_int("--holes", value, 1, 100000, &o->holes);
  case OPT_OWN: o->own = true; return true;
  case OPT_MOST: return parse_int("--most", value, 1, 112, &o->most);
  case OPT_COMMITS: return parse_int("--commits", value, 1, 1000000, &o->commits);
  case OPT_KIND: o->kind = value; return true;
  case OPT_SHOW: o->show = true; return true;
  case 'h': o->help = true; return true;
  case OPT_MAX_TOKENS: return parse_int("--max-tokens", value, 0, 4096, &c->max_tokens);
  case OPT_MAX_LINES: return parse_int("--max-lines", value, 0, 1000, &c->max_lines);
  case OPT_PROMPT_TOKENS: return parse_int("--prompt-tokens", value, 0, 1 << 20, &c->prompt_tokens);
  case OPT_NO_CONTEXT: c->no_context = true; return true;
  case OPT_CANDIDATES:
    return parse_int("--candidates", value, 1, COMPLETION_CANDIDATES_MAX, &o->candidates);
  case OPT_WHY: o->why = true; return true;
  case OPT_WRITE: o->write = true; return true;
  case OPT_COMPARE: o->compare = true; return true;
  case OPT_MEASURED: o->lsp.measured = true; return true;
  case OPT_NO_GATE: c->no_gate = true; return true;
  case OPT_NO_POLISH: c->no_polish = true; return true;
  case OPT_NO_COMMENTS: c->no_comments = true; return true;
  case OPT_NO_STRINGS: c->no_strings = true; return true;
  case OPT_MID_LINE: c->mid_line = true; return true;
  case OPT_CONFIDENCE: return parse_float("--confidence", value, 1, &c->confidence);
  case OPT_DRAFT: o->draft = value; return parse_draft(value, c);
  case OPT_TEMPERATURE: return parse_float("--temperature", value, 100, &c->temperature);
  case OPT_TOP_P: return parse_float("--top-p", value, 1, &c->top_p);
  case OPT_SEED: return parse_seed(value, &c->seed);
  default: return false;
  }
}

/* ---- dispatch -------------------------------------------------------------------------- */

static int serve(cli_options *o) {
  if (o->n_args != 0) {
    fprintf(stderr, "fimd: lsp takes no '%s'; see fimd help\n", o->args[0]);
    return 2;
  }
  if (o->lsp.token_file != NULL && o->lsp.transport != LSP_PORT) {
    fprintf(stderr, "fimd: --token-file goes with --port\n");
    return 2;
  }
  char err[1024] = "";
  o->lsp.engine = o->engine;
  o->lsp.completion = o->completion;
  int rc = lsp_serve(&o->lsp, err, sizeof err);
  if (err[0] != '\0') fprintf(stderr, "fimd: %s\n", err);
  return rc;
}

static int run_command(const char *name, cli_options *o) {
  if (o->engine.random_weights != NULL && strcmp(name, "bench") != 0 &&
      strcmp(name, "generate") != 0 && !o->lsp.measured) {
    fprintf(stderr, "fimd: --random-weights has no tokenizer: only bench and generate take it\n");
    return 2;
  }
  if (strcmp(name, "lsp") == 0) return serve(o);
  for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
    if (strcmp(name, commands[i].name) == 0) return commands[i].run(o);
  fprintf(stderr, "fimd: there is no command '%s'; see fimd help\n", name);
  return 2;
}

/* Reads the options and arguments. Returns -1 to go on, or the exit code. */
static int read_options(int argc, char **argv, cli_options *o) {
  int option;
  while ((option = getopt_long(argc, argv, "hvn:", long_options, NULL)) != -1) {
    if (option == 'v') return puts("fimd " FIMD_VERSION) < 0;
    if (option == '?') {
      fprintf(stderr, "see fimd help\n");
      return 2;
    }
    if (!set_option(o, option, optarg)) return 2;
  }
  for (int i = optind; i < argc; i++) o->args[o->n_args++] = argv[i];
  return -1;
}

int main(int argc, char **argv) {
  cli_options o = {.n = 32};
  o.args = calloc((size_t)argc + 1, sizeof *o.args);
  o.with = calloc((size_t)argc + 1, sizeof *o.with);
  if (o.args == NULL || o.with == NULL) {
    fprintf(stderr, "fimd: out of memory\n");
    free(o.args);
    free(o.with);
    return 1;
  }
  lsp__hold_descriptors();
  signal(SIGPIPE, SIG_IGN); /* a client that went away is an error code, not a death */
  int rc = read_options(argc, argv, &o);
  if (rc < 0) {
    const char *name = "lsp";
    if (o.n_args > 0) {
      name = *o.args;
      o.n_args--;
      memmove(o.args, o.args + 1, (size_t)o.n_args * sizeof *o.args);
    }
    bool nothing = argc == 1 && isatty(STDIN_FILENO);
    bool own_help = strcmp(name, "replay") == 0;
    if (nothing || strcmp(name, "help") == 0 || (o.help && !own_help))
      rc = fputs(help_text, stdout) < 0;
    else
      rc = run_command(name, &o);
  }
  free(o.args);
  free(o.with);
  return rc;
}
