/* dnslist.c - DNS lists of clients. Pure.
 *
 *   value   = word *( SP word )                  at least one term
 *   word    = term / "txt" / "url=" URL
 *   term    = weight / pattern "=" weight        a bare weight is for every answer
 *   pattern = octet 3( "." octet ) / address "/" bits
 *   octet   = number / number "-" number / "*"
 *   weight  = [ "-" ] number */
#include "common/dnslist.h"

#include <stdio.h>
#include <string.h>

#include "common/units.h"

#define URL_MAX 200

static int parse_weight(const char *s, size_t len, int *weight)
{
  int is_negative = len > 0 && s[0] == '-';
  uint64_t n;

  if (units_number(s + is_negative, len - (size_t)is_negative, &n) != 0 || n < 1 || n > DNSLIST_WEIGHT)
    return -1;
  *weight = is_negative ? -(int)n : (int)n;
  return 0;
}

static int parse_byte(const char *s, size_t len, unsigned char *out)
{
  uint64_t n;

  if (units_number(s, len, &n) != 0 || n > 255)
    return -1;
  *out = (unsigned char)n;
  return 0;
}

static int parse_octet(const char *s, size_t len, unsigned char *low, unsigned char *high)
{
  const char *dash = memchr(s, '-', len);
  size_t n = dash ? (size_t)(dash - s) : len;

  if (len == 1 && s[0] == '*') {
    *low = 0;
    *high = 255;
    return 0;
  }
  if (parse_byte(s, n, low) != 0)
    return -1;
  *high = *low;
  return !dash ? 0 : parse_byte(dash + 1, len - n - 1, high) == 0 && *low <= *high ? 0 : -1;
}

/* every network is a range in each of its bytes */
static int parse_net(const char *s, size_t len, struct dnslist_term *t)
{
  struct ip_net net;
  struct ip all = {.family = 4}, mask;

  if (ip_net_parse(s, len, &net) != 0 || net.ip.family != 4)
    return -1;
  memset(all.bytes, 255, 4);
  mask = ip_mask(&all, net.bits);
  for (int i = 0; i < 4; i++) {
    t->low[i] = net.ip.bytes[i];
    t->high[i] = (unsigned char)(net.ip.bytes[i] | (255 - mask.bytes[i]));
  }
  return 0;
}

static int parse_pattern(const char *s, size_t len, struct dnslist_term *t)
{
  if (memchr(s, '/', len))
    return parse_net(s, len, t);
  for (int i = 0; i < 4; i++) {
    const char *dot = i < 3 ? memchr(s, '.', len) : NULL;
    size_t n = dot ? (size_t)(dot - s) : len;
    if ((i < 3 && !dot) || parse_octet(s, n, &t->low[i], &t->high[i]) != 0)
      return -1;
    s += n + (i < 3);
    len -= n + (i < 3);
  }
  return 0;
}

static int take_term(struct dnslist *l, const char *s, size_t len, const char **why)
{
  static const struct dnslist_term any = {{127, 0, 0, 0}, {127, 255, 255, 255}, 0};
  const char *equals = memchr(s, '=', len);
  size_t n = equals ? (size_t)(equals - s) : 0;
  struct dnslist_term *t = &l->term[l->n];

  *why = "expected a weight from -1000 to 1000 that is not 0, such as 5, 127.0.0.2=5, 127.0.0.4-7=3, 127.0.*.3=-4 or 127.0.0.0/24=1";
  if (l->n == DNSLIST_TERMS)
    return -1;
  *t = any;
  if ((equals && parse_pattern(s, n, t) != 0) ||
      parse_weight(equals ? equals + 1 : s, equals ? len - n - 1 : len, &t->weight) != 0)
    return -1;
  l->n++;
  return 0;
}

static int take_url(struct dnslist *l, const char *s, size_t len, const char **why)
{
  *why = "expected url= and a URL of at most 200 printable ASCII characters, once; %a in it stands for the address";
  if (l->urllen > 0 || len > URL_MAX || !memmem(s, len, "://", 3))
    return -1;
  for (size_t i = 0; i < len; i++)
    if (s[i] <= 32 || s[i] > 126)
      return -1;
  l->url = s;
  l->urllen = len;
  return 0;
}

static int take_word(struct dnslist *l, const char *s, size_t len, const char **why)
{
  if (len > 4 && memcmp(s, "url=", 4) == 0)
    return take_url(l, s + 4, len - 4, why);
  if (len != 3 || memcmp(s, "txt", 3) != 0)
    return take_term(l, s, len, why);
  *why = "txt stands once";
  if (l->wants_txt)
    return -1;
  l->wants_txt = 1;
  return 0;
}

int dnslist_parse(const char *value, size_t len, struct dnslist *l, const char **why)
{
  size_t at = 0;

  *l = (struct dnslist){.url = ""};
  for (;;) {
    size_t n = 0;
    while (at < len && (value[at] == ' ' || value[at] == '\t'))
      at++;
    while (at + n < len && value[at + n] != ' ' && value[at + n] != '\t')
      n++;
    if (n == 0)
      break;
    if (take_word(l, value + at, n, why) != 0)
      return -1;
    at += n;
  }
  *why = "expected a weight, such as 5, or answers with a weight, such as 127.0.0.2=5";
  return l->n > 0 ? 0 : -1;
}

/* ---- answers */

static int fits(const struct dnslist_term *t, const struct ip *answer)
{
  for (int i = 0; i < 4; i++)
    if (answer->bytes[i] < t->low[i] || answer->bytes[i] > t->high[i])
      return 0;
  return answer->family == 4;
}

/* such as 127.255.255.254: "you asked by way of a public resolver" */
int dnslist_is_complaint(const struct ip *answer)
{
  static const unsigned char head[3] = {127, 255, 255};

  return answer->family == 4 && memcmp(answer->bytes, head, sizeof head) == 0;
}

int dnslist_weigh(const struct dnslist *l, const struct ip *answer, size_t n)
{
  int sum = 0;

  for (size_t t = 0; t < l->n; t++)
    for (size_t i = 0; i < n; i++)
      if (!dnslist_is_complaint(&answer[i]) && fits(&l->term[t], &answer[i])) {
        sum += l->term[t].weight;
        break;
      }
  return sum;
}

/* ---- names */

int dnslist_name(char out[DNSLIST_NAME_MAX + 1], const struct ip *ip, const char *zone)
{
  static const char hex[] = "0123456789abcdef";
  size_t n = 0;

  if (strlen(zone) > DNSLIST_NAME_MAX - DNSLIST_LABELS)
    return -1;
  for (int i = ip->family == 4 ? 3 : 15; i >= 0; i--) {
    if (ip->family == 4) {
      n += (size_t)sprintf(out + n, "%u.", ip->bytes[i]);
    } else {
      out[n++] = hex[ip->bytes[i] & 15];
      out[n++] = '.';
      out[n++] = hex[ip->bytes[i] >> 4];
      out[n++] = '.';
    }
  }
  strcpy(out + n, zone);
  return 0;
}
