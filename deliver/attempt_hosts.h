/* attempt_hosts.h - the hosts of a next hop, and their addresses
 *
 * Runs in attempts. attempt_own_find() and attempt_is_own() are in attempt.h. */
#ifndef DELIVER_ATTEMPT_HOSTS_H
#define DELIVER_ATTEMPT_HOSTS_H

#include "deliver/attempt.h"

/* the hosts of the attempt's next hop: 0, or -1: none, and all recipients have their result */
int attempt_hosts(struct attempt *a, struct mx_list *list);
/* all targets, best first, at most `room`; those to be avoided come last, but are there. How many */
size_t attempt_targets(struct attempt *a, const struct mx_list *list, struct target *t,
                       size_t room);

#endif
