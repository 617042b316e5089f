/* destination.c - where a recipient's mail goes, by the tables
 *
 * Runs in the manager and in commands. Addresses were parsed by the intake; the tables by
 * `heloise build`. DESIGN.md 4: local domains win over routes; then the most exact route; then
 * the domain's mail exchangers. */
#include "queue/destination.h"

#include <string.h>

#include "common/idna.h"
#include "common/ip.h"
#include "queue/envelope.h"

static int say(stralloc *rule, const char *a, const char *b, const char *c)
{
  if (!rule)
    return 0;
  return stralloc_copys(rule, a) && stralloc_cats(rule, b) && stralloc_cats(rule, c) &&
             stralloc_0(rule)
           ? 0
           : -1;
}

/* user@[192.0.2.1], user@[IPv6:2001:db8::1] */
static int literal(const char *domain, struct nexthop *hop)
{
  size_t len = strlen(domain);
  struct ip ip;

  if (len < 3 || domain[0] != '[' || domain[len - 1] != ']')
    return -1;
  domain++;
  len -= 2;
  if (len > 5 && strncasecmp(domain, "IPv6:", 5) == 0) {
    domain += 5;
    len -= 5;
  }
  if (ip_parse(domain, len, &ip) != 0)
    return -1;
  memset(hop, 0, sizeof *hop);
  hop->kind = HOP_HOST;
  ip_format(hop->host, &ip);
  return 0;
}

static void fail_hop(struct nexthop *hop, const char *text)
{
  memset(hop, 0, sizeof *hop);
  hop->kind = HOP_ERROR;
  hop->text = text;
  hop->textlen = strlen(text);
}

static int choose(const struct table *t, const char *domain, struct nexthop *hop, stralloc *rule)
{
  struct table_value v;
  size_t len = strlen(domain);
  const char *why;
  char ascii[IDNA_MAX + 1];

  memset(hop, 0, sizeof *hop);
  if (idna_is_needed(domain, len) && idna_ascii(domain, len, ascii)) {
    domain = ascii; /* one destination, whichever way it is written */
    len = strlen(ascii);
  }
  if (len == 0) {
    hop->kind = HOP_LOCAL;
    return say(rule, "it has no domain, so it is local", "", "");
  }
  if (table_domain(t, "domains", domain, len, &v) && strcmp(v.s, "local") == 0) {
    hop->kind = HOP_LOCAL;
    return say(rule, "table domains says that ", domain, " is local");
  }
  if (table_domain(t, "routes", domain, len, &v)) {
    if (route_parse(v.s, v.len, domain, len, hop, &why) != 0)
      fail_hop(hop, "5.3.5 the route for this domain does not parse");
    return say(rule, "table routes says: ", v.s, "");
  }
  if (literal(domain, hop) == 0)
    return say(rule, "its domain is an address", "", "");
  if (route_parse("mx", 2, domain, len, hop, &why) != 0)
    fail_hop(hop, "5.1.2 the domain of this address is no host name");
  return say(rule, "no route names ", domain, ", so DNS tells its mail exchangers");
}

int destination_of(const struct table *t, const char *address, struct nexthop *hop, stralloc *text,
                   stralloc *rule)
{
  if (choose(t, envelope_domain(address), hop, rule) != 0 || !stralloc_copys(text, ""))
    return -1;
  return nexthop_format(text, hop) == 0 && stralloc_0(text) ? (text->len--, 0) : -1;
}
