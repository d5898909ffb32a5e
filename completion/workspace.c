/* workspace.c - see workspace.h: the files, and the thread that reads them. */
#include "completion/workspace_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "completion/walk.h"

#define NICE 10 /* completions come first */
#define PATIENCE_MS 10000.0 /* to parse a file, in the background */
#define FILES_MAX 1000000   /* paths that were ever read */
#define ROOTS_MAX 4096      /* folders that were ever added */
#define PAUSE_MS 1000.0     /* before a folder is read again, after a shortage, */
#define PAUSE_MAX_MS 60000.0 /* and twice as long each time */

typedef completion__file file;
typedef completion__task task;

/* ---- names ----------------------------------------------------------------------------- */

unsigned completion__file_bucket(const char *s, size_t len) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)s[i]) * 16777619u;
  return (h ^ h >> 15) % COMPLETION__FILE_BUCKETS;
}

/* "a/b/parser.test.c": the folder "b" and the stem "parser". */
completion__slice completion__file_stem(const char *path) {
  const char *name = strrchr(path, '/');
  name = name ? name + 1 : path;
  size_t len = strcspn(name, ".");
  return completion__slice_of(name, len);
}

completion__slice completion__file_folder(const char *path) {
  const char *end = strrchr(path, '/'), *from = end;
  if (!end) return completion__slice_of(path, 0);
  while (from > path && from[-1] != '/') from--;
  return completion__slice_of(from, (size_t)(end - from));
}

int completion__file_find(const completion__workspace *w, const char *path) {
  int i = w->by_path[completion__file_bucket(path, strlen(path))];
  while (i >= 0 && strcmp(w->files[i].path, path) != 0)
    i = w->files[i].next_path;
  return i;
}

static int find_open(const completion__workspace *w, const char *path) {
  for (int i = 0; i < w->n_open; i++)
    if (strcmp(w->open[i], path) == 0) return i;
  return -1;
}

static void link_file(completion__workspace *w, int i) {
  file *f = &w->files[i];
  completion__slice stem = completion__file_stem(f->path), folder = completion__file_folder(f->path);
  int *path = &w->by_path[completion__file_bucket(f->path, strlen(f->path))];
  int *by_stem = &w->by_stem[completion__file_bucket(stem.s, stem.len)];
  int *by_folder = &w->by_folder[completion__file_bucket(folder.s, folder.len)];
  f->next_path = *path;
  f->next_stem = *by_stem;
  f->next_folder = *by_folder;
  *path = *by_stem = *by_folder = i;
}

enum { NO_MEMORY = -1, TOO_MANY = -2 };

/* The file's number, made where there is none, or one of these. Locked. */
static int add_file(completion__workspace *w, int root, const char *path) {
  int i = completion__file_find(w, path);
  if (i >= 0) return i;
  if (w->n_files >= FILES_MAX) return TOO_MANY;
  if (w->n_files == w->files_capacity) {
    int capacity = w->files_capacity ? w->files_capacity * 2 : 256;
    file *grown = realloc(w->files, (size_t)capacity * sizeof *grown);
    if (!grown) return NO_MEMORY;
    w->files = grown;
    w->files_capacity = capacity;
  }
  char *copy = strdup(path);
  if (!copy) return NO_MEMORY;
  i = w->n_files++;
  w->files[i] = (file){.path = copy, .root = root};
  link_file(w, i);
  return i;
}

/* Nothing of it is shown or guessed from any more. Locked. */
static void forget(completion__workspace *w, file *f) {
  engine_pool_remove(w->pool, f->id);
  completion__symbols_remove(w->symbols, f->symbols);
  f->id = 0;
  f->symbols = NULL;
  f->indexed = false;
}

static void hide(completion__workspace *w, file *f, bool hidden) {
  engine_pool_hide(w->pool, f->id, hidden);
  if (f->symbols) f->symbols->hidden = hidden;
}

/* ---- the thread ------------------------------------------------------------------------ */

typedef struct walker {
  completion__workspace *w;
  int root;
  size_t shown;            /* bytes of a path before what is relative to the root */
  const char *path;        /* of the root, or of the one file; borrowed */
  const atomic_bool *gone; /* the root was removed */
  bool symbols;            /* only these are wanted */
} walker;

static uint64_t hash_of(const char *text, size_t len) {
  uint64_t h = len;
  for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
  return h;
}

/* Is the file in the pool as it is? Then it only shows again, unless it is open. */
static bool is_known(completion__workspace *w, int root, const char *path, uint64_t hash) {
  pthread_mutex_lock(&w->lock);
  int i = completion__file_find(w, path);
  bool known = i >= 0 && w->files[i].id != 0 && w->files[i].hash == hash &&
               !atomic_load(&w->roots[root]->gone);
  if (known) {
    w->files[i].root = root;
    w->files[i].round = w->roots[root]->round;
    hide(w, &w->files[i], find_open(w, path) >= 0);
  }
  pthread_mutex_unlock(&w->lock);
  return known;
}

static int take_file(const walker *at, const char *path, const char *text, size_t len) {
  completion__workspace *w = at->w;
  int root = at->root;
  engine_tokens tokens = {0};
  int64_t id = 0;
  uint64_t hash = hash_of(text, len);
  if (is_known(w, root, path, hash)) return 0;
  int rc = len ? engine_tokenize(w->engine, text, len, false, &tokens) : 0;
  if (rc == 0 && tokens.n > 0) rc = engine_pool_add(w->pool, tokens.ids, tokens.n, &id);
  engine_tokens_free(&tokens);
  if (rc == ENGINE_ENOMEM) return COMPLETION_ENOMEM;
  pthread_mutex_lock(&w->lock);
  bool gone = atomic_load(&w->roots[root]->gone); /* meanwhile */
  int i = gone ? TOO_MANY : add_file(w, root, path);
  if (i >= 0) {
    file *f = &w->files[i];
    f->root = root; /* it may have been read for another one before */
    forget(w, f);   /* an older version */
    f->id = id;
    f->hash = hash;
    f->round = w->roots[root]->round;
    hide(w, f, find_open(w, path) >= 0);
  } else {
    engine_pool_remove(w->pool, id);
  }
  pthread_mutex_unlock(&w->lock);
  return gone ? COMPLETION_ECANCELLED : i == NO_MEMORY ? COMPLETION_ENOMEM : 0;
}

/* The file's definitions, after all files were read for guesses: parsing takes three times as long.
 * Where the index is full there are fewer signatures. */
static int index_file(const walker *at, const char *path, const char *text, size_t len) {
  completion__workspace *w = at->w;
  completion__symbol_file *symbols = NULL;
  uint64_t hash = hash_of(text, len);
  pthread_mutex_lock(&w->lock);
  int i = completion__file_find(w, path);
  bool wanted = i >= 0 && w->files[i].hash == hash && !w->files[i].indexed;
  pthread_mutex_unlock(&w->lock);
  if (!wanted) return 0;
  int status =
      completion__symbol_file_read(w->parser, path, at->shown, text, len, &w->stop, &symbols);
  if (status) return status;
  pthread_mutex_lock(&w->lock);
  file *f = &w->files[i];
  wanted = f->hash == hash && !f->indexed && f->root == at->root &&
           !atomic_load(&w->roots[at->root]->gone); /* meanwhile */
  if (wanted) {
    status = symbols ? completion__symbols_add(w->symbols, symbols) : 0;
    f->indexed = status >= 0;
    if (status == 1) f->symbols = symbols;
    hide(w, f, find_open(w, path) >= 0);
  } else {
    free(symbols);
  }
  pthread_mutex_unlock(&w->lock);
  return status < 0 ? status : 0;
}

static int on_file(void *user, const char *path, const char *text, size_t len) {
  walker *at = user;
  if (atomic_load(at->gone)) return COMPLETION_ECANCELLED;
  size_t size = strlen(at->path) + strlen(path) + 2;
  char *whole = malloc(size);
  if (!whole) return COMPLETION_ENOMEM;
  memcpy(whole, at->path, strlen(at->path));
  whole[strlen(at->path)] = '/';
  memcpy(whole + strlen(at->path) + 1, path, strlen(path) + 1);
  int status =
      at->symbols ? index_file(at, whole, text, len) : take_file(at, whole, text, len);
  free(whole);
  return status;
}

static void *thread_main(void *arg);

/* There is something to do. False: there is no thread, and none to be had; what is noted waits for
 * one. Locked. */
static bool wake(completion__workspace *w) {
  if (!w->started) w->started = pthread_create(&w->thread, NULL, thread_main, w) == 0;
  if (!w->started) return false;
  w->busy = true;
  pthread_cond_signal(&w->wake);
  return true;
}

/* Has the folder be walked; nothing is allocated for that. Locked. */
static int walk_later(completion__workspace *w, int root) {
  w->roots[root]->queued = true;
  return wake(w) ? 0 : COMPLETION_ENOMEM;
}

/* Has one file be read again, or its folder where many wait for that, or there is no memory (path
 * is NULL, too). Takes path over. Locked. */
static void read_later(completion__workspace *w, int root, char *path) {
  task *t = path && w->n_tasks < COMPLETION__TASKS_MAX ? calloc(1, sizeof *t) : NULL;
  if (!t) {
    free(path);
    walk_later(w, root);
    return;
  }
  t->path = path;
  *w->last = t;
  w->last = &t->next;
  w->n_tasks++;
  wake(w);
}

/* Memory or descriptors ran out over the folder: it is walked once more, but not at once. Locked. */
static void walk_after_pause(completion__workspace *w, int root) {
  w->roots[root]->again = true;
  if (w->again_at_ms > 0) return;
  w->again_at_ms = completion__now_ms() + w->pause_ms;
  w->pause_ms = w->pause_ms * 2 < PAUSE_MAX_MS ? w->pause_ms * 2 : PAUSE_MAX_MS;
}

/* The folder a path is in, or -1. Locked. */
static int root_of(const completion__workspace *w, const char *path) {
  int best = -1;
  size_t longest = 0;
  for (int i = 0; i < w->n_roots; i++) {
    if (atomic_load(&w->roots[i]->gone)) continue;
    size_t n = strlen(w->roots[i]->path);
    if (n >= longest && strncmp(path, w->roots[i]->path, n) == 0 && path[n] == '/') {
      best = i;
      longest = n;
    }
  }
  return best;
}

/* All of a folder, or (round > 0) what its last walk did not see. A folder inside another one: what
 * is in both is read again, as the other's. Locked. */
static void forget_files(completion__workspace *w, int root, int round) {
  for (int i = 0; i < w->n_files; i++) {
    file *f = &w->files[i];
    if (f->root != root || !completion__file_is_there(f) || f->round == round) continue;
    forget(w, f);
    int other = round == 0 ? root_of(w, f->path) : -1;
    if (other >= 0) read_later(w, other, strdup(f->path));
  }
}

static void walk_root(completion__workspace *w, int number) {
  completion__walk_counts counts = {0};
  pthread_mutex_lock(&w->lock);
  struct root *r = w->roots[number];
  r->queued = r->again = false;
  r->round++;
  pthread_mutex_unlock(&w->lock);
  walker at = {.w = w,
               .root = number,
               .shown = strlen(r->path) + 1,
               .path = r->path,
               .gone = &r->gone};
  double start = completion__now_ms();
  int status = completion__walk(r->path, NULL, &w->stop, on_file, &at, &counts);
  pthread_mutex_lock(&w->lock);
  if (atomic_load(&r->gone)) forget_files(w, number, 0);
  if (status == 0) forget_files(w, number, r->round);
  r->unindexed = !atomic_load(&r->gone);
  if (status == COMPLETION_ENOMEM) walk_after_pause(w, number);
  r->counts = counts;
  w->info.status = status == COMPLETION_ECANCELLED ? 0 : status;
  w->info.ms += completion__now_ms() - start;
  pthread_mutex_unlock(&w->lock);
}

static void index_root(completion__workspace *w, int number) {
  pthread_mutex_lock(&w->lock);
  struct root *r = w->roots[number];
  r->unindexed = false;
  pthread_mutex_unlock(&w->lock);
  walker at = {.w = w,
               .root = number,
               .shown = strlen(r->path) + 1,
               .path = r->path,
               .gone = &r->gone,
               .symbols = true};
  int status = completion__walk(r->path, NULL, &w->stop, on_file, &at, NULL);
  pthread_mutex_lock(&w->lock);
  if (status == COMPLETION_ENOMEM) walk_after_pause(w, number);
  else if (status == 0 && w->again_at_ms == 0) w->pause_ms = w->first_pause_ms;
  pthread_mutex_unlock(&w->lock);
}

static int on_one_file(void *user, const char *path, const char *text, size_t len) {
  walker *at = user;
  (void)path;
  int status = take_file(at, at->path, text, len);
  return status ? status : index_file(at, at->path, text, len);
}

/* A folder that is gone: editors name it alone, not what was in it. */
static void forget_below(completion__workspace *w, const char *path) {
  size_t n = strlen(path);
  pthread_mutex_lock(&w->lock);
  for (int i = 0; i < w->n_files; i++) {
    file *f = &w->files[i];
    if (completion__file_is_there(f) && strncmp(f->path, path, n) == 0 && f->path[n] == '/') forget(w, f);
  }
  pthread_mutex_unlock(&w->lock);
}

/* A file that was edited: what is on the disk now, if it may be read. */
static void read_again(completion__workspace *w, const char *path) {
  pthread_mutex_lock(&w->lock);
  int root = root_of(w, path), i = completion__file_find(w, path);
  const char *folder = root >= 0 ? w->roots[root]->path : NULL;
  pthread_mutex_unlock(&w->lock);
  walker at = {
      .w = w, .root = root, .shown = folder ? strlen(folder) + 1 : 0, .path = path};
  int rc = folder ? completion__walk_file(folder, path + strlen(folder) + 1, on_one_file, &at) : 0;
  if (rc != 1 && i < 0 && access(path, F_OK) != 0) forget_below(w, path);
  if (rc == 1 || (rc != COMPLETION_ENOMEM && i < 0)) return;
  pthread_mutex_lock(&w->lock);
  if (rc == COMPLETION_ENOMEM)
    walk_after_pause(w, root);
  else
    forget(w, &w->files[i]); /* it is gone, or must not be read any more */
  pthread_mutex_unlock(&w->lock);
}

/* The first folder to be walked, or to be indexed; -1: none. Locked. */
static int next_root(const completion__workspace *w, bool walk) {
  for (int i = 0; i < w->n_roots; i++) {
    const struct root *r = w->roots[i];
    if (walk ? r->queued : r->unindexed && !atomic_load(&r->gone)) return i;
  }
  return -1;
}

/* After the pause, folders that were cut short wait to be walked. Locked. */
static void end_pause(completion__workspace *w) {
  if (w->again_at_ms == 0 || completion__now_ms() < w->again_at_ms) return;
  w->again_at_ms = 0;
  for (int i = 0; i < w->n_roots; i++)
    if (w->roots[i]->again && !atomic_load(&w->roots[i]->gone)) w->roots[i]->queued = true;
}

/* Until there is something to do, or a pause is over. Locked. */
static void rest(completion__workspace *w) {
  w->busy = false;
  pthread_cond_broadcast(&w->idle);
  if (w->again_at_ms == 0) {
    pthread_cond_wait(&w->wake, &w->lock);
    return;
  }
  double ms = w->again_at_ms + 1;
  struct timespec until = {.tv_sec = (time_t)(ms / 1e3)};
  until.tv_nsec = (long)((ms - (double)until.tv_sec * 1e3) * 1e6);
  pthread_cond_timedwait(&w->wake, &w->lock, &until);
}

/* Walks come before single files, for they may read those too; then definitions. */
static void *thread_main(void *arg) {
  completion__workspace *w = arg;
  setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone, on Linux */
  pthread_mutex_lock(&w->lock);
  while (!atomic_load(&w->stop)) {
    end_pause(w);
    int walk = next_root(w, true), index = next_root(w, false);
    task *t = walk < 0 ? w->first : NULL;
    if (walk < 0 && !t && index < 0) {
      rest(w);
      continue;
    }
    w->busy = true;
    if (t) {
      w->first = t->next;
      w->n_tasks--;
      if (!w->first) w->last = &w->first;
    }
    pthread_mutex_unlock(&w->lock);
    if (walk >= 0)
      walk_root(w, walk);
    else if (t)
      read_again(w, t->path);
    else
      index_root(w, index);
    if (t) free(t->path);
    free(t);
    pthread_mutex_lock(&w->lock);
  }
  w->busy = false;
  pthread_cond_broadcast(&w->idle);
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

/* ---- life ------------------------------------------------------------------------------ */

completion__workspace *completion__workspace_new(engine *e, engine_pool *pool) {
  completion__workspace *w = calloc(1, sizeof *w);
  if (!w) return NULL;
  w->engine = e;
  w->pool = pool;
  w->last = &w->first;
  for (int i = 0; i < COMPLETION__FILE_BUCKETS; i++) w->by_path[i] = w->by_stem[i] = w->by_folder[i] = -1;
  pthread_mutex_init(&w->lock, NULL);
  w->pause_ms = w->first_pause_ms = PAUSE_MS;
  pthread_condattr_t steady;
  pthread_condattr_init(&steady);
  pthread_condattr_setclock(&steady, CLOCK_MONOTONIC); /* completion__now_ms's */
  pthread_cond_init(&w->wake, &steady);
  pthread_condattr_destroy(&steady);
  pthread_cond_init(&w->idle, NULL);
  w->symbols = completion__symbols_new(0);
  w->parser = completion__parser_new(PATIENCE_MS);
  if (!w->symbols || !w->parser) {
    completion__workspace_delete(w);
    return NULL;
  }
  return w;
}

void completion__workspace_delete(completion__workspace *w) {
  if (!w) return;
  if (w->started) {
    atomic_store(&w->stop, true);
    pthread_mutex_lock(&w->lock);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
  }
  for (task *t = w->first, *next; t; t = next) {
    next = t->next;
    free(t->path);
    free(t);
  }
  for (int i = 0; i < w->n_roots; i++) {
    free(w->roots[i]->path);
    free(w->roots[i]);
  }
  for (int i = 0; i < w->n_files; i++) free(w->files[i].path);
  for (int i = 0; i < w->n_open; i++) free(w->open[i]);
  completion__symbols_delete(w->symbols);
  completion__parser_delete(w->parser);
  free(w->roots);
  free(w->files);
  free(w->open);
  pthread_cond_destroy(&w->idle);
  pthread_cond_destroy(&w->wake);
  pthread_mutex_destroy(&w->lock);
  free(w);
}

/* ---- tasks ----------------------------------------------------------------------------- */

int completion__workspace_add(completion__workspace *w, const char *path) {
  pthread_mutex_lock(&w->lock);
  struct root *r = calloc(1, sizeof *r);
  struct root **grown = realloc(w->roots, ((size_t)w->n_roots + 1) * sizeof *grown);
  if (grown) w->roots = grown;
  if (r) {
    r->path = strdup(path);
    r->round = 1; /* 0 is no walk's */
  }
  int status = r && grown && r->path && w->n_roots < ROOTS_MAX ? 0 : COMPLETION_ENOMEM;
  if (!status) {
    w->roots[w->n_roots++] = r;
    status = walk_later(w, w->n_roots - 1);
  } else if (r) {
    free(r->path);
    free(r);
  }
  pthread_mutex_unlock(&w->lock);
  return status;
}

int completion__workspace_again(completion__workspace *w, const char *path) {
  int status = 0;
  pthread_mutex_lock(&w->lock);
  for (int i = 0; i < w->n_roots; i++) {
    struct root *r = w->roots[i];
    if (atomic_load(&r->gone) || r->queued || strcmp(r->path, path) != 0) continue;
    status = walk_later(w, i);
  }
  pthread_mutex_unlock(&w->lock);
  return status;
}

void completion__workspace_remove(completion__workspace *w, const char *path) {
  pthread_mutex_lock(&w->lock);
  for (int i = 0; i < w->n_roots; i++) {
    if (atomic_load(&w->roots[i]->gone) || strcmp(w->roots[i]->path, path) != 0) continue;
    atomic_store(&w->roots[i]->gone, true);
    forget_files(w, i, 0);
  }
  pthread_mutex_unlock(&w->lock);
}

void completion__workspace_opened(completion__workspace *w, const char *path) {
  pthread_mutex_lock(&w->lock);
  int i = completion__file_find(w, path);
  if (i >= 0) hide(w, &w->files[i], true);
  char **grown = realloc(w->open, ((size_t)w->n_open + 1) * sizeof *grown);
  if (grown) {
    w->open = grown;
    w->open[w->n_open] = strdup(path);
    w->n_open += w->open[w->n_open] != NULL;
  }
  pthread_mutex_unlock(&w->lock);
}

void completion__workspace_closed(completion__workspace *w, const char *path) {
  pthread_mutex_lock(&w->lock);
  int i = find_open(w, path);
  if (i >= 0) {
    char *copy = w->open[i];
    w->open[i] = w->open[--w->n_open];
    int root = root_of(w, path);
    if (root >= 0)
      read_later(w, root, copy);
    else
      free(copy);
  }
  pthread_mutex_unlock(&w->lock);
}

void completion__workspace_changed(completion__workspace *w, const char *path) {
  pthread_mutex_lock(&w->lock);
  int root = root_of(w, path);
  if (root >= 0) read_later(w, root, strdup(path));
  pthread_mutex_unlock(&w->lock);
}

void completion__workspace_wait(completion__workspace *w) {
  pthread_mutex_lock(&w->lock);
  while (w->busy) pthread_cond_wait(&w->idle, &w->lock);
  pthread_mutex_unlock(&w->lock);
}

completion_workspace_info completion__workspace_get_info(completion__workspace *w) {
  pthread_mutex_lock(&w->lock);
  completion_workspace_info info = w->info;
  for (int i = 0; i < w->n_roots; i++) {
    const completion__walk_counts *c = &w->roots[i]->counts;
    if (atomic_load(&w->roots[i]->gone)) continue;
    info.files += c->files;
    info.bytes += c->bytes;
    info.left_out += c->secret + c->binary + c->large + c->unreadable;
    info.cut = info.cut || c->cut;
  }
  info.busy = w->busy;
  pthread_mutex_unlock(&w->lock);
  return info;
}

int completion__workspace_each(completion__workspace *w,
                               int (*each)(void *user, const char *path), void *user) {
  int status = 0;
  pthread_mutex_lock(&w->lock);
  for (int i = 0; i < w->n_files && status == 0; i++)
    if (w->files[i].id != 0) status = each(user, w->files[i].path);
  pthread_mutex_unlock(&w->lock);
  return status;
}
