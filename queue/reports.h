/* reports.h - failure reports: starts heloise-bounce for a message with failed recipients */
#ifndef QUEUE_REPORTS_H
#define QUEUE_REPORTS_H

#include "common/chan.h"
#include "queue/work.h"

/* what bounces need: the channel to the intake, the queue directory, and the compiled tables */
void reports_open(struct chan *intake, int queue_fd);
/* starts a report for w; owed_paid() follows. */
void reports_start(struct work *w);

#endif
