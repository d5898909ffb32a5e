/* uri.c - see uri.h. */
#include "lsp/uri.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lsp/buffer.h"

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *lsp__uri_to_path(const char *uri) {
  if (strncasecmp(uri, "file://", 7) != 0) return NULL;
  const char *p = uri + 7;
  if (strncasecmp(p, "localhost/", 10) == 0) p += 9;
  if (*p != '/') return NULL;
  char *path = lsp__strndup(p, strcspn(p, "?#"));
  if (path == NULL) return NULL;
  char *o = path;
  for (const char *s = path; *s != '\0'; s++) {
    int high, low;
    if (*s != '%') {
      *o++ = *s;
    } else if ((high = hex_value(s[1])) >= 0 && (low = hex_value(s[2])) >= 0 && (high | low) != 0) {
      *o++ = (char)(high << 4 | low);
      s += 2;
    } else {
      free(path);
      return NULL;
    }
  }
  *o = '\0';
  return path;
}
