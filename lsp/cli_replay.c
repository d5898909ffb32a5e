/* cli_replay.c - `fimd replay DIR`: how good ghost text is, on the code of a git repository, as an
 * editor would get it.
 *
 * Where holes come from, what is asked and what each figure means is said in one place, which is
 * the help below; the other files keep to it. cli_replay_source.c, _git.c and _holes.c find the
 * holes, _play.c types into them, _score.c and _report.c make the figures.
 *
 * The daemon is a child that knows nothing of this: what is measured is what an editor gets, down
 * to the bytes. Git is only read. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli.h"
#include "lsp/cli_client.h"
#include "lsp/cli_replay.h"

#define HOLES 200
#define COMMITS 200
#define TRIES 60 /* for each hole */

static const char help_text[] =
    "usage: fimd replay DIR [--holes N] [--commits N] [--seed N] [--kind KIND] [--no-context]\n"
    "                       [--no-gate] [--no-polish] [--compare] [--json] [--show]\n"
    "\n"
    "Takes text away from the files of a git repository, lets the daemon complete it as an\n"
    "editor would, and says how good that was and how long it took. Needs no network.\n"
    "\n"
    "  --holes N     in all, in equal parts of each kind (default 200)\n"
    "  --commits N   how many of the newest commits hunks are from (default 200)\n"
    "  --seed N      which holes; the same seed and repository give the same ones (default 0)\n"
    "  --kind KIND   only these: hunk, tail, middle or node\n"
    "  --no-context  without what tree-sitter finds elsewhere\n"
    "  --no-gate     with what the grammar cannot read\n"
    "  --no-polish   what the model wrote, as it is\n"
    "  --compare     the measured request is asked again, anew, without gate, and without\n"
    "                polish, and each answer judged\n"
    "  --json        the figures as JSON\n"
    "  --show        every hole, too: what was typed, what it was and what was shown\n"
    "  Options for the model, the machine and completions go to the daemon; --draft too.\n"
    "\n"
    "Holes, in code of every language but JSON, HTML and CSS; files with carriage returns, over\n"
    "256 KiB or under 200 bytes are left out, and so are lines over 300 bytes\n"
    "  hunk    1 to 8 lines that a commit added, up to a blank one: the file is as it was\n"
    "          before the commit, with the lines that the commit put above them and without\n"
    "          those it took from there; what it changed elsewhere, and put below them, is not\n"
    "          there\n"
    "  tail    the rest of a line, from between two words on\n"
    "  middle  a node of the syntax tree inside a line, with code before and behind it\n"
    "  node    a node of 2 to 8 lines that begins its first line; only ; , or ) may follow it\n"
    "tail, middle and node are from the newest commit. Of the file the daemon sees no other\n"
    "version than the one with the hole: what lies on the disk is hidden by the open document.\n"
    "Up to 3 files of the same language beside it are open, as of the commit before (hunk) or\n"
    "the newest. Guesses are taken from the other files on the disk, too, which changes how fast\n"
    "it is, never what is shown.\n"
    "\n"
    "What is done: the file is opened, and one completion asked for with the cursor in the hole\n"
    "(behind the indentation of its first line): \"opening\". Then the hole's first 3\n"
    "characters are typed, each followed by a request. The answer to the last is the one\n"
    "measured. Trailing blanks never count. Requests are answered inside lines, too (--mid-line),\n"
    "and do not wait for another key.\n"
    "\n"
    "Figures; where a completion takes the place of text behind the cursor, that text counts to\n"
    "the true text, so that equal means that the file comes out equal\n"
    "  shown         holes with ghost text\n"
    "  exact         of all holes. In a hole of one line: the first line shown is the true rest\n"
    "                of it. In a hole of several: all that is shown is all of the true rest\n"
    "  similarity    1 - Levenshtein distance / length of the longer, in characters, of all\n"
    "                that is shown and all of the true rest; mean over all holes, 0 where\n"
    "                nothing is shown\n"
    "  stop          of those shown: right where the text ends with the hole. While one of the\n"
    "                two texts begins with the other, short and long are what they say; where\n"
    "                they differ before, by how many lines they have\n"
    "  suffix twice  completions whose end repeats what follows: at least 6 non-blank\n"
    "                characters, a letter or digit among them, with which the text goes on\n"
    "                behind the completion; not where the true text does so as long\n"
    "  leaked        special tokens, <|...|>, in what is shown\n"
    "  saved         characters for each hole that accepting would have typed right: as far as\n"
    "                the text shown agrees with the true rest from its beginning\n"
    "  parse errors  ERROR and MISSING nodes of tree-sitter. added: with the completion\n"
    "                accepted, less those when it was asked for, mean of those shown. broken:\n"
    "                completions that leave errors, of those in whose file there was none when\n"
    "                it was asked for. wrong: that leave errors where the file with the true\n"
    "                text has none\n"
    "  ms            from the request's first byte out to the answer's last byte in, at the\n"
    "                median and the 90th percentile: of the measured requests, of all after a\n"
    "                keystroke, of those on opening\n"
    "  prefilled     tokens that were computed for prompts, by fimd/status: a keystroke; on\n"
    "                opening\n";

typedef struct replay {
  const cli_options *o;
  cli_client client;
  replay_source source;
  uint64_t *seen; /* [n_seen] owned: holes that were there already */
  int n_seen;
  replay_sums sums[REPLAY_KINDS + 1], variants[REPLAY_VARIANTS];
} replay;

/* ---- holes, none twice ------------------------------------------------------------------- */

static uint64_t hash(uint64_t h, const void *bytes, size_t len) {
  const unsigned char *p = bytes;
  for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * UINT64_C(1099511628211);
  return h;
}

/* 1 if it is new, 0 if not, -1: out of memory. */
static int remember(replay *p, const replay_find *f) {
  uint64_t key = hash(UINT64_C(14695981039346656037), f->path, strlen(f->path) + 1);
  key = hash(key, f->revision, strlen(f->revision) + 1);
  key = hash(hash(key, &f->hole.from, sizeof f->hole.from), &f->hole.to, sizeof f->hole.to);
  for (int i = 0; i < p->n_seen; i++)
    if (p->seen[i] == key) return 0;
  uint64_t *grown = realloc(p->seen, ((size_t)p->n_seen + 1) * sizeof *grown);
  if (grown == NULL) return -1;
  p->seen = grown;
  p->seen[p->n_seen++] = key;
  return 1;
}

static void print_text(const char *title, const char *text, size_t len) {
  printf("  %-6s", title);
  for (size_t i = 0; i < len; i++)
    if (text[i] == '\n')
      printf("\n        ");
    else
      putchar(text[i]);
  putchar('\n');
}

static void show(replay_kind kind, const replay_find *f, const replay_outcome *o,
                 const char *shown) {
  const replay_hole *h = &f->hole;
  const replay_score *c = &o->score;
  static const char *const stops[] = {"right", "short", "long"};
  size_t line = h->from, typed = replay__typed(h);
  while (line > 0 && h->text[line - 1] != '\n') line--;
  size_t end = h->to + strcspn(h->text + h->to, "\n");
  printf("%s %s:%d at %.12s%s, %.1f ms\n", replay__kind_name(kind), f->path,
         cli_position_of(h->text, h->from).line + 1, f->revision,
         kind == REPLAY_HUNK ? "^" : "", o->typed_ms[REPLAY_KEYS - 1]);
  print_text("typed", h->text + line, h->from + typed - line);
  print_text("true", h->text + h->from + typed, h->to - h->from - typed);
  print_text("shown", shown != NULL ? shown : "", shown != NULL ? strlen(shown) : 0);
  if (end > h->to) print_text("behind", h->text + h->to, end - h->to);
  if (c->shown)
    printf("  %s%.2f alike, stop %s, %zu saved%s%s, parse errors %d to %d, true %d\n",
           c->exact ? "exact, " : "", c->similarity, stops[c->stop], c->saved,
           c->repeats ? ", SUFFIX TWICE" : "", c->leaked > 0 ? ", LEAKED" : "", o->errors_asked,
           o->errors_after, o->errors_true);
  putchar('\n');
}

/* 1: measured; 0: no new hole there; -1: failed. */
static int try_hole(replay *p, replay_kind kind, replay_random *random) {
  replay_find f;
  replay_outcome o, variants[REPLAY_VARIANTS];
  bool compares = p->o->compare;
  char *shown = NULL;
  int rc = replay__source_try(&p->source, kind, random, &f);
  if (rc != 1) return rc;
  rc = remember(p, &f);
  if (rc == 1 &&
      !replay__play(&p->client, &p->source, &f, &o, compares ? variants : NULL, &shown))
    rc = -1;
  if (rc == 1) {
    if (p->o->show && !p->o->json) show(kind, &f, &o, shown);
    if (!replay__sums_add(&p->sums[kind], &o) || !replay__sums_add(&p->sums[REPLAY_KINDS], &o))
      rc = -1;
    for (int v = 0; rc == 1 && compares && v < REPLAY_VARIANTS; v++)
      if (!replay__sums_add(&p->variants[v], &variants[v])) rc = -1;
  }
  free(shown);
  replay__find_free(&f);
  return rc;
}

/* Each kind has its own random numbers, so that --kind finds the holes that a run of all has. */
static bool measure(replay *p, replay_kind kind, int holes) {
  replay_random random = {(p->o->completion.seed + 1) * 1000003 + (uint64_t)kind};
  int done = 0;
  for (int tries = 0; done < holes && tries < holes * TRIES; tries++) {
    int rc = try_hole(p, kind, &random);
    if (rc < 0) return false;
    done += rc;
  }
  if (done < holes)
    fprintf(stderr, "fimd: only %d of %d %s holes found\n", done, holes, replay__kind_name(kind));
  return true;
}

/* ---- the command ------------------------------------------------------------------------- */

static int report(replay *p) {
  const cli_options *o = p->o;
  if (!o->json) {
    printf("%s at %.12s, seed %llu%s%s%s\n\n", p->source.root, p->source.head,
           (unsigned long long)o->completion.seed,
           o->completion.no_context ? ", without context" : "",
           o->completion.no_gate ? ", without gate" : "",
           o->completion.no_polish ? ", without polish" : "");
    replay__print_table(p->sums);
    if (o->compare) replay__print_variants(p->variants);
    return 0;
  }
  cJSON *j = cJSON_CreateObject();
  cJSON_AddStringToObject(j, "repository", p->source.root);
  cJSON_AddStringToObject(j, "commit", p->source.head);
  cJSON_AddNumberToObject(j, "seed", (double)o->completion.seed);
  cJSON_AddBoolToObject(j, "context", !o->completion.no_context);
  cJSON_AddBoolToObject(j, "gate", !o->completion.no_gate);
  cJSON_AddBoolToObject(j, "polish", !o->completion.no_polish);
  replay__add_json(cJSON_AddObjectToObject(j, "kinds"), p->sums);
  return cli_print_json(j);
}

static bool run(replay *p, int only) {
  int holes = p->o->holes > 0 ? p->o->holes : HOLES;
  for (int kind = 0; kind < REPLAY_KINDS; kind++) {
    int part = (holes + REPLAY_KINDS - 1 - kind) / REPLAY_KINDS;
    if (only >= 0) part = kind == only ? holes : 0;
    if (!measure(p, (replay_kind)kind, part)) return false;
  }
  return true;
}

static int replay_folder(replay *p, int only) {
  const cli_options *o = p->o;
  if (!replay__source_open(&p->source, o->args[0], o->commits > 0 ? o->commits : COMMITS)) return 1;
  cli_options daemon = *o;
  daemon.completion.mid_line = true; /* holes are there, too */
  daemon.lsp.measured = o->compare;
  if (!cli_client_start(&p->client, &daemon)) {
    fprintf(stderr, "fimd: the daemon cannot be started: %s\n", strerror(errno));
    return 1;
  }
  bool ok = cli_client_initialize(&p->client, p->source.root) && replay__wait_ready(&p->client) &&
            run(p, only);
  int code = cli_client_stop(&p->client);
  if (!ok || code != 0) {
    fprintf(stderr, "fimd: the daemon failed (exit code %d)\n", code);
    return 1;
  }
  return p->sums[REPLAY_KINDS].holes > 0 ? report(p) : 1;
}

int cli_replay(const cli_options *o) {
  replay_kind kind = REPLAY_HUNK;
  if (o->help) return fputs(help_text, stdout) < 0;
  if (o->n_args != 1) {
    fprintf(stderr, "fimd: usage: fimd replay DIR [--holes N]; see fimd replay --help\n");
    return 2;
  }
  if (o->kind != NULL && !replay__kind_parse(o->kind, &kind)) {
    fprintf(stderr, "fimd: --kind: '%s' is not hunk, tail, middle or node\n", o->kind);
    return 2;
  }
  replay p = {.o = o};
  int rc = replay_folder(&p, o->kind != NULL ? (int)kind : -1);
  for (int i = 0; i <= REPLAY_KINDS; i++) replay__sums_free(&p.sums[i]);
  for (int v = 0; v < REPLAY_VARIANTS; v++) replay__sums_free(&p.variants[v]);
  replay__source_close(&p.source);
  free(p.seen);
  return rc;
}
