/* mx.c - mail exchangers and addresses of a destination (RFC 5321 5.1, RFC 7505)
 *
 * Runs in attempts. Names and records are hostile bytes from the network. */
#include "resolve/ask.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/idna.h"
#include "resolve/answer.h"

/* what an answer without records means: the rows of LADDER.md 1.6 */
static const struct {
  enum verdict verdict;
  const char *status, *why;
} empty_answers[] = {
  [ASK_OK] = {V_TEMP, "4.4.3", "the answer of the name server does not parse"},
  [ASK_NODATA] = {V_PERM, "5.4.4", "it has no address"},
  [ASK_NXDOMAIN] = {V_PERM, "5.1.2", "the domain does not exist"},
  [ASK_FAILED] = {V_TEMP, "4.4.3", "the name servers gave no usable answer"},
};

static int say(stralloc *why, const char *name, const char *sentence)
{
  return stralloc_copys(why, name) && stralloc_cats(why, ": ") && stralloc_cats(why, sentence) &&
         stralloc_0(why) ? (why->len--, 0) : -1;
}

static enum verdict result(enum verdict v, const char **status, const char *code)
{
  *status = code;
  return v;
}

static enum verdict empty_answer(enum ask_status s, const char *name, const char **status,
                                 stralloc *why)
{
  say(why, name, empty_answers[s].why);
  return result(empty_answers[s].verdict, status, empty_answers[s].status);
}

/* ---- the list of hosts */

static uint16_t random_order(void)
{
  uint16_t n = 0;

  /* without randomness the order of the answer stands, which servers rotate */
  if (getrandom(&n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n)
    return 0;
  return n;
}

static int is_before(const struct mx_host *a, const struct mx_host *b)
{
  return a->preference != b->preference ? a->preference < b->preference : a->order < b->order;
}

static void remove_host(struct mx_list *list, size_t i)
{
  memmove(&list->host[i], &list->host[i + 1], (list->n - i - 1) * sizeof *list->host);
  list->n--;
}

/* puts a host in its place; one named twice keeps its better preference, and the worst
 * leaves a full list */
static void add_host(struct mx_list *list, const char *name, uint16_t preference)
{
  struct mx_host h = {.preference = preference, .order = random_order()};
  size_t at = 0;

  for (size_t i = 0; i < list->n; i++)
    if (strcmp(list->host[i].name, name) == 0) {
      if (list->host[i].preference <= preference)
        return;
      remove_host(list, i);
      break;
    }
  while (at < list->n && !is_before(&h, &list->host[at]))
    at++;
  if (at == MX_HOSTS_MAX)
    return;
  if (list->n == MX_HOSTS_MAX)
    list->n--;
  memmove(&list->host[at + 1], &list->host[at], (list->n - at) * sizeof h);
  memcpy(h.name, name, strlen(name) + 1);
  list->host[at] = h;
  list->n++;
}

static enum verdict read_mx(const struct ask_question *q, struct mx_list *list,
                            const char **status, stralloc *why)
{
  struct answer_record r;
  char name[ASK_NAME_MAX + 1];
  uint16_t preference;
  size_t at = 0, records = 0;
  int more, has_null = 0;

  while ((more = answer_next(q->records.s, q->records.len, &at, &r)) == 1) {
    records++;
    if (answer_mx(&r, &preference, name) != 0)
      continue;
    if (name[0] == 0)
      has_null = 1;
    else
      add_host(list, name, preference);
  }
  if (more < 0 || records == 0)
    return empty_answer(ASK_OK, q->name, status, why);
  if (list->n > 0)
    return V_OK;
  if (has_null && records == 1) {
    say(why, q->name, "the domain takes no mail (null MX)");
    return result(V_PERM, status, "5.1.10");
  }
  /* RFC 5321 5.1: MX records that cannot be used are no licence to use the domain itself */
  say(why, q->name, "none of its mail exchangers has a usable name");
  return result(V_TEMP, status, "4.4.4");
}

/* ---- names */

/* the name to ask for, in A-labels */
static int ascii_name(const char *domain, char name[ASK_NAME_MAX + 1])
{
  char alabels[IDNA_MAX + 1];
  size_t n;

  if (answer_name(domain, strlen(domain), name) == 0)
    return 0;
  n = idna_ascii(domain, strlen(domain), alabels);
  return n ? answer_name(alabels, n, name) : -1;
}

/* an address in place of a name: "192.0.2.1", "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static int literal(const char *host, struct ip *ip)
{
  size_t len = strlen(host);

  if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
    host++;
    len -= 2;
    if (len > 5 && strncasecmp(host, "IPv6:", 5) == 0) {
      host += 5;
      len -= 5;
    }
  }
  return ip_parse(host, len, ip);
}

static void only_host(struct mx_list *list, const char *name)
{
  list->n = 0;
  list->is_implicit = 1;
  add_host(list, name, 0);
}

enum verdict mx_find(int sock, const char *domain, int timeout_ms, struct mx_list *list,
                     const char **status, stralloc *why)
{
  struct ask_question q = {.type = "MX"};
  char name[ASK_NAME_MAX + 1], text[IP_TEXT];
  struct ip ip;
  enum verdict v = V_OK;

  list->n = 0;
  list->is_implicit = 0;
  *status = "2.0.0";
  if (literal(domain, &ip) == 0) {
    ip_format(text, &ip);
    only_host(list, text);
    return V_OK;
  }
  if (ascii_name(domain, name) != 0) {
    say(why, domain, "this is not a domain name");
    return result(V_PERM, status, "5.1.2");
  }
  q.name = name;
  ask_all(sock, &q, 1, timeout_ms);
  if (q.status == ASK_OK)
    v = read_mx(&q, list, status, why);
  else if (q.status == ASK_NODATA)
    only_host(list, name);
  else
    v = empty_answer(q.status, name, status, why);
  ask_free(&q, 1);
  return v;
}

/* ---- addresses */

static size_t read_ips(const struct ask_question *q, unsigned char family,
                       struct ip ip[MX_ADDRESSES_MAX])
{
  struct answer_record r;
  size_t at = 0, n = 0;

  if (q->status != ASK_OK)
    return 0;
  while (n < MX_ADDRESSES_MAX && answer_next(q->records.s, q->records.len, &at, &r) == 1)
    if (answer_ip(&r, &ip[n]) == 0 && ip[n].family == family)
      n++;
  return n;
}

/* the families take turns, so that a limit on addresses cuts neither off */
static size_t merge(const struct ask_question q[2], struct ip out[MX_ADDRESSES_MAX])
{
  struct ip six[MX_ADDRESSES_MAX], four[MX_ADDRESSES_MAX];
  size_t n6 = read_ips(&q[0], 6, six), n4 = read_ips(&q[1], 4, four), n = 0;

  for (size_t i = 0; i < MX_ADDRESSES_MAX; i++) {
    if (i < n6 && n < MX_ADDRESSES_MAX)
      out[n++] = six[i];
    if (i < n4 && n < MX_ADDRESSES_MAX)
      out[n++] = four[i];
  }
  return n;
}

enum verdict mx_addresses(int sock, const char *host, int timeout_ms,
                          struct ip ip[MX_ADDRESSES_MAX], size_t *n, const char **status,
                          stralloc *why)
{
  char name[ASK_NAME_MAX + 1];
  struct ask_question q[2] = {{.name = name, .type = "AAAA"}, {.name = name, .type = "A"}};
  enum ask_status s;

  *n = 0;
  *status = "2.0.0";
  if (literal(host, &ip[0]) == 0) {
    *n = 1;
    return V_OK;
  }
  if (strcasecmp(host, "localhost") == 0) { /* RFC 6761 6.3: never a question for DNS */
    *n = (size_t)(literal("127.0.0.1", &ip[0]) == 0) + (size_t)(literal("::1", &ip[1]) == 0);
    return V_OK;
  }
  if (ascii_name(host, name) != 0) {
    say(why, host, "this is not a host name");
    return result(V_PERM, status, "5.1.2");
  }
  ask_all(sock, q, 2, timeout_ms);
  *n = merge(q, ip);
  /* only what both answers say is final: OK without an address, or a failure, is not */
  if (q[0].status == ASK_OK || q[1].status == ASK_OK)
    s = ASK_OK;
  else if (q[0].status == ASK_FAILED || q[1].status == ASK_FAILED)
    s = ASK_FAILED;
  else
    s = q[0].status == ASK_NXDOMAIN && q[1].status == ASK_NXDOMAIN ? ASK_NXDOMAIN : ASK_NODATA;
  ask_free(q, 2);
  return *n > 0 ? V_OK : empty_answer(s, name, status, why);
}
