/* stats.h - `heloise queue stats`: what waits, by destination domain and age, and what was done */
#ifndef QUEUE_STATS_H
#define QUEUE_STATS_H

#include "queue/inspect.h"
#include "queue/request.h"

/* the exit code */
int stats_show(const struct inspect_view *v, const struct request *q);

#endif
