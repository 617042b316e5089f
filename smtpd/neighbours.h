/* neighbours.h - a session, joined to the programs that work for it
 *
 * What a session asks goes to the intake (handoff.h) and to heloise-auth (knows.h); their
 * answers go back into it. */
#ifndef SMTPD_NEIGHBOURS_H
#define SMTPD_NEIGHBOURS_H

#include <stdint.h>

#include "common/ip.h"
#include "common/loop.h"
#include "smtpd/gate.h"
#include "smtpd/handoff.h"
#include "smtpd/knows.h"
#include "smtpd/login.h"
#include "smtpd/session.h"
#include "smtpd/tls_server.h"

/* zeroes are its beginning */
struct neighbours {
  struct session session;
  struct handoff handoff;
  struct knows knows;
  struct gate gate;
  struct loop_timer discarding; /* a message that goes nowhere: the answers in its intake's place */
  struct login login;
  struct tls *tls; /* under the session; NULL: in clear */
  void (*answered)(struct neighbours *n);
};

/* a session begins; answered() is called whenever an answer has got it on */
void neighbours_start(struct neighbours *n, const struct service *service, const struct ip *ip,
                      uint16_t port, void (*answered)(struct neighbours *n));
/* the intake has not opened the session's message in time: to the session it is lost */
void neighbours_give_up(struct neighbours *n);
/* frees what the session holds; nothing is asked or answered any more */
void neighbours_end(struct neighbours *n);

#endif
