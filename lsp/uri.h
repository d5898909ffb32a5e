/* uri.h - file: URIs. */
#ifndef FIMD_LSP_URI_H
#define FIMD_LSP_URI_H

/* The path that a file: URI names, owned by the caller; NULL where it is no such URI, names
 * another host, holds a zero byte, or memory is out. */
char *lsp__uri_to_path(const char *uri);

#endif
