/* peerwords.c - values of table `peers`: how the administrator wants a peer spoken to
 *
 * Pure. */
#include "common/peerwords.h"

#include <string.h>

#include "common/units.h"
#include "common/verbs.h"

static int is_blank(char c)
{
  return c == ' ' || c == '\t';
}

static int is_word(const char *s, size_t len, const char *word)
{
  return strlen(word) == len && memcmp(s, word, len) == 0;
}

static int is_number(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (s[i] < '0' || s[i] > '9')
      return 0;
  return len > 0;
}

static int parse_tls(const char *s, size_t len, enum peer_tls *tls)
{
  static const char *const words[] = {[PEER_TLS_NONE] = "none", [PEER_TLS_MAY] = "may",
                                      [PEER_TLS_ENCRYPT] = "encrypt", [PEER_TLS_VERIFY] = "verify"};

  for (size_t i = PEER_TLS_NONE; i < sizeof words / sizeof *words; i++)
    if (is_word(s, len, words[i])) {
      *tls = (enum peer_tls)i;
      return 0;
    }
  return -1;
}

static int parse_count(const char *s, size_t len, uint64_t max, uint32_t *out)
{
  uint64_t n;

  if (units_number(s, len, &n) != 0 || n < 1 || n > max)
    return -1;
  *out = (uint32_t)n;
  return 0;
}

/* "100/1m" */
static int parse_rate(const char *s, size_t len, struct peerwords *w)
{
  uint64_t n;

  if (units_rate(s, len, &n, &w->rate_ms) != 0 || n > PEERWORDS_RATE)
    return -1;
  w->rate = (uint32_t)n;
  return 0;
}

/* without EHLO there is no STARTTLS */
static int is_contradiction(const struct peerwords *w)
{
  int wants_tls = w->tls == PEER_TLS_ENCRYPT || w->tls == PEER_TLS_VERIFY;

  return (w->says_helo && w->says_ehlo) ||
         (wants_tls && (w->says_helo || (w->off & VERB_STARTTLS)));
}

static int parse_word(const char *s, size_t len, struct peerwords *w)
{
  enum verb_number n;

  if (is_word(s, len, "helo"))
    w->says_helo = 1;
  else if (is_word(s, len, "ehlo"))
    w->says_ehlo = 1;
  else if (is_word(s, len, "no-reuse"))
    w->no_reuse = 1;
  else if (len > 3 && memcmp(s, "no-", 3) == 0 && verb_find_word(s + 3, len - 3, &n) == 0)
    w->off |= 1U << n;
  else if (len > 4 && memcmp(s, "tls=", 4) == 0)
    return parse_tls(s + 4, len - 4, &w->tls);
  else if (len > 5 && memcmp(s, "rate=", 5) == 0)
    return parse_rate(s + 5, len - 5, w);
  else if (len > 6 && memcmp(s, "conns=", 6) == 0)
    return parse_count(s + 6, len - 6, PEERWORDS_CONNS, &w->conns);
  else
    return -1;
  return 0;
}

int peerwords_parse(const char *value, size_t len, struct peerwords *w, const char **why)
{
  size_t at = 0, words = 0;

  memset(w, 0, sizeof *w);
  if (is_number(value, len))
    return verbs_parse(value, len, &w->off, NULL, why);
  *why = "expected helo, ehlo, no-VERB (no-8bitmime, no-pipelining, no-starttls ...), no-reuse, "
         "tls=none, tls=may, tls=encrypt, tls=verify, conns=1 to conns=10000, rate=MESSAGES/TIME "
         "(rate=100/1m; 1 to 10000 in 1s to 1d) or a decimal mask of verbs to use";
  while (at < len) {
    size_t end = at;
    while (end < len && !is_blank(value[end]))
      end++;
    if (end > at && (words++, parse_word(value + at, end - at, w)) != 0)
      return -1;
    at = end + 1;
  }
  if (words == 0)
    return -1;
  *why = "words that contradict each other";
  return is_contradiction(w) ? -1 : 0;
}

static int find(const struct table *t, const struct ip *ip, uint16_t port, const char *host,
                struct table_value *v)
{
  struct table_value all = {0};
  char key[IP_PORT_TEXT];

  if (table_get(t, "peers", key, ip_port_format(key, ip, port), v))
    return 1;
  table_get(t, "peers", "*", 1, &all);
  if (table_net(t, "peers", "", ip, v) && v->s != all.s)
    return 1;
  return table_domain(t, "peers", host, strlen(host), v);
}

void peerwords_find(const struct table *t, const struct ip *ip, uint16_t port, const char *host,
                    struct peerwords *w)
{
  struct table_value v;
  const char *why;

  if (!find(t, ip, port, host ? host : "", &v) || peerwords_parse(v.s, v.len, w, &why) != 0)
    memset(w, 0, sizeof *w);
}

void peerwords_find_name(const struct table *t, const char *name, struct peerwords *w)
{
  struct table_value v;
  const char *why;

  if (!table_domain(t, "peers", name, strlen(name), &v) || peerwords_parse(v.s, v.len, w, &why) != 0)
    memset(w, 0, sizeof *w);
}
