/* access_check.c - what the tables say about a client, a name or an address
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Names and addresses are the
 * client's, already parsed; the tables are trusted, but a value that does not parse
 * counts as none. */
#include "smtpd/access_check.h"

#include <string.h>

#include "common/address.h"
#include "common/idna.h"
#include "common/verbs.h"

#define KEY_ROOM 400 /* prefix and the longest address */

static const char *const prefixes[ACCESS_KEYS] = {"client:", "helo:", "sender:", "rcpt:"};

static void none(struct access_rule *r)
{
  *r = (struct access_rule){.action = ACCESS_NONE, .text = ""};
}

static void read_rule(enum access_key key, const struct table_value *v, struct access_rule *r)
{
  const char *why;

  if (access_parse(key, v->s, v->len, r, &why) != 0)
    none(r);
}

void access_of_client(const struct table *t, const struct ip *ip, struct access_rule *r)
{
  struct table_value v;

  none(r);
  if (table_net(t, "access", prefixes[ACCESS_CLIENT], ip, &v))
    read_rule(ACCESS_CLIENT, &v, r);
}

static int get(const struct table *t, enum access_key key, const char *name, struct access_rule *r)
{
  char full[KEY_ROOM];
  size_t prefix = strlen(prefixes[key]), len = strlen(name);
  struct table_value v;

  if (prefix + len > sizeof full)
    return 0;
  memcpy(full, prefixes[key], prefix);
  memcpy(full + prefix, name, len);
  if (!table_get(t, "access", full, prefix + len, &v))
    return 0;
  read_rule(key, &v, r);
  return 1;
}

/* exact name, then the longest .suffix, then * */
static int get_name(const struct table *t, enum access_key key, const char *name,
                    struct access_rule *r)
{
  if (get(t, key, name, r))
    return 1;
  for (const char *dot = strchr(name + (*name != 0), '.'); dot; dot = strchr(dot + 1, '.'))
    if (get(t, key, dot, r))
      return 1;
  return get(t, key, "*", r);
}

void access_of_name(const struct table *t, enum access_key key, const char *name,
                    struct access_rule *r)
{
  char lower[ADDRESS_MAX + 1];
  size_t len = strnlen(name, ADDRESS_MAX);

  none(r);
  for (size_t i = 0; i < len; i++)
    lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
  lower[len] = 0;
  get_name(t, key, lower, r);
}

/* in lower case, the domain in A-labels where it has such */
static void normal_form(const char *address, char out[ADDRESS_MAX + IDNA_MAX + 1])
{
  size_t len = strnlen(address, ADDRESS_MAX);
  const char *at = memrchr(address, '@', len);
  size_t local = at ? (size_t)(at + 1 - address) : 0;
  char domain[IDNA_MAX + 1];

  for (size_t i = 0; i < len; i++)
    out[i] = address[i] >= 'A' && address[i] <= 'Z' ? (char)(address[i] + 32) : address[i];
  out[len] = 0;
  if (at && idna_is_needed(at, len - local + 1) && idna_ascii(at + 1, len - local, domain))
    strcpy(out + local, domain);
}

void access_of_address(const struct table *t, enum access_key key, const char *address,
                       struct access_rule *r)
{
  char lower[ADDRESS_MAX + IDNA_MAX + 1];
  const char *at;

  none(r);
  normal_form(address, lower);
  at = strrchr(lower, '@');
  if (get(t, key, lower, r) || (at && get(t, key, at, r)))
    return;
  get_name(t, key, at ? at + 1 : lower, r);
}

enum domain_kind access_domain(const struct table *t, const char *domain)
{
  struct table_value v;

  if (!*domain || !table_domain(t, "domains", domain, strlen(domain), &v))
    return DOMAIN_OTHER;
  return strcmp(v.s, "local") == 0   ? DOMAIN_LOCAL
         : strcmp(v.s, "relay") == 0 ? DOMAIN_RELAY
                                     : DOMAIN_OTHER;
}

uint32_t access_verbs_off(const struct table *t, const struct service *service, const struct ip *ip)
{
  struct table_value v;
  const char *why;
  uint32_t off;

  if (!table_net(t, "verbs", service_prefix(service), ip, &v) && !table_net(t, "verbs", "", ip, &v))
    return 0;
  if (verbs_parse(v.s, v.len, &off, NULL, &why) != 0)
    return 0;
  if (off & VERB_8BITMIME)
    off |= VERB_SMTPUTF8; /* RFC 6531 3.1: never without it */
  return off;
}
