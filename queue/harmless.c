/* harmless.c - a stranger's text, made fit for a terminal */
#include "queue/harmless.h"

#include <string.h>

/* bytes that a character beginning with c has; 0: none does */
static size_t length_of(unsigned char c)
{
  if (c < 0x80)
    return 1;
  return c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
}

/* the character of n bytes at s, or -1 when it is none (RFC 3629) */
static long character(const unsigned char *s, size_t n)
{
  static const unsigned char first[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
  static const long least[] = {0, 0, 0x80, 0x800, 0x10000};
  long c = s[0] & first[n];

  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80)
      return -1;
    c = c << 6 | (s[i] & 0x3f);
  }
  return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? -1 : c;
}

static int is_harmful(long c)
{
  return (c < 32 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0x061c ||
         (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

static int escape(stralloc *out, const char *s, size_t n)
{
  static const char digits[] = "0123456789abcdef";

  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)s[i];
    char x[4] = {'\\', 'x', digits[c >> 4], digits[c & 15]};
    if (!stralloc_catb(out, x, 4))
      return -1;
  }
  return 0;
}

/* takes the first character of len bytes: how many bytes it has, 0 when more must come to tell
 * (unless is_end), -1 ENOMEM */
static long take(stralloc *out, const char *s, size_t len, int is_end)
{
  size_t n = length_of((unsigned char)s[0]);
  long c;

  if (*s == '\r' && len == 1 && !is_end)
    return 0;
  if (*s == '\r' && len > 1 && s[1] == '\n')
    return stralloc_catb(out, "\n", 1) ? 2 : -1;
  if (n > len) {
    for (size_t i = 1; i < len; i++)
      if (((unsigned char)s[i] & 0xc0) != 0x80)
        is_end = 1;
    if (!is_end)
      return 0;
    n = 0;
  }
  c = n ? character((const unsigned char *)s, n) : -1;
  if (c < 0)
    n = 1;
  if (c < 0 || is_harmful(c))
    return escape(out, s, n) == 0 ? (long)n : -1;
  return stralloc_catb(out, s, n) ? (long)n : -1;
}

static long take_all(stralloc *out, const char *s, size_t len, int is_end)
{
  size_t at = 0;

  while (at < len) {
    long n = take(out, s + at, len - at, is_end);
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    at += (size_t)n;
  }
  return (long)at;
}

int harmless_feed(struct harmless *h, stralloc *out, const char *s, size_t len)
{
  long n;

  /* a byte at a time until what was held back is told */
  while (h->len > 0 && len > 0) {
    h->held[h->len++] = *s++;
    len--;
    n = take_all(out, h->held, h->len, 0);
    if (n < 0)
      return -1;
    h->len -= (size_t)n;
    memmove(h->held, h->held + n, h->len);
  }
  n = take_all(out, s, len, 0);
  if (n < 0)
    return -1;
  if ((size_t)n < len) {
    h->len = len - (size_t)n;
    memcpy(h->held, s + n, h->len);
  }
  return 0;
}

int harmless_end(struct harmless *h, stralloc *out)
{
  long n = take_all(out, h->held, h->len, 1);

  h->len = 0;
  return n < 0 ? -1 : 0;
}
