/* gate.h - where a client comes in: limits of its network, what DNS says of it, and the banner
 *
 * Joins a session to limits.h and clientdns.h. */
#ifndef SMTPD_GATE_H
#define SMTPD_GATE_H

#include "smtpd/clientdns.h"
#include "smtpd/session.h"

/* zeroes and found() are its beginning */
struct gate {
  struct session *session;
  struct clientdns *dns; /* NULL: nothing is asked */
  uint64_t ticket;       /* of limits_enter() */
  void (*found)(struct gate *g); /* the session may go on */
};

/* the session has just begun: counts it, turns it away when its network has too much already,
 * asks DNS about its client, and says how long the banner waits */
void gate_open(struct gate *g, struct session *s);
void gate_close(struct gate *g);

/* what a session asks (session.h) */
int gate_awaits(const struct gate *g, int for_mail);
int gate_over(struct session *s, enum limit l);
int gate_over_rate(struct session *s, const struct judge_rate *r);

/* whether bytes before the banner say something about this client */
int gate_listens(const struct session *s);

/* an id for a message that is thrown away: such as the intake gives, but nobody's */
const char *gate_id(void);

#endif
