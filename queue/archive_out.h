/* archive_out.h - messages of the queue as records of an archive */
#ifndef QUEUE_ARCHIVE_OUT_H
#define QUEUE_ARCHIVE_OUT_H

#include "queue/inspect.h"
#include "queue/request.h"

/* prints the records of messages that are whole: "fetch ID[:STATE] ...". STATE is told instead of
 * the one it is in. A message that is gone is passed over. The exit code: EXIT_DATA when some
 * cannot be read */
int archive_fetch(const struct inspect_view *v, const struct request *q);

#endif
