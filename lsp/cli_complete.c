/* cli_complete.c - `fimd complete FILE LINE:COL`: one completion, printed. */
#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/cli.h"

/* Parses "LINE:COL", both from 1. */
static bool parse_position(const char *text, long *line, long *column) {
  char *end;
  errno = 0;
  if (!isdigit((unsigned char)*text)) return false;
  *line = strtol(text, &end, 10);
  if (*end != ':' || !isdigit((unsigned char)end[1])) return false;
  *column = strtol(end + 1, &end, 10);
  return *end == '\0' && errno == 0 && *line >= 1 && *column >= 1;
}

/* The byte offset of a 1-based line and column (in characters). One past the last character of
 * the line is a place; anything further is not. */
static bool find_offset(const char *text, size_t len, long line, long column, size_t *offset) {
  size_t at = 0;
  for (long l = 1; l < line; l++) {
    const char *nl = memchr(text + at, '\n', len - at);
    if (nl == NULL) return false;
    at = (size_t)(nl - text) + 1;
  }
  for (long c = 1; c < column; c++) {
    if (at >= len || text[at] == '\n' || (text[at] == '\r' && at + 1 < len && text[at + 1] == '\n'))
      return false;
    at++;
    while (at < len && ((unsigned char)text[at] & 0xc0) == 0x80) at++;
  }
  *offset = at;
  return true;
}

static int set_document(completion *c, const char *path, const char *text, size_t len, char **uri) {
  char absolute[PATH_MAX];
  const char *name = realpath(path, absolute) != NULL ? absolute : path;
  size_t size = strlen(name) + 8;
  *uri = malloc(size);
  if (*uri == NULL) return COMPLETION_ENOMEM;
  snprintf(*uri, size, "file://%s", name);
  completion_document d = {.uri = *uri, .text = text, .len = len};
  return completion_document_set(c, &d);
}

static void print_why(const cJSON *why) {
  char *text = cJSON_Print(why);
  if (text != NULL) fprintf(stderr, "%s\n", text);
  cJSON_free(text);
}

static int print_result(const cli_options *o, const engine *e, cli_result *r) {
  if (!o->json) {
    const cJSON *other;
    puts(r->text);
    cJSON_ArrayForEach(other, r->others) printf("----\n%s\n", other->valuestring);
    if (o->why) print_why(r->why);
    return 0;
  }
  const engine_info *i = engine_get_info(e);
  cJSON *j = cJSON_CreateObject();
  cJSON_AddStringToObject(j, "text", r->text);
  cJSON_AddNumberToObject(j, "tokens", r->stats.tokens);
  cJSON_AddNumberToObject(j, "steps", r->stats.steps);
  cJSON_AddNumberToObject(j, "drafted", r->stats.drafted);
  cJSON_AddNumberToObject(j, "accepted", r->stats.accepted);
  cJSON_AddStringToObject(j, "stop", completion_strstop(r->stop));
  cJSON_AddNumberToObject(j, "promptTokens", r->stats.prompt_tokens);
  cJSON_AddNumberToObject(j, "prefilledTokens", r->stats.prefilled_tokens);
  cJSON_AddNumberToObject(j, "contextPieces", r->stats.context_pieces);
  cJSON_AddStringToObject(j, "model", i->model);
  cJSON_AddStringToObject(j, "backend", i->backend);
  cJSON *ms = cJSON_AddObjectToObject(j, "ms");
  cJSON_AddNumberToObject(ms, "load", i->load_ms);
  cJSON_AddNumberToObject(ms, "context", r->stats.context_ms);
  cJSON_AddNumberToObject(ms, "prompt", r->stats.prompt_ms);
  cJSON_AddNumberToObject(ms, "prefill", r->stats.prefill_ms);
  cJSON_AddNumberToObject(ms, "firstToken", r->stats.first_token_ms);
  cJSON_AddNumberToObject(ms, "decode", r->stats.decode_ms);
  cJSON_AddNumberToObject(ms, "host", r->stats.host_ms);
  cJSON_AddNumberToObject(ms, "gate", r->stats.gate_ms);
  cJSON_AddNumberToObject(ms, "total", r->stats.total_ms);
  cJSON_AddItemToObject(j, "others", r->others);
  r->others = NULL;
  if (o->why) {
    cJSON_AddItemToObject(j, "why", r->why);
    r->why = NULL;
  }
  return cli_print_json(j);
}

/* The other files given with --with are documents that are open beside the one completed. */
static int open_others(completion *c, const cli_options *o) {
  for (int i = 0; i < o->n_with; i++) {
    size_t len;
    char *uri = NULL, *text = cli_read_file(o->with[i], &len);
    if (text == NULL) return COMPLETION_EINVAL;
    int rc = set_document(c, o->with[i], text, len, &uri);
    free(text);
    free(uri);
    if (rc != COMPLETION_OK) {
      fprintf(stderr, "fimd: %s: %s\n", o->with[i], completion_strstatus(rc));
      return rc;
    }
  }
  return COMPLETION_OK;
}

static int complete_at(const cli_options *o, const char *text, size_t len, size_t offset) {
  char *uri = NULL, cwd[PATH_MAX];
  completion *c = NULL;
  cli_result r = {0};
  engine *e = cli_engine_open(o);
  if (e == NULL) return 1;
  int rc = completion_new(&c, e, &o->completion);
  if (rc == COMPLETION_OK && getcwd(cwd, sizeof cwd) != NULL) rc = completion_root_add(c, cwd);
  if (rc == COMPLETION_OK) rc = open_others(c, o);
  if (rc == COMPLETION_OK) rc = set_document(c, o->args[0], text, len, &uri);
  if (rc == COMPLETION_OK) {
    completion_query q = {
        .uri = uri, .offset = offset, .mode = o->mode, .candidates = o->candidates};
    rc = cli_run(c, &q, &r);
  }
  if (rc != COMPLETION_OK)
    fprintf(stderr, "fimd: %s\n", r.message != NULL ? r.message : completion_strstatus(rc));
  else
    rc = print_result(o, e, &r);
  cli_result_free(&r);
  free(uri);
  completion_delete(c);
  engine_close(e);
  return rc == COMPLETION_OK ? 0 : 1;
}

int cli_complete(const cli_options *o) {
  long line, column;
  if (o->n_args != 2 || !parse_position(o->args[1], &line, &column)) {
    fprintf(stderr, "fimd: usage: fimd complete FILE LINE:COL   (both counted from 1)\n");
    return 2;
  }
  size_t len, offset;
  char *text = cli_read_file(o->args[0], &len);
  if (text == NULL) return 1;
  int rc = 1;
  if (find_offset(text, len, line, column, &offset))
    rc = complete_at(o, text, len, offset);
  else
    fprintf(stderr, "fimd: %s has no line %ld with a column %ld\n", o->args[0], line, column);
  free(text);
  return rc;
}
