/* reports.h - reports to senders: starts heloise-bounce */
#ifndef QUEUE_REPORTS_H
#define QUEUE_REPORTS_H

#include "common/chan.h"
#include "queue/work.h"

/* what bounces need: the channel to the intake, the queue directory, and the compiled tables */
void reports_open(struct chan *intake, int queue_fd);
/* whether another report may be asked for now: there is a line, but not for warnings, which have
 * time */
int reports_have_room(int is_warning);
/* starts a report for w; owed_paid() follows. */
void reports_start(struct work *w);

#endif
