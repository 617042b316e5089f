/* clientdns.h - what DNS says of a client: its name, and the lists it is on
 *
 * All questions are asked at once when a session begins, and have one clock (dnslist-timeout).
 * What is not answered by then counts nothing. */
#ifndef SMTPD_CLIENTDNS_H
#define SMTPD_CLIENTDNS_H

#include "common/ip.h"
#include "common/table.h"
#include "smtpd/judge.h"

struct clientdns;

/* new tables: which lists are asked, and whether table access has names */
int clientdns_tables(const struct table *t);

/* begins to ask about ip, about its name only unless with_lists; found(owner) is called once, not
 * from within. NULL when there is nothing to ask (or no memory). */
struct clientdns *clientdns_begin(const struct ip *ip, int with_lists, void (*found)(void *owner),
                                  void *owner);
/* whether something is still awaited; for_mail: and MAIL is judged by it, as there are lines about
 * names */
int clientdns_is_pending(const struct clientdns *c, int for_mail);
/* when nothing is pending: what was found; lives as long as c */
const struct judge_dns *clientdns_result(const struct clientdns *c);
/* gives up; harmless with NULL */
void clientdns_end(struct clientdns *c);

#endif
