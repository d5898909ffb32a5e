/* test_settings.c - settings: what is taken, what is refused and said; and the statistics. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "lsp/json.h"
#include "lsp/settings.h"
#include "lsp/status.h"

static void count(void *user, const char *text) {
  assert_true(strlen(text) > 0);
  ++*(int *)user;
}

/* Applies JSON to settings; returns how much was said against it. */
static int apply(lsp__settings *s, const char *json) {
  cJSON *tree;
  const char *why;
  size_t where;
  int said = 0;
  assert_int_equal(lsp__json_parse(json, strlen(json), &tree, &why, &where), 0);
  lsp__settings_apply(s, tree, count, &said);
  cJSON_Delete(tree);
  return said;
}

static void test_settings(void **state) {
  (void)state;
  const completion_options start = {.max_tokens = 64, .max_lines = 8, .top_p = 1};
  lsp__settings s;
  lsp__settings_init(&s, &start);
  assert_true(s.enable && s.popup && !s.streaming);
  assert_int_equal(apply(&s, "{\"enable\":false,\"maxTokens\":12,\"temperature\":0.5,\"seed\":9,"
                             "\"noContext\":true,\"topP\":null}"), 0);
  assert_false(s.enable);
  assert_int_equal(s.completion.max_tokens, 12);
  assert_int_equal(s.completion.seed, 9);
  assert_true(s.completion.no_context);
  assert_true(s.completion.temperature == 0.5f && s.completion.top_p == 1.0f);
  assert_int_equal(apply(&s, "{\"maxTokens\":0,\"maxLines\":1e9,\"temperature\":-1,\"topP\":\"1\","
                             "\"enable\":1,\"languages\":3,\"model\":\"m\",\"nonsense\":{},\"seed\":0.5}"), 9);
  assert_int_equal(s.completion.max_tokens, 12);
  assert_int_equal(s.completion.max_lines, 8);
  /* The engine's: minutes; what it is loaded into is not for a workspace to say. */
  assert_true(s.unload_after == 0);
  assert_int_equal(apply(&s, "{\"unloadAfter\":-1}"), 1);
  assert_int_equal(apply(&s, "{\"unloadAfter\":0.5,\"gpuMemory\":\"20GB\"}"), 1);
  assert_true(s.unload_after == 0.5f);
  assert_int_equal(lsp__minutes_to_ms(0), 0);
  assert_int_equal(lsp__minutes_to_ms(0.5f), 30000);
  assert_int_equal(lsp__minutes_to_ms(1e-9f), 1);
  assert_int_equal(lsp__minutes_to_ms(10080), 604800000);
  assert_int_equal(apply(&s, "[]"), 1);
  assert_int_equal(apply(&s, "null"), 0);
}

/* The settings' draft, as it is written. */
static void expect_draft(const lsp__settings *s, const char *want) {
  lsp__buffer b = {0};
  cJSON *tree;
  const char *why, *draft;
  size_t where;
  lsp__settings_write(s, &b);
  assert_int_equal(lsp__json_parse(b.data, b.len, &tree, &why, &where), 0);
  assert_true(lsp__json_get_string(tree, "draft", &draft));
  assert_string_equal(draft, want);
  cJSON_Delete(tree);
  lsp__buffer_free(&b);
}

static void test_draft(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool reads;
  } good[] = {{"none", false},    {"all", true},        {"prompt", false},         {"pool", true},
              {"recycle", false}, {"lookahead", false}, {"lookahead:5,3,4", false}};
  static const char *const bad[] = {
      "\"\"",     "\"some\"", "\"lookahead:5,3\"", "\"lookahead:0,3,4\"",
      "\"pool \"", "7",        "false",             "{\"sources\":1}"};
  const completion_options start = {0};
  lsp__settings s;
  lsp__settings_init(&s, &start);
  expect_draft(&s, "all"); /* as completion.h has it */
  assert_true(lsp__settings_reads_workspace(&s));
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    char json[64];
    snprintf(json, sizeof json, "{\"draft\":\"%s\"}", good[i].name);
    assert_int_equal(apply(&s, json), 0);
    expect_draft(&s, good[i].name);
    assert_int_equal(s.completion.no_draft, i == 0);
    assert_int_equal(lsp__settings_reads_workspace(&s), good[i].reads);
  }
  assert_int_equal(s.completion.draft.w, 5);
  assert_int_equal(s.completion.draft.n, 3);
  assert_int_equal(s.completion.draft.g, 4);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char json[64];
    snprintf(json, sizeof json, "{\"draft\":%s}", bad[i]);
    assert_int_equal(apply(&s, json), 1);
    expect_draft(&s, "lookahead:5,3,4");
  }
}

static void test_languages(void **state) {
  (void)state;
  const completion_options start = {0};
  lsp__settings s;
  lsp__settings_init(&s, &start);
  assert_true(lsp__settings_language_on(&s, "c"));
  assert_int_equal(apply(&s, "{\"languages\":{\"c\":false}}"), 0);
  assert_false(lsp__settings_language_on(&s, "c"));
  assert_true(lsp__settings_language_on(&s, "cpp"));
  assert_int_equal(apply(&s, "{\"languages\":{\"*\":false,\"go\":true,\"x\":1}}"), 1);
  assert_true(lsp__settings_language_on(&s, "go"));
  assert_false(lsp__settings_language_on(&s, "c"));
  lsp__buffer b = {0};
  lsp__buffer_puts(&b, "{\"languages\":{");
  for (int i = 0; i < LSP__LANGUAGES_MAX + 5; i++)
    lsp__buffer_printf(&b, "%s\"l%d\":false", i > 0 ? "," : "", i);
  lsp__buffer_puts(&b, "}}");
  assert_int_equal(apply(&s, b.data), 1);
  assert_int_equal(s.language_count, LSP__LANGUAGES_MAX);
  lsp__buffer_free(&b);
}

static void test_statistics(void **state) {
  (void)state;
  lsp__statistics *s = calloc(1, sizeof *s);
  assert_non_null(s);
  assert_true(lsp__samples_percentile(&s->answer_ms, 0.5) == 0);
  for (int i = 1; i <= 100; i++) lsp__samples_add(&s->answer_ms, i);
  assert_true(lsp__samples_percentile(&s->answer_ms, 0.5) == 50);
  assert_true(lsp__samples_percentile(&s->answer_ms, 0.9) == 90);
  assert_true(lsp__samples_percentile(&s->answer_ms, 1) == 100);
  /* Only the newest are kept. */
  for (int i = 0; i < LSP__SAMPLES; i++) lsp__samples_add(&s->answer_ms, 7);
  assert_true(lsp__samples_percentile(&s->answer_ms, 0) == 7);
  assert_true(lsp__samples_percentile(&s->answer_ms, 1) == 7);
  const completion_stats stats = {.tokens = 6, .steps = 4, .prefilled_tokens = 7, .drafted = 9,
                                  .accepted = 3, .host_ms = 0.5};
  lsp__statistics_worked(s, &stats); /* cancelled: its work is counted, its answer is not */
  lsp__statistics_worked(s, &stats);
  lsp__statistics_finished(s, &stats, COMPLETION_STOP_LINE, COMPLETION_QUIET_NO, true,
                           &(lsp__times){1, 3, 4});
  lsp__statistics_outcome(s, false, LSP__SHOWN);
  lsp__statistics_outcome(s, true, LSP__FAILED);
  lsp__buffer b = {0};
  lsp__statistics_write(s, &b);
  cJSON *tree;
  const char *why;
  size_t where;
  int64_t n;
  assert_int_equal(lsp__json_parse(b.data, b.len, &tree, &why, &where), 0);
  assert_true(lsp__json_get_int(tree, "tokens", &n) && n == 12);
  assert_true(lsp__json_get_int(tree, "drafted", &n) && n == 18);
  assert_true(lsp__json_get_int(tree, "accepted", &n) && n == 6);
  const cJSON *last = lsp__json_get(tree, "last");
  assert_true(lsp__json_get_int(last, "accepted", &n) && n == 3);
  assert_true(lsp__json_get(tree, "hostMs")->valuedouble == 1);
  assert_true(lsp__json_get(last, "hostMs")->valuedouble == 0.5);
  assert_true(lsp__json_get(tree, "tokensPerStep")->valuedouble == 1.5);
  assert_true(lsp__json_to_int(lsp__json_path(tree, "completion", "failed", NULL), &n) && n == 1);
  assert_true(lsp__json_to_int(lsp__json_path(tree, "last", "prefilledTokens", NULL), &n) && n == 7);
  cJSON_Delete(tree);
  lsp__buffer_free(&b);
  char whole[256];
  lsp__statistics_line(s, whole, sizeof whole);
  assert_non_null(strstr(whole, "12 tokens in 8 steps (1.50 a step)"));
  char line[64]; /* too short: it is cut, not overrun */
  lsp__statistics_line(s, line, sizeof line);
  assert_true(strncmp(line, "fimd: 1 of 2", 12) == 0);
  free(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_settings),
      cmocka_unit_test(test_draft),
      cmocka_unit_test(test_languages),
      cmocka_unit_test(test_statistics),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
