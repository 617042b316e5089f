/* tabletypes.c - what may stand in each control table
 *
 * Pure, but for files that a value names. Text comes from the administrator; what passes here is what programs rely on. */
#include "conf/tabletypes.h"

#include <string.h>
#include <strings.h>

#include "common/address.h"
#include "common/dnslist.h"
#include "common/localuser.h"
#include "common/peerwords.h"
#include "common/retry.h"
#include "common/route.h"
#include "common/sasl.h"
#include "common/service.h"
#include "common/settings.h"
#include "common/verbs.h"
#include "conf/certificates.h"
#include "smtpd/password.h"

#define DOMAIN_MAX 253

/* ---- pieces of keys */

static int put(struct tablekey *k, const char *s, size_t len)
{
  return stralloc_copyb(&k->text, s, len) ? 0 : -1;
}

/* puts s in lower case; ASCII only, UTF-8 stays */
static int put_lower(struct tablekey *k, const char *prefix, size_t prefixlen, const char *s,
                     size_t len)
{
  if (!stralloc_copyb(&k->text, prefix, prefixlen) || !stralloc_catb(&k->text, s, len))
    return -1;
  for (size_t i = prefixlen; i < k->text.len; i++)
    if (k->text.s[i] >= 'A' && k->text.s[i] <= 'Z')
      k->text.s[i] = (char)(k->text.s[i] + 32);
  return 0;
}

static int is_word(const char *s, size_t len, const char *word)
{
  return strlen(word) == len && memcmp(s, word, len) == 0;
}

/* letters, digits, - and _ in labels of 1 to 63 bytes, without a final dot */
static int is_domain(const char *s, size_t len)
{
  size_t label = 0;

  if (len == 0 || len > DOMAIN_MAX)
    return 0;
  for (size_t i = 0; i < len; i++) {
    char c = s[i];
    if (c == '.' ? label == 0
                 : !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_'))
      return 0;
    label = c == '.' ? 0 : label + 1;
    if (label > 63)
      return 0;
  }
  return label > 0;
}

static int is_literal(const char *s, size_t len)
{
  struct ip ip;

  if (len < 3 || s[0] != '[' || s[len - 1] != ']')
    return 0;
  s++;
  len -= 2;
  if (len > 5 && strncasecmp(s, "IPv6:", 5) == 0)
    return ip_parse(s + 5, len - 5, &ip) == 0;
  return ip_parse(s, len, &ip) == 0;
}

/* domain, .domain, [address] */
static int is_destination(const char *s, size_t len)
{
  return is_domain(s, len) || (len > 1 && s[0] == '.' && is_domain(s + 1, len - 1)) ||
         is_literal(s, len);
}

/* ---- keys */

static int key_setting(const char *s, size_t len, struct tablekey *k, const char **why)
{
  *why = "there is no setting of this name; `heloise get` lists all";
  return settings_find(s, len) ? put(k, s, len) : -1;
}

static int key_listen(const char *s, size_t len, struct tablekey *k, const char **why)
{
  char text[IP_PORT_TEXT];
  struct ip ip;
  uint16_t port;

  *why = "expected ADDR:PORT, such as 192.0.2.1:25 or [2001:db8::1]:25, or unix:NAME";
  if (service_socket(s, len))
    return put(k, s, len);
  if (ip_port_parse(s, len, &ip, &port) != 0 || port == 0)
    return -1;
  return put(k, text, ip_port_format(text, &ip, port));
}

static int key_domain(const char *s, size_t len, struct tablekey *k, const char **why)
{
  *why = "expected a domain or .domain, international ones as xn--...";
  return is_destination(s, len) ? put_lower(k, "", 0, s, len) : -1;
}

static int key_destination(const char *s, size_t len, struct tablekey *k, const char **why)
{
  *why = "expected a domain, .domain or *, international ones as xn--...";
  return is_word(s, len, "*") || is_destination(s, len) ? put_lower(k, "", 0, s, len) : -1;
}

static int key_local_part(const char *s, size_t len, struct tablekey *k, const char **why)
{
  struct address a = {0};
  int r;

  *why = "expected a local part: what stands before the @ of an address";
  r = address_parse(s, len, 0, &a, why) == 0 && a.local_len == a.text.len &&
          put_lower(k, "", 0, a.text.s, a.text.len) == 0
        ? 0
        : -1;
  stralloc_free(&a.text);
  return r;
}

static int key_net(const char *s, size_t len, struct tablekey *k, const char **why)
{
  *why = "expected *, an address or a network such as 192.0.2.0/24 (bits after the mask are 0)";
  if (is_word(s, len, "*"))
    return put(k, "*", 1);
  k->is_net = 1;
  return ip_net_parse(s, len, &k->net);
}

/* [SERVICE:]network */
static int key_verbs(const char *s, size_t len, struct tablekey *k, const char **why)
{
  const char *colon = memchr(s, ':', len);
  size_t n = colon ? (size_t)(colon - s) : 0;
  const struct service *service = service_find(s, n);
  int r;

  if (!service)
    return key_net(s, len, k, why);
  k->prefix = service_prefix(service);
  r = key_net(colon + 1, len - n - 1, k, why);
  return r == 0 && !k->is_net ? put(k, s, len) : r;
}

static int key_peer(const char *s, size_t len, struct tablekey *k, const char **why)
{
  char text[IP_PORT_TEXT];
  struct ip ip;
  uint16_t port;

  *why = "expected an address, address:port, network, host name, .domain or *";
  if (ip_net_parse(s, len, &k->net) == 0) {
    k->is_net = 1;
    return 0;
  }
  if (ip_port_parse(s, len, &ip, &port) == 0)
    return put(k, text, ip_port_format(text, &ip, port));
  return memchr(s, ':', len) || memchr(s, '/', len) ? -1 : key_destination(s, len, k, why);
}

/* an address, @domain, or a domain and what is below it as .domain */
static int is_party(const char *s, size_t len, const char **why)
{
  struct address a = {0};
  int r;

  if (len > 1 && s[0] == '@')
    return is_domain(s + 1, len - 1) || is_literal(s + 1, len - 1);
  r = is_destination(s, len) || address_parse(s, len, 1, &a, why) == 0;
  stralloc_free(&a.text);
  return r;
}

static int is_login(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (s[i] <= 32 || s[i] > 126)
      return 0;
  return len > 0 && len < 256;
}

static int is_tls(const char *s, size_t len)
{
  static const char *const words[] = {"no", "yes", "TLSv1.2", "TLSv1.3"};

  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strlen(words[i]) == len && strncasecmp(words[i], s, len) == 0)
      return 1;
  return 0;
}

static int key_access(const char *s, size_t len, struct tablekey *k, const char **why)
{
  static const char expected[] = "expected client:CIDR, host:NAME, login:NAME, tls:no, tls:yes or "
                                 "tls:TLSv1.3, helo:NAME, sender:ADDR or rcpt:ADDR";
  const char *colon = memchr(s, ':', len), *rest;
  size_t n = colon ? (size_t)(colon - s) : 0, restlen;
  int is_ok = 0;

  *why = expected;
  if (!colon || access_key_read(s, n, &k->access) != 0)
    return -1;
  rest = colon + 1;
  restlen = len - n - 1;
  switch (k->access) {
  case ACCESS_CLIENT:
    k->prefix = "client:";
    return key_net(rest, restlen, k, why) == 0 ? k->is_net ? 0 : put(k, s, len) : -1;
  case ACCESS_HOST:
    is_ok = is_word(rest, restlen, "*") ||
            (is_destination(rest, restlen) && !is_literal(rest, restlen));
    break;
  case ACCESS_HELO:
    is_ok = is_word(rest, restlen, "*") || is_destination(rest, restlen);
    break;
  case ACCESS_LOGIN:
    is_ok = is_login(rest, restlen);
    break;
  case ACCESS_TLS:
    is_ok = is_tls(rest, restlen);
    break;
  default:
    is_ok = is_word(rest, restlen, "*") || is_party(rest, restlen, why);
  }
  *why = expected;
  return is_ok ? put_lower(k, s, n + 1, rest, restlen) : -1;
}

/* a zone, with room for an address before it */
static int key_dnslist(const char *s, size_t len, struct tablekey *k, const char **why)
{
  *why = "expected the zone of a DNS list, such as list.example.org, of at most 183 bytes";
  return is_domain(s, len) && len <= DNSLIST_NAME_MAX - DNSLIST_LABELS
           ? put_lower(k, "", 0, s, len)
           : -1;
}

static int key_login(const char *s, size_t len, struct tablekey *k, const char **why)
{
  *why = "expected a login of at most 255 bytes, without spaces";
  return sasl_login(s, len, &k->text);
}

/* whose mail may be sent: an address, @domain, or * for what has no line */
static int key_sender(const char *s, size_t len, struct tablekey *k, const char **why)
{
  struct address a = {0};
  int is_ok = is_word(s, len, "*") || (len > 1 && s[0] == '@' && (is_domain(s + 1, len - 1) || is_literal(s + 1, len - 1)));

  *why = "expected an address, @domain or *";
  if (!is_ok)
    is_ok = address_parse(s, len, 1, &a, why) == 0 && *a.domain;
  stralloc_free(&a.text);
  return is_ok ? put_lower(k, "", 0, s, len) : -1;
}

/* ---- values */

static int refuse(stralloc *why, const char *text)
{
  if (!stralloc_copys(why, text))
    why->len = 0;
  return -1;
}

static int value_setting(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  return settings_check(settings_find(k->text.s, k->text.len), s, len, why);
}

static int value_listen(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  const struct service *service = service_find(s, len);
  int is_local = service_socket(k->text.s, k->text.len) != NULL;

  if (!service)
    return refuse(why, "expected a service: mx, submission, submissions or lmtp");
  if (service->is_lmtp != is_local)
    return refuse(why, is_local ? "expected lmtp: the other services are for ADDR:PORT"
                                : "expected mx, submission or submissions: lmtp is for unix:NAME");
  return 0;
}

static int value_domains(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  (void)k;
  if (is_word(s, len, "local") || is_word(s, len, "relay"))
    return 0;
  if (is_word(s, len, "virtual"))
    return refuse(why, "expected local or relay; virtual is not understood yet");
  return refuse(why, "expected local or relay");
}

static int value_routes(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  struct nexthop hop;
  const char *text;
  const char *domain = k->text.s;
  size_t n = k->text.len;

  if (domain[0] == '*' || domain[0] == '.') { /* stands for any domain below: mx of that one */
    domain = "example";
    n = 7;
  }
  return route_parse(s, len, domain, n, &hop, &text) == 0 ? 0 : refuse(why, text);
}

static int value_aliases(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  struct address a = {0};
  size_t at = 0, n, some = 0;
  const char *word, *text;
  int r = 0;

  (void)k;
  while (r == 0 && localuser_next(s, len, &at, &word, &n)) {
    size_t quote = word[0] == '"';
    some++;
    if (n > quote && (word[quote] == '|' || word[quote] == '/' || word[quote] == ':'))
      r = refuse(why, "expected addresses; |command, /file and :include: are not understood yet");
    else if (address_parse(word, n, 0, &a, &text) != 0)
      r = refuse(why, text);
  }
  stralloc_free(&a.text);
  return some ? r : refuse(why, "expected addresses, separated by commas or spaces");
}

static int value_mailboxes(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  (void)k;
  return localuser_is_path(s, len)
           ? 0
           : refuse(why, "expected a Maildir below the mail directory, such as alice/");
}

static int value_access(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  struct access_rule rule;
  const char *text;

  return access_parse(k->access, s, len, &rule, &text) == 0 ? 0 : refuse(why, text);
}

static int value_dnslists(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  struct dnslist list;
  const char *text;

  (void)k;
  return dnslist_parse(s, len, &list, &text) == 0 ? 0 : refuse(why, text);
}

static int value_peers(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  struct peerwords words;
  const char *text;

  (void)k;
  return peerwords_parse(s, len, &words, &text) == 0 ? 0 : refuse(why, text);
}

static int value_verbs(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  const char *text;
  uint32_t off;

  (void)k;
  return verbs_parse(s, len, &off, NULL, &text) == 0 ? 0 : refuse(why, text);
}

/* logins that may use a sender, or * for all */
static int value_senders(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  (void)k;
  (void)s;
  return len > 0 ? 0 : refuse(why, "expected the logins that may send so, with spaces between, or *");
}

static int value_users(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  struct password p;
  const char *text;
  int r = password_read(s, len, &p, &text);

  (void)k;
  explicit_bzero(&p, sizeof p);
  return r == 0 ? 0 : refuse(why, text);
}

static int value_retry(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  struct retry retry;
  const char *text;

  (void)k;
  return retry_parse(s, len, &retry, &text) == 0 ? 0 : refuse(why, text);
}

static int value_certificates(const struct tablekey *k, const char *s, size_t len, stralloc *why)
{
  char file[2][PATH_MAX];

  (void)k;
  return certificates_files(s, len, file) == 0 ? 0 : refuse(why, "expected two files: CERTIFICATE KEY");
}

static int files_certificates(int control, const struct tablekey *k, const char *s, size_t len,
                              stralloc *why)
{
  struct certificate c = {0};
  char name[DOMAIN_MAX + 8];
  int r = certificates_read(control, s, len, &c, why);

  if (r == 0 && k->text.len < sizeof name) {
    memcpy(name, k->text.s, k->text.len);
    name[k->text.len] = 0;
    r = certificates_warn(&c, name, why);
  }
  certificates_free(&c);
  return r;
}

/* ---- the table of tables */

static const struct tabletype types[] = {
  {"settings", key_setting, value_setting, NULL, 0},
  {"listen", key_listen, value_listen, NULL, 0},
  {"domains", key_domain, value_domains, NULL, 0},
  {"routes", key_destination, value_routes, NULL, 0},
  {"aliases", key_local_part, value_aliases, NULL, 0},
  {"mailboxes", key_local_part, value_mailboxes, NULL, 0},
  {"access", key_access, value_access, NULL, 0},
  {"dnslists", key_dnslist, value_dnslists, NULL, 0},
  {"peers", key_peer, value_peers, NULL, 0},
  {"verbs", key_verbs, value_verbs, NULL, 0},
  {"retry", key_destination, value_retry, NULL, 0},
  {"certificates", key_destination, value_certificates, files_certificates, 0},
  {"senders", key_sender, value_senders, NULL, 0},
  {"users", key_login, value_users, NULL, 1},
};

/* tables that other releases know: not to be passed over as if they did something */
static const char *const later[] = {"virtual", "sources", "sender-routes", "tls"};

size_t tabletypes_count(void)
{
  return sizeof types / sizeof *types;
}

const struct tabletype *tabletypes_row(size_t i)
{
  return &types[i];
}

const struct tabletype *tabletypes_find(const char *name)
{
  for (size_t i = 0; i < tabletypes_count(); i++)
    if (strcmp(types[i].name, name) == 0)
      return &types[i];
  return NULL;
}

int tabletypes_is_later(const char *name)
{
  for (size_t i = 0; i < sizeof later / sizeof *later; i++)
    if (strcmp(later[i], name) == 0)
      return 1;
  return 0;
}
