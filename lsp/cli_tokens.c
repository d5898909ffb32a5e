/* cli_tokens.c - `fimd tokenize` and `fimd generate`: tokens in, tokens out. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli.h"

/* Ids from text: whole numbers in 0..vocab-1, apart by blanks or commas. */
static int parse_ids(const char *text, int vocab, engine_tokens *out) {
  for (const char *p = text; *p != '\0';) {
    if (strchr(" \t\r\n,", *p) != NULL) {
      p++;
      continue;
    }
    char *end;
    errno = 0;
    long id = strtol(p, &end, 10);
    if (end == p || errno != 0 || id < 0 || id >= vocab ||
        (*end != '\0' && strchr(" \t\r\n,", *end) == NULL)) {
      fprintf(stderr, "fimd: '%.20s' is not a token id in 0..%d\n", p, vocab - 1);
      return 1;
    }
    if (engine_tokens_push(out, (int32_t)id) != ENGINE_OK) {
      fprintf(stderr, "fimd: out of memory\n");
      return 1;
    }
    p = end;
  }
  return 0;
}

static void print_ids(const int32_t *ids, int n) {
  for (int i = 0; i < n; i++) printf(i == 0 ? "%d" : " %d", ids[i]);
  putchar('\n');
}

static int decode(const engine *e, const char *text) {
  engine_tokens t = {0};
  int rc = parse_ids(text, engine_get_info(e)->vocab, &t);
  for (int i = 0; rc == 0 && i < t.n; i++) {
    size_t len;
    const char *bytes = engine_token_text(e, t.ids[i], &len);
    fwrite(bytes, 1, len, stdout);
  }
  engine_tokens_free(&t);
  return rc;
}

int cli_tokenize(const cli_options *o) {
  if (o->n_args != 0) {
    fprintf(stderr, "fimd: usage: fimd tokenize [--count|--decode] < TEXT\n");
    return 2;
  }
  size_t len;
  char *text = cli_read_file(NULL, &len);
  if (text == NULL) return 1;
  engine *e = cli_engine_open(o);
  if (e == NULL) {
    free(text);
    return 1;
  }
  engine_tokens t = {0};
  int rc = 0;
  if (o->decode) {
    rc = decode(e, text);
  } else if ((rc = engine_tokenize(e, text, len, true, &t)) != ENGINE_OK) {
    fprintf(stderr, "fimd: %s\n",
            rc == ENGINE_EINVAL ? "this model's files have no tokenizer" : engine_strstatus(rc));
  } else if (o->count) {
    printf("%d\n", t.n);
  } else {
    print_ids(t.ids, t.n);
  }
  engine_tokens_free(&t);
  free(text);
  engine_close(e);
  return rc == 0 ? 0 : 1;
}

static int collect(void *user, const engine_step *step) {
  return engine_tokens_append(user, step->ids, step->n) != ENGINE_OK;
}

/* Continues prompt in s, which keeps what it has in common with the one before. */
static int generate(const cli_options *o, const engine *e, engine_session *s,
                    const engine_tokens *prompt) {
  engine_tokens out = {0};
  engine_generate_result r = {0};
  engine_generate_params p = {.max_tokens = o->n,
                              .temperature = o->completion.temperature,
                              .top_p = o->completion.top_p,
                              .seed = o->completion.seed,
                              .ignore_stop = true,
                              .draft = o->completion.draft};
  if (p.draft.sources == 0 && !o->completion.no_draft) engine_draft_parse("all", &p.draft);
  double start = cli_now_ms();
  int rc = engine_session_sync(s, prompt->ids, prompt->n, NULL, NULL);
  double prefill = cli_now_ms() - start;
  if (rc == ENGINE_OK) rc = engine_session_generate(s, &p, NULL, collect, &out, &r);
  if (rc == ENGINE_OK && out.n < o->n)
    fprintf(stderr, "fimd: stopped after %d tokens: the context of %d is full\n", out.n,
            engine_get_info(e)->context);
  if (rc != ENGINE_OK) {
    fprintf(stderr, "fimd: %s\n", engine_strstatus(rc));
  } else if (o->json) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddItemToObject(j, "tokens", cJSON_CreateIntArray(out.ids, out.n));
    cJSON_AddNumberToObject(j, "steps", r.steps);
    cJSON_AddNumberToObject(j, "drafted", r.drafted);
    cJSON_AddNumberToObject(j, "accepted", r.accepted);
    cJSON *ms = cJSON_AddObjectToObject(j, "ms");
    cJSON_AddNumberToObject(ms, "load", engine_get_info(e)->load_ms);
    cJSON_AddNumberToObject(ms, "prefill", prefill);
    cJSON_AddNumberToObject(ms, "decode", r.total_ms);
    cJSON_AddNumberToObject(ms, "host", r.host_ms);
    rc = cli_print_json(j);
  } else {
    print_ids(out.ids, out.n);
  }
  bool full = rc != ENGINE_OK || out.n == o->n;
  engine_tokens_free(&out);
  return rc == ENGINE_OK && full ? 0 : 1;
}

static int generate_ids(const cli_options *o, const engine *e, engine_session *s,
                        const char *ids) {
  engine_tokens prompt = {0};
  int rc = parse_ids(ids, engine_get_info(e)->vocab, &prompt);
  if (rc == 0 && prompt.n == 0) {
    fprintf(stderr, "fimd: --ids is empty\n");
    rc = 2;
  }
  if (rc == 0) rc = generate(o, e, s, &prompt);
  engine_tokens_free(&prompt);
  return rc;
}

/* A prompt on each line of standard input, an answer's line for each at once. */
static int generate_lines(const cli_options *o, const engine *e, engine_session *s) {
  char *line = NULL;
  size_t size = 0;
  int rc = 0;
  while (rc == 0 && getline(&line, &size, stdin) > 0) {
    rc = generate_ids(o, e, s, line);
    if (fflush(stdout) != 0) rc = 1;
  }
  free(line);
  return rc;
}

int cli_generate(const cli_options *o) {
  if (o->ids == NULL || o->n_args != 0) {
    fprintf(stderr, "fimd: usage: fimd generate --ids \"1 2 3\"|- -n N [--json]\n");
    return 2;
  }
  engine *e = cli_engine_open(o);
  if (e == NULL) return 1;
  engine_session *s = NULL;
  int rc = engine_session_new(e, &s);
  if (rc != ENGINE_OK) {
    fprintf(stderr, "fimd: %s\n", engine_strstatus(rc));
    rc = 1;
  } else {
    rc = strcmp(o->ids, "-") == 0 ? generate_lines(o, e, s) : generate_ids(o, e, s, o->ids);
  }
  engine_session_delete(s);
  engine_close(e);
  return rc;
}
