/* header.c - header fields of a message, as bytes. Pure; the bytes are hostile. */
#include "common/header.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

static int is_wsp(char c)
{
  return c == ' ' || c == '\t';
}

/* field-name = 1*ftext, ftext = %d33-57 / %d59-126 */
static size_t name_span(const char *s, size_t len)
{
  size_t n = 0;

  while (n < len && s[n] > 32 && s[n] < 127 && s[n] != ':')
    n++;
  return n;
}

size_t header_name(const char *s, size_t len)
{
  size_t n = name_span(s, len), colon = n;

  while (colon < len && is_wsp(s[colon]))
    colon++;
  return colon < len && s[colon] == ':' ? n : 0;
}

int header_is(const char *s, size_t len, const char *name)
{
  size_t n = header_name(s, len), want = strlen(name);

  if (want >= 2 && strcmp(name + want - 2, "-*") == 0)
    return n >= want && strncasecmp(s, name, want - 1) == 0;
  return n > 0 && n == want && strncasecmp(s, name, n) == 0;
}

size_t header_value(const char *s, size_t len)
{
  const char *colon = memchr(s, ':', len);

  return colon ? (size_t)(colon - s) + 1 : len;
}

int header_unfold(stralloc *out, const char *s, size_t len)
{
  while (len > 0) {
    const char *cr = memchr(s, '\r', len);
    size_t n = cr ? (size_t)(cr - s) : len;
    size_t skip = !cr ? 0 : n + 1 < len && s[n + 1] == '\n' ? 2 : 0;
    n += cr && !skip; /* a bare CR stays */
    if (!stralloc_catb(out, s, n)) {
      errno = ENOMEM;
      return -1;
    }
    s += n + skip;
    len -= n + skip;
  }
  return 0;
}

int header_has_8bit(const char *s, size_t len)
{
  unsigned char seen = 0;

  for (size_t i = 0; i < len; i++)
    seen |= (unsigned char)s[i];
  return seen >= 128;
}

/* length of the UTF-8 character at s, 0 when there is none: no overlong forms, no
 * surrogates, nothing above U+10FFFF */
static size_t utf8_char(const unsigned char *s, size_t len)
{
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
  uint32_t c;

  if (n <= 1 || n > len || s[0] > 0xf4)
    return n == 1;
  c = s[0] & (0x7fU >> n);
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80)
      return 0;
    c = c << 6 | (s[i] & 0x3fU);
  }
  return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

int header_is_utf8(const char *s, size_t len)
{
  while (len > 0) {
    size_t n = utf8_char((const unsigned char *)s, len);
    if (n == 0)
      return 0;
    s += n;
    len -= n;
  }
  return 1;
}
