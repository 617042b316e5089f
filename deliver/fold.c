/* fold.c - header lines of at most 998 bytes, where white space allows
 *
 * Runs in an attempt. Pure. The field is hostile. */
#include "deliver/fold.h"

#include <errno.h>
#include <string.h>

#include "common/eightbit.h"
#include "common/header.h"

static int is_blank(char c)
{
  return c == ' ' || c == '\t';
}

/* length of the line at s without its CR LF */
static size_t line_span(const char *s, size_t len)
{
  const char *end = memmem(s, len, "\r\n", 2);

  return end ? (size_t)(end - s) : len;
}

/* where to break the line s: at white space, with something else on both sides, the last
 * place that makes the first part short enough, or else the first place; len when there is
 * none. `from`: not before that. */
static size_t break_at(const char *s, size_t len, size_t from)
{
  size_t last = len, best = 0;

  while (from < len && is_blank(s[from]))
    from++;
  while (last > from && is_blank(s[last - 1]))
    last--;
  for (size_t i = from; i < last; i++)
    if (is_blank(s[i])) {
      if (best > 0 && i > EIGHTBIT_LINE_MAX)
        break;
      best = i;
    }
  return best ? best : len;
}

int fold_is_long(const char *field, size_t len)
{
  while (len > EIGHTBIT_LINE_MAX) {
    size_t n = line_span(field, len);
    if (n > EIGHTBIT_LINE_MAX)
      return 1;
    field += n + 2 < len ? n + 2 : len;
    len -= n + 2 < len ? n + 2 : len;
  }
  return 0;
}

int fold_field(stralloc *out, const char *field, size_t len)
{
  size_t from = header_value(field, len);
  int ok = 1;

  while (len > 0 && ok) {
    size_t n = line_span(field, len), at = n > EIGHTBIT_LINE_MAX ? break_at(field, n, from) : n;
    if (at < n)
      ok = stralloc_catb(out, field, at) && stralloc_catb(out, "\r\n", 2);
    else {
      at = n + 2 < len ? n + 2 : len;
      ok = stralloc_catb(out, field, at);
    }
    field += at;
    len -= at;
    from = 0;
  }
  if (!ok)
    errno = ENOMEM;
  return ok ? 0 : -1;
}
