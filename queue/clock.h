/* clock.h - the wall clock, and what its steps are worth
 *
 * Runs in the manager. Times in files are wall clock. Somebody may set that clock while
 * messages wait; what waits shall come neither sooner nor later by that. So the manager
 * counts in steady seconds: the wall clock as it would be had nobody set it since the
 * manager started. A step is a change of the wall clock against the clock that nobody sets
 * (CLOCK_BOOTTIME); slow corrections are none. */
#ifndef QUEUE_CLOCK_H
#define QUEUE_CLOCK_H

#include <stdint.h>

/* looks for a step: once a turn. Returns its milliseconds, forward or (less than 0) back; 0
 * without */
int64_t clock_look(void);
/* the same for given clocks; for clock_look() and tests */
int64_t clock_feed(int64_t wall_ms, int64_t boot_ms);
/* as of the last look: seconds since 1970 */
uint64_t clock_wall(void);
uint64_t clock_steady(void);
uint64_t clock_steady_ms(void);
/* a wall time, by the clock as it goes now, as steady time, and back */
uint64_t clock_to_steady(uint64_t wall);
uint64_t clock_to_wall(uint64_t steady);
/* how many steps there were; with a time of the file it says by which clock that is */
uint16_t clock_steps(void);
/* what to add to a wall time written down after so many steps, to have it by today's clock */
int64_t clock_skew(uint16_t steps);

#endif
