/* xtext.c - xtext, and what stands in it: parameters of RFC 3461
 *
 * Pure. Gets hostile bytes.
 *
 *   xtext   = *( xchar / hexchar )
 *   xchar   = %d33-126 but "+" and "="
 *   hexchar = "+" 2HEXDIG, in upper case */
#include "common/xtext.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int hex(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* the byte at s, and how many bytes of s it took; -1 when illegal */
static int xtext_byte(const char *s, size_t len, size_t *used)
{
  int high, low;

  *used = 1;
  if (s[0] < 33 || s[0] > 126 || s[0] == '=')
    return -1;
  if (s[0] != '+')
    return s[0];
  *used = 3;
  if (len < 3)
    return -1;
  high = hex(s[1]);
  low = hex(s[2]);
  return high < 0 || low < 0 || high + low == 0 ? -1 : high * 16 + low;
}

int xtext_is(const char *s, size_t len)
{
  size_t used;

  for (size_t i = 0; i < len; i += used)
    if (xtext_byte(s + i, len - i, &used) < 0)
      return 0;
  return 1;
}

int xtext_is_printable(const char *s, size_t len)
{
  size_t used;

  for (size_t i = 0; i < len; i += used) {
    int c = xtext_byte(s + i, len - i, &used);
    if (c < 32 || c > 126)
      return 0;
  }
  return 1;
}

int xtext_decode(const char *s, size_t len, stralloc *out)
{
  size_t used;

  if (!stralloc_copys(out, ""))
    return -1;
  for (size_t i = 0; i < len; i += used) {
    int c = xtext_byte(s + i, len - i, &used);
    char b = (char)c;
    if (c < 0 || !stralloc_append(out, &b))
      return -1;
  }
  return 0;
}

static int cat_xtext(stralloc *out, const char *s, size_t len)
{
  static const char digit[] = "0123456789ABCDEF";

  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    char escaped[3] = {'+', digit[c >> 4], digit[c & 15]};
    int is_plain = c > 32 && c < 127 && c != '+' && c != '=';
    if (!stralloc_catb(out, is_plain ? s + i : escaped, is_plain ? 1 : 3))
      return -1;
  }
  return 0;
}

/* EmbeddedUnicodeChar = "\x{" HEXPOINT "}": its bytes; 0 when s begins with none */
static size_t embedded_span(const char *s, size_t len)
{
  unsigned long v = 0;
  size_t n = 3;

  if (len < 5 || memcmp(s, "\\x{", 3) != 0)
    return 0;
  for (; n < len && n < 9 && hex(s[n]) >= 0; n++)
    v = v * 16 + (unsigned long)hex(s[n]);
  return n > 4 && n < len && s[n] == '}' && v >= 32 && (v < 0x7f || v >= 0xa0) && v <= 0x10ffff &&
             (v < 0xd800 || v > 0xdfff)
           ? n + 1
           : 0;
}

/* the character that s begins with, and its length; what is no UTF-8 is a byte by itself */
static unsigned long utf8_character(const char *s, size_t len, size_t *used)
{
  static const unsigned long least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char c = (unsigned char)s[0];
  size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
  unsigned long v = n == 1 ? c : c & (0x7fU >> n);

  *used = n;
  for (size_t i = 1; i < n; i++) {
    if (i >= len || ((unsigned char)s[i] & 0xc0) != 0x80) {
      *used = 1;
      return c;
    }
    v = v << 6 | ((unsigned char)s[i] & 0x3f);
  }
  if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) {
    *used = 1;
    return c;
  }
  return v;
}

int xtext_ascii(stralloc *out, const char *s, size_t len)
{
  char escaped[24];
  size_t used;

  for (size_t i = 0; i < len; i += used) {
    unsigned long c = utf8_character(s + i, len - i, &used);
    if (c > 32 && c < 127 && c != '\\') {
      if (!stralloc_catb(out, s + i, 1))
        return -1;
      continue;
    }
    snprintf(escaped, sizeof escaped, "\\x{%lX}", c);
    if (!stralloc_cats(out, escaped))
      return -1;
  }
  return 0;
}

int xtext_utf8(stralloc *out, const char *s, size_t len, int has_utf8)
{
  size_t used;

  for (size_t i = 0; i < len; i += used) {
    int is_ascii = (unsigned char)s[i] < 128, r;
    unsigned long c = utf8_character(s + i, len - i, &used);
    if (is_ascii && s[i] == '\\')
      used = embedded_span(s + i, len - i);
    else if (is_ascii && (c <= 32 || c >= 127 || !xtext_is_printable(s + i, c == '+' && len - i > 2 ? 3 : 1)))
      used = 0;
    else if (!is_ascii && (!has_utf8 || used == 1 || c < 0xa0))
      used = 0;
    errno = EINVAL;
    if (used == 0)
      return -1;
    errno = ENOMEM;
    r = is_ascii ? (stralloc_catb(out, s + i, used) ? 0 : -1) : xtext_ascii(out, s + i, used);
    if (r != 0)
      return -1;
  }
  return 0;
}

int xtext_orcpt(stralloc *out, const char *address)
{
  size_t len = strlen(address);
  stralloc ascii = {0};
  int r = -1;

  for (size_t i = 0; i < len; i++)
    if ((unsigned char)address[i] >= 127) {
      if (stralloc_copys(out, "utf-8;") && xtext_ascii(&ascii, address, len) == 0)
        r = cat_xtext(out, ascii.s, ascii.len);
      stralloc_free(&ascii);
      return r;
    }
  return stralloc_copys(out, "rfc822;") ? cat_xtext(out, address, len) : -1;
}
