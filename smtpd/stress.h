/* stress.h - many of the sessions that may be open are: clients that may not relay get less time
 *
 * Slow clients then give their sessions back to others, as RFC 5321's five minutes do not let them. */
#ifndef SMTPD_STRESS_H
#define SMTPD_STRESS_H

#include <stdint.h>

#include "smtpd/session.h"

/* looks at the number of sessions of all processes; logs a change. Whether stress begins now. */
int stress_look(void);
int stress_is_on(void);
/* whether this session's client is one that gets less */
int stress_concerns(const struct session *s);
/* so many errors end a session that usually end it after `usual` */
uint64_t stress_errors(const struct session *s, uint64_t usual);

#endif
