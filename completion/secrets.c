/* secrets.c - see secrets.h. A line is read once; what is dear is looked at only after something
 * rare was seen. */
#include "completion/secrets.h"

#include <string.h>
#include <strings.h>

#define VALUE_BYTES 16 /* of a value that is given to a telling name */
#define VALUE_DIGITS 2
#define PASSWORD_BYTES 4 /* in an address */
#define JWT_BYTES 10     /* of each of its parts */
#define NAME_BYTES 160   /* before a value, where its name is looked for */
#define ANY SIZE_MAX

/* ---- characters ------------------------------------------------------------------------ */

typedef bool alphabet(char c);

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static bool is_letter(char c) { return is_upper(c) || (c >= 'a' && c <= 'z'); }
static bool of_capitals(char c) { return is_upper(c) || is_digit(c); }
static bool of_alnum(char c) { return is_letter(c) || is_digit(c); }
static bool of_word(char c) { return of_alnum(c) || c == '_'; }
static bool of_base64url(char c) { return of_word(c) || c == '-'; }
static bool of_value(char c) { return of_base64url(c) || c == '+' || c == '/' || c == '.'; }
static bool is_one_of(char c, const char *set) { return c && strchr(set, c); }

static size_t run(completion__slice t, size_t at, alphabet *of) {
  size_t from = at;
  while (at < t.len && of(t.s[at])) at++;
  return at - from;
}

/* ---- tokens that say what they are ------------------------------------------------------ */

static const struct mark {
  const char *before;
  alphabet *of;
  size_t least, most; /* characters behind it */
} marks[] = {
    {"AKIA", of_capitals, 16, 16},       {"ASIA", of_capitals, 16, 16},
    {"ABIA", of_capitals, 16, 16},       {"ACCA", of_capitals, 16, 16},
    {"ghp_", of_alnum, 30, ANY},         {"gho_", of_alnum, 30, ANY},
    {"ghu_", of_alnum, 30, ANY},         {"ghs_", of_alnum, 30, ANY},
    {"ghr_", of_alnum, 30, ANY},         {"github_pat_", of_word, 22, ANY},
    {"glpat-", of_base64url, 20, ANY},   {"gldt-", of_base64url, 20, ANY},
    {"glrt-", of_base64url, 20, ANY},    {"glptt-", of_base64url, 20, ANY},
    {"xoxb-", of_base64url, 10, ANY},    {"xoxp-", of_base64url, 10, ANY},
    {"xoxa-", of_base64url, 10, ANY},    {"xoxr-", of_base64url, 10, ANY},
    {"xoxs-", of_base64url, 10, ANY},    {"xapp-", of_base64url, 10, ANY},
    {"sk_live_", of_alnum, 16, ANY},     {"sk_test_", of_alnum, 16, ANY},
    {"rk_live_", of_alnum, 16, ANY},     {"whsec_", of_value, 24, ANY},
    {"sk-ant-", of_base64url, 20, ANY},  {"sk-proj-", of_base64url, 20, ANY},
    {"sk-", of_alnum, 32, ANY},          {"AIza", of_base64url, 35, ANY},
    {"ya29.", of_base64url, 20, ANY},    {"GOCSPX-", of_base64url, 20, ANY},
    {"npm_", of_alnum, 36, ANY},         {"pypi-AgE", of_base64url, 40, ANY},
    {"hf_", of_alnum, 30, ANY},          {"dop_v1_", of_alnum, 40, ANY},
    {"hvs.", of_base64url, 24, ANY},     {"shpat_", of_alnum, 32, ANY},
    {"SG.", of_value, 40, ANY},          {"AGE-SECRET-KEY-1", of_capitals, 40, ANY},
    {"hooks.slack.com/services/", of_value, 30, ANY},
};

static bool is_marked(completion__slice line, size_t at) {
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    const struct mark *m = &marks[i];
    if (line.s[at] != m->before[0]) continue;
    size_t n = strlen(m->before);
    if (line.len - at <= n || memcmp(line.s + at, m->before, n) != 0) continue;
    size_t got = run(line, at + n, m->of);
    if (got >= m->least && got <= m->most) return true;
  }
  return false;
}

/* Three parts of base64 and dots, of which the first begins an object. */
static bool is_jwt(completion__slice line, size_t at) {
  if (line.len - at < 3 || memcmp(line.s + at, "eyJ", 3) != 0) return false;
  if (at && of_base64url(line.s[at - 1])) return false;
  for (int part = 0; part < 3; part++) {
    size_t n = run(line, at, of_base64url);
    if (n < JWT_BYTES) return false;
    at += n;
    if (part < 2 && (at == line.len || line.s[at++] != '.')) return false;
  }
  return true;
}

/* ---- addresses -------------------------------------------------------------------------- */

/* Behind "://": NAME:PASSWORD@, unless the password is put in later. */
static bool has_password(completion__slice line, size_t at) {
  size_t colon = 0, end = at;
  for (; end < line.len && line.s[end] != '@'; end++) {
    if (is_one_of(line.s[end], " \t/?#\"'`<>")) return false;
    if (line.s[end] == ':' && !colon) colon = end + 1;
  }
  return end < line.len && colon && end - colon >= PASSWORD_BYTES &&
         !is_one_of(line.s[colon], "${%*");
}

/* ---- values of telling names ------------------------------------------------------------ */

static const char *const telling[] = {"password", "passwd", "passphrase", "secret",  "api_key",
                                      "apikey",   "api-key", "access_key", "accesskey", "token",
                                      "private_key", "privatekey", "credential", "bearer ", NULL};

static bool tells(completion__slice t) {
  char lower[NAME_BYTES];
  for (size_t i = 0; i < t.len; i++) lower[i] = (char)(is_upper(t.s[i]) ? t.s[i] + 32 : t.s[i]);
  for (const char *const *w = telling; *w; w++)
    if (memmem(lower, t.len, *w, strlen(*w))) return true;
  return false;
}

/* Digits and letters, but not NAMES_OF_THE_ENVIRONMENT_2. */
static bool is_random(completion__slice t) {
  size_t digits = 0, capitals = 0, letters = 0, lines = 0;
  for (size_t i = 0; i < t.len; i++) {
    digits += is_digit(t.s[i]);
    capitals += is_upper(t.s[i]);
    letters += is_letter(t.s[i]);
    lines += t.s[i] == '_';
  }
  bool name = lines && capitals == letters && digits + letters + lines == t.len;
  return t.len >= VALUE_BYTES && digits >= VALUE_DIGITS && letters > 0 && !name;
}

/* Is this a value that is given to something: in quotes, behind "Bearer ", or behind '=' or ':' with
 * nothing that goes on? */
static bool is_given(completion__slice line, size_t at, size_t n) {
  while (at + n < line.len && line.s[at + n] == '=') n++;
  char before = at ? line.s[at - 1] : 0, after = at + n < line.len ? line.s[at + n] : '\n';
  if (is_one_of(before, "\"'`")) return after == before;
  if (at >= 7 && strncasecmp(line.s + at - 7, "bearer ", 7) == 0) return true;
  completion__slice head = completion__slice_trim(completion__slice_cut(line, 0, at));
  return is_one_of(after, " \n\r,;") && head.len && is_one_of(head.s[head.len - 1], "=:");
}

static bool is_telling_value(completion__slice line, size_t at) {
  size_t n = run(line, at, of_value);
  return is_random(completion__slice_cut(line, at, at + n)) && is_given(line, at, n) &&
         tells(completion__slice_cut(line, at > NAME_BYTES ? at - NAME_BYTES : 0, at));
}

/* ---- lines ------------------------------------------------------------------------------ */

static bool line_holds(completion__slice line) {
  for (size_t at = 0; at < line.len; at++) {
    char c = line.s[at], before = at ? line.s[at - 1] : 0;
    if (c == ':' && line.len - at > 3 && line.s[at + 1] == '/' && line.s[at + 2] == '/' &&
        has_password(line, at + 3))
      return true;
    if (of_word(c) && !of_word(before) && (is_marked(line, at) || is_jwt(line, at))) return true;
    if (of_value(c) && !of_value(before) && is_telling_value(line, at)) return true;
  }
  return false;
}

bool completion__secrets_in(completion__slice text) {
  for (size_t at = 0, end; at < text.len; at = end + 1) {
    end = completion__line_end(text, at);
    if (line_holds(completion__slice_cut(text, at, end))) return true;
  }
  return false;
}

size_t completion__secrets_blank(char *s, size_t len) {
  completion__slice text = completion__slice_of(s, len);
  size_t lines = 0;
  for (size_t at = 0, end; at < len; at = end + 1) {
    end = completion__line_end(text, at);
    if (!line_holds(completion__slice_cut(text, at, end))) continue;
    memset(s + at, ' ', end - at);
    lines++;
  }
  return lines;
}
