/* listener.h - the listening sockets that `heloise run` bound for us */
#ifndef SMTPD_LISTENER_H
#define SMTPD_LISTENER_H

#include "common/table.h"

/* takes a listening socket; it serves from listener_start() on. 0, or -1 with errno. */
int listener_add(const char *addr, const char *service, int fd);
int listener_start(void);
/* closes those whose address is no longer in table `listen` */
void listener_prune(const struct table *t);
void listener_stop_all(void);

#endif
