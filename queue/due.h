/* due.h - recipients that are due become batches, and batches jobs */
#ifndef QUEUE_DUE_H
#define QUEUE_DUE_H

#include "queue/schedule.h"

/* looks at the recipients of w that are due, and puts them where they wait for their turn. Of a
 * long list some at a time: due_turn() goes on. Those whose route says no have failed
 * afterwards. What could not be done for want of memory is left, and w->is_short says so. */
void due_begin(struct work *w);
/* once a turn: goes on with one long list */
void due_turn(void);
/* whether there is more to do: another turn has to follow at once */
int due_has_more(void);
/* some of its batches are gone: makes more, if there are any to make */
void due_more(struct work *w);
/* whether some of a batch have another next hop by now */
int due_is_elsewhere(const struct work *w, const struct batch *b, const char *nexthop);
/* a job of at most `limit` recipients, taken off batch b. NULL without memory. */
struct job *due_job(struct work *w, struct batch *b, size_t limit);
/* whether `next` is a time that no schedule of recipient i could have given: another clock did */
int due_is_beyond(const struct work *w, size_t i, uint64_t next);
/* w goes: no more looking */
void due_forget(struct work *w);
/* a message that was taken without anyone to refuse it to (from queue/drop), and may not be
 * delivered: every recipient fails, so that the sender hears of it */
void due_refuse(struct work *w, const char *text);

#endif
