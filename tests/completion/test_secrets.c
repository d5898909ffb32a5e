/* test_secrets.c - which lines of ordinary code are known to hold a secret, and which are not. */
#include "completion/secrets.h"
#include "helper.h"

#define HEX32 "0123456789abcdef0123456789abcdef"
#define B64 "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4gH6"

static const char *const secret[] = {
    "AWS_ID = \"AKIAIOSFODNN7EXAMPLE\"",
    "ASIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY7",
    "aws_secret_access_key=/JalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY7",
    "const t = 'ghp_" B64 "';",
    "github_pat_11ABCDEFG0_" B64,
    "git clone https://gho_" B64 "@github.com/a/b",
    "token: glpat-abcdEFGH1234ijklMNOP",
    "slack(\"xoxb-123456789012-abcdefgh\")",
    "post https://hooks.slack.com/services/T00000000/B00000000/abcdefgh12345678",
    "stripe.api_key = \"sk_live_4eC39HqLyjWDarjtT1zdp7dc\"",
    "OPENAI=sk-" HEX32 "abcdefgh",
    "x = 'sk-ant-api03-" B64 "'",
    "AIzaSyA" B64,
    "//registry.npmjs.org/:_authToken=npm_" B64,
    "hf = \"hf_abcdefghijklmnopqrstuvwxyzABCDEF\"",
    "SG." B64 "." B64,
    "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ",
    "jwt = \"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P\"",
    "DATABASE_URL=postgres://admin:hunter2hunter@db.example.com/x",
    "redis://:p4ssw0rdp4ss@localhost:6379",
    "password = \"correct9horse8battery\"",
    "  \"apiKey\": \"" HEX32 "\",",
    "client_secret: '" B64 "'",
    "API-KEY=" HEX32,
    "token=" B64 "==",
    "headers['Authorization'] = 'Bearer " B64 "'",
    "curl -H \"Authorization: Bearer " B64 "\" https://x",
    "export SECRET_KEY=" HEX32 "\r",
    "password: str = \"abcdefgh12345678\"",
};

static const char *const ordinary[] = {
    "", " ", "int main(void) { return 0; }",
    "AKIA", "AKIAIOSFODNN7EXAMPL", "AKIAIOSFODNN7EXAMPLEX", "xAKIAIOSFODNN7EXAMPLE",
    "#define SHA \"" HEX32 "\"",
    "commit " HEX32,
    "const char *token = next_token(lexer);",
    "if (token == TOKEN_IDENTIFIER) return parse_identifier(parser);",
    "password = getpass.getpass(\"Password: \")",
    "password = os.environ[\"DATABASE_PASSWORD_1_2\"]",
    "def reset_password(user_id, password_hash, iterations=100000):",
    "class sk-toggleable__content { color: red }",
    "ghp_short", "npm_config_cache=/tmp/x", "hf_hub_download(repo)",
    "eyJhbGci.short.x", "https://example.com:8080/a@b", "http://user@host/path",
    "https://${USER}:${TOKEN}@host/", "https://user:<password>@host/",
    "secret_santa = [\"alice\", \"bob\"]",
    "SG.x", "ya29.", "sk-learn", "for (token = 0; token < 1234567890; token++) continue;",
    "-----BEGIN CERTIFICATE-----",
};

static void test_lines(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
    if (!completion__secrets_in(slice(secret[i]))) fail_msg("not known: %s", secret[i]);
  for (size_t i = 0; i < sizeof ordinary / sizeof *ordinary; i++)
    if (completion__secrets_in(slice(ordinary[i]))) fail_msg("taken for a secret: %s", ordinary[i]);
}

/* Wherever it stands in a text, that line and no other is blank, and nothing moves. */
static void test_blank(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
    for (int last = 0; last < 2; last++) {
      char text[512], expected[512];
      int n = snprintf(text, sizeof text, "int a;\n%s%s", secret[i], last ? "" : "\nint b;\n");
      snprintf(expected, sizeof expected, "int a;\n%*s%s", (int)strlen(secret[i]), "",
               last ? "" : "\nint b;\n");
      assert_true(completion__secrets_in(completion__slice_of(text, (size_t)n)));
      assert_int_equal(completion__secrets_blank(text, (size_t)n), 1);
      assert_string_equal(text, expected);
      assert_int_equal(completion__secrets_blank(text, (size_t)n), 0);
    }
  assert_int_equal(completion__secrets_blank(NULL, 0), 0);
}

/* Texts that were made to be dear are read in time that grows with their length alone: under the
 * sanitizers, too, a quadratic one would take hours. */
static void test_hostile(void **state) {
  (void)state;
  static const char *const parts[] = {"eyJaaaaaaaaaa-", "eyJ-", "eyJaaaaaaaaaaa.", "xoxb-", "://",
                                      "://a:", "\"a1b2c3d4e5f6g7h8\",", "AKIA-", "A", "a1", "=\"",
                                      "token=", "SG.", "://a:b"};
  size_t len = (size_t)4 << 20;
  char *text = malloc(len);
  assert_non_null(text);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    size_t n = strlen(parts[i]);
    for (size_t at = 0; at < len; at++) text[at] = parts[i][at % n];
    completion__secrets_in(completion__slice_of(text, len));
  }
  for (int c = 0; c < 256; c++) { /* any byte anywhere */
    memset(text, c, 64);
    completion__secrets_in(completion__slice_of(text, 64));
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_blank),
                                     cmocka_unit_test(test_hostile)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
