/* window.c - a message read line by line, at any place, through one buffer
 *
 * Runs in an attempt. The message is hostile. */
#include "deliver/window.h"

#include <errno.h>
#include <string.h>

/* fills the buffer from `at` on */
static int fill(struct window *w, uint64_t at)
{
  w->at = at;
  w->len = 0;
  while (w->len < sizeof w->buf && at + w->len < w->source->size) {
    ssize_t n = w->source->read(w->source->arg, w->buf + w->len, sizeof w->buf - w->len,
                                at + w->len);
    if (n == 0)
      errno = EIO; /* shorter than it was said to be */
    if (n <= 0) {
      w->failed = 1;
      return -1;
    }
    w->len += (size_t)n;
  }
  return 0;
}

static const char *find_crlf(const char *s, size_t len)
{
  const char *lf, *from = s;

  while ((lf = memchr(from, '\n', len - (size_t)(from - s))) != NULL) {
    if (lf > s && lf[-1] == '\r')
      return lf;
    from = lf + 1;
  }
  return NULL;
}

struct window_line window_line(struct window *w, uint64_t at, uint64_t to)
{
  struct window_line l = {w->buf, 0, 1};

  if (w->failed || at >= to)
    return l;
  for (int fresh = 0;; fresh = 1) {
    const char *lf;
    if (fresh && fill(w, at) != 0)
      return l;
    if (at < w->at || at >= w->at + w->len)
      continue;
    l.s = w->buf + (at - w->at);
    l.len = w->len - (size_t)(at - w->at);
    if (l.len > to - at)
      l.len = (size_t)(to - at);
    lf = find_crlf(l.s, l.len);
    if (lf) {
      l.len = (size_t)(lf - l.s) + 1;
      return l;
    }
    if (at + l.len == to)
      return l;
    if (fresh || w->at == at)
      break;
  }
  l.len -= l.len > 1 && l.s[l.len - 1] == '\r'; /* never between CR and LF */
  l.ends = 0;
  return l;
}

size_t window_text(const struct window_line *l)
{
  return l->len >= 2 && memcmp(l->s + l->len - 2, "\r\n", 2) == 0 ? l->len - 2 : l->len;
}
