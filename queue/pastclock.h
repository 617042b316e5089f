/* pastclock.h - how earlier runs saw the wall clock being set
 *
 * A message's file says when it came by the clock of that moment. Should that clock have been
 * wrong, and put right before a restart, the next run would take the message for older than it is
 * and send it back early. So steps of a minute and more are written down, in queue/clock, a line
 * each: "WALL BY", when the clock said WALL it was set by BY seconds. */
#ifndef QUEUE_PASTCLOCK_H
#define QUEUE_PASTCLOCK_H

#include <stdint.h>

/* reads what earlier runs wrote. What does not parse is passed over. */
void pastclock_open(int queue_fd);
/* this run sees a step; for the next one */
void pastclock_note(uint64_t wall, int64_t by);
/* what to add to a wall time that an earlier run wrote down, to have it by the clock at the start of
 * this one; now: wall clock */
int64_t pastclock_skew(uint64_t written, uint64_t now);

#endif
