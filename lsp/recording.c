/* recording.c - see recording.h. */
#include "lsp/recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/buffer.h"
#include "lsp/json.h"
#include "lsp/say.h"

struct lsp__recording {
  uv_loop_t *loop;
  uv_fs_t write;
  int file;
  bool writing, failed;
  uint64_t start; /* ns */
  lsp__buffer under_way, waiting;
  size_t done; /* bytes of under_way */
};

static void fail(lsp__recording *r, const char *why) {
  if (!r->failed) lsp__say("the recording ends here: %s; completions go on", why);
  r->failed = true;
  lsp__buffer_free(&r->waiting);
}

static void write_on(lsp__recording *r);

static void on_written(uv_fs_t *fs) {
  lsp__recording *r = fs->data;
  ssize_t n = fs->result;
  uv_fs_req_cleanup(fs);
  r->writing = false;
  if (n <= 0)
    fail(r, n < 0 ? uv_strerror((int)n) : "the file takes no bytes");
  else
    r->done += (size_t)n;
  write_on(r);
}

static void write_on(lsp__recording *r) {
  if (r->writing || r->failed) return;
  if (r->done == r->under_way.len) {
    lsp__buffer done = r->under_way;
    lsp__buffer_clear(&done, (size_t)1 << 20);
    r->under_way = r->waiting;
    r->waiting = done;
    r->done = 0;
  }
  if (r->under_way.len == 0) return;
  size_t left = r->under_way.len - r->done;
  uv_buf_t buf = uv_buf_init(r->under_way.data + r->done, (unsigned)left);
  r->write.data = r;
  int status = uv_fs_write(r->loop, &r->write, r->file, &buf, 1, -1, on_written);
  if (status < 0)
    fail(r, uv_strerror(status));
  else
    r->writing = true;
}

/* What stands between two values is one line in any case. */
static void append_json(lsp__buffer *b, const char *text, size_t len) {
  size_t at = b->len;
  lsp__buffer_append(b, text, len);
  for (size_t i = at; i < b->len && !b->failed; i++)
    if (b->data[i] == '\n' || b->data[i] == '\r') b->data[i] = ' ';
}

static void end_line(lsp__recording *r) {
  lsp__json_end(&r->waiting, '}');
  lsp__buffer_append(&r->waiting, "\n", 1);
  if (r->waiting.failed)
    fail(r, "out of memory");
  else if (r->waiting.len > LSP__RECORDING_QUEUE)
    fail(r, "the disk is too slow");
  write_on(r);
}

void lsp__recording_add(lsp__recording *r, int client, bool from_client, bool is_json,
                        const char *text, size_t len) {
  if (r == NULL || r->failed) return;
  lsp__buffer *b = &r->waiting;
  lsp__buffer_printf(b, "{\"ms\":%.3f,\"client\":%d,\"from\":\"%s\"",
                     (double)(uv_hrtime() - r->start) / 1e6, client,
                     from_client ? "client" : "server");
  lsp__json_key(b, is_json ? "message" : "text");
  if (is_json)
    append_json(b, text, len);
  else
    lsp__json_string_n(b, text, len);
  end_line(r);
}

int lsp__recording_open(lsp__recording **out, uv_loop_t *loop, const char *path, char *err,
                        size_t errlen) {
  *out = NULL;
  lsp__recording *r = calloc(1, sizeof *r);
  if (r == NULL) {
    snprintf(err, errlen, "out of memory");
    return LSP__ENOMEM;
  }
  r->loop = loop;
  r->start = uv_hrtime();
  r->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
  if (r->file < 0) {
    snprintf(err, errlen, "cannot record to %s: %s", path,
             errno == EEXIST ? "there is a file already, which is left as it is" : strerror(errno));
    free(r);
    return LSP__EINVAL;
  }
  lsp__buffer_printf(&r->waiting, "{\"fimd\":\"%s\",\"trace\":%d", FIMD_VERSION,
                     LSP__RECORDING_FORMAT);
  end_line(r);
  *out = r;
  return LSP__OK;
}

void lsp__recording_close(lsp__recording *r) {
  if (r == NULL) return;
  if (close(r->file) != 0) fail(r, strerror(errno));
  lsp__buffer_free(&r->under_way);
  lsp__buffer_free(&r->waiting);
  free(r);
}
