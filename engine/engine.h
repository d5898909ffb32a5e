/* engine.h - a Qwen2-architecture language model on one device, for fill-in-the-middle.
 *
 * The engine knows tokens, a KV cache and a decode loop. It knows nothing of editors, of
 * JSON-RPC or of syntax (it reads JSON only where a model's own files are JSON).
 *
 * Threads: one engine thread, owned by the engine, runs jobs one after another
 * (engine_post). Sessions are used on that thread only, or by a single-threaded program that
 * posts no jobs. The tokenizer, engine_get_info and engine_get_state may be used from any thread.
 *
 * The device: weights and KV caches lie on it, and both can go. After an idle time (unload_after)
 * they are given back; after a failure they are lost. Sessions stay, empty, and the next use of
 * one brings the weights back and computes its tokens again, so callers need not know.
 *
 * The model's file is read-only and stays mapped. Removed or replaced, it is used on as it was. Cut
 * short or overwritten, it is read again before the next use; a job that met the cut ends with
 * ENGINE_EFILE.
 *
 * Errors: functions return 0 or a negative engine_status; where a person will read it, the
 * words are in err. Nothing here ends the process. */
#ifndef FIMD_ENGINE_H
#define FIMD_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- status ---------------------------------------------------------------------------- */

typedef enum engine_status {
  ENGINE_OK = 0,
  ENGINE_ENOMEM = -1,
  ENGINE_EINVAL = -2,    /* an argument out of range */
  ENGINE_ENOTFOUND = -3, /* no such model file or folder */
  ENGINE_EFORMAT = -4,   /* the model file is not what it should be; err names field and byte */
  ENGINE_EDEVICE = -5,   /* the device failed */
  ENGINE_ECANCELLED = -6,
  ENGINE_ETOOLONG = -7,  /* the prompt does not fit the session's KV cache */
  ENGINE_EFILE = -8,     /* the open model's file was cut short or overwritten */
} engine_status;

const char *engine_strstatus(int status); /* a constant phrase, never NULL */

/* ---- opening --------------------------------------------------------------------------- */

typedef struct engine engine;
typedef struct engine_session engine_session;

/* What happened to the device. */
typedef enum engine_event {
  ENGINE_EVENT_UNLOADED,  /* idle: its memory was given back */
  ENGINE_EVENT_LOADED,    /* the weights are there again */
  ENGINE_EVENT_FAILED,    /* it failed, or could not be loaded again: tried once more */
  ENGINE_EVENT_RESTARTED, /* it had failed, and works again */
  ENGINE_EVENT_FELL_BACK, /* it is given up: the CPU does the work from now on */
  ENGINE_EVENT_FILE,      /* the model's file was cut or overwritten: nothing works until it can be
                             read again, which every use tries. Told once, and once why */
} engine_event;

typedef struct engine_options {
  const char *model;   /* a .gguf file, a Hugging Face folder, or a name like
                          "Qwen/Qwen2.5-Coder-1.5B" looked up in the usual cache folders.
                          NULL: the embedded model. Borrowed during the call. */
  const char *backend; /* "auto" or NULL: cuda if there is one, else cpu; or a kernels name */
  int threads;         /* CPU threads; 0: one per core */
  int context;         /* most tokens of a session's KV cache; 0: min(model's, 8192) */
  int max_batch;       /* most tokens in one step, and so the prefill chunk after which a cancel
                          is seen; 0: 128 on the CPU, 2048 on a GPU */
  int max_out;         /* most rows of one step whose logits are wanted; 0: 128 */
  size_t gpu_memory;   /* bytes of GPU memory to take at most; 0: what is free */
  int unload_after_ms; /* give the device's memory back after so long without a job; 0: never.
                          Only jobs count: a program that posts none is left alone. */
  const char *random_weights; /* "1.5b:bf16": random weights in that model's shape instead of a
                          file, for measuring; model must be NULL. Borrowed during the call. */
  const char *random_tokenizer; /* the folder of a tokenizer.json for random weights, which have
                          none otherwise; or NULL. Borrowed during the call. */
  void (*on_progress)(void *user, double done); /* 0..1 while loading, calling thread; or NULL */
  /* On the engine thread (or that of a program without jobs), with words for a person that are
   * borrowed during the call; or NULL. */
  void (*on_event)(void *user, engine_event event, const char *words);
  void *user;          /* of both */
} engine_options;

/* Loads the model and starts the engine thread. On failure *out is NULL and err says what is
 * wrong: for a missing model the exact command that downloads it, for one that is too large for
 * the device's memory (ENGINE_ENOMEM, said before anything is loaded) what would fit. */
int engine_open(engine **out, const engine_options *options, char *err, size_t errlen);
/* Cancels and runs out the posted jobs, joins the thread, frees everything. NULL is a no-op.
 * Sessions must be deleted before. */
void engine_close(engine *e);

/* Ids of the special tokens by name, from the model's own vocabulary; -1 where absent. */
typedef struct engine_special {
  int32_t endoftext, im_start, im_end;
  int32_t fim_prefix, fim_middle, fim_suffix, fim_pad;
  int32_t repo_name, file_sep;
} engine_special;

typedef struct engine_info {
  const char *model;   /* name for people, e.g. "fimd-mini-31m" */
  const char *path;    /* file or folder, or "embedded" */
  const char *backend; /* e.g. "cpu (avx512-vnni, 2 threads)" */
  const char *backend_note; /* why it is the CPU: what "auto" found in the GPU's place, or how the
                               GPU failed; "" where there is nothing to say */
  const char *types;   /* e.g. "Q8_0" or "Q4_K+Q6_K": the matrices' types */
  int layers, hidden, heads, kv_heads, head_dim, intermediate, vocab;
  int64_t parameters;
  int64_t weight_bytes;
  int trained_context; /* the model's own limit, tokens */
  int context;         /* a session's KV cache, tokens */
  size_t device_total; /* bytes of the device's own memory; 0: the backend uses the host's */
  size_t device_free;  /* bytes that were left to take when the model was loaded */
  double load_ms;
  engine_special special;
} engine_info;

/* Borrowed until close, and does not change; where the engine falls back to the CPU, a later call
 * gives another one with another backend. */
const engine_info *engine_get_info(const engine *e);

typedef struct engine_state {
  bool loaded;    /* the weights are on the device */
  bool fell_back; /* the device was given up for the CPU */
  int loads;      /* times the weights were loaded, the first time counted */
  int unloads;    /* times an idle engine gave them back */
  int failures;   /* times the device failed */
  double load_ms; /* the last load; without reading the model's files */
} engine_state;

engine_state engine_get_state(const engine *e);

/* Changes engine_options.unload_after_ms. Any thread. */
void engine_set_unload_after(engine *e, int ms);
/* Gives the device's memory back now. On the engine thread, in a job (or in a program without
 * jobs); sessions are empty then. */
void engine_unload(engine *e);

/* ---- tokens ---------------------------------------------------------------------------- */

/* Growable array of token ids. Zero-initialise; free with engine_tokens_free. */
typedef struct engine_tokens {
  int32_t *ids; /* [n] owned */
  int n, capacity;
} engine_tokens;

int engine_tokens_push(engine_tokens *t, int32_t id);
int engine_tokens_append(engine_tokens *t, const int32_t *ids, int n);
void engine_tokens_free(engine_tokens *t);

/* Appends the ids of text[len] to out. With parse_special, "<|fim_prefix|>" and the like in
 * the text become their special ids, as the reference tokenizer does; without it they are
 * plain text (use that for a user's code). Bytes that are not UTF-8 are kept, byte by byte. */
int engine_tokenize(const engine *e, const char *text, size_t len, bool parse_special,
                    engine_tokens *out);

/* The bytes of one token; they may be part of a UTF-8 character. "" for an id out of range.
 * Special tokens give their name. Borrowed until close. */
const char *engine_token_text(const engine *e, int32_t id, size_t *len);
bool engine_token_is_special(const engine *e, int32_t id);
/* True for endoftext, im_end and every fim_*, repo_name and file_sep token. */
bool engine_token_is_stop(const engine *e, int32_t id);

/* ---- the n-gram pool ------------------------------------------------------------------- */

/* The tokens of a workspace, from which the decode loop takes its guesses: they decide how fast a
 * completion comes, never which one. Any thread may use a pool; no call holds its lock for longer
 * than a slice of a large text takes. Nothing is written to disk. */
typedef struct engine_pool engine_pool;

typedef enum engine_pool_kind {
  ENGINE_POOL_WORKSPACE, /* a file that does not change */
  ENGINE_POOL_OPEN,      /* a document that is edited */
  ENGINE_POOL_ACCEPTED,  /* a completion that was taken */
} engine_pool_kind;

/* max_bytes: what the workspace's files may take, about 24 bytes a token; 0: 768 MiB. */
int engine_pool_new(engine_pool **out, size_t max_bytes);
/* No session may be generating with it. NULL is a no-op. */
void engine_pool_delete(engine_pool *p);

/* Adds a file of the workspace; *id (> 0) names it. tokens[n] are copied. ENGINE_ETOOLONG: the
 * pool is full. */
int engine_pool_add(engine_pool *p, const int32_t *tokens, int n, int64_t *id);
/* Adds an empty document. */
int engine_pool_open(engine_pool *p, int64_t *id);
/* Replaces tokens at..at+removed-1 of a document by tokens[n]; takes time by n and removed, but
 * for once in some thousand edits. ENGINE_EINVAL: no such document or range. */
int engine_pool_splice(engine_pool *p, int64_t id, int at, int removed, const int32_t *tokens,
                       int n);
/* Adds a completion that was accepted; the oldest of 64 makes room. */
int engine_pool_accept(engine_pool *p, const int32_t *tokens, int n);
/* Takes a file or document out; 0 and unknown ids are no-ops. */
void engine_pool_remove(engine_pool *p, int64_t id);
/* A hidden file gives no guesses: the one on disk of a document that is open. */
void engine_pool_hide(engine_pool *p, int64_t id, bool hidden);
/* What the next completion is about: the document, and the files that it names (64 count). */
void engine_pool_focus(engine_pool *p, int64_t current, const int64_t *imported, int n);

typedef struct engine_pool_info {
  size_t texts, tokens; /* of the workspace */
  size_t live_tokens;   /* of documents and accepted completions */
  size_t left_out;      /* files for which there was no room */
  size_t bytes;         /* held for the indexes */
} engine_pool_info;
engine_pool_info engine_pool_get_info(engine_pool *p);

/* ---- guessing ahead --------------------------------------------------------------------- */

/* Where guesses come from. */
typedef enum engine_source {
  ENGINE_SOURCE_ACCEPTED,  /* completions that were accepted */
  ENGINE_SOURCE_FILE,      /* the document that is completed */
  ENGINE_SOURCE_OPEN,      /* other open documents */
  ENGINE_SOURCE_IMPORTED,  /* files that the document names */
  ENGINE_SOURCE_WORKSPACE, /* the other files */
  ENGINE_SOURCE_PROMPT,    /* the session's own tokens */
  ENGINE_SOURCE_RECYCLED,  /* what the model thought likely after the same tokens before */
  ENGINE_SOURCE_WINDOW,    /* the classical lookahead window, which makes steps larger */
  ENGINE_SOURCES,
} engine_source;

/* How many tokens a step verifies, and which. Zeroed: none, plain decoding. */
typedef struct engine_draft {
  unsigned sources; /* bits 1 << engine_source */
  int most;         /* guesses of one step; 0: 64 */
  bool all_of_them; /* take as many as there are, whatever a larger step costs (for measuring) */
  int w, n, g;      /* of the window; 0: 8, 4, 8 */
} engine_draft;

/* What has been learned about guessing: which sources are right how often, what the model thought
 * likely after which tokens. Every session has one of its own; this is for comparing several. */
typedef struct engine_drafter engine_drafter;
int engine_drafter_new(engine_drafter **out, const engine *e); /* ENGINE_ENOMEM */
void engine_drafter_delete(engine_drafter *d);                 /* NULL is a no-op */

/* "none", "lookahead", "lookahead:W,N,G", "prompt", "pool", "recycle" or "all". ENGINE_EINVAL. */
int engine_draft_parse(const char *text, engine_draft *out);
const char *engine_source_name(engine_source source);

/* ---- sessions -------------------------------------------------------------------------- */

/* A session holds one KV cache and the tokens that are in it. ENGINE_EDEVICE from any of these:
 * the device failed and took all caches with it; the next use finds it restarted, or the CPU in
 * its place. ENGINE_EFILE: the model's file was cut, and caches are empty; the next use reads it
 * again. */
int engine_session_new(engine *e, engine_session **out);
void engine_session_delete(engine_session *s); /* NULL is a no-op */

/* Makes the session hold exactly tokens[n]: keeps the longest common prefix with what is there
 * and computes the rest, except the last token, which the first decode step takes. *computed
 * (may be NULL) is how many tokens will have been computed for this prompt, that one included.
 * cancel (may be NULL) is read between chunks: ENGINE_ECANCELLED leaves a valid, shorter
 * session. ENGINE_ETOOLONG: n exceeds the context; nothing changed. */
int engine_session_sync(engine_session *s, const int32_t *tokens, int n,
                        const atomic_bool *cancel, int *computed);

/* `run` is called once, on this thread, in the session's next step, be it of a sync or of a
 * generate: on a GPU while it computes, else after it. It must not use a session or the device.
 * NULL: nothing is to be called any more. */
void engine_session_meanwhile(engine_session *s, void (*run)(void *user), void *user);

/* Measures what steps of several sizes cost, so that the first request that guesses ahead need not;
 * takes 50 to 150 ms, once for each time that the weights are loaded. */
int engine_session_prepare(engine_session *s);

/* Reads the logits of the last token after engine_session_sync: logits[vocab] (for tests and
 * tools). Computes that token if it was not yet. */
int engine_session_logits(engine_session *s, float *logits);

typedef enum engine_stop_reason {
  ENGINE_STOP_NONE = 0,
  ENGINE_STOP_TOKEN,     /* the model ended it */
  ENGINE_STOP_MAX,       /* max_tokens reached */
  ENGINE_STOP_CALLER,    /* on_step asked to stop */
  ENGINE_STOP_CONTEXT,   /* the KV cache is full */
  ENGINE_STOP_CANCELLED,
} engine_stop_reason;

#define ENGINE_OTHERS 4

/* The new tokens of one step. Borrowed for the call. */
typedef struct engine_step {
  const int32_t *ids; /* [n], stop tokens excluded unless ignore_stop */
  int n;
  /* Where engine_generate_params.score is set, else NULL: */
  const float *logprobs;       /* [n] natural logarithm of each token's probability, at temperature
                                  1; of a token that the caller chose (choose), 0 */
  const int32_t *others;       /* [n * ENGINE_OTHERS] the likeliest other tokens in each place,
                                  best first; -1: none */
  const float *other_logprobs; /* [n * ENGINE_OTHERS] -INFINITY where there is none */
} engine_step;

typedef struct engine_generate_params {
  int max_tokens;
  float temperature; /* 0: greedy */
  float top_p;       /* 0 or 1: all; used where temperature > 0 */
  uint64_t seed;
  bool score;        /* on_step gets probabilities, too */
  bool ignore_stop;  /* go on through stop tokens, exactly max_tokens */
  engine_draft draft; /* changes the speed, never the tokens */
  engine_pool *pool;  /* borrowed during the call; NULL: none */
  engine_drafter *drafter; /* borrowed during the call, in no other one; NULL: the session's */
  /* Token healing: the first tokens are chosen here, not by the model alone. choose gets the logits
   * [vocab] of the next token and sets *id; it is called for one token after the other until it
   * returns false, which makes that token the last it chose. allow says whether it could choose a
   * token next, as far as the guesses for the very next one go; it must not change anything.
   * NULL, both: the model chooses from the start. */
  bool (*choose)(void *user, const float *logits, int32_t *id);
  bool (*allow)(void *user, int32_t id);
  void *choose_user;
  /* For measuring: tokens[n_replay] that are taken for the model's choice, whatever it says, as
   * long as there are any; after those that the caller chooses. Borrowed during the call. With
   * score, a GPU takes some ten microseconds for each that is not among the likeliest. */
  const int32_t *replay;
  int n_replay;
} engine_generate_params;

typedef struct engine_generate_result {
  engine_stop_reason stop;
  int tokens;          /* generated, the stop token not counted */
  int steps;           /* forward passes */
  int drafted;         /* guesses that were verified */
  int accepted;        /* of them */
  double host_ms;      /* of total_ms, between the steps: from the first guesses on, outside them */
  double first_ms;     /* to the first token */
  double total_ms;
} engine_generate_result;

/* Continues the synced tokens. on_step returns 0 to go on, non-zero to stop after it; it is not
 * called for a step that gave nothing but a stop token. cancel is read
 * before every step. Returns 0, also when stopped or cancelled (see result->stop), or a
 * negative status. Generated tokens stay in the session. */
int engine_session_generate(engine_session *s, const engine_generate_params *params,
                            const atomic_bool *cancel,
                            int (*on_step)(void *user, const engine_step *step), void *user,
                            engine_generate_result *result);

/* The tokens whose keys and values are in the cache. Borrowed until the session changes. */
const int32_t *engine_session_tokens(const engine_session *s, int *n);

/* ---- measuring ------------------------------------------------------------------------- */

/* One forward pass: n (1..max_batch) rows of arbitrary tokens on top of the session's first kv_len
 * tokens, causal, with the best token of the last n_out rows (0..n, at most max_out). *ms is its
 * time, from issuing it until the results are on the host. The rows stay in the session, which
 * holds kv_len + n tokens then: what prefill does, in steps of the caller's choice. ENGINE_EINVAL:
 * an argument is out of range, or the session holds fewer than kv_len tokens. */
int engine_bench_step(engine_session *s, int kv_len, int n, int n_out, double *ms);

/* What such a step cannot do without. */
typedef struct engine_bench_cost {
  int64_t bytes; /* weights once, in the backend's format (the embedding table only where it is
                    the head too, the head only where n_out > 0), the keys and values that are
                    read and written */
  double flops;  /* multiplications and additions of the products and of attention */
} engine_bench_cost;

engine_bench_cost engine_bench_step_cost(const engine_session *s, int kv_len, int n, int n_out);

/* Rows of the largest step, and of the largest one that is bit-equal to smaller ones. */
int engine_bench_max_batch(const engine *e);
int engine_bench_exact_rows(const engine *e);
/* What a copy within the device's memory reaches, GB/s, bytes read and written both counted;
 * 0 where the model computes in host memory. */
double engine_bench_copy_bandwidth(const engine *e);

/* ---- the engine thread ----------------------------------------------------------------- */

/* A job, embedded in the caller's own struct. The engine owns it from engine_post until run is
 * entered; run is called exactly once, on the engine thread, also when the job was cancelled
 * or the engine is closing (cancel is then set). After run is entered the engine does not
 * touch the job again, so run may free it. */
typedef struct engine_job engine_job;
struct engine_job {
  void (*run)(engine_job *job);
  atomic_bool cancel; /* any thread may set it */
  engine_job *next;   /* the engine's own */
};

void engine_post(engine *e, engine_job *job);

#endif
