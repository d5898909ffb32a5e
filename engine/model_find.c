/* model_find.c - which file or folder a model argument means.
 *
 * A path that exists is that. Otherwise "ORG/NAME" or "ORG/NAME:PART-OF-A-FILE-NAME" is looked
 * up where download tools leave models, so that what is on the machine already is used:
 *   Hugging Face's cache   HUB/models--ORG--NAME/snapshots/REVISION/
 *   llama.cpp's cache      DIR/ORG_NAME_FILE.gguf
 *   fimd's own, LM Studio  DIR/ORG/NAME/
 * Nothing is ever downloaded here: the message for a missing model is the command that does. */
#include "engine/hf.h"
#include "engine/model_source.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FIND_MAX_NAME 200 /* bytes of a name that is looked up */

typedef enum place_kind { PLACE_HUB, PLACE_LLAMA_CPP, PLACE_PLAIN } place_kind;

typedef struct place {
  place_kind kind;
  char *folder; /* owned */
} place;

typedef struct search {
  char repo[FIND_MAX_NAME + 1];    /* "ORG/NAME" */
  char pattern[FIND_MAX_NAME + 1]; /* "" where there is none */
  place places[12];
  int n_places;
  char *path;    /* what was found; owned */
  char *several; /* a folder that holds several files that fit; owned */
  int n_several;
  bool no_memory;
} search;

static char *format(search *s, const char *words, ...) __attribute__((format(printf, 2, 3)));
static char *format(search *s, const char *words, ...) {
  char *out = NULL;
  va_list args;
  va_start(args, words);
  if (vasprintf(&out, words, args) < 0) out = NULL;
  va_end(args);
  if (!out) s->no_memory = true;
  return out;
}

static const char *environment(const char *name) {
  const char *value = getenv(name);
  return value && *value ? value : NULL;
}

/* ---- .gguf files in a folder ----------------------------------------------------------- */

/* "-00002-of-00003.gguf": a later part of a split file, which its first part stands for. */
static bool is_later_part(const char *name) {
  size_t len = strlen(name);
  const char *tail = len > 20 ? name + len - 20 : "";
  int part, parts;
  return sscanf(tail, "-%5d-of-%5d.gguf", &part, &parts) == 2 && part != 1;
}

/* The file in a folder that begins with prefix, ends in .gguf and contains pattern (exactly the
 * pattern beats containing it). NULL and the count where it is not one; -1: out of memory. */
static char *find_file(const char *folder, const char *prefix, const char *pattern, int *count) {
  char *found = NULL;
  bool exact = false;
  size_t skip = strlen(prefix);
  *count = 0;
  DIR *dir = opendir(folder);
  if (!dir) return NULL;
  for (struct dirent *e; (e = readdir(dir)) && !exact;) {
    size_t len = strlen(e->d_name);
    if (len < skip + 5 || strcasecmp(e->d_name + len - 5, ".gguf") != 0) continue;
    if (strncasecmp(e->d_name, prefix, skip) != 0 || is_later_part(e->d_name)) continue;
    const char *rest = e->d_name + skip;
    if (pattern && !strcasestr(rest, pattern)) continue;
    exact = pattern && strcasecmp(rest, pattern) == 0;
    *count = exact ? 1 : *count + 1;
    free(found);
    if (asprintf(&found, "%s/%s", folder, e->d_name) < 0) {
      found = NULL;
      *count = -1;
      break;
    }
  }
  closedir(dir);
  if (*count == 1) return found;
  free(found);
  return NULL;
}

char *model__find_gguf(const char *folder, int *count) {
  return find_file(folder, "", NULL, count);
}

/* ---- one place ------------------------------------------------------------------------- */

/* Takes a folder as the model, or the one file in it that fits. */
static bool take(search *s, const char *folder, const char *prefix) {
  if (!*s->pattern && !*prefix && hf_is_folder(folder)) {
    s->path = format(s, "%s", folder);
    return s->path != NULL;
  }
  int count;
  s->path = find_file(folder, prefix, *s->pattern ? s->pattern : NULL, &count);
  if (count < 0) s->no_memory = true;
  if (count > 1 && !s->several) {
    s->several = format(s, "%s", folder);
    s->n_several = count;
  }
  return s->path != NULL;
}

/* The revision that refs/main names, if that is one plain word. */
static bool main_revision(search *s, const char *repo_folder, char *out, size_t outlen) {
  char *path = format(s, "%s/refs/main", repo_folder);
  FILE *file = path ? fopen(path, "re") : NULL;
  free(path);
  if (!file) return false;
  size_t n = fread(out, 1, outlen - 1, file);
  fclose(file);
  while (n > 0 && isspace((unsigned char)out[n - 1])) n--;
  out[n] = 0;
  for (size_t i = 0; i < n; i++)
    if (!isalnum((unsigned char)out[i])) return false;
  return n > 0;
}

/* The newest of the snapshots that holds what is looked for. */
static bool newest_snapshot(search *s, const char *repo_folder) {
  char *snapshots = format(s, "%s/snapshots", repo_folder);
  DIR *dir = snapshots ? opendir(snapshots) : NULL;
  char *best = NULL;
  struct timespec best_time = {0, 0};
  for (struct dirent *e; dir && (e = readdir(dir));) {
    struct stat st;
    if (e->d_name[0] == '.') continue;
    char *folder = format(s, "%s/%s", snapshots, e->d_name);
    bool newer = folder && stat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
                 (!best || st.st_mtim.tv_sec > best_time.tv_sec ||
                  (st.st_mtim.tv_sec == best_time.tv_sec &&
                   st.st_mtim.tv_nsec > best_time.tv_nsec));
    if (newer && take(s, folder, "")) {
      free(best);
      best = s->path;
      s->path = NULL;
      best_time = st.st_mtim;
    }
    free(folder);
  }
  if (dir) closedir(dir);
  free(snapshots);
  s->path = best;
  return best != NULL;
}

static bool look_in_hub(search *s, const char *hub) {
  const char *slash = strchr(s->repo, '/');
  char *repo = format(s, "%s/models--%.*s--%s", hub, (int)(slash - s->repo), s->repo, slash + 1);
  char revision[80];
  bool found = false;
  if (repo && main_revision(s, repo, revision, sizeof revision)) {
    char *folder = format(s, "%s/snapshots/%s", repo, revision);
    found = folder && take(s, folder, "");
    free(folder);
  }
  found = found || (repo && newest_snapshot(s, repo));
  free(repo);
  return found;
}

static bool look_in(search *s, const place *p) {
  if (p->kind == PLACE_HUB) return look_in_hub(s, p->folder);
  if (p->kind == PLACE_PLAIN) {
    char *folder = format(s, "%s/%s", p->folder, s->repo);
    bool found = folder && take(s, folder, "");
    free(folder);
    return found;
  }
  char prefix[FIND_MAX_NAME + 3];
  snprintf(prefix, sizeof prefix, "%s_", s->repo);
  *strchr(prefix, '/') = '_';
  return take(s, p->folder, prefix);
}

/* ---- all places ------------------------------------------------------------------------ */

static void add_place(search *s, place_kind kind, const char *folder, const char *below) {
  if (!folder || s->n_places == (int)(sizeof s->places / sizeof *s->places)) return;
  char *path = format(s, "%s%s", folder, below);
  if (path) s->places[s->n_places++] = (place){kind, path};
}

static void add_places(search *s) {
  const char *home = environment("HOME"), *xdg = environment("XDG_CACHE_HOME");
  char *own_cache = xdg || !home ? NULL : format(s, "%s/.cache", home);
  const char *cache = xdg ? xdg : own_cache;
  add_place(s, PLACE_HUB, environment("HF_HUB_CACHE"), "");
  add_place(s, PLACE_HUB, environment("HUGGINGFACE_HUB_CACHE"), "");
  add_place(s, PLACE_HUB, environment("HF_HOME"), "/hub");
  add_place(s, PLACE_HUB, cache, "/huggingface/hub");
  add_place(s, PLACE_LLAMA_CPP, environment("LLAMA_CACHE"), "");
  add_place(s, PLACE_LLAMA_CPP, cache, "/llama.cpp");
  add_place(s, PLACE_PLAIN, cache, "/fimd/models");
  add_place(s, PLACE_PLAIN, home, "/.lmstudio/models");
  add_place(s, PLACE_PLAIN, home, "/.cache/lm-studio/models");
  free(own_cache);
}

/* "ORG/NAME" or "ORG/NAME:PATTERN" in the letters that such names have. */
static bool parse_name(search *s, const char *what) {
  const char *colon = strchr(what, ':');
  size_t len = colon ? (size_t)(colon - what) : strlen(what);
  size_t pattern_len = colon ? strlen(colon + 1) : 0;
  if (len > FIND_MAX_NAME || pattern_len > FIND_MAX_NAME || (colon && !pattern_len)) return false;
  memcpy(s->repo, what, len);
  if (colon) memcpy(s->pattern, colon + 1, pattern_len);
  int slashes = 0;
  for (const char *p = what; *p; p++) {
    if (*p == '/' && p < what + len) slashes++;
    else if (p != colon && !isalnum((unsigned char)*p) && !strchr("._-", *p)) return false;
  }
  const char *slash = strchr(s->repo, '/');
  return slashes == 1 && s->repo[0] != '.' && s->repo[0] != '/' && slash[1] && slash[1] != '.';
}

/* ---- words ----------------------------------------------------------------------------- */

void model__find_command(const char *name, char *out, size_t outlen) {
  search s = {.n_places = 0};
  if (!parse_name(&s, name)) {
    snprintf(out, outlen, "hf download %s", name);
    return;
  }
  size_t len = strlen(s.pattern);
  if (len > 5 && strcasecmp(s.pattern + len - 5, ".gguf") == 0) {
    snprintf(out, outlen, "hf download %s %s", s.repo, s.pattern);
    return;
  }
  if (!len && !strcasestr(s.repo, "gguf")) {
    snprintf(out, outlen, "hf download %s", s.repo);
    return;
  }
  /* The tool's patterns mind case and publishers do not agree on it. */
  size_t n = (size_t)snprintf(out, outlen, "hf download %s --include \"*", s.repo);
  for (const char *p = len ? s.pattern : "Q8_0"; *p && n + 8 < outlen; p++) {
    if (!isalpha((unsigned char)*p)) out[n++] = *p;
    else n += (size_t)snprintf(out + n, outlen - n, "[%c%c]", tolower(*p), toupper(*p));
  }
  if (n < outlen) snprintf(out + n, outlen - n, "*.gguf\"");
}

/* The places, the user's home as "~". */
static void name_places(const search *s, char *out, size_t outlen) {
  const char *home = environment("HOME");
  size_t home_len = home ? strlen(home) : 0, n = 0;
  out[0] = 0;
  for (int i = 0; i < s->n_places && n < outlen; i++) {
    const char *folder = s->places[i].folder;
    bool at_home = home_len && strncmp(folder, home, home_len) == 0 && folder[home_len] == '/';
    n += (size_t)snprintf(out + n, outlen - n, "%s%s%s", i ? ", " : "", at_home ? "~" : "",
                          folder + (at_home ? home_len : 0));
  }
}

static int not_found(const search *s, const char *what, char *err, size_t errlen) {
  if (s->several) {
    snprintf(err, errlen,
             "%s: %s holds %d .gguf files%s; name one by a part of its name, like %s:Q8_0", what,
             s->several, s->n_several, *s->pattern ? " that fit" : "", s->repo);
    return ENGINE_ENOTFOUND;
  }
  char command[1024], places[1024];
  model__find_command(what, command, sizeof command);
  name_places(s, places, sizeof places);
  snprintf(err, errlen, "%s is not on this machine; download it with: %s%s%s%s", what, command,
           *places ? " (looked in " : "", places, *places ? ")" : "");
  return ENGINE_ENOTFOUND;
}

/* ---- the whole ------------------------------------------------------------------------- */

static int look_up(search *s, const char *what, char **path, char **name, char *err,
                   size_t errlen) {
  if (!parse_name(s, what)) {
    snprintf(err, errlen,
             "%s: there is no such file or folder (a model is a .gguf file, a Hugging Face "
             "folder, or a name like Qwen/Qwen2.5-Coder-1.5B)",
             what);
    return ENGINE_ENOTFOUND;
  }
  add_places(s);
  for (int i = 0; i < s->n_places && !s->path; i++) look_in(s, &s->places[i]);
  if (!s->path) return s->no_memory ? ENGINE_ENOMEM : not_found(s, what, err, errlen);
  *name = format(s, "%s", what);
  if (!*name) return ENGINE_ENOMEM;
  *path = s->path;
  s->path = NULL;
  return 0;
}

static bool looks_like_path(const char *what) {
  size_t len = strlen(what);
  bool gguf = len >= 5 && strcasecmp(what + len - 5, ".gguf") == 0 && !strchr(what, ':');
  return *what == '/' || *what == '.' || *what == '~' || gguf;
}

int model__find(const char *what, char **path, char **name, char *err, size_t errlen) {
  char unused[1];
  if (!errlen) err = unused, errlen = sizeof unused;
  search s = {.n_places = 0};
  *path = *name = NULL;
  /* A settings file has no shell to expand "~/models/x.gguf". */
  const char *home = environment("HOME");
  char *full = what[0] == '~' && what[1] == '/' && home ? format(&s, "%s%s", home, what + 1)
                                                        : format(&s, "%s", what);
  struct stat st;
  int status = ENGINE_ENOMEM;
  if (full && stat(full, &st) == 0) {
    *path = full;
    return 0;
  }
  if (full && (errno != ENOENT || looks_like_path(what))) {
    snprintf(err, errlen, "%s: %s", *what ? what : "\"\"",
             errno == ENOENT ? "there is no such file or folder" : strerror(errno));
    status = ENGINE_ENOTFOUND;
  } else if (full) {
    status = look_up(&s, what, path, name, err, errlen);
  }
  if (status == ENGINE_ENOMEM) snprintf(err, errlen, "out of memory");
  for (int i = 0; i < s.n_places; i++) free(s.places[i].folder);
  free(s.path);
  free(s.several);
  free(full);
  return status;
}
