/* test_framing.c - the framing parser: any cut of the stream gives the same events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "lsp/framing.h"

/* What a stream gave: 'm' and the body, or a letter for a problem, each ended by '|'. */
static void play(const char *stream, size_t len, size_t max, unsigned seed, lsp__buffer *out) {
  lsp__framing *f = calloc(1, sizeof *f);
  assert_non_null(f);
  f->max_message = max;
  lsp__buffer_clear(out, 0);
  size_t at = 0;
  while (at < len) {
    size_t piece = seed == 0 ? len : seed == 1 ? 1 : 1 + (size_t)rand() % seed;
    if (piece > len - at) piece = len - at;
    /* A copy of exactly this size, so that a sanitizer sees a read past it. */
    char *copy = malloc(piece);
    assert_non_null(copy);
    memcpy(copy, stream + at, piece);
    size_t taken = 0;
    lsp__framing_event event;
    do {
      taken += lsp__framing_feed(f, copy + taken, piece - taken, &event);
      if (event == LSP__FRAMING_MESSAGE) {
        lsp__buffer_puts(out, "m");
        lsp__buffer_append(out, f->body.data, f->body.len);
        assert_int_equal(f->body.data[f->body.len], 0);
      }
      if (event == LSP__FRAMING_BAD_HEADER) lsp__buffer_puts(out, "b");
      if (event == LSP__FRAMING_TOO_LARGE) lsp__buffer_puts(out, "l");
      if (event != LSP__FRAMING_NONE) lsp__buffer_puts(out, "|");
    } while (event != LSP__FRAMING_NONE);
    assert_int_equal(taken, piece);
    free(copy);
    at += piece;
  }
  lsp__buffer_puts(out, lsp__framing_idle(f) ? "." : "...");
  lsp__framing_free(f);
  free(f);
}

static void expect(const char *stream, const char *want) {
  lsp__buffer out = {0};
  static const unsigned seeds[] = {0, 1, 2, 3, 5, 17, 100};
  for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
    play(stream, strlen(stream), 1000, seeds[i], &out);
    assert_string_equal(out.data, want);
  }
  lsp__buffer_free(&out);
}

static void test_messages(void **state) {
  (void)state;
  expect("Content-Length: 2\r\n\r\n{}", "m{}|.");
  expect("content-length:2\r\n\r\n{}CONTENT-LENGTH: 3\n\n[1]", "m{}|m[1]|.");
  expect("Content-Type: x; charset=utf-8\r\nContent-Length:\t 2 \r\nX: y\r\n\r\n{}", "m{}|.");
  expect("\r\n\r\nContent-Length: 2\r\n\r\n{}\n", "m{}|.");
  expect("Content-Length: 0\r\n\r\nContent-Length: 1\r\n\r\n1", "m|m1|.");
  expect("Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "m{}|.");
  expect("Content-Length: 007\r\n\r\n1234567", "m1234567|.");
  expect("Content-Length: 5\r\n\r\n{}", "...");
  expect("Content-Len", "...");
}

static void test_bad_headers(void **state) {
  (void)state;
  static const char good[] = "Content-Length: 2\r\n\r\n{}";
  static const char *const bad[] = {
      "Content-Length: x\r\n\r\n", "Content-Length: -2\r\n\r\n", "Content-Length: 2 2\r\n\r\n",
      "Content-Length:\r\n\r\n",   "Content-Type: y\r\n\r\n",   "no colon\r\n\r\n",
      ": 5\r\n\r\n",               "a b: 5\r\n\r\n",            "{\"jsonrpc\":\"2.0\"}",
      "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",         "\x01\x80\xff\r\n\r\n",
      "X-Content-Length: 2\r\n\r\n",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    lsp__buffer stream = {0};
    lsp__buffer_puts(&stream, bad[i]);
    lsp__buffer_puts(&stream, good);
    lsp__buffer_puts(&stream, good);
    /* A good length inside a bad header may be taken, so compare the end. */
    lsp__buffer out = {0};
    for (unsigned seed = 0; seed < 9; seed++) {
      play(stream.data, stream.len, 1000, seed, &out);
      assert_int_equal(out.data[0], 'b');
      const char *tail = "|m{}|.";
      assert_true(out.len >= strlen(tail));
      assert_string_equal(out.data + out.len - strlen(tail), tail);
      size_t said = 0;
      for (const char *p = out.data; (p = strchr(p, 'b')) != NULL; p++) said++;
      assert_in_range(said, 1, 2); /* twice where the last of two lengths was believed */
    }
    lsp__buffer_free(&out);
    lsp__buffer_free(&stream);
  }
}

static void test_resynchronises(void **state) {
  (void)state;
  /* A short length leaves the rest of the body before the next header. */
  expect("Content-Length: 4\r\n\r\n{\"a\":1}Content-Length: 2\r\n\r\n{}", "m{\"a\"|b|m{}|.");
  /* A long one swallows part of it. */
  expect("Content-Length: 12\r\n\r\n{\"a\":1}Content-Length: 2\r\n\r\n{}Content-Length: 2\r\n\r\n[]",
         "m{\"a\":1}Conte|b|m[]|.");
  /* Rubbish much longer than a header. */
  lsp__buffer stream = {0}, out = {0};
  for (int i = 0; i < 5000; i++) lsp__buffer_puts(&stream, "rubbish: ");
  lsp__buffer_puts(&stream, "Content-Length: 2\r\n\r\n{}");
  for (unsigned seed = 0; seed < 200; seed += 7) {
    play(stream.data, stream.len, 1000, seed, &out);
    assert_string_equal(out.data, "b|m{}|.");
  }
  lsp__buffer_free(&stream);
  lsp__buffer_free(&out);
}

static void test_too_large(void **state) {
  (void)state;
  lsp__buffer stream = {0}, out = {0}, endless = {0};
  lsp__buffer_puts(&stream, "Content-Length: 1001\r\n\r\n");
  for (int i = 0; i < 1001; i++) lsp__buffer_puts(&stream, "x");
  lsp__buffer_puts(&stream, "Content-Length: 1000\r\n\r\n");
  for (int i = 0; i < 1000; i++) lsp__buffer_puts(&stream, "y");
  play(stream.data, stream.len, 1000, 0, &out);
  assert_int_equal(out.len, strlen("l|m|.") + 1000);
  lsp__buffer whole = {0};
  lsp__buffer_append(&whole, out.data, out.len);
  play(stream.data, stream.len, 1000, 1, &out);
  assert_string_equal(out.data, whole.data);
  lsp__buffer_free(&stream);
  lsp__buffer_free(&whole);
  lsp__buffer_free(&out);
  /* It is said when enough of it has come to know what it is. */
  expect("Content-Length: 99999999999999999999999999\r\n\r\nabc", "...");
  lsp__buffer_puts(&endless, "Content-Length: 99999999999999999999999999\r\n\r\n");
  for (int i = 0; i < LSP__HEAD_MAX; i++) lsp__buffer_puts(&endless, "x");
  expect(endless.data, "l|...");
  lsp__buffer_free(&endless);
}

static void test_hasty(void **state) {
  (void)state;
  static const char stream[] = "Content-Length: 7\r\n\r\n";
  lsp__framing f = {.max_message = 5, .hasty = true};
  lsp__framing_event event;
  assert_int_equal(lsp__framing_feed(&f, stream, sizeof stream - 1, &event), sizeof stream - 1);
  assert_int_equal(event, LSP__FRAMING_TOO_LARGE);
  assert_int_equal(f.head_len, 0);
  lsp__framing_feed(&f, "abcdefg", 7, &event); /* not said again */
  assert_int_equal(event, LSP__FRAMING_NONE);
  assert_true(lsp__framing_idle(&f));
  lsp__framing_free(&f);
}

/* How a message begins that is passed over: all of a short one, LSP__HEAD_MAX bytes of a long one. */
static void test_head(void **state) {
  (void)state;
  static const char stream[] = "Content-Length: 7\r\n\r\nabcdefgContent-Length: 2\r\n\r\n{}";
  for (size_t step = 1; step < sizeof stream; step++) {
    lsp__framing f = {.max_message = 5};
    lsp__framing_event event;
    int too_large = 0, messages = 0;
    for (size_t at = 0; at < sizeof stream - 1;) {
      size_t left = sizeof stream - 1 - at;
      at += lsp__framing_feed(&f, stream + at, left < step ? left : step, &event);
      if (event == LSP__FRAMING_TOO_LARGE) {
        too_large++;
        assert_int_equal(f.head_len, 7);
        assert_memory_equal(f.head, "abcdefg", 7);
      }
      if (event == LSP__FRAMING_MESSAGE) messages++;
    }
    assert_int_equal(too_large, 1);
    assert_int_equal(messages, 1);
    lsp__framing_free(&f);
  }
}

/* Random streams of pieces of headers: every cut gives what the whole gives. */
static void test_random(void **state) {
  (void)state;
  static const char *const pieces[] = {
      "Content-Length: ", "2", "\r\n", "\r\n\r\n", "{}", "\n", ":", "content-length:", "Content-",
      "x", "17", "\r", "Content-Length: 2\r\n\r\n{}", " ", "Content-Length: 2000\r\n\r\n"};
  srand(11);
  lsp__buffer whole = {0}, cut = {0};
  for (int round = 0; round < 3000; round++) {
    lsp__buffer stream = {0};
    for (int n = rand() % 30; n >= 0; n--)
      lsp__buffer_puts(&stream, pieces[(size_t)rand() % (sizeof pieces / sizeof *pieces)]);
    play(stream.data, stream.len, 1000, 0, &whole);
    for (unsigned seed = 1; seed < 8; seed += 3) {
      play(stream.data, stream.len, 1000, seed, &cut);
      assert_string_equal(cut.data, whole.data);
    }
    lsp__buffer_free(&stream);
  }
  lsp__buffer_free(&whole);
  lsp__buffer_free(&cut);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_messages),       cmocka_unit_test(test_bad_headers),
      cmocka_unit_test(test_resynchronises), cmocka_unit_test(test_too_large),
      cmocka_unit_test(test_head), cmocka_unit_test(test_hasty),
      cmocka_unit_test(test_random),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
