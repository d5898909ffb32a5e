/* What serves again: when the anchor holds, when the last answer agrees. No model needed. */
#include "completion/reuse.h"
#include "helper.h"

static completion__document document = {.refs = 1}, other = {.refs = 1};

static void anchor(completion__reuse *r, const char *before, const char *after) {
  completion__reuse_key key = {&document, 100, false};
  completion__prompt prompt = {0};
  assert_int_equal(engine_tokens_push(&prompt.tokens, 42), 0);
  assert_int_equal(completion__reuse_anchor(r, &key, slice(before), slice(after), &prompt), 0);
  assert_null(prompt.tokens.ids);
}

static bool fits(const completion__reuse *r, const char *before, const char *after,
                 size_t expected) {
  completion__reuse_key key = {&document, 100, false};
  size_t typed = 999;
  bool is = completion__reuse_fits(r, &key, slice(before), slice(after), &typed);
  if (is) assert_int_equal(typed, expected);
  return is;
}

static void test_anchor(void **state) {
  (void)state;
  completion__reuse r = {0};
  assert_false(fits(&r, "", "", 0));
  anchor(&r, "a\nb", "\nc\n");
  assert_true(fits(&r, "a\nb", "\nc\n", 0));
  assert_true(fits(&r, "a\nb = 1", "\nc\n", 4));
  assert_false(fits(&r, "a\nb = 1\n", "\nc\n", 0)); /* the cursor left the line */
  assert_false(fits(&r, "a\n", "\nc\n", 0));        /* went back before the anchor */
  assert_false(fits(&r, "x\nb", "\nc\n", 0));       /* the text before changed */
  assert_false(fits(&r, "a\nb", "\nd\n", 0));       /* or that after */
  assert_false(fits(&r, "a\nb", "\nc", 0));
  char longer[COMPLETION__TYPED_BYTES + 8] = "a\nb";
  memset(longer + 3, 'x', sizeof longer - 4);
  assert_false(fits(&r, longer, "\nc\n", 0)); /* a long burst */

  completion__reuse_key key = {&document, 100, false};
  size_t typed;
  key.document = &other;
  assert_false(completion__reuse_fits(&r, &key, slice("a\nb"), slice("\nc\n"), &typed));
  key.document = &document;
  key.budget = 99;
  assert_false(completion__reuse_fits(&r, &key, slice("a\nb"), slice("\nc\n"), &typed));
  key.budget = 100;
  key.no_context = true;
  assert_false(completion__reuse_fits(&r, &key, slice("a\nb"), slice("\nc\n"), &typed));
  completion__reuse_clear(&r);
  assert_int_equal(atomic_load(&document.refs), 1);
}

/* Typing "(" makes many editors add ")": the anchor holds. */
static void test_closers_added_by_the_editor(void **state) {
  (void)state;
  completion__reuse r = {0};
  anchor(&r, "x = ", "\nc\n");
  assert_true(fits(&r, "x = f(", ")\nc\n", 2));
  assert_true(fits(&r, "x = f(\"", "\")\nc\n", 3));
  assert_false(fits(&r, "x = f", ")\nc\n", 0)); /* nothing was opened */
  assert_false(fits(&r, "x = f(", "y\nc\n", 0));
  assert_false(fits(&r, "x = f(((((((", ")))))))\nc\n", 0));
  completion__reuse_clear(&r);
}

static const completion__reuse_terms terms = {
    .mode = COMPLETION_AUTO, .max_tokens = 64, .max_lines = 8};

static void keep(completion__reuse *r, const char *typed, const char *text, bool complete) {
  engine_tokens middle = {0};
  assert_int_equal(engine_tokens_push(&middle, 7), 0);
  const completion__verdict verdict = {.stop = COMPLETION_STOP_LINE};
  completion__reuse_keep(r, &terms, slice(typed), slice(text), complete, &verdict, &middle);
  assert_null(middle.ids);
}

static void test_agreement(void **state) {
  (void)state;
  completion__reuse r = {0};
  completion__slice rest;
  anchor(&r, "a\n", "\nc\n");
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice(""), &rest), COMPLETION__DISAGREES);
  keep(&r, "re", "turn x", true);
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("re"), &rest),
                   COMPLETION__AGREES_DONE);
  assert_slice(rest, "turn x");
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("retu"), &rest),
                   COMPLETION__AGREES_DONE);
  assert_slice(rest, "rn x");
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("rex"), &rest),
                   COMPLETION__DISAGREES);
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("r"), &rest), COMPLETION__DISAGREES);
  /* all of it was typed: ask again */
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("return x"), &rest),
                   COMPLETION__DISAGREES);
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("return xy"), &rest),
                   COMPLETION__DISAGREES);
  completion__reuse_terms changed = terms;
  changed.mode = COMPLETION_MULTI_LINE;
  assert_int_equal(completion__reuse_agrees(&r, &changed, slice("re"), &rest),
                   COMPLETION__DISAGREES);
  changed = terms;
  changed.max_tokens = 3;
  assert_int_equal(completion__reuse_agrees(&r, &changed, slice("re"), &rest),
                   COMPLETION__DISAGREES);

  keep(&r, "re", "tu", false); /* cut short: the start of an answer */
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("ret"), &rest),
                   COMPLETION__AGREES_SO_FAR);
  assert_slice(rest, "u");
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("retu"), &rest),
                   COMPLETION__AGREES_SO_FAR);
  assert_int_equal(rest.len, 0);
  keep(&r, "x", "", true); /* nothing was to come, and nothing is */
  assert_int_equal(completion__reuse_agrees(&r, &terms, slice("x"), &rest),
                   COMPLETION__AGREES_DONE);
  assert_int_equal(rest.len, 0);
  completion__reuse_clear(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_anchor),
      cmocka_unit_test(test_closers_added_by_the_editor),
      cmocka_unit_test(test_agreement),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
