/* import.h - messages of an archive are taken into the queue */
#ifndef QUEUE_IMPORT_H
#define QUEUE_IMPORT_H

#include "queue/inspect.h"

struct import;

/* begins; messages go into v->queue_fd, what is to be said to v->print. adopted is called for each
 * message that is in its place; v->find must know it afterwards. NULL: ENOMEM */
struct import *import_begin(const struct inspect_view *v, int json,
                            void (*adopted)(void *arg, const struct store_name *n), void *arg);
/* takes bytes of the archive: 0; -1: no more is wanted */
int import_feed(struct import *in, const char *s, size_t len);
/* the archive is at its end: says what came of it, and frees in (NULL: says so). The exit code:
 * EXIT_DATA when it was damaged or a message was not taken, EXIT_CANTCREAT when the queue cannot be
 * written */
int import_end(struct import *in);

#endif
