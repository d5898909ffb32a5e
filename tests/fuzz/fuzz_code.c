/* fuzz_code.c - broken code in every language, a cursor in it and a text that a model might have
 * written there: context, stop rules, polish, gate and the scanner, from one parse to the next.
 *
 * An input: language, mode, two bytes for the cursor; then parts with byte 1E between them: the
 * document, what the model wrote, another open document. */
#include "completion/context.h"
#include "completion/gate.h"
#include "completion/polish.h"
#include "completion/stop.h"
#include "fuzz.h"

#define TEXT_MAX 20000

FUZZ_RUNS(400);

typedef struct fixture {
  completion__documents documents;
  completion__view views[2];
  int n_views;
  const grammars_language *language;
  completion_mode mode;
  size_t cursor;
  completion__slice all, before, after;
} fixture;

static completion__slice read_part(fuzz_input *in) {
  const uint8_t *end = in->left ? memchr(in->data, 0x1E, in->left) : NULL;
  completion__slice part;
  part.s = fuzz_take(in, end ? (size_t)(end - in->data) : in->left, &part.len);
  if (end) fuzz_u8(in);
  if (part.len > TEXT_MAX) part.len = TEXT_MAX;
  return part;
}

static void name_of(const grammars_language *l, const char *name, char *uri, size_t size) {
  snprintf(uri, size, "file:///w/%s%s", name, l->endings[0]);
}

static void set(fixture *f, const char *name, completion__slice text) {
  char uri[128];
  name_of(f->language, name, uri, sizeof uri);
  completion_document d = {uri, f->language->ids[0], text.s, text.len};
  FUZZ_ASSERT(completion__documents_set(&f->documents, &d) == 0);
}

static void view(fixture *f) {
  char uri[128];
  name_of(f->language, "a", uri, sizeof uri);
  for (int i = 0; i < f->n_views; i++) completion__view_release(&f->views[i]);
  completion__document *first = completion__documents_find(&f->documents, uri);
  f->n_views = completion__documents_view(&f->documents, first, f->views, 2);
  f->all = completion__text_slice(f->views[0].text);
}

/* ---- each of them ------------------------------------------------------------------------ */

static void check_definitions(fixture *f, completion__parser *p) {
  const completion__definition *d;
  completion__view *v = &f->views[0];
  int n = completion__syntax_definitions(p, v->document, v->text, NULL, &d);
  for (int i = 0; i < n; i++) {
    FUZZ_ASSERT(d[i].start <= d[i].end && d[i].end <= f->all.len && d[i].whole_end <= f->all.len);
    FUZZ_ASSERT(d[i].name + d[i].name_len <= f->all.len);
  }
}

static void check_context(fixture *f, completion__parser *p) {
  size_t from = completion__line_start(f->all, f->cursor);
  size_t to = completion__line_end(f->all, f->cursor);
  completion__context_request r = {.parser = p,
                                   .views = f->views,
                                   .n_views = f->n_views,
                                   .offset = f->cursor,
                                   .from = from,
                                   .to = to};
  completion__context c;
  FUZZ_ASSERT(completion__context_collect(&r, &c) == 0);
  FUZZ_ASSERT(c.n >= 0 && c.n <= COMPLETION__PIECES_MAX);
  completion__context_lines(f->views, &c);
  for (int i = 0; i < c.n; i++) {
    completion__buffer b = {0};
    FUZZ_ASSERT(c.pieces[i].start <= c.pieces[i].end && c.pieces[i].line >= 0);
    FUZZ_ASSERT(completion__context_text(&c.pieces[i], &b) == 0);
    FUZZ_ASSERT(b.len == 0 || b.s[b.len - 1] == '\n');
    completion__buffer_free(&b);
  }
  completion__context_free(&c);
}

/* As at every step of decoding; returns what is kept in the end. */
static size_t check_stop(const fixture *f, completion__slice written) {
  completion__stop s;
  size_t keep = 0, step = written.len / 24 + 1;
  completion__stop_init(&s, f->language, f->before, f->after, f->mode, 8);
  FUZZ_ASSERT(completion__stop_strextent(&s)[0] != '\0');
  for (size_t n = 0; n < written.len; n += step) {
    keep = 0;
    completion__slice so_far = completion__slice_cut(written, 0, n);
    completion_stop why = completion__stop_check(&s, so_far, false, &keep);
    if (why == COMPLETION_STOP_NONE) continue;
    FUZZ_CHECK(keep <= n, "%zu of %zu bytes are kept", keep, n);
    return keep;
  }
  keep = written.len;
  completion__stop_check(&s, written, true, &keep);
  FUZZ_CHECK(keep <= written.len, "%zu of %zu bytes are kept", keep, written.len);
  return keep;
}

static completion__buffer check_polish(const fixture *f, completion__slice kept, size_t *absorb) {
  static const completion__slice special[] = {{"<|fim_middle|>", 14}, {"<|endoftext|>", 13}};
  completion__polish p = {f->language, f->before, f->after, NULL, special, 2, f->mode == 2};
  completion__buffer out = {0};
  FUZZ_ASSERT(completion__polish_text(&p, kept, &out, absorb) == 0);
  FUZZ_ASSERT(*absorb <= f->after.len);
  if (*absorb) FUZZ_ASSERT(!memchr(f->after.s, '\n', *absorb));
  FUZZ_ASSERT(completion__utf8_valid(completion__buffer_slice(&out)) == out.len ||
              completion__utf8_valid(f->all) != f->all.len);
  return out;
}

static void check_gate(fixture *f, completion__parser *p, completion__slice put, size_t absorb) {
  completion__gate_budget b = completion__gate_begin(p, NULL);
  completion__gate g;
  completion__view *v = &f->views[0];
  int reads = completion__gate_reads(&b, v->document, v->text, f->cursor, f->cursor + absorb, put);
  FUZZ_ASSERT(reads >= -1 && reads <= 1);
  if (!completion__gate_open(&g, &b, f->language, f->all, f->cursor, f->cursor)) return;
  for (int part = 0; part < 3; part++)
    completion__gate_ask(&g, completion__slice_cut(put, 0, put.len * (size_t)part / 2), absorb);
  completion__gate_close(&g);
}

static void check_scan(const fixture *f) {
  completion__scan s;
  completion__scan_event event;
  completion__scan_init(&s, f->language);
  for (size_t at = 0, n; at < f->all.len; at += n) {
    n = completion__scan_step(&s, f->all, at, &event);
    FUZZ_CHECK(n >= 1 && n <= f->all.len - at, "%zu bytes at %zu of %zu", n, at, f->all.len);
    FUZZ_ASSERT(s.depth >= 0);
  }
  completion__scan_before(&s, f->language, f->before);
  completion__stop_tail_is_closers(f->language, completion__slice_cut(f->after, 0, 80));
}

/* The text is taken: the trees follow by one edit. */
static void accept(fixture *f, completion__slice put, size_t absorb) {
  completion__buffer b = {0};
  completion__slice rest = completion__slice_cut(f->after, absorb, f->after.len);
  FUZZ_ASSERT(completion__buffer_append(&b, f->before.s, f->before.len) == 0);
  FUZZ_ASSERT(completion__buffer_append(&b, put.s, put.len) == 0);
  FUZZ_ASSERT(completion__buffer_append(&b, rest.s, rest.len) == 0);
  set(f, "a", completion__buffer_slice(&b));
  completion__buffer_free(&b);
  view(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static completion__parser *p; /* keeps queries, which take long to make, and nothing of a text */
  fuzz_input in = {data, size};
  fixture f = {.language = grammars_at((int)fuzz_u8(&in) % grammars_count())};
  f.mode = (completion_mode)(fuzz_u8(&in) % 3);
  size_t cursor = fuzz_u16(&in), absorb = 0;
  completion__slice text = read_part(&in), written = read_part(&in), other = read_part(&in);
  if (!p) p = completion__parser_new(COMPLETION__PATIENCE_MS);
  FUZZ_ASSERT(p && completion__documents_root_add(&f.documents, "/w") == 0);
  set(&f, "b", other);
  set(&f, "a", text);
  view(&f);
  f.cursor = cursor % (f.all.len + 1);
  while (f.cursor > 0 && f.cursor < f.all.len && completion__utf8_inside(f.all.s[f.cursor]))
    f.cursor--;
  f.before = completion__slice_cut(f.all, 0, f.cursor);
  f.after = completion__slice_cut(f.all, f.cursor, f.all.len);
  check_scan(&f);
  check_definitions(&f, p);
  check_context(&f, p);
  size_t keep = check_stop(&f, written);
  completion__buffer shown = check_polish(&f, completion__slice_cut(written, 0, keep), &absorb);
  check_gate(&f, p, completion__buffer_slice(&shown), absorb);
  completion__syntax_near(p, f.views[0].document, f.views[0].text, NULL);
  accept(&f, completion__buffer_slice(&shown), absorb);
  check_definitions(&f, p);
  completion__buffer_free(&shown);
  for (int i = 0; i < f.n_views; i++) completion__view_release(&f.views[i]);
  completion__documents_free(&f.documents);
  return 0;
}
