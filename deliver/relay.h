/* relay.h - what attempts say, on its way to the manager and into peer memory
 *
 * Runs in heloise-deliver, the only writer of peer memory. */
#ifndef DELIVER_RELAY_H
#define DELIVER_RELAY_H

#include "deliver/jobs.h"

/* the state directory, for peer memory: 0, also when there is none to be had */
int relay_state(int dirfd);
/* one report of a job that runs, but for those about its process: 0, or -1 with *why: malformed */
int relay(struct job *j, const struct wire_msg *m, const char **why);
/* whether m's fields from `from` on are how an attempt ends: what was said, and a result or none */
int relay_is_last(const struct wire_msg *m, size_t from);
/* to the manager; when it takes no more, attempts are not heard for a while */
void relay_tell(const struct wire_out *o);
/* erases cards of peer memory: how many, or -1 */
int relay_forget(const char *peer, size_t len);

#endif
