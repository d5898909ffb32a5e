/* mapping.h - a model's file in memory, read-only, though others may write to it. Private to
 * engine/.
 *
 * A mapping shows the file as it is now, not as it was when it was opened. One that is removed or
 * renamed over goes on as it was. One that is cut short has no bytes behind its new end, and a
 * read there is a SIGBUS: the mapping then becomes zeros from that page on, and is damaged. */
#ifndef FIMD_ENGINE_MAPPING_H
#define FIMD_ENGINE_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mapping mapping;

/* ENGINE_ENOTFOUND: there is no such file. ENGINE_EFORMAT: empty, not a regular file, or not
 * readable. ENGINE_ENOMEM. Any thread. */
int mapping_open(mapping **out, const char *path, char *err, size_t errlen);
void mapping_close(mapping *m); /* NULL is a no-op */

const uint8_t *mapping_data(const mapping *m, size_t *size); /* borrowed until mapping_close */

/* Whether a read has met the file's new end. Costs nothing. */
bool mapping_is_damaged(const mapping *m);
/* Whether the file is no more the one that was opened: damaged, of another size, or written to.
 * Asks the file system. */
bool mapping_is_changed(const mapping *m);

/* A small file's bytes, owned by the caller, a copy that nobody else can change. One of more than
 * max bytes is ENGINE_EFORMAT; the rest as mapping_open. */
int mapping_read_file(const char *path, size_t max, uint8_t **data, size_t *size, char *err,
                      size_t errlen);

#endif
