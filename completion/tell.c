/* tell.c - what the caller hears of a request: each whole line early, and once the end.
 *
 * The lines that come early are polished as the whole would be, but the grammar is not asked: it
 * could not read a block that is still open. */
#include <string.h>

#include "completion/polish.h"
#include "completion/run.h"

int completion__run_polish(const completion__run *r, size_t keep, completion__buffer *out,
                           size_t *absorb) {
  const completion_job *j = r->j;
  completion__slice text = completion__slice_of(r->text.s, keep);
  *absorb = 0;
  if (j->options.no_polish) return completion__buffer_append(out, text.s, text.len);
  completion__polish p = {.language = j->views[0].text->language,
                          .before = r->before,
                          .after = r->after,
                          .at_cursor = r->scanned ? &r->at_cursor : NULL,
                          .special = r->c->special,
                          .n_special = r->c->n_special,
                          .crlf = j->views[0].text->crlf};
  return completion__polish_text(&p, text, out, absorb);
}

int completion__run_finish(completion__run *r) {
  if (r->polished || r->keep == 0) return 0;
  int status = completion__run_polish(r, r->keep, &r->shown, &r->absorb);
  r->polished = status == 0;
  return status;
}

void completion__run_scan(completion__run *r) {
  completion__scan_before(&r->at_cursor, r->j->views[0].text->language, r->before);
  r->scanned = true;
}

/* Is the model, by what it has written, too unsure for a request that nobody made by hand? */
static bool is_unsure(const completion__run *r, double confidence) {
  const completion_job *j = r->j;
  return j->automatic && confidence > 0 && confidence < j->options.confidence;
}

static int put_selected(const completion__run *r, completion__slice polished,
                        completion__buffer *shown) {
  const completion_job *j = r->j;
  int status = 0;
  if (polished.len && j->has_selection)
    status = completion__buffer_append(shown, j->selected.s, j->selected.len);
  return status ? status : completion__buffer_append(shown, polished.s, polished.len);
}

static void fill_why(const completion__run *r, const completion_result *result,
                     completion_why *why) {
  const completion__verdict *v = &r->verdict;
  const grammars_language *l = r->j->views[0].text->language;
  *why = (completion_why){.quiet = result->len ? COMPLETION_QUIET_NO : v->quiet,
                          .source = r->source,
                          .extent = completion__stop_strextent(&r->stop_rules),
                          .language = l ? l->name : "",
                          .confidence = v->confidence,
                          .errors = v->errors,
                          .gated = v->gated,
                          .unjudged = v->unjudged,
                          .hurried = v->hurried,
                          .cut = v->cut};
  if (r->source == COMPLETION_FROM_MODEL || r->source == COMPLETION_FROM_TYPED) {
    why->pieces = r->c->reuse.prompt.listed.pieces;
    why->n_pieces = r->c->reuse.prompt.listed.n;
  }
  if (result->len || result->status) return;
  if (is_unsure(r, v->confidence))
    why->quiet = COMPLETION_QUIET_UNSURE;
  else if (why->quiet == COMPLETION_QUIET_NO)
    why->quiet = r->keep ? COMPLETION_QUIET_THERE : COMPLETION_QUIET_NOTHING;
}

/* Text[keep] as it is shown: the last word's is made once. */
static int polish(completion__run *r, size_t keep, bool final, completion__buffer *out,
                  size_t *absorb) {
  if (!final) return completion__run_polish(r, keep, out, absorb);
  int status = completion__run_finish(r);
  *absorb = r->absorb;
  return status ? status : completion__buffer_append(out, r->shown.s, r->shown.len);
}

/* Calls back with text[keep], polished. Out of memory: the result says so. */
static void tell(completion__run *r, size_t keep, double confidence, bool final,
                 void (*call)(void *, const completion_result *)) {
  completion_job *j = r->j;
  completion_result result = {.status = r->status,
                              .final = final,
                              .stop = r->verdict.stop,
                              .stats = r->stats,
                              .text = "",
                              .replace_start = j->offset,
                              .replace_end = j->offset};
  completion__buffer shown = {0}, polished = {0};
  if (r->status == 0 && (keep > 0 || r->polished) && !is_unsure(r, confidence)) {
    size_t absorb = 0;
    int status = polish(r, keep, final, &polished, &absorb);
    if (!status) status = put_selected(r, completion__buffer_slice(&polished), &shown);
    if (status) {
      result.status = status;
    } else if (shown.len) {
      result.text = shown.s;
      result.len = shown.len;
      result.replace_end = j->offset + absorb;
      if (j->has_selection) {
        result.replace_start = j->selected_start;
        result.replace_end = j->selected_end + absorb;
      }
    }
  }
  if (result.status) {
    result.message = r->message ? r->message : completion_strstatus(result.status);
    if (result.status == COMPLETION_ECANCELLED) result.stop = COMPLETION_STOP_CANCELLED;
  }
  if (final) {
    fill_why(r, &result, &result.why);
    if (result.len) {
      result.others = (const char *const *)r->others;
      result.n_others = r->n_others;
    }
  }
  if (final || result.len) call(j->user, &result);
  completion__buffer_free(&polished);
  completion__buffer_free(&shown);
}

void completion__tell_end(completion__run *r) {
  tell(r, r->keep, r->verdict.confidence, true, r->j->on_done);
}

/* A partial answer for each line that became whole. */
static void tell_lines(completion__run *r) {
  if (!r->j->on_update) return;
  int lines = 0;
  size_t end = 0;
  for (size_t at = 0; at < r->text.len; at++) {
    if (r->text.s[at] != '\n') continue;
    if (!completion__slice_is_blank(completion__slice_of(r->text.s, at))) {
      lines++;
      end = at;
    }
  }
  if (lines <= r->lines_told) return;
  r->lines_told = lines;
  r->stats.total_ms = completion__now_ms() - r->j->started_ms;
  tell(r, end, completion__run_confidence(r, end), false, r->j->on_update);
}

/* The same to the request that will take the text over, from its own cursor on; it has typed what
 * stands before that. */
static void tell_heir(completion__run *r, completion_job *heir) {
  completion__run f = {.j = heir, .c = r->c, .stats = r->stats};
  if (atomic_load(&heir->job.cancel) || completion__run_find_cursor(&f)) return;
  completion__slice text = completion__run_answer(r, r->text.len);
  if (f.before.len < r->before.len || f.before.len - r->before.len > text.len) return;
  size_t typed = f.before.len - r->before.len;
  if (heir == r->told) {
    f.lines_told = r->heir_lines;
  } else if (!completion__slice_starts(f.before, r->before) ||
             (typed && memcmp(f.before.s + r->before.len, text.s, typed) != 0)) {
    return;
  }
  f.text = (completion__buffer){.s = text.len ? (char *)text.s + typed : NULL,
                                .len = text.len - typed};
  tell_lines(&f);
  r->told = heir;
  r->heir_lines = f.lines_told;
}

bool completion__tell_step(completion__run *r) {
  bool own;
  completion_job *heir;
  if (!completion__through_step(r->j, completion__run_answer(r, r->text.len), &own, &heir)) {
    r->status = COMPLETION_ECANCELLED;
    return false;
  }
  if (own) tell_lines(r);
  if (heir) tell_heir(r, heir);
  return true;
}
