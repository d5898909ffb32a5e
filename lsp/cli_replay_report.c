/* cli_replay_report.c - the figures of many holes, as a table and as JSON. What they mean:
 * cli_replay.c. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli_replay.h"

static const char *const names[REPLAY_KINDS + 1] = {"hunk", "tail", "middle", "node", "all"};

const char *replay__kind_name(replay_kind kind) { return names[kind]; }

bool replay__kind_parse(const char *name, replay_kind *kind) {
  for (int i = 0; i < REPLAY_KINDS; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    *kind = (replay_kind)i;
    return true;
  }
  return false;
}

/* ---- sums ------------------------------------------------------------------------------ */

static bool append(double **values, long n, const double *more, long n_more) {
  double *grown = realloc(*values, (size_t)(n + n_more) * sizeof *grown);
  if (grown == NULL) return false;
  *values = grown;
  memcpy(grown + n, more, (size_t)n_more * sizeof *grown);
  return true;
}

bool replay__sums_add(replay_sums *s, const replay_outcome *o) {
  const replay_score *c = &o->score;
  if (!append(&s->first_ms, s->holes, &o->first_ms, 1) ||
      !append(&s->last_ms, s->holes, &o->typed_ms[REPLAY_KEYS - 1], 1) ||
      !append(&s->typed_ms, s->holes * REPLAY_KEYS, o->typed_ms, REPLAY_KEYS))
    return false;
  s->holes++;
  s->prefilled_first += o->prefilled_first;
  s->prefilled_typed += o->prefilled_typed;
  if (!c->shown) return true;
  s->shown++;
  s->exact += c->exact;
  s->repeats += c->repeats;
  s->leaked += c->leaked;
  s->stops[c->stop]++;
  s->similarity += c->similarity;
  s->saved += (double)c->saved;
  if (o->errors_asked < 0 || o->errors_after < 0) return true;
  s->parsed++;
  s->errors_added += o->errors_after - o->errors_asked;
  s->whole += o->errors_asked == 0;
  s->broken += o->errors_asked == 0 && o->errors_after > 0;
  s->wrong += o->errors_true == 0 && o->errors_after > 0;
  return true;
}

void replay__sums_free(replay_sums *s) {
  free(s->first_ms);
  free(s->last_ms);
  free(s->typed_ms);
  *s = (replay_sums){0};
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }
static double percent(long a, long b) { return 100 * ratio((double)a, (double)b); }

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The nearest rank. */
static double percentile(double *values, long n, double p) {
  if (n == 0) return 0;
  qsort(values, (size_t)n, sizeof *values, by_size);
  long rank = (long)(p * (double)n + 0.9999999);
  return values[rank > 0 ? rank - 1 : 0];
}

/* ---- writing --------------------------------------------------------------------------- */

void replay__print_table(replay_sums *sums) {
  printf("                                  stop                suffix         saved  "
         "parse errors\n");
  printf("        holes  shown  exact similar right  short   long  twice leaked chars   "
         "added     broken      wrong\n");
  for (int i = 0; i <= REPLAY_KINDS; i++) {
    const replay_sums *s = &sums[i];
    if (s->holes == 0) continue;
    printf("%-7s %5ld %5.1f%% %5.1f%%  %5.3f %5.1f%% %5.1f%% %5.1f%%  %5ld  %5ld %5.2f  %6.3f  "
           "%3ld of %-3ld %3ld of %ld\n",
           names[i], s->holes, percent(s->shown, s->holes), percent(s->exact, s->holes),
           ratio(s->similarity, (double)s->holes), percent(s->stops[REPLAY_STOP_RIGHT], s->shown),
           percent(s->stops[REPLAY_STOP_SHORT], s->shown),
           percent(s->stops[REPLAY_STOP_LONG], s->shown), s->repeats, s->leaked,
           ratio(s->saved, (double)s->holes), ratio((double)s->errors_added, (double)s->parsed),
           s->broken, s->whole, s->wrong, s->parsed);
  }
  printf("\n              ms measured      ms any key      ms opening   tokens prefilled\n");
  printf("              p50     p90     p50     p90     p50     p90    a key  opening\n");
  for (int i = 0; i <= REPLAY_KINDS; i++) {
    replay_sums *s = &sums[i];
    long keys = s->holes * REPLAY_KEYS;
    if (s->holes == 0) continue;
    printf("%-7s   %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f  %7.1f  %7.1f\n", names[i],
           percentile(s->last_ms, s->holes, 0.5), percentile(s->last_ms, s->holes, 0.9),
           percentile(s->typed_ms, keys, 0.5), percentile(s->typed_ms, keys, 0.9),
           percentile(s->first_ms, s->holes, 0.5), percentile(s->first_ms, s->holes, 0.9),
           ratio(s->prefilled_typed, (double)keys), ratio(s->prefilled_first, (double)s->holes));
  }
}

void replay__print_variants(const replay_sums *sums) {
  static const char *const variants[REPLAY_VARIANTS] = {"all", "without gate", "without polish"};
  printf("\nasked again     shown  exact similar  right  twice leaked  saved     broken      wrong\n");
  for (int v = 0; v < REPLAY_VARIANTS; v++) {
    const replay_sums *s = &sums[v];
    printf("%-14s %5.1f%% %5.1f%%  %5.3f %5.1f%% %6ld %6ld %6.2f  %3ld of %-4ld %3ld of %ld\n",
           variants[v], percent(s->shown, s->holes), percent(s->exact, s->holes),
           ratio(s->similarity, (double)s->holes), percent(s->stops[REPLAY_STOP_RIGHT], s->shown),
           s->repeats, s->leaked, ratio(s->saved, (double)s->holes), s->broken, s->whole, s->wrong,
           s->parsed);
  }
}

static void add_number(cJSON *to, const char *name, double value) {
  cJSON_AddNumberToObject(to, name, value);
}

static void add_ms(cJSON *to, const char *name, double *values, long n) {
  cJSON *j = cJSON_AddObjectToObject(to, name);
  add_number(j, "p50", percentile(values, n, 0.5));
  add_number(j, "p90", percentile(values, n, 0.9));
}

void replay__add_json(cJSON *to, replay_sums *sums) {
  for (int i = 0; i <= REPLAY_KINDS; i++) {
    replay_sums *s = &sums[i];
    if (s->holes == 0) continue;
    double shown = (double)s->shown, holes = (double)s->holes;
    cJSON *j = cJSON_AddObjectToObject(to, names[i]);
    add_number(j, "holes", holes);
    add_number(j, "shown", shown);
    add_number(j, "exact", (double)s->exact);
    add_number(j, "exactRate", ratio((double)s->exact, holes));
    add_number(j, "similarity", ratio(s->similarity, holes));
    add_number(j, "stopRight", (double)s->stops[REPLAY_STOP_RIGHT]);
    add_number(j, "stopShort", (double)s->stops[REPLAY_STOP_SHORT]);
    add_number(j, "stopLong", (double)s->stops[REPLAY_STOP_LONG]);
    add_number(j, "stopAccuracy", ratio((double)s->stops[REPLAY_STOP_RIGHT], shown));
    add_number(j, "suffixTwice", (double)s->repeats);
    add_number(j, "suffixTwiceRate", ratio((double)s->repeats, shown));
    add_number(j, "leakedTokens", (double)s->leaked);
    add_number(j, "savedPerHole", ratio(s->saved, holes));
    add_number(j, "parsed", (double)s->parsed);
    add_number(j, "parseErrorsAdded", ratio((double)s->errors_added, (double)s->parsed));
    add_number(j, "whole", (double)s->whole);
    add_number(j, "broken", (double)s->broken);
    add_number(j, "wrong", (double)s->wrong);
    add_ms(j, "measuredMs", s->last_ms, s->holes);
    add_ms(j, "keyMs", s->typed_ms, s->holes * REPLAY_KEYS);
    add_ms(j, "openingMs", s->first_ms, s->holes);
    add_number(j, "prefilledPerKey", ratio(s->prefilled_typed, holes * REPLAY_KEYS));
    add_number(j, "prefilledOpening", ratio(s->prefilled_first, holes));
  }
}
