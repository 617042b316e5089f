/* probe_dns.h - a resolver for one probe */
#ifndef DELIVER_PROBE_DNS_H
#define DELIVER_PROBE_DNS_H

/* starts a process that answers questions (ask.h) until its parent ends: the channel to it,
 * or -1 with errno. As root it becomes another user. */
int probe_dns(void);

#endif
