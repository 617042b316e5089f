/* access_check.h - what the tables say about a client, a name or an address
 *
 * Looks in tables `access`, `domains` and `verbs`; a NULL table holds nothing. A rule's
 * text points into the table and lives as long as it. */
#ifndef SMTPD_ACCESS_CHECK_H
#define SMTPD_ACCESS_CHECK_H

#include <stdint.h>

#include "common/access.h"
#include "common/ip.h"
#include "common/service.h"
#include "common/table.h"

/* the rule for a client's address; ACCESS_NONE when there is none */
void access_of_client(const struct table *t, const struct ip *ip, struct access_rule *r);
/* the rule for a name the client said (ACCESS_HELO): exact, .suffix, * */
void access_of_name(const struct table *t, enum access_key key, const char *name,
                    struct access_rule *r);
/* the rule for an address in normal form (ACCESS_SENDER, ACCESS_RCPT), in lower case: the
 * address, @domain, domain, .suffix, *. The null sender is the empty key. */
void access_of_address(const struct table *t, enum access_key key, const char *address,
                       struct access_rule *r);

enum domain_kind { DOMAIN_OTHER, DOMAIN_LOCAL, DOMAIN_RELAY };
enum domain_kind access_domain(const struct table *t, const char *domain);

/* the verbs (common/verbs.h) that are not offered to this client of a service: by the keys
 * SERVICE:NETWORK of table verbs if one fits, else by those of a network alone */
uint32_t access_verbs_off(const struct table *t, const struct service *service, const struct ip *ip);

#endif
