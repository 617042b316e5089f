/* recovery.h - destinations that are down, and mail that waits outside
 *
 * A message that is due, and whose destination has no use for it now, waits in a line
 * (line.h) and is not read: behind the others when there are many, behind one probe when
 * the destination is down. What waits there is called, the oldest first, when there is room;
 * and when mail gets through, those deferred because of the host come too. */
#ifndef QUEUE_RECOVERY_H
#define QUEUE_RECOVERY_H

#include "queue/schedule.h"

/* whether a message for that next hop should wait outside now */
int recovery_is_shut(uint32_t hop, enum lane_kind lane, int is_hurried);
/* whether that next hop is down: why, and when the next probe is (wall clock) */
int recovery_is_down(uint32_t hop, const char **why, uint64_t *probe);
/* it waits there, until it is called, or until `until` (steady seconds) at the latest */
void recovery_park(uint32_t hop, uint32_t handle, uint32_t until);
/* there is room: calls those that wait. Whether there is room for more of them in another turn, should
 * those that were called go elsewhere */
int recovery_call(struct destination *d);
/* the result of a job, as far as it is about the host */
void recovery_took(struct destination *d);
void recovery_failed(struct destination *d, const struct job *j);
/* that says nothing about it */
void recovery_unknown(struct destination *d, const struct job *j);
/* the timer of d fired, and it is down. Whether any were called */
int recovery_probe(struct destination *d);
/* the tables changed: what waits for it may go elsewhere now */
void recovery_reroute(struct destination *d);
/* it is down, and somebody should probe it: sees to it */
void recovery_mind(struct destination *d);
/* mail waits for it: it must not be forgotten */
int recovery_is_waited_for(const struct destination *d);

/* a message whose life is over, for a destination that is down: it is tried (0), it has failed for
 * the reason that is in *why (1), or an attempt under way will tell (2) */
enum recovery_last { RECOVERY_TRY, RECOVERY_EXPIRE, RECOVERY_WAIT };
enum recovery_last recovery_last_word(uint32_t hop, const char **why);

/* why mail for that next hop waits now, in a sentence; "" when nothing holds it up */
#define RECOVERY_TEXT 600
void recovery_explain(const char *nexthop, char text[RECOVERY_TEXT]);

#endif
