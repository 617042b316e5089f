/* json.c - JSON for --json output: jansson, plus text from hostile bytes */
#include "common/json.h"

#include <stdlib.h>
#include <string.h>

#include "common/units.h"

/* the length of the UTF-8 sequence at s, 0 when there is none (RFC 3629) */
static size_t sequence(const unsigned char *s)
{
  size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

  for (size_t i = 1; i < n; i++)
    if ((s[i] & 0xc0) != 0x80)
      return 0;
  if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
      (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
    return 0;
  return n;
}

json_t *json_bytes(const char *s)
{
  stralloc clean = {0};
  json_t *v = NULL;

  while (*s) {
    size_t n = sequence((const unsigned char *)s);
    if (!(n ? stralloc_catb(&clean, s, n) : stralloc_cats(&clean, "\xef\xbf\xbd")))
      goto done;
    s += n ? n : 1;
  }
  if (stralloc_0(&clean))
    v = json_stringn(clean.s, clean.len - 1);
done:
  free(clean.s);
  return v;
}

json_t *json_time(unsigned long long epoch)
{
  stralloc text = {0};
  json_t *v = units_format_time(&text, epoch) == 0 ? json_stringn(text.s, text.len) : NULL;

  free(text.s);
  return v;
}

int json_line(stralloc *out, json_t *v)
{
  char *s = v ? json_dumps(v, JSON_COMPACT) : NULL;
  int r = s && stralloc_cats(out, s) && stralloc_cats(out, "\n") ? 0 : -1;

  free(s);
  json_decref(v);
  return r;
}
