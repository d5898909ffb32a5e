/* status.c - see status.h. Percentiles are over a bounded window of the newest answers. */
#include "lsp/status.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/json.h"
#include "lsp/why.h"

void lsp__samples_add(lsp__samples *s, double value) {
  s->values[s->count++ % LSP__SAMPLES] = (float)value;
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

double lsp__samples_percentile(const lsp__samples *s, double p) {
  float sorted[LSP__SAMPLES];
  size_t n = s->count < LSP__SAMPLES ? (size_t)s->count : LSP__SAMPLES;
  if (n == 0) return 0;
  memcpy(sorted, s->values, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, compare);
  size_t rank = (size_t)ceil(p * (double)n);
  return sorted[rank > 0 ? rank - 1 : 0];
}

void lsp__statistics_outcome(lsp__statistics *s, bool popup, lsp__outcome outcome) {
  (popup ? s->popup_outcomes : s->inline_outcomes)[outcome]++;
}

void lsp__statistics_worked(lsp__statistics *s, const completion_stats *stats) {
  s->tokens += (uint64_t)stats->tokens;
  s->steps += (uint64_t)stats->steps;
  s->drafted += (uint64_t)stats->drafted;
  s->accepted += (uint64_t)stats->accepted;
  s->host_ms += stats->host_ms;
  s->prompt_tokens += (uint64_t)stats->prompt_tokens;
  s->prefilled_tokens += (uint64_t)stats->prefilled_tokens;
}

void lsp__statistics_key(lsp__statistics *s) {
  if (s->typed) lsp__samples_add(&s->keys, (double)(s->prefilled_tokens - s->key_prefilled));
  s->typed = true;
  s->key_prefilled = s->prefilled_tokens;
}

void lsp__statistics_finished(lsp__statistics *s, const completion_stats *stats,
                              completion_stop stop, completion_quiet quiet, bool shown,
                              const lsp__times *ms) {
  s->last = *stats;
  s->last_answer_ms = ms->answer;
  s->last_stop = stop;
  lsp__samples_add(&s->prefilled, stats->prefilled_tokens);
  if (!shown && (unsigned)quiet <= COMPLETION_QUIET_UNSURE) s->quiet[quiet]++;
  if (shown) lsp__samples_add(&s->answer_ms, ms->answer);
  if (stats->steps == 0) return; /* known before */
  lsp__samples_add(&s->first_ms, ms->waited + stats->first_token_ms);
  lsp__samples_add(&s->last_ms, ms->last);
}

void lsp__statistics_stopped(lsp__statistics *s, const completion_stats *stats, double ms) {
  s->stopped++;
  lsp__samples_add(&s->stop_ms, ms);
  if ((uint64_t)stats->late_steps > s->most_steps) s->most_steps = (uint64_t)stats->late_steps;
}

/* ---- writing --------------------------------------------------------------------------- */

static double ratio(uint64_t tokens, uint64_t steps) {
  return steps > 0 ? (double)tokens / (double)steps : 0;
}

/* How the tokens came: in steps, by guesses that were verified. */
static void write_decoding(lsp__buffer *b, uint64_t tokens, uint64_t steps, uint64_t drafted,
                           uint64_t accepted) {
  lsp__json_put_int(b, "tokens", tokens);
  lsp__json_put_int(b, "steps", steps);
  lsp__json_put_double(b, "tokensPerStep", ratio(tokens, steps));
  lsp__json_put_int(b, "drafted", drafted);
  lsp__json_put_int(b, "accepted", accepted);
}

static void write_outcomes(lsp__buffer *b, const char *key, const uint64_t *outcomes) {
  static const char *const names[LSP__OUTCOMES] = {"shown", "empty", "cancelled", "superseded",
                                                   "failed"};
  lsp__json_key(b, key);
  lsp__json_begin(b, '{');
  for (int i = 0; i < LSP__OUTCOMES; i++) lsp__json_put_int(b, names[i], outcomes[i]);
  lsp__json_end(b, '}');
}

static void write_samples(lsp__buffer *b, const char *key, const lsp__samples *s) {
  lsp__json_key(b, key);
  lsp__json_begin(b, '{');
  lsp__json_put_double(b, "p50", lsp__samples_percentile(s, 0.5));
  lsp__json_put_double(b, "p90", lsp__samples_percentile(s, 0.9));
  lsp__json_put_int(b, "count", s->count);
  lsp__json_end(b, '}');
}

static void write_last(lsp__buffer *b, const lsp__statistics *s) {
  const completion_stats *l = &s->last;
  lsp__json_key(b, "last");
  lsp__json_begin(b, '{');
  lsp__json_key(b, "stop");
  lsp__json_string(b, completion_strstop(s->last_stop));
  lsp__json_put_double(b, "answerMs", s->last_answer_ms);
  lsp__json_put_int(b, "promptTokens", (uint64_t)l->prompt_tokens);
  lsp__json_put_int(b, "prefilledTokens", (uint64_t)l->prefilled_tokens);
  write_decoding(b, (uint64_t)l->tokens, (uint64_t)l->steps, (uint64_t)l->drafted,
                 (uint64_t)l->accepted);
  lsp__json_put_int(b, "contextPieces", (uint64_t)l->context_pieces);
  lsp__json_put_double(b, "contextMs", l->context_ms);
  lsp__json_put_double(b, "promptMs", l->prompt_ms);
  lsp__json_put_double(b, "prefillMs", l->prefill_ms);
  lsp__json_put_double(b, "firstTokenMs", l->first_token_ms);
  lsp__json_put_double(b, "decodeMs", l->decode_ms);
  lsp__json_put_double(b, "hostMs", l->host_ms);
  lsp__json_put_double(b, "gateMs", l->gate_ms);
  lsp__json_put_double(b, "totalMs", l->total_ms);
  lsp__json_end(b, '}');
}

static void write_quiet(lsp__buffer *b, const uint64_t *quiet) {
  lsp__json_key(b, "quiet");
  lsp__json_begin(b, '{');
  for (int i = 1; i < LSP__QUIETS; i++)
    lsp__json_put_int(b, lsp__quiet_name((completion_quiet)i), quiet[i]);
  lsp__json_end(b, '}');
}

static void write_acceptance(lsp__buffer *b, const lsp__acceptance *a) {
  lsp__json_key(b, "acceptance");
  lsp__json_begin(b, '{');
  lsp__json_put_int(b, "suggestions", a->suggestions);
  lsp__json_put_int(b, "accepted", a->accepted);
  lsp__json_put_double(b, "ratio", ratio(a->accepted, a->suggestions));
  lsp__json_put_int(b, "whole", a->whole);
  lsp__json_put_int(b, "lines", a->lines);
  lsp__json_put_int(b, "words", a->words);
  lsp__json_put_int(b, "characters", a->characters);
  lsp__json_put_int(b, "typedThrough", a->typed);
  lsp__json_end(b, '}');
}

static void write_waits(lsp__buffer *b, const lsp__statistics *s) {
  lsp__json_put_int(b, "started", s->started);
  lsp__json_key(b, "debounce");
  lsp__json_begin(b, '{');
  lsp__json_put_int(b, "waited", s->waited);
  lsp__json_put_int(b, "neverStarted", s->spared);
  lsp__json_end(b, '}');
  lsp__json_key(b, "stopped");
  lsp__json_begin(b, '{');
  lsp__json_put_int(b, "jobs", s->stopped);
  lsp__json_put_int(b, "mostSteps", s->most_steps);
  write_samples(b, "ms", &s->stop_ms);
  lsp__json_end(b, '}');
}

void lsp__statistics_write(const lsp__statistics *s, lsp__buffer *b) {
  lsp__samples keys = s->keys;
  if (s->typed) lsp__samples_add(&keys, (double)(s->prefilled_tokens - s->key_prefilled));
  lsp__json_begin(b, '{');
  write_outcomes(b, "inlineCompletion", s->inline_outcomes);
  write_outcomes(b, "completion", s->popup_outcomes);
  write_quiet(b, s->quiet);
  write_acceptance(b, &s->acceptance);
  write_waits(b, s);
  write_decoding(b, s->tokens, s->steps, s->drafted, s->accepted);
  lsp__json_put_double(b, "hostMs", s->host_ms);
  lsp__json_put_int(b, "promptTokens", s->prompt_tokens);
  lsp__json_put_int(b, "prefilledTokens", s->prefilled_tokens);
  write_samples(b, "answerMs", &s->answer_ms);
  write_samples(b, "firstTokenMs", &s->first_ms);
  write_samples(b, "lastTokenMs", &s->last_ms);
  write_samples(b, "prefilledPerRequest", &s->prefilled);
  write_samples(b, "prefilledPerKeystroke", &keys);
  write_last(b, s);
  lsp__json_end(b, '}');
}

void lsp__statistics_line(const lsp__statistics *s, char *out, size_t len) {
  uint64_t shown = s->inline_outcomes[LSP__SHOWN] + s->popup_outcomes[LSP__SHOWN], asked = 0;
  for (int i = 0; i < LSP__OUTCOMES; i++) asked += s->inline_outcomes[i] + s->popup_outcomes[i];
  snprintf(out, len,
           "fimd: %" PRIu64 " of %" PRIu64 " requests shown; %.0f ms at the median, %.0f ms at the "
           "90th percentile; %" PRIu64 " tokens in %" PRIu64 " steps (%.2f a step); %" PRIu64
           " of %" PRIu64 " suggestions accepted",
           shown, asked, lsp__samples_percentile(&s->answer_ms, 0.5),
           lsp__samples_percentile(&s->answer_ms, 0.9), s->tokens, s->steps,
           ratio(s->tokens, s->steps), s->acceptance.accepted, s->acceptance.suggestions);
}
