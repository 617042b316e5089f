/* tickets.h - the keys of TLS session tickets: `heloise run` makes them, heloise-smtpd uses them
 *
 * Each service has its own, the same in all its processes. A new one every
 * tls-ticket-rotation; those before it open tickets until they are two turns old, and are wiped.
 * What was recorded of a TLS 1.2 session that was resumed is then out of everybody's reach. */
#ifndef CONF_TICKETS_H
#define CONF_TICKETS_H

#include "common/service.h"

/* makes the first keys, and fresh() is told of each later one; 0, or -1 with errno */
int tickets_start(void (*fresh)(const struct service *s, const char *key));
/* calls f for each key of a service that is kept, the oldest first */
void tickets_each(const struct service *s, void (*f)(void *arg, const struct service *s, const char *key),
                  void *arg);

#endif
