/* test_guard.c - who may speak to a daemon that listens. The rest of it, with a real daemon, is in
 * tests/protocol/test_access.mjs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lsp/buffer.h"
#include "lsp/guard.h"

static void test_peer(void **state) {
  (void)state;
  int ends[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  assert_true(lsp__guard_peer(ends[0], geteuid()));
  assert_false(lsp__guard_peer(ends[0], geteuid() + 1));
  close(ends[0]), close(ends[1]);
  assert_false(lsp__guard_peer(ends[0], geteuid()));
  assert_int_equal(pipe(ends), 0); /* nobody at the other end that could be named */
  assert_false(lsp__guard_peer(ends[0], geteuid()));
  close(ends[0]), close(ends[1]);
}

static void test_token(void **state) {
  (void)state;
  char folder[] = "/tmp/fimd-test-XXXXXX", path[64], err[256] = "", said[80], text[300];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/token", folder);
  lsp__token t, u;
  assert_int_equal(lsp__token_make(&t, path, 1, err, sizeof err), LSP__OK);
  assert_int_equal(strlen(t.hex), LSP__TOKEN_HEX);
  assert_true(lsp__token_is(&t, t.hex));
  for (size_t i = 0; i < LSP__TOKEN_HEX; i++) { /* each place counts */
    strcpy(said, t.hex);
    said[i] ^= 1;
    assert_false(lsp__token_is(&t, said));
  }
  assert_false(lsp__token_is(&t, NULL));
  assert_false(lsp__token_is(&t, ""));
  snprintf(said, sizeof said, "%s ", t.hex);
  assert_false(lsp__token_is(&t, said));

  int n = snprintf(text, sizeof text, "a%sb%s", t.hex, t.hex);
  lsp__token_mask(&t, text, (size_t)n);
  assert_null(strstr(text, t.hex));
  assert_true(text[0] == 'a' && text[1 + LSP__TOKEN_HEX] == 'b' && (int)strlen(text) == n);

  /* A second one takes its place, and the first does not remove it. */
  assert_int_equal(lsp__token_make(&u, path, 1, err, sizeof err), LSP__OK);
  assert_string_not_equal(t.hex, u.hex);
  lsp__token_remove(&t);
  assert_int_equal(access(path, F_OK), 0);
  assert_false(lsp__token_is(&t, ""));
  lsp__token_remove(&u);
  assert_int_not_equal(access(path, F_OK), 0);
  lsp__token_remove(&u);
  assert_int_equal(rmdir(folder), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_peer), cmocka_unit_test(test_token)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
