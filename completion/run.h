/* run.h - what a request has while it is run on the engine thread.
 *
 * job.c leads it through its life; write.c lets the model write, heal.c begins that inside a word,
 * decide.c judges what was written, candidates.c finds other texts, tell.c tells. */
#ifndef FIMD_COMPLETION_RUN_H
#define FIMD_COMPLETION_RUN_H

#include "completion/gate.h"
#include "completion/job.h"
#include "completion/stop.h"

/* A token that the model wrote. */
typedef struct completion__token {
  size_t end; /* of it in the text */
  /* Where probabilities were asked for: */
  float logprob;
  int32_t others[ENGINE_OTHERS];
  float other_logprobs[ENGINE_OTHERS];
} completion__token;

/* The code at the cursor as it is, parsed before there is an answer to judge. */
typedef struct completion__baseline {
  bool tried, open;     /* open: */
  completion__gate gate; /* owned; its budget is nobody's */
  double steps, ms;     /* what that took of the answer's budget (gate.h) */
} completion__baseline;

typedef struct completion__run {
  completion_job *j;
  completion *c;
  completion__buffer virtual_before; /* where the popup's text stands in for the document's */
  completion__slice before, after;   /* of the cursor */
  size_t typed;                      /* bytes at the end of before that follow the anchor */
  completion__recent_key key; /* all that the answer depends on */
  completion_source source;
  bool scanned;               /* at_cursor is known: */
  completion__scan at_cursor; /* how the code stands there */
  completion__stop stop_rules;
  completion__buffer text; /* generated, from the cursor on */
  size_t keep;             /* bytes of it, once a rule said stop */
  completion__buffer shown; /* of text[keep], once `polished` */
  size_t absorb;            /* bytes after the cursor that it replaces */
  bool polished;
  completion__verdict verdict;
  completion__baseline baseline;
  engine_tokens ids;  /* prompt, typed text and what was generated */
  int first;          /* place in ids of tokens[0] */
  size_t from;        /* bytes of text that stood before tokens[0] was written */
  completion__token *tokens; /* [n_tokens] owned: written for this request */
  int n_tokens, token_capacity;
  completion__slice must;      /* typed text that the model's next tokens must agree with */
  completion__slice unwritten; /* of it, what on_step has not been given yet */
  engine_tokens replay; /* for measuring: what is taken for the model's choice, `must` included */
  int replayed;         /* of them, in the place of `must` */
  bool pool_is_synced; /* the open documents' newest text is in it */
  bool aside;        /* for another candidate: nobody is told of it line by line */
  int unused;        /* tokens of the last step, behind the answer's end */
  int lines_told;    /* in the last on_update */
  const completion_job *told; /* the heir that lines were told to; NULL: none yet */
  int heir_lines;             /* likewise in its last on_update */
  char *others[COMPLETION_CANDIDATES_MAX - 1]; /* [n_others] owned: further candidates */
  int n_others;
  completion_stats stats;
  int status;
  const char *message;
} completion__run;

/* ---- job.c ----------------------------------------------------------------------------- */

/* Frees what the run has made. */
void completion__run_free(completion__run *r);
/* What was typed since the anchor. */
completion__slice completion__run_typed(const completion__run *r);
/* The completion_status for a failure of the engine, with its words kept. */
int completion__run_failed(completion__run *r, int engine_result);
/* text[len] without the blanks at its start that are not shown: as it would be typed. */
completion__slice completion__run_answer(const completion__run *r, size_t len);
/* Fills before and after. 0 or a completion_status. */
int completion__run_find_cursor(completion__run *r);

/* ---- write.c --------------------------------------------------------------------------- */

/* Computes r->ids and lets the model go on from them until a rule says stop: text, keep, verdict's
 * stop, tokens. 0 or a completion_status. */
int completion__write(completion__run *r);
/* The geometric mean of the probabilities of text[keep]'s tokens; 0: not known. */
double completion__run_confidence(const completion__run *r, size_t keep);

/* ---- token healing (heal.c) ------------------------------------------------------------ */

/* Makes r->ids the prompt and the typed text, as far as it is fed as it is, and r->must the rest
 * of it. 0 or a completion_status. */
int completion__heal_feed(completion__run *r);
/* engine_generate_params' choose and allow while r->must is not empty; the user is the run. */
bool completion__heal_choose(void *user, const float *logits, int32_t *id);
bool completion__heal_allow(void *user, int32_t id);

/* ---- decide.c -------------------------------------------------------------------------- */

/* Why the request is not even begun, or COMPLETION_QUIET_NO. */
completion_quiet completion__decide_quiet(const completion__run *r);
/* What the gate will ask of the document as it is, asked ahead, while a GPU is busy; the verdict is
 * the same without it. */
void completion__decide_prepare(completion__run *r);
/* Shortens r->keep, down to nothing, until the grammar has no more to complain of with the text
 * than without it, and completes the verdict. 0 or a completion_status. */
int completion__decide_shown(completion__run *r);

/* ---- candidates.c ---------------------------------------------------------------------- */

/* After the answer was written and decided on: fills r->others, as far as the query asks for them
 * and there are any. What fails here only leaves them out. */
void completion__candidates_find(completion__run *r);

/* ---- tell.c ---------------------------------------------------------------------------- */

/* Appends what is shown of text[keep]; *absorb as completion__polish_text has it. */
int completion__run_polish(const completion__run *r, size_t keep, completion__buffer *out,
                           size_t *absorb);
/* Fills shown and absorb, where that was not done. 0 or a completion_status. */
int completion__run_finish(completion__run *r);
/* Before it is called many times: what all of them would find out is found out. */
void completion__run_scan(completion__run *r);
/* After a step. False: what the user types is something else. */
bool completion__tell_step(completion__run *r);
void completion__tell_end(completion__run *r);

#endif
