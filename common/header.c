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

/* Table 3-7 of Unicode: no overlong forms, no surrogates, nothing above U+10FFFF */
static void utf8_lead(struct header_utf8 *u, unsigned char c)
{
  u->left = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
  u->from = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
  u->to = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
  u->is_bad |= (c >= 0x80 && c < 0xc2) || c > 0xf4;
}

void header_utf8_piece(struct header_utf8 *u, const char *s, size_t len)
{
  for (size_t i = 0; i < len && !u->is_bad; i++) {
    unsigned char c = (unsigned char)s[i];
    if (u->left == 0) {
      utf8_lead(u, c);
      continue;
    }
    u->is_bad = c < u->from || c > u->to;
    u->left--;
    u->from = 0x80;
    u->to = 0xbf;
  }
}

int header_utf8_is_good(const struct header_utf8 *u)
{
  return !u->is_bad && u->left == 0;
}

int header_is_utf8(const char *s, size_t len)
{
  struct header_utf8 u = {0};

  header_utf8_piece(&u, s, len);
  return header_utf8_is_good(&u);
}
