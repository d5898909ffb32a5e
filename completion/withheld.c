/* withheld.c - see withheld.h. */
#include "completion/withheld.h"

#include <string.h>

#include "completion/ignore.h"
#include "completion/seed.h"
#include "completion/walk.h"

/* Of a file its rules, from the workspace folder down or, outside of those, its own folder; of
 * what is no file the name alone. Who cannot say withholds. */
static bool by_rule(const completion__document *d, const completion__place *place) {
  completion__buffer path = {0};
  bool shares = false;
  if (d->path[0] != '/') {
    size_t len = strcspn(d->path, "?#");
    if (completion__buffer_append(&path, d->path, len) == 0)
      shares = !completion__is_secret(path.len ? path.s : "");
  } else if (completion__buffer_add(&path, d->path) == 0) {
    size_t root = path.len - strlen(place->path); /* with its closing '/' */
    path.s[root - 1] = 0;
    shares = completion__walk_shares(root > 1 ? path.s : "/", path.s + root) == 1;
  }
  completion__buffer_free(&path);
  return !shares;
}

/* The text of the document that is asked about changes with every key, and matters only once another
 * one is asked about: then it is among the others. */
static void look(const completion__view *v, bool asked_about, uint64_t rules) {
  completion__withheld *w = &v->document->withheld;
  if (w->rules != rules || w->in_root != v->place->in_root) {
    w->by_rule = by_rule(v->document, v->place);
    w->rules = rules;
    w->in_root = v->place->in_root;
  }
  if (!asked_about && (!v->text->serial || w->serial != v->text->serial)) {
    w->by_text = completion__holds_secret(completion__text_slice(v->text));
    w->serial = v->text->serial;
  }
}

int completion__withheld_drop(completion__view *views, int n, uint64_t rules, bool *changed) {
  int left = 0;
  for (int i = 0; i < n; i++) {
    completion__document *d = views[i].document;
    bool was = completion__is_withheld(d), is;
    look(&views[i], i == 0, rules);
    is = completion__is_withheld(d);
    if (is) {
      completion__seed_delete(d->seed);
      d->seed = NULL;
      *changed = *changed || !was;
    }
    if (is && i > 0)
      completion__view_release(&views[i]);
    else
      views[left++] = views[i];
  }
  return left;
}
