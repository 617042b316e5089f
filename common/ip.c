/* ip.c - IP addresses, networks and ADDR:PORT, parsed and written. Pure. */
#include "common/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/units.h"

static void unmap(struct ip *ip)
{
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};

  if (ip->family == 6 && memcmp(ip->bytes, mapped, 12) == 0) {
    memcpy(ip->bytes, ip->bytes + 12, 4);
    memset(ip->bytes + 4, 0, 12);
    ip->family = 4;
  }
}

int ip_parse(const char *s, size_t len, struct ip *ip)
{
  char text[IP_TEXT];

  if (len == 0 || len >= sizeof text || memchr(s, 0, len))
    return -1;
  memcpy(text, s, len);
  text[len] = 0;
  memset(ip, 0, sizeof *ip);
  ip->family = strchr(text, ':') ? 6 : 4;
  if (inet_pton(ip->family == 6 ? AF_INET6 : AF_INET, text, ip->bytes) != 1)
    return -1;
  unmap(ip);
  return 0;
}

int ip_net_parse(const char *s, size_t len, struct ip_net *net)
{
  const char *slash = memchr(s, '/', len);
  size_t addr = slash ? (size_t)(slash - s) : len;
  uint64_t bits;
  struct ip masked;

  if (ip_parse(s, addr, &net->ip) != 0)
    return -1;
  bits = net->ip.family == 4 ? 32 : 128;
  if (slash) {
    uint64_t given;
    if (units_number(slash + 1, len - addr - 1, &given) != 0 || given > bits)
      return -1;
    bits = given;
  }
  net->bits = (unsigned int)bits;
  masked = ip_mask(&net->ip, net->bits);
  return ip_equal(&masked, &net->ip) ? 0 : -1;
}

int ip_port_parse(const char *s, size_t len, struct ip *ip, uint16_t *port)
{
  const char *colon = memrchr(s, ':', len);
  size_t addr;
  uint64_t n;

  if (!colon)
    return -1;
  addr = (size_t)(colon - s);
  if (units_number(colon + 1, len - addr - 1, &n) != 0 || n == 0 || n > 65535)
    return -1;
  if (addr >= 2 && s[0] == '[' && s[addr - 1] == ']') {
    if (ip_parse(s + 1, addr - 2, ip) != 0)
      return -1;
  } else if (memchr(s, ':', addr) || ip_parse(s, addr, ip) != 0) {
    return -1;
  }
  *port = (uint16_t)n;
  return 0;
}

size_t ip_format(char out[IP_TEXT], const struct ip *ip)
{
  inet_ntop(ip->family == 6 ? AF_INET6 : AF_INET, ip->bytes, out, IP_TEXT);
  return strlen(out);
}

size_t ip_port_format(char out[IP_PORT_TEXT], const struct ip *ip, uint16_t port)
{
  char text[IP_TEXT];

  ip_format(text, ip);
  return (size_t)snprintf(out, IP_PORT_TEXT, ip->family == 6 ? "[%s]:%u" : "%s:%u", text, port);
}

struct ip ip_mask(const struct ip *ip, unsigned int bits)
{
  struct ip out = *ip;

  for (unsigned int i = 0; i < 16; i++) {
    unsigned int keep = bits > i * 8 ? bits - i * 8 : 0;
    if (keep < 8)
      out.bytes[i] &= (unsigned char)(0xff00 >> keep);
  }
  return out;
}

int ip_equal(const struct ip *a, const struct ip *b)
{
  return a->family == b->family && memcmp(a->bytes, b->bytes, 16) == 0;
}

int ip_in_net(const struct ip *ip, const struct ip_net *net)
{
  struct ip masked = ip_mask(ip, net->bits);

  return ip_equal(&masked, &net->ip);
}

int ip_is_loopback(const struct ip *ip)
{
  static const unsigned char one[16] = {[15] = 1};

  return ip->family == 4 ? ip->bytes[0] == 127 : memcmp(ip->bytes, one, 16) == 0;
}

socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ss)
{
  memset(ss, 0, sizeof *ss);
  if (ip->family == 4) {
    struct sockaddr_in *in = (struct sockaddr_in *)ss;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    memcpy(&in->sin_addr, ip->bytes, 4);
    return sizeof *in;
  } else {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, ip->bytes, 16);
    return sizeof *in6;
  }
}

int ip_from_sockaddr(const struct sockaddr_storage *ss, struct ip *ip, uint16_t *port)
{
  memset(ip, 0, sizeof *ip);
  if (ss->ss_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)ss;
    ip->family = 4;
    memcpy(ip->bytes, &in->sin_addr, 4);
    *port = ntohs(in->sin_port);
  } else if (ss->ss_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
    ip->family = 6;
    memcpy(ip->bytes, &in6->sin6_addr, 16);
    *port = ntohs(in6->sin6_port);
    unmap(ip);
  } else {
    return -1;
  }
  return 0;
}

/* the next word of a list; 0 at its end */
static size_t next_net(const char **s, const char *end)
{
  const char *start;

  while (*s < end && (**s == ' ' || **s == '\t'))
    (*s)++;
  start = *s;
  while (*s < end && **s != ' ' && **s != '\t')
    (*s)++;
  return (size_t)(*s - start);
}

int ip_list_check(const char *list, size_t len)
{
  const char *s = list;
  struct ip_net net;
  size_t n;

  while ((n = next_net(&s, list + len)) > 0)
    if (ip_net_parse(s - n, n, &net) != 0)
      return -1;
  return 0;
}

int ip_in_list(const struct ip *ip, const char *list)
{
  const char *s = list, *end = list + strlen(list);
  struct ip_net net;
  size_t n;

  while ((n = next_net(&s, end)) > 0)
    if (ip_net_parse(s - n, n, &net) == 0 && ip_in_net(ip, &net))
      return 1;
  return 0;
}
