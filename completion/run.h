/* run.h - what a request has while it is run on the engine thread: job.c and heal.c. */
#ifndef FIMD_COMPLETION_RUN_H
#define FIMD_COMPLETION_RUN_H

#include "completion/job.h"
#include "completion/stop.h"

typedef struct completion__run {
  completion_job *j;
  completion *c;
  completion__buffer virtual_before; /* where the popup's text stands in for the document's */
  completion__slice before, after;   /* of the cursor */
  size_t typed;                      /* bytes at the end of before that follow the anchor */
  completion__recent_key key; /* all that the answer depends on */
  completion__stop stop_rules;
  completion__buffer text; /* generated, from the cursor on */
  size_t keep;             /* bytes of it, once a rule said stop */
  completion_stop stop;
  engine_tokens ids; /* prompt, typed text and what was generated */
  completion__slice must;      /* typed text that the model's next tokens must agree with */
  completion__slice unwritten; /* of it, what on_step has not been given yet */
  int unused;        /* tokens of the last step, behind the answer's end */
  int lines_told;    /* in the last on_update */
  const completion_job *told; /* the heir that lines were told to; NULL: none yet */
  int heir_lines;             /* likewise in its last on_update */
  completion_stats stats;
  int status;
  const char *message;
} completion__run;

/* What was typed since the anchor. */
completion__slice completion__run_typed(const completion__run *r);
/* The completion_status for a failure of the engine, with its words kept. */
int completion__run_failed(completion__run *r, int engine_result);

/* ---- token healing (heal.c) ------------------------------------------------------------ */

/* Makes r->ids the prompt and the typed text, as far as it is fed as it is, and r->must the rest
 * of it. 0 or a completion_status. */
int completion__heal_feed(completion__run *r);
/* engine_generate_params' choose and allow while r->must is not empty; the user is the run. */
bool completion__heal_choose(void *user, const float *logits, int32_t *id);
bool completion__heal_allow(void *user, int32_t id);

#endif
