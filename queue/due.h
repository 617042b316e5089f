/* due.h - recipients that are due become jobs */
#ifndef QUEUE_DUE_H
#define QUEUE_DUE_H

#include "queue/work.h"

/* makes jobs of the recipients of w that are due and gives them to their destinations; those
 * whose route says no have failed afterwards. 0; -1 (ENOMEM): some jobs may have been made. */
int due_jobs(struct work *w);
/* a message that was taken without anyone to refuse it to (from queue/drop), and may not be
 * delivered: every recipient fails, so that the sender hears of it */
void due_refuse(struct work *w, const char *text);

#endif
