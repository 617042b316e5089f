/* owed.h - what the sender of a message is owed: reports, and the warning that it is late */
#ifndef QUEUE_OWED_H
#define QUEUE_OWED_H

#include <stdint.h>

#include "queue/work.h"

#define OWED_NOTHING UINT64_MAX

/* pays what w's sender is owed now, when no job is left. 1: a report was started, and
 * work_settle() follows when it is over; 0: there is nothing to wait for */
int owed_pay(struct work *w);
/* when it is to be looked at again: epoch, or OWED_NOTHING */
uint64_t owed_next(const struct work *w);
/* from reports.c: the report is queued, or could not be */
void owed_paid(struct work *w, int ok);

#endif
