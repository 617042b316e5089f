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

static void none(struct access_line *l)
{
  l->key[0] = 0;
  l->value = (struct table_value){"", 0};
  l->rule = (struct access_rule){.action = ACCESS_NONE, .text = ""};
}

static int read_rule(enum access_key key, struct access_line *l)
{
  const char *why;

  if (access_parse(key, l->value.s, l->value.len, &l->rule, &why) == 0)
    return 1;
  none(l);
  return 0;
}

int access_of_client(const struct table *t, const struct ip *ip, struct access_line *l)
{
  size_t prefix = strlen("client:");

  none(l);
  strcpy(l->key, "client:");
  if (table_net_key(t, "access", "client:", ip, &l->value, l->key + prefix))
    return read_rule(ACCESS_CLIENT, l);
  none(l);
  return 0;
}

static int get(const struct table *t, enum access_key key, const char *name, struct access_line *l)
{
  const char *word = access_key_word(key);
  size_t prefix = strlen(word) + 1, len = strlen(name);

  if (prefix + len >= sizeof l->key)
    return 0;
  memcpy(l->key, word, prefix - 1);
  l->key[prefix - 1] = ':';
  memcpy(l->key + prefix, name, len + 1);
  if (table_get(t, "access", l->key, prefix + len, &l->value))
    return read_rule(key, l);
  none(l);
  return 0;
}

/* exact name, then the longest .suffix, then * */
static int get_name(const struct table *t, enum access_key key, const char *name,
                    struct access_line *l)
{
  if (get(t, key, name, l))
    return 1;
  for (const char *dot = strchr(name + (*name != 0), '.'); dot; dot = strchr(dot + 1, '.'))
    if (get(t, key, dot, l))
      return 1;
  return get(t, key, "*", l);
}

static int get_address(const struct table *t, enum access_key key, const char *address,
                       struct access_line *l)
{
  const char *at = strrchr(address, '@');

  return get(t, key, address, l) || (at && get(t, key, at, l)) ||
         get_name(t, key, at ? at + 1 : address, l);
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

static int get_login(const struct table *t, enum access_key key, const char *login,
                     struct access_line *l)
{
  const char *at = strrchr(login, '@');

  return *login && (get(t, key, login, l) || (at && get(t, key, at, l)) || get(t, key, "*", l));
}

static int get_tls(const struct table *t, enum access_key key, const char *version,
                   struct access_line *l)
{
  return *version ? get(t, key, version, l) || get(t, key, "yes", l) : get(t, key, "no", l);
}

static int get_host(const struct table *t, enum access_key key, const char *host,
                    struct access_line *l)
{
  return *host && get_name(t, key, host, l);
}

int access_of_text(const struct table *t, enum access_key key, const char *text,
                   struct access_line *l)
{
  static int (*const getters[ACCESS_KEYS])(const struct table *, enum access_key, const char *,
                                           struct access_line *) = {
    [ACCESS_HOST] = get_host, [ACCESS_LOGIN] = get_login,    [ACCESS_TLS] = get_tls,
    [ACCESS_HELO] = get_name, [ACCESS_SENDER] = get_address, [ACCESS_RCPT] = get_address};
  char lower[ADDRESS_MAX + IDNA_MAX + 1];

  none(l);
  normal_form(text, lower);
  return getters[key] ? getters[key](t, key, lower, l) : 0;
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
