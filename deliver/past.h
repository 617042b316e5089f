/* past.h - what earlier attempts and a reply's wish mean for the next attempt
 *
 * LADDER.md D13: where the message may have arrived it is tried first. A reply that says when to
 * come back (statedelay.h) is listened to, but not twice in a row. */
#ifndef DELIVER_PAST_H
#define DELIVER_PAST_H

#include "deliver/attempt.h"

/* reads the message's history into lost_at, tried_at and the recipients' was_moved */
void past_read(struct attempt *a);
/* when r's last reply wants to see us again, within bounds and not after `end`; 0: it does not
 * say, or we do not listen */
uint64_t past_stated(const struct attempt *a, const struct recipient *r, uint64_t end);
/* says so in r's text */
void past_moved(struct recipient *r, uint64_t until);

#endif
