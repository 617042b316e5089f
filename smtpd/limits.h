/* limits.h - what each client network does: sessions now, and connections, messages, recipients
 * and errors lately, of all processes of heloise-smtpd together
 *
 * A table of fixed size in memory that they share. `heloise run` makes it and takes away the
 * sessions of a process that died. A network's place is found by a hash with a secret of that
 * run; where eight that share a place are there already, the one longest unheard of gives way:
 * whoever fills the table makes it forget, never grow. Without one (tests, commands) every
 * process has a small one of its own. */
#ifndef SMTPD_LIMITS_H
#define SMTPD_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#include "common/ip.h"
#include "smtpd/session.h"

#define LIMITS_PROCESSES 32

/* for run: a descriptor, or -1 with errno */
int limits_make(void);
/* that process died: its sessions are no more */
void limits_forget(int fd, unsigned int slot);

/* for heloise-smtpd: takes fd over; name is "limits.SLOT", our slot. 0, or -1 with errno. */
int limits_join(const char *name, int fd);

/* one more of these from ip's network now, in seconds (any clock that all share): whether more
 * than rate came in the last `per` ms; 0: no bound */
int limits_count(const struct ip *ip, enum limit l, uint64_t rate, uint64_t per, uint64_t now_ms);
/* whether that is so already, without one more */
int limits_is_over(const struct ip *ip, enum limit l, uint64_t rate, uint64_t per, uint64_t now_ms);
/* the same for any text: messages a line of table access bounds */
int limits_count_text(const char *text, size_t len, uint64_t rate, uint64_t per, uint64_t now_ms);
/* a session begins: whether there are more than max (0: no bound); it counts in any case. ticket
 * is for its end; 0 is none. */
int limits_enter(const struct ip *ip, uint64_t max, uint64_t now_ms, uint64_t *ticket);
void limits_leave(uint64_t ticket);

/* the network that counts as one client (settings client-ipv4-prefix, client-ipv6-prefix) */
struct ip limits_network(const struct ip *ip);

#endif
