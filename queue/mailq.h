/* mailq.h - the list that mailq(1) prints */
#ifndef QUEUE_MAILQ_H
#define QUEUE_MAILQ_H

#include "queue/inspect.h"
#include "queue/request.h"

/* the exit code */
int mailq_show(const struct inspect_view *v, const struct request *q);

#endif
