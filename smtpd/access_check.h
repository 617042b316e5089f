/* access_check.h - what the tables say about a client, a name or an address
 *
 * Looks in tables `access`, `domains` and `verbs`; a NULL table holds nothing. A rule's
 * text points into the table and lives as long as it. What decides is judge.h. */
#ifndef SMTPD_ACCESS_CHECK_H
#define SMTPD_ACCESS_CHECK_H

#include <stdint.h>

#include "common/access.h"
#include "common/ip.h"
#include "common/service.h"
#include "common/table.h"

/* a line of table access */
struct access_line {
  char key[400];            /* "client:192.0.2.0/24"; "" when there is none */
  struct table_value value; /* as it stands there */
  struct access_rule rule;  /* ACCESS_NONE and nothing else when there is none */
};

/* the line for a client's address. Whether there is one. */
int access_of_client(const struct table *t, const struct ip *ip, struct access_line *l);
/* the line for a text in any case:
 *   ACCESS_HOST, ACCESS_HELO     the name, .suffix, *
 *   ACCESS_LOGIN                 the login, @domain of it, *
 *   ACCESS_TLS                   "" in clear, else a version as OpenSSL writes it: the version,
 *                                yes; no
 *   ACCESS_SENDER, ACCESS_RCPT   an address in normal form: the address, @domain, domain,
 *                                .suffix, *; the null sender is the empty key */
int access_of_text(const struct table *t, enum access_key key, const char *text,
                   struct access_line *l);

enum domain_kind { DOMAIN_OTHER, DOMAIN_LOCAL, DOMAIN_RELAY };
enum domain_kind access_domain(const struct table *t, const char *domain);

/* the verbs (common/verbs.h) that are not offered to this client of a service: by the keys
 * SERVICE:NETWORK of table verbs if one fits, else by those of a network alone */
uint32_t access_verbs_off(const struct table *t, const struct service *service, const struct ip *ip);

#endif
