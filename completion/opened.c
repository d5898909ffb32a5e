/* opened.c - see opened.h. */
#include "completion/opened.h"

#include <pthread.h>
#include <stdlib.h>

#define KEPT 32 /* documents that nobody has asked about; a request looks at fewer */

typedef enum state { WAITS, RUNS, DONE } state;

typedef struct entry {
  struct entry *next;
  const completion__document *document; /* NULL: closed while it ran */
  completion__text *text;               /* owned reference */
  state state;
  completion__syntax *syntax; /* owned; once it is done */
} entry;

struct completion__opened {
  completion__parser *parser; /* the thread's */
  completion__parser *queries; /* borrows from it what is whole, for others; locked */
  pthread_t thread;
  bool started, stop;
  atomic_bool cancel; /* with stop */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  entry *entries; /* owned, in the order in which they came */
};

/* ---- entries --------------------------------------------------------------------------- */

static void entry_delete(entry *e) {
  completion__text_release(e->text);
  completion__syntax_delete(e->syntax);
  free(e);
}

/* Takes it out of the list. Locked. */
static void unlink_entry(completion__opened *o, const entry *e) {
  entry **at = &o->entries;
  while (*at != e) at = &(*at)->next;
  *at = e->next;
}

static entry *find(const completion__opened *o, const completion__document *d) {
  entry *e = o->entries;
  while (e && e->document != d) e = e->next;
  return e;
}

static entry *find_in_state(const completion__opened *o, state s) {
  entry *e = o->entries;
  while (e && e->state != s) e = e->next;
  return e;
}

/* The tree and the definitions of a text; NULL: out of memory. */
static completion__syntax *make(completion__parser *p, completion__text *text,
                                const atomic_bool *cancel) {
  completion__document d = {0}; /* only its syntax is looked at */
  const completion__definition *definitions;
  completion__syntax_definitions(p, &d, text, cancel, &definitions);
  return d.syntax;
}

/* ---- the thread ------------------------------------------------------------------------ */

static void *thread_main(void *arg) {
  completion__opened *o = arg;
  pthread_mutex_lock(&o->lock);
  while (!o->stop) {
    entry *e = find_in_state(o, WAITS);
    if (!e) {
      pthread_cond_wait(&o->changed, &o->lock);
      continue;
    }
    e->state = RUNS;
    pthread_mutex_unlock(&o->lock);
    completion__syntax *made = make(o->parser, e->text, &o->cancel);
    pthread_mutex_lock(&o->lock);
    completion__parser_borrow(o->queries, o->parser, e->text->language);
    e->syntax = made;
    e->state = DONE;
    if (!e->document) {
      unlink_entry(o, e);
      entry_delete(e);
    }
    pthread_cond_broadcast(&o->changed);
  }
  pthread_mutex_unlock(&o->lock);
  return NULL;
}

/* ---- life ------------------------------------------------------------------------------ */

completion__opened *completion__opened_new(double patience_ms) {
  completion__opened *o = calloc(1, sizeof *o);
  if (!o) return NULL;
  o->parser = completion__parser_new(patience_ms);
  o->queries = completion__parser_new(patience_ms);
  if (!o->parser || !o->queries) {
    completion__parser_delete(o->parser);
    completion__parser_delete(o->queries);
    free(o);
    return NULL;
  }
  atomic_init(&o->cancel, false);
  pthread_mutex_init(&o->lock, NULL);
  pthread_cond_init(&o->changed, NULL);
  return o;
}

void completion__opened_delete(completion__opened *o) {
  if (!o) return;
  pthread_mutex_lock(&o->lock);
  o->stop = true;
  atomic_store(&o->cancel, true);
  pthread_cond_broadcast(&o->changed);
  pthread_mutex_unlock(&o->lock);
  if (o->started) pthread_join(o->thread, NULL);
  for (entry *e = o->entries, *next; e; e = next) {
    next = e->next;
    entry_delete(e);
  }
  completion__parser_delete(o->queries);
  completion__parser_delete(o->parser);
  pthread_cond_destroy(&o->changed);
  pthread_mutex_destroy(&o->lock);
  free(o);
}

/* ---- documents ------------------------------------------------------------------------- */

/* Of many that nobody asks about the oldest is forgotten. Locked. */
static void make_room(completion__opened *o) {
  int n = 0;
  entry *oldest = NULL;
  for (entry *e = o->entries; e; e = e->next, n++)
    if (!oldest && e->state != RUNS) oldest = e;
  if (n < KEPT || !oldest) return;
  unlink_entry(o, oldest);
  entry_delete(oldest);
}

void completion__opened_add(completion__opened *o, const completion__document *d,
                            completion__text *text) {
  if (!text->language || text->len > COMPLETION__SYNTAX_BYTES) return;
  entry *e = calloc(1, sizeof *e);
  if (!e) return;
  *e = (entry){.document = d, .text = completion__text_hold(text)};
  pthread_mutex_lock(&o->lock);
  if (!o->started) o->started = pthread_create(&o->thread, NULL, thread_main, o) == 0;
  if (o->started) {
    make_room(o);
    entry **last = &o->entries;
    while (*last) last = &(*last)->next;
    *last = e;
    pthread_cond_broadcast(&o->changed);
  } else {
    entry_delete(e);
  }
  pthread_mutex_unlock(&o->lock);
}

void completion__opened_remove(completion__opened *o, const completion__document *d) {
  pthread_mutex_lock(&o->lock);
  entry *e = find(o, d);
  if (e && e->state == RUNS) {
    e->document = NULL;
  } else if (e) {
    unlink_entry(o, e);
    entry_delete(e);
  }
  pthread_mutex_unlock(&o->lock);
}

bool completion__opened_busy(completion__opened *o) {
  pthread_mutex_lock(&o->lock);
  bool busy = find_in_state(o, WAITS) || find_in_state(o, RUNS);
  pthread_mutex_unlock(&o->lock);
  return busy;
}

void completion__opened_wake(completion__opened *o) {
  pthread_mutex_lock(&o->lock);
  pthread_cond_broadcast(&o->changed);
  pthread_mutex_unlock(&o->lock);
}

completion__syntax *completion__opened_take(completion__opened *o, completion__parser *p,
                                            const completion__document *d,
                                            const atomic_bool *cancel) {
  pthread_mutex_lock(&o->lock);
  entry *e;
  bool cancelled;
  while (!(cancelled = cancel && atomic_load(cancel)) && (e = find(o, d)) && e->state == RUNS)
    pthread_cond_wait(&o->changed, &o->lock);
  if (cancelled) e = NULL; /* it stays for the next request */
  if (e) {
    unlink_entry(o, e);
    completion__parser_borrow(p, o->queries, e->text->language);
  }
  pthread_mutex_unlock(&o->lock);
  if (!e) return NULL;
  completion__syntax *made = e->state == DONE ? e->syntax : make(p, e->text, cancel);
  e->syntax = NULL;
  entry_delete(e);
  return made;
}
