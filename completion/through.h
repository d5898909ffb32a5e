/* through.h - typing while a request runs: what agrees does not stop it.
 *
 * A user who types what the ghost text will say should not make the model say it again. So an edit
 * that only puts text in at the cursor of a running job does not end the job; the job goes on for
 * whoever asks next, at the place where the cursor is then. The protocol:
 *
 * 1. The front thread tells the job what was typed (completion_job_type). What disagrees with the
 *    text written so far is refused there, and the front cancels the job: it ends before its next
 *    step, as ever. What agrees, or is longer than what is written, is kept in `typed`.
 * 2. After each step the engine thread adds the new text to `written` and compares the two. Where
 *    they differ the job cancels itself; what it has written stays for reuse.h to go on from.
 * 3. The request for the new place is a job like any other, queued behind the one that runs: there
 *    is one engine thread, so it starts when the other is over, finds the whole text in recent.h or
 *    reuse.h and answers without a step. It has an on_done of its own, called once, by its own run.
 * 4. Only its on_update is called before that, by the job that runs: completion_query.follows makes
 *    it the `heir`, and the lines that become whole are told to it. The pointer is good as long as
 *    the older job runs, as no job ends before it was run, and it is run later.
 *
 * A job that was typed into calls its own on_update no more; its on_done comes as always. All
 * fields are under the owner's lock. */
#ifndef FIMD_COMPLETION_THROUGH_H
#define FIMD_COMPLETION_THROUGH_H

#include "completion/completion.h"
#include "completion/text.h"

typedef struct completion__through {
  bool begun, over;           /* the run; it can be typed into between the two */
  bool yielded;               /* it was: the text is for another request */
  completion__buffer typed;   /* since the request, at its cursor */
  completion__buffer written; /* generated, from the request's cursor on */
  completion_job *heir;       /* NULL: nobody waits for lines */
} completion__through;

/* How many bytes of an edit's text[len] the cursor has moved past: all, or of a pair of brackets or
 * quotes, the second of which the editor added, one. */
size_t completion__through_length(completion__slice text);

/* On the engine thread. */
void completion__through_begin(completion_job *j);
/* `written` is all that is generated so far. False: what was typed disagrees, or memory ran out.
 * Else *own says whether the request itself still wants its lines, *heir who else does, or NULL. */
bool completion__through_step(completion_job *j, completion__slice written, bool *own,
                              completion_job **heir);
/* Frees; the owner's lock is held. */
void completion__through_end(completion_job *j);

/* On the front thread, before `heir` is posted: `j` runs on for it, or where they do not ask for
 * the same is cancelled. */
void completion__through_follow(completion_job *j, completion_job *heir);

#endif
