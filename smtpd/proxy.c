/* proxy.c - the PROXY header. Pure.
 *
 * Version 1, at most 107 bytes:
 *   PROXY SP ( TCP4 / TCP6 ) SP client SP server SP client's port SP server's port CR LF
 *   PROXY SP UNKNOWN [ anything ] CR LF
 * Version 2: a signature of 12 bytes; version and command, family and transport, one byte each;
 * the length of the rest, two bytes; client's and server's address, client's and server's port; then
 * type, length (two bytes) and value of what else there is. */
#include "smtpd/proxy.h"

#include <string.h>

#include "common/units.h"

#define LINE_MAX_1 107

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* ---- version 1 */

/* the next word, which ends with exactly one space, or at the end when it is the last: 0, or -1 */
static int next_word(const char **s, const char *end, int is_last, const char **word, size_t *len)
{
  const char *space = memchr(*s, ' ', (size_t)(end - *s));

  if ((space == NULL) != is_last)
    return -1;
  *word = *s;
  *len = (size_t)((space ? space : end) - *s);
  *s = space ? space + 1 : end;
  return *len > 0 ? 0 : -1;
}

static int read_port(const char *s, size_t len, uint16_t *port)
{
  uint64_t n;

  if (len == 0 || len > 5 || (len > 1 && s[0] == '0') || units_number(s, len, &n) != 0 || n > 65535)
    return -1;
  *port = (uint16_t)n;
  return 0;
}

/* an address of the family named: in TCP6 there are colons */
static int read_address(const char *s, size_t len, int is_6, struct ip *ip)
{
  return (memchr(s, ':', len) != NULL) == is_6 && ip_parse(s, len, ip) == 0 ? 0 : -1;
}

/* what follows "PROXY " up to the line's end */
static int read_line(const char *s, const char *end, struct proxy *p)
{
  const char *word[5];
  struct ip server;
  uint16_t port;
  size_t n[5];
  int is_6;

  if (end - s >= 7 && memcmp(s, "UNKNOWN", 7) == 0)
    return end - s == 7 || s[7] == ' ' ? 0 : -1;
  for (int i = 0; i < 5; i++)
    if (next_word(&s, end, i == 4, &word[i], &n[i]) != 0)
      return -1;
  is_6 = n[0] == 4 && memcmp(word[0], "TCP6", 4) == 0;
  if (!is_6 && (n[0] != 4 || memcmp(word[0], "TCP4", 4) != 0))
    return -1;
  if (read_address(word[1], n[1], is_6, &p->ip) != 0 || read_address(word[2], n[2], is_6, &server) != 0 ||
      read_port(word[3], n[3], &p->port) != 0 || read_port(word[4], n[4], &port) != 0)
    return -1;
  p->has_address = 1;
  return 0;
}

static enum proxy_state parse_1(const char *s, size_t len, struct proxy *p, size_t *used, const char **why)
{
  static const char word[] = "PROXY ";
  const size_t n = len < sizeof word - 1 ? len : sizeof word - 1;
  const char *lf = memchr(s, '\n', len);

  *why = "no PROXY header";
  if (memcmp(s, word, n) != 0)
    return PROXY_BAD;
  *why = "a PROXY header longer than 107 bytes";
  if (!lf)
    return len < LINE_MAX_1 ? PROXY_MORE : PROXY_BAD;
  if (lf - s >= LINE_MAX_1)
    return PROXY_BAD;
  *why = "a malformed PROXY header";
  *used = (size_t)(lf - s) + 1;
  if (*used < sizeof word + 1 || lf[-1] != '\r' || memchr(s, '\r', *used - 2))
    return PROXY_BAD;
  return read_line(s + sizeof word - 1, lf - 1, p) == 0 ? PROXY_DONE : PROXY_BAD;
}

/* ---- version 2 */

static unsigned int number(const char *s)
{
  return (unsigned int)(unsigned char)s[0] << 8 | (unsigned char)s[1];
}

/* types, lengths and values up to the end: 0, or -1 when they do not fit */
static int check_rest(const char *s, size_t len)
{
  while (len > 0) {
    size_t n = len >= 3 ? number(s + 1) : 0;
    if (len < 3 || n > len - 3)
      return -1;
    s += 3 + n;
    len -= 3 + n;
  }
  return 0;
}

/* the addresses, by family and transport: 0, or -1 */
static int read_addresses(unsigned int family, const char *s, size_t len, struct proxy *p)
{
  const size_t one = family == 0x11 ? 4 : 16, all = 2 * one + 4;

  if (family == 0x00) /* unspecified: it is to be skipped */
    return 0;
  if (family == 0x31) /* a local socket's: two names of 108 bytes */
    return len >= 216 ? check_rest(s + 216, len - 216) : -1;
  if ((family != 0x11 && family != 0x21) || len < all)
    return -1;
  p->ip = (struct ip){.family = one == 4 ? 4 : 6};
  memcpy(p->ip.bytes, s, one);
  p->port = (uint16_t)number(s + 2 * one);
  p->has_address = 1;
  return check_rest(s + all, len - all);
}

static enum proxy_state parse_2(const char *s, size_t len, struct proxy *p, size_t *used, const char **why)
{
  size_t rest;

  if (len < 16)
    return PROXY_MORE;
  *why = "a PROXY header of an unknown version or command";
  if (s[12] != 0x20 && s[12] != 0x21)
    return PROXY_BAD;
  rest = number(s + 14);
  *why = "a PROXY header that is too long";
  if (rest > PROXY_MAX - 16)
    return PROXY_BAD;
  if (len < 16 + rest)
    return PROXY_MORE;
  *used = 16 + rest;
  *why = "a malformed PROXY header";
  if (s[12] == 0x20) /* LOCAL: it looks whether we are there */
    return PROXY_DONE;
  return read_addresses((unsigned char)s[13], s + 16, rest, p) == 0 ? PROXY_DONE : PROXY_BAD;
}

enum proxy_state proxy_parse(const char *s, size_t len, struct proxy *p, size_t *used, const char **why)
{
  const size_t n = len < sizeof signature ? len : sizeof signature;
  struct ip mapped;
  char text[IP_TEXT];
  enum proxy_state state;

  *p = (struct proxy){0};
  *used = 0;
  if (len == 0)
    return PROXY_MORE;
  state = memcmp(s, signature, n) == 0 ? parse_2(s, len, p, used, why) : parse_1(s, len, p, used, why);
  /* ::ffff:192.0.2.1 is 192.0.2.1, as everywhere */
  if (state == PROXY_DONE && p->has_address && p->ip.family == 6 &&
      ip_parse(text, ip_format(text, &p->ip), &mapped) == 0)
    p->ip = mapped;
  return state;
}
