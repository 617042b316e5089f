/* history.c - what was tried: lines appended to a queue file after its end mark
 *
 * The manager writes it; commands and the bounce read it. The lines are hostile when read
 * back: replies of peers stand in them, and a disk may lie. */
#include "queue/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stralloc.h>

#include "common/log.h"
#include "common/units.h"
#include "queue/halfline.h"

#define FIELD_MAX_BYTES 1500 /* of one field, before it is escaped */
#define LINE_MAX_BYTES 65536  /* one line, read back */

int history_line_make(stralloc *out, char kind, uint64_t now, unsigned int attempt,
                      const char *const *field, size_t n)
{
  char start[2] = {kind, '\t'};

  if (!stralloc_catb(out, start, 2) || units_format_number(out, now) != 0 ||
      !stralloc_cats(out, "\t") || units_format_number(out, attempt) != 0)
    return -1;
  for (size_t i = 0; i < n; i++) {
    size_t len = strnlen(field[i], FIELD_MAX_BYTES);
    if (!stralloc_cats(out, "\t") || log_escape(out, field[i], len) != 0)
      return -1;
  }
  return stralloc_cats(out, "\n") ? 0 : -1;
}

/* where the lines begin that fit into the last `max` of len bytes */
static size_t newest(const char *s, size_t len, size_t max)
{
  const char *nl;

  if (len <= max)
    return 0;
  nl = memchr(s + (len - max - 1), '\n', max + 1);
  return nl ? (size_t)(nl + 1 - s) : len;
}

/* keeps the newest lines, at most `max` bytes of them; the file's new end, or -1 */
static off_t forget_older(int fd, off_t at, off_t size, size_t max)
{
  size_t len = (size_t)(size - at), from, keep;
  char *buf = malloc(len);
  off_t end = -1;

  if (buf && pread(fd, buf, len, at) == (ssize_t)len) {
    from = newest(buf, len, max);
    keep = len - from;
    if ((keep == 0 || pwrite(fd, buf + from, keep, at) == (ssize_t)keep) &&
        ftruncate(fd, at + (off_t)keep) == 0)
      end = at + (off_t)keep;
  }
  free(buf);
  return end;
}

int history_append(int fd, const struct envelope *e, const stralloc *lines)
{
  size_t from = newest(lines->s, lines->len, HISTORY_MAX / 2), len = lines->len - from;
  struct stat st;
  off_t end;

  if (fstat(fd, &st) != 0)
    return -1;
  if (st.st_size < e->history_at) {
    errno = EBADMSG;
    return -1;
  }
  end = halfline_end(fd, st.st_size);
  if (end < 0)
    return -1;
  if (from > 0 || end - e->history_at + (off_t)len > HISTORY_MAX)
    end = forget_older(fd, e->history_at, end, from > 0 ? 0 : HISTORY_MAX / 2);
  return end >= 0 && pwrite(fd, lines->s + from, len, end) == (ssize_t)len ? 0 : -1;
}

/* cuts one line (without its newline, NUL-terminated) into fields; 0, or -1 when it is none */
static int parse_line(char *s, struct history_line *l)
{
  char *field[HISTORY_FIELDS + 3], *save = NULL;
  size_t n = 0;
  uint64_t attempt;

  for (char *f = s; f && n < HISTORY_FIELDS + 3; f = save) {
    save = strchr(f, '\t');
    if (save)
      *save++ = 0;
    field[n++] = f;
  }
  if (n < 3 || strlen(field[0]) != 1 || !strchr("slor", field[0][0]) ||
      units_number(field[1], strlen(field[1]), &l->time) != 0 ||
      units_number(field[2], strlen(field[2]), &attempt) != 0 || attempt > 65535)
    return -1;
  l->kind = field[0][0];
  l->attempt = (unsigned int)attempt;
  l->n = n - 3;
  for (size_t i = 0; i < HISTORY_FIELDS; i++)
    l->field[i] = i < l->n ? field[i + 3] : "";
  return 0;
}

static int is_printable(const char *s)
{
  for (; *s; s++)
    if (((unsigned char)*s < 32 && *s != '\t') || (unsigned char)*s >= 127)
      return 0;
  return 1;
}

int history_each(int fd, const struct envelope *e,
                 int (*f)(void *arg, const struct history_line *l), void *arg)
{
  char *buf = malloc(HISTORY_MAX + 1), *s, *nl;
  ssize_t n = buf ? pread(fd, buf, HISTORY_MAX, e->history_at) : -1;
  int r = n < 0 ? -1 : 0;

  for (s = buf; r == 0 && (nl = memchr(s, '\n', (size_t)(buf + n - s))); s = nl + 1) {
    struct history_line l;
    *nl = 0;
    if (nl - s < LINE_MAX_BYTES && memchr(s, 0, (size_t)(nl - s)) == NULL && is_printable(s) &&
        parse_line(s, &l) == 0)
      r = f(arg, &l);
  }
  free(buf);
  return r;
}
