/* through.c - see through.h. */
#include "completion/through.h"

#include <string.h>

#include "completion/job.h"

/* One of them begins with the other. */
static bool agree(completion__slice a, completion__slice b) {
  return a.len < b.len ? completion__slice_starts(b, a) : completion__slice_starts(a, b);
}

size_t completion__through_length(completion__slice text) {
  static const char *const pairs[] = {"()", "[]", "{}", "<>", "\"\"", "''", "``"};
  for (size_t i = 0; text.len == 2 && i < sizeof pairs / sizeof *pairs; i++)
    if (memcmp(text.s, pairs[i], 2) == 0) return 1;
  return text.len;
}

static bool add(completion__buffer *b, completion__slice t) {
  return t.len == 0 || completion__buffer_append(b, t.s, t.len) == 0;
}

/* A line end that is not written yet would begin another prompt: nothing to wait for. */
static bool may_agree(const completion__through *t) {
  completion__slice typed = completion__buffer_slice(&t->typed),
                    written = completion__buffer_slice(&t->written),
                    rest = completion__slice_cut(typed, written.len, typed.len);
  return agree(typed, written) && (rest.len == 0 || !memchr(rest.s, '\n', rest.len));
}

long completion_job_type(completion_job *j, const char *text, size_t len) {
  if (!j || (!text && len)) return COMPLETION_EINVAL;
  completion__through *t = &j->through;
  size_t moved = completion__through_length(completion__slice_of(text, len));
  pthread_mutex_lock(&j->owner->lock);
  bool goes_on = t->begun && !t->over && !j->has_selection && !atomic_load(&j->job.cancel);
  size_t before = t->typed.len;
  if (goes_on) goes_on = add(&t->typed, completion__slice_of(text, moved));
  if (goes_on && !may_agree(t)) {
    t->typed.len = before;
    goes_on = false;
  }
  if (goes_on) {
    t->yielded = true;
    t->heir = NULL; /* it asked at a place where the cursor is no more */
  }
  pthread_mutex_unlock(&j->owner->lock);
  return goes_on ? (long)moved : COMPLETION_ECANCELLED;
}

void completion__through_begin(completion_job *j) {
  pthread_mutex_lock(&j->owner->lock);
  j->through.begun = true;
  pthread_mutex_unlock(&j->owner->lock);
}

bool completion__through_step(completion_job *j, completion__slice written, bool *own,
                              completion_job **heir) {
  completion__through *t = &j->through;
  pthread_mutex_lock(&j->owner->lock);
  bool agrees = add(&t->written, completion__slice_cut(written, t->written.len, written.len)) &&
                may_agree(t);
  *own = !t->yielded;
  *heir = t->heir;
  pthread_mutex_unlock(&j->owner->lock);
  return agrees;
}

void completion__through_end(completion_job *j) {
  j->through.over = true;
  j->through.heir = NULL;
  completion__buffer_free(&j->through.typed);
  completion__buffer_free(&j->through.written);
}

static bool same_options(const completion_options *a, const completion_options *b) {
  return a->prompt_tokens == b->prompt_tokens && a->max_tokens == b->max_tokens &&
         a->max_lines == b->max_lines && a->no_context == b->no_context &&
         a->temperature == b->temperature && a->top_p == b->top_p && a->seed == b->seed &&
         a->no_gate == b->no_gate && a->no_polish == b->no_polish;
}

void completion__through_follow(completion_job *j, completion_job *heir) {
  bool other =
      j->mode != heir->mode || heir->has_selection || !same_options(&j->options, &heir->options);
  pthread_mutex_lock(&j->owner->lock);
  bool runs = j->through.begun && !j->through.over;
  if (runs && !other && heir->on_update) j->through.heir = heir;
  pthread_mutex_unlock(&j->owner->lock);
  if (runs && other) completion_job_cancel(j);
}
