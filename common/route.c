/* route.c - where mail for a domain goes. Pure. */
#include "common/route.h"

#include <string.h>

#include "common/ip.h"
#include "common/units.h"

static int starts(const char *s, size_t len, const char *word, size_t *skip)
{
  *skip = strlen(word);
  return len >= *skip && memcmp(s, word, *skip) == 0;
}

/* a host name or address as it may stand in a table: letters, digits, - _ . : */
static int copy_host(struct nexthop *hop, const char *s, size_t len)
{
  if (len == 0 || len > HOP_HOST_MAX)
    return -1;
  for (size_t i = 0; i < len; i++) {
    char c = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || strchr("-_.:", c)) || c == 0)
      return -1;
    hop->host[i] = c;
  }
  hop->host[len] = 0;
  return 0;
}

static int read_port(struct nexthop *hop, const char *s, size_t len)
{
  uint64_t n;

  if (units_number(s, len, &n) != 0 || n == 0 || n > 65535)
    return -1;
  hop->port = (uint16_t)n;
  return 0;
}

/* "[host]" or "[host]:port" */
static int bracketed(struct nexthop *hop, const char *s, size_t len)
{
  const char *end = memchr(s, ']', len);
  size_t host, rest;

  if (!end)
    return -1;
  host = (size_t)(end - s) - 1;
  rest = len - host - 2;
  if (copy_host(hop, s + 1, host) != 0)
    return -1;
  if (rest == 0)
    return 0;
  return end[1] == ':' ? read_port(hop, end + 2, rest - 1) : -1;
}

/* "name" or "name:port" */
static int named(struct nexthop *hop, const char *s, size_t len)
{
  const char *colon = memchr(s, ':', len);
  size_t host = colon ? (size_t)(colon - s) : len;
  struct ip ip;

  if (copy_host(hop, s, host) != 0 || ip_parse(s, host, &ip) == 0)
    return -1;
  return colon ? read_port(hop, colon + 1, len - host - 1) : 0;
}

int route_parse(const char *value, size_t len, const char *domain, size_t domainlen,
                struct nexthop *hop, const char **why)
{
  size_t skip;

  memset(hop, 0, sizeof *hop);
  *why = "expected mx, [host]:port, host:port, error:TEXT or hold";
  if (len == 4 && memcmp(value, "hold", 4) == 0) {
    hop->kind = HOP_HOLD;
    return 0;
  }
  if (len == 2 && memcmp(value, "mx", 2) == 0) {
    hop->kind = HOP_MX;
    *why = "the domain is no host name";
    return memchr(domain, ':', domainlen) ? -1 : named(hop, domain, domainlen);
  }
  if (starts(value, len, "error:", &skip)) {
    hop->kind = HOP_ERROR;
    hop->text = value + skip;
    hop->textlen = len - skip;
    *why = "error: needs a text";
    return hop->textlen ? 0 : -1;
  }
  if (starts(value, len, "lmtp:", &skip)) {
    *why = "lmtp: is not understood yet";
    return -1;
  }
  if (len > 0 && value[0] == '[') {
    hop->kind = HOP_HOST;
    return bracketed(hop, value, len);
  }
  hop->kind = HOP_MX;
  if (len && value[0] && strchr("0123456789:", value[0]))
    *why = "expected mx, [host]:port, host:port, error:TEXT or hold; an address stands in [brackets]";
  return memchr(value, ' ', len) || memchr(value, '\t', len) ? -1 : named(hop, value, len);
}

static int cat_port(stralloc *out, uint16_t port)
{
  return port == 0 || (stralloc_cats(out, ":") && units_format_number(out, port) == 0) ? 0 : -1;
}

int nexthop_format(stralloc *out, const struct nexthop *hop)
{
  switch (hop->kind) {
  case HOP_LOCAL:
    return stralloc_cats(out, "local") ? 0 : -1;
  case HOP_HOLD:
    return stralloc_cats(out, "hold") ? 0 : -1;
  case HOP_ERROR:
    return stralloc_cats(out, "error:") && stralloc_catb(out, hop->text, hop->textlen) ? 0 : -1;
  case HOP_MX:
    return stralloc_cats(out, "mx:") && stralloc_cats(out, hop->host) ? cat_port(out, hop->port)
                                                                      : -1;
  case HOP_HOST:
    return stralloc_cats(out, "host:[") && stralloc_cats(out, hop->host) && stralloc_cats(out, "]")
             ? cat_port(out, hop->port)
             : -1;
  }
  return -1;
}

int nexthop_parse(const char *s, size_t len, struct nexthop *hop)
{
  const char *why;
  size_t skip;

  memset(hop, 0, sizeof *hop);
  if (len == 5 && memcmp(s, "local", 5) == 0) {
    hop->kind = HOP_LOCAL;
    return 0;
  }
  if (starts(s, len, "mx:", &skip)) {
    hop->kind = HOP_MX;
    return named(hop, s + skip, len - skip);
  }
  if (starts(s, len, "host:[", &skip)) {
    hop->kind = HOP_HOST;
    return bracketed(hop, s + skip - 1, len - skip + 1);
  }
  if (starts(s, len, "error:", &skip) || (len == 4 && memcmp(s, "hold", 4) == 0))
    return route_parse(s, len, "", 0, hop, &why);
  return -1;
}
