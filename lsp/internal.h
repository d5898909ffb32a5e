/* internal.h - the server, its clients and their requests, shared by the files that serve.
 *
 * One loop, one thread. What comes from the engine thread is put into the server's mailbox and
 * taken out on the loop (request.c). Each client has its own documents, settings, statistics
 * and completion session; all share the one engine. */
#ifndef FIMD_LSP_INTERNAL_H
#define FIMD_LSP_INTERNAL_H

#include <uv.h>

#include "lsp/document.h"
#include "lsp/guard.h"
#include "lsp/loader.h"
#include "lsp/lsp.h"
#include "lsp/recording.h"
#include "lsp/rpc.h"
#include "lsp/say.h"
#include "lsp/settings.h"
#include "lsp/status.h"
#include "lsp/transport.h"
#include "lsp/why.h"

#define LSP__CLIENTS_MAX 16
#define LSP__DOCUMENTS_MAX 4096   /* open documents of one client */
#define LSP__TEXTS_MAX ((size_t)256 << 20) /* bytes of the open documents of one client */
#define LSP__ROOTS_MAX 64         /* folders of one client */
#define LSP__OUTSTANDING_MAX 8    /* jobs of one client that the engine has not finished */
#define LSP__REQUESTS_MAX 1024    /* unanswered or unfinished completion requests of one client */
#define LSP__CHANGES_MAX 2000     /* changed files that are read one by one; more: their folder */
#define LSP__OTHERS_MAX (COMPLETION_CANDIDATES_MAX - 1)
#define LSP__GRACE_MS 30          /* that a cancelled job has, to be typed on */
#define LSP__COMPLETE_MAX ((size_t)32 << 20) /* bytes of a document that is completed */

typedef struct lsp__server lsp__server;
typedef struct lsp__client lsp__client;
typedef struct lsp__request lsp__request;

/* ---- mail from the engine thread ------------------------------------------------------- */

/* A copy of a completion_result. Part of its request, so that the last word about a request
 * needs no memory. */
typedef struct lsp__mail lsp__mail;
struct lsp__mail {
  lsp__request *request;
  lsp__mail *next;
  bool queued;  /* in the mailbox; all below is under the server's lock while it is */
  bool final;
  int status;
  char *text;   /* [len] owned */
  size_t len, replace_start, replace_end;
  char *others[LSP__OTHERS_MAX]; /* [n_others] owned: further texts of the last letter */
  int n_others;
  lsp__why *why;  /* owned, of the last letter; may be NULL */
  uint64_t ended; /* ns; when it was written */
  completion_stop stop;
  completion_stats stats;
  char message[256];
};

/* The callbacks of a job, for the engine thread; user: the request. */
void lsp__mail_update(void *user, const completion_result *result);
void lsp__mail_done(void *user, const completion_result *result);
/* On the loop: the oldest letter, whose texts are the caller's: lsp__mail_clear. False: none. */
bool lsp__mail_take(lsp__server *s, lsp__mail *out);
void lsp__mail_clear(lsp__mail *mail);

/* ---- a request ------------------------------------------------------------------------- */

typedef struct lsp__handler {
  bool popup;
  /* Writes the answer's result for a completed text; returns whether it shows something. */
  bool (*write_result)(lsp__request *r, const lsp__mail *mail, lsp__buffer *b);
  /* The result that shows nothing. */
  void (*write_empty)(lsp__buffer *b);
  /* Text so far, where the request asked for it; may be NULL. */
  void (*on_update)(lsp__request *r, const lsp__mail *mail);
  /* After the final text, where the answer was sent before it; may be NULL. */
  void (*on_rest)(lsp__request *r, const lsp__mail *mail);
} lsp__handler;

struct lsp__request {
  lsp__client *client;
  lsp__request *next;
  const lsp__handler *handler;
  lsp__id id, partial_token; /* kind NONE: no token */
  char *id_text, *partial_text, *uri, *selected, *replay; /* owned */
  const char *without; /* for measuring: a literal, or NULL */
  size_t offset, selected_start, selected_end;   /* bytes of the document */
  lsp__position at;
  bool automatic;  /* nobody asked for it by hand */
  int candidates;  /* most texts; 0: one */
  bool wants_updates;
  int64_t token; /* by which the updates after its answer name it; 0: there are none */
  bool running;  /* completion_start succeeded and its on_done was not yet delivered */
  bool answered;
  lsp__outcome outcome; /* of the answer */
  bool carried;  /* answered, but its job goes on for the request to come at `cursor` */
  size_t cursor; /* byte of the document where typing goes on */
  size_t reported; /* bytes of text that a partial result has shown */
  completion_job *job; /* owned reference, NULL before the start and after a cancel */
  /* When, in ns: it came; it is not to start before; it was; it was answered; the job stops if it
   * was not typed on until then; it was told to. 0: not. */
  uint64_t received, not_before, started, replied, grace, stopped;
  lsp__mail partial, last;
};

/* Takes the request over: starts it or lets it wait, and answers what it supersedes. */
void lsp__request_submit(lsp__request *r);
/* Answers with an error now, if there was no answer, and ends the work. May free r. */
void lsp__request_cancel(lsp__request *r, lsp__outcome outcome, const char *why);
void lsp__request_free(lsp__request *r); /* one that was not submitted */
/* Answers an id with the result that shows nothing. */
void lsp__request_empty(lsp__client *c, const lsp__handler *handler, lsp__id id);
lsp__request *lsp__request_find(lsp__client *c, lsp__id id);
/* $/cancelRequest. */
void lsp__request_cancel_id(lsp__client *c, lsp__id id);
/* The document has changed since it counted `edits`: its requests are answered, their jobs asked to
 * stop, but for what only typed on at its own cursor. */
void lsp__requests_edited(lsp__client *c, const lsp__document *d, uint64_t edits);
/* All of a client's requests, or those about one document. */
void lsp__requests_cancel(lsp__client *c, const char *uri, lsp__outcome outcome, const char *why);
/* When something is due: a start that waits for another key, or the end of a grace. */
void lsp__requests_on_clock(uv_timer_t *clock);
/* Starts what waits, where it can now. */
void lsp__requests_pump(lsp__client *c);
/* Whether there is a text for this place in the document. */
bool lsp__mail_fits(const lsp__request *r, const lsp__document *d, const lsp__mail *mail);
/* There is no memory for what those need that have not started. */
void lsp__requests_starve(lsp__client *c);
/* Hands the mailbox out. */
void lsp__mailbox_deliver(lsp__server *s);
/* Sends the result now (once); for handlers that answer before the end. */
void lsp__request_answer(lsp__request *r, const lsp__mail *mail);

/* ---- a client -------------------------------------------------------------------------- */

struct lsp__client {
  lsp__server *server;
  lsp__client *next;
  int owners; /* its connection, its clock, each request, its errand */
  int number;  /* from 1, in their order */
  lsp__connection *connection; /* NULL once gone */
  bool leaving;
  bool unproven; /* on the port, and has not told the token yet */
  enum { LSP__PHASE_NEW = 0, LSP__PHASE_RUNNING, LSP__PHASE_SHUTDOWN } phase;
  bool initialized; /* the notification came */
  lsp__encoding encoding;
  bool can_progress, can_configuration, can_insert_as_is, can_watch;
  enum { LSP__TRACE_OFF = 0, LSP__TRACE_MESSAGES, LSP__TRACE_VERBOSE } trace;
  lsp__settings start_settings, settings; /* with initializationOptions; and as they are now */
  float unload_after; /* as it was last passed on to the engine for this client */
  lsp__document *documents;
  int document_count;
  size_t text_bytes; /* of all documents */
  struct lsp__root {
    struct lsp__root *next;
    char *path; /* owned; no '/' at its end */
    int changes; /* files that the notification at hand says have changed */
  } *roots; /* in the client's order */
  bool reads_workspace;   /* completion/ was given the folders while it reads files */
  completion *completion; /* NULL until it was made, once the model is ready */
  bool making;            /* it is; by the thread pool's, until then: */
  completion *made;
  completion_options made_with;
  bool unusable;          /* there will be none: the model cannot be loaded */
  bool failure_told;
  uv_work_t errand; /* of the thread pool: the making of its completion, or the deletion */
  lsp__request *requests;
  int request_count, outstanding;
  int64_t tokens; /* given out so far */
  int64_t next_id, progress_id, configuration_id; /* of our requests; 0: none under way */
  enum { LSP__PROGRESS_NONE = 0, LSP__PROGRESS_ASKED, LSP__PROGRESS_BEGUN } progress;
  int percent;
  uv_timer_t clock;         /* lsp__requests_on_clock */
  lsp__window answers;      /* ms from the start to the answer, of those that were decoded */
  lsp__offer offer;         /* what is shown now */
  uint64_t whys;            /* so many documents' requests were accounted for */
  lsp__statistics statistics;
};

lsp__client *lsp__client_new(lsp__server *s);
void lsp__client_unref(lsp__client *c);
/* Ends the work, closes the connection; frees the client when nothing needs it any more. */
void lsp__client_leave(lsp__client *c);
extern const lsp__connection_events lsp__client_events; /* user: the client */
/* The model's state changed; or there was no memory for the client's completion when it had. */
void lsp__client_model_news(lsp__client *c);

/* Out. The buffer is emptied in any case. */
void lsp__client_send(lsp__client *c, lsp__buffer *b);
void lsp__client_error(lsp__client *c, lsp__id id, int code, const char *message);
enum { LSP__LOG_ERROR = 1, LSP__LOG_WARNING = 2, LSP__LOG_INFO = 3, LSP__LOG_LOG = 4 };
/* window/logMessage, and window/showMessage. */
void lsp__client_log(lsp__client *c, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void lsp__client_show(lsp__client *c, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void lsp__client_trace(lsp__client *c, const char *message, const char *verbose);

/* ---- documents, roots, settings (workspace.c) ------------------------------------------ */

lsp__document *lsp__client_document(lsp__client *c, const char *uri);
void lsp__did_open(lsp__client *c, const cJSON *params);
void lsp__did_change(lsp__client *c, const cJSON *params);
void lsp__did_close(lsp__client *c, const cJSON *params);
void lsp__did_change_folders(lsp__client *c, const cJSON *params);
void lsp__folders_init(lsp__client *c, const cJSON *params); /* of initialize */
void lsp__did_change_configuration(lsp__client *c, const cJSON *params);
void lsp__configuration_ask(lsp__client *c);
void lsp__configuration_answer(lsp__client *c, const cJSON *result);
void lsp__client_warn(void *client, const char *text); /* for lsp__settings_apply */
void lsp__settings_changed(lsp__client *c);
/* What the client says about a document was not understood: its text is known no more until the
 * whole of it comes. uri NULL: any document. */
void lsp__documents_lose(lsp__client *c, const char *uri, const char *why);
/* Gives completion/ the documents that changed since it last saw them. */
void lsp__documents_flush(lsp__client *c);
/* A completion that was just made gets the folders. */
void lsp__folders_flush(lsp__client *c);
void lsp__did_save(lsp__client *c, const cJSON *params);
void lsp__did_change_files(lsp__client *c, const cJSON *params);
/* Asks to be told of files that change, where the client can. */
void lsp__files_watch(lsp__client *c);
void lsp__workspace_free(lsp__client *c);

/* ---- methods --------------------------------------------------------------------------- */

void lsp__inline_completion(lsp__client *c, lsp__id id, const cJSON *params);
void lsp__popup_completion(lsp__client *c, lsp__id id, const cJSON *params);
#define LSP__COMMANDS 2
extern const char *const lsp__commands[LSP__COMMANDS]; /* of workspace/executeCommand */
void lsp__status_request(lsp__client *c, lsp__id id);
void lsp__why_request(lsp__client *c, lsp__id id, const cJSON *params);
void lsp__document_request(lsp__client *c, lsp__id id, const cJSON *params);
void lsp__execute_command(lsp__client *c, lsp__id id, const cJSON *params);

/* The start of both completions: reads textDocument and position. Answers by itself (an error,
 * or nothing to show) and returns NULL where there is nothing to run. */
lsp__request *lsp__request_new(lsp__client *c, const lsp__handler *handler, lsp__id id,
                               const cJSON *params, lsp__document **document);
/* Keeps it with its document, for fimd/why. Takes `why` over (NULL: nothing is kept). */
void lsp__why_keep(lsp__client *c, lsp__document *d, lsp__why *why);
void lsp__range_write(const lsp__request *r, const lsp__document *d, size_t start, size_t end,
                      lsp__buffer *b);

/* ---- the server ------------------------------------------------------------------------ */

struct lsp__server {
  const lsp_options *options;
  uv_loop_t loop;
  uv_async_t wake;
  uv_signal_t signals[3];
  uv_timer_t parent_timer;
  int parent; /* process id of the client that started us, or 0 */
  lsp__listener listener;
  lsp__token token; /* of the port */
  lsp__client *clients;
  int client_count, clients_so_far;
  lsp__recording *recording; /* NULL: none */
  lsp__loader *loader;
  lsp__model_state model;
  double progress;
  engine *engine;
  const char *model_error;
  uv_mutex_t lock;
  lsp__mail *mail_first, **mail_end; /* under lock */
  bool stopping;
  int exit_code;
};

/* Lets all clients leave and ends the loop. The first call's code counts. */
void lsp__server_stop(lsp__server *s, int exit_code);
/* What concerns all: the engine is told what this client has changed. */
void lsp__server_settings_changed(lsp__client *c);
void lsp__server_watch_parent(lsp__server *s, int64_t pid);

#endif
