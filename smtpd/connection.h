/* connection.h - one client's socket: bytes in, replies out, clocks
 *
 * Joins a session (session.h) to its socket; neighbours.h joins it to other programs. */
#ifndef SMTPD_CONNECTION_H
#define SMTPD_CONNECTION_H

#include <stddef.h>
#include <stdint.h>

#include "common/ip.h"
#include "common/service.h"

/* takes fd over for a client; a session begins. 0, or -1 with errno (fd is closed). */
int connection_open(int fd, const struct service *service, const struct ip *ip, uint16_t port);

/* no new sessions: idle ones end with 421, those in a message may finish it; gone() is
 * called when the last has ended */
void connection_stop_all(void (*gone)(void));

#endif
