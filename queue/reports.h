/* reports.h - reports to senders: starts heloise-bounce */
#ifndef QUEUE_REPORTS_H
#define QUEUE_REPORTS_H

#include "common/chan.h"
#include "queue/work.h"

/* what bounces need: the channel to the intake, the queue directory, and the compiled tables */
void reports_open(struct chan *intake, int queue_fd);
/* 0: another report may be asked for now; else in how many seconds it may be worth to ask again.
 * The line is shorter for warnings, which have time */
unsigned int reports_wait(int is_warning);
/* starts a report for w; owed_paid() follows. */
void reports_start(struct work *w);
/* the end is near: no other is begun. Whether one is being made */
int reports_end(void);

#endif
