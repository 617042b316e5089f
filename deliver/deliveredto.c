/* deliveredto.c - the mark that a forwarded message carries, and loops seen by it
 *
 * Runs in heloise-local. The header section is hostile bytes. */
#include "deliver/deliveredto.h"

#include <string.h>
#include <strings.h>

#define FIELD "Delivered-To:"

/* the field's value is exactly address, blanks aside */
static int is_mark(const char *line, size_t len, const char *address)
{
  const size_t name = sizeof FIELD - 1;

  if (len < name || strncasecmp(line, FIELD, name) != 0)
    return 0;
  line += name;
  len -= name;
  while (len > 0 && (line[0] == ' ' || line[0] == '\t')) {
    line++;
    len--;
  }
  while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
    len--;
  return len == strlen(address) && strncasecmp(line, address, len) == 0;
}

int deliveredto_has(const char *s, size_t len, const char *address)
{
  const char *end = s + len;

  while (s < end) {
    const char *lf = memchr(s, '\n', (size_t)(end - s));
    size_t n = (size_t)((lf ? lf : end) - s);
    if (n > 0 && s[n - 1] == '\r')
      n--;
    if (n == 0)
      return 0; /* the body begins */
    if (is_mark(s, n, address))
      return 1;
    s = lf ? lf + 1 : end;
  }
  return 0;
}

int deliveredto_field(stralloc *out, const char *address)
{
  if (!stralloc_copys(out, FIELD " "))
    return -1;
  for (; *address; address++)
    if ((unsigned char)*address >= 32 && *address != 127 && !stralloc_append(out, address))
      return -1;
  return stralloc_cats(out, "\r\n") ? 0 : -1;
}
