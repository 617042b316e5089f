/* lines.c - control files as text: lines of a key, white space and a value
 *
 * Runs in `heloise`, as the caller. The files are the administrator's. */
#include "conf/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int lines_read(int dirfd, const char *name, stralloc *text)
{
  int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat st;
  int r = -1;

  text->len = 0;
  if (fd < 0)
    return -1;
  if (fstat(fd, &st) != 0)
    goto done;
  errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
  if (!S_ISREG(st.st_mode) || st.st_size > LINES_FILE_MAX)
    goto done;
  for (;;) {
    ssize_t n;
    errno = ENOMEM;
    if (!stralloc_readyplus(text, 16384))
      goto done;
    n = read(fd, text->s + text->len, 16384);
    if (n < 0)
      goto done;
    if (n == 0)
      break;
    text->len += (size_t)n;
    errno = EFBIG;
    if (text->len > LINES_FILE_MAX)
      goto done;
  }
  r = 0;
done:
  close(fd);
  return r;
}

void lines_start(struct lines *ls, const stralloc *text)
{
  ls->at = text->s;
  ls->end = text->s + text->len;
  ls->number = 0;
}

static int is_blank(char c)
{
  return c == ' ' || c == '\t';
}

static const char *not_text(const struct line *l)
{
  if (l->len > LINES_LINE_MAX)
    return "the line is longer than 8192 bytes";
  for (size_t i = 0; i < l->len; i++)
    if (((unsigned char)l->start[i] < 32 && l->start[i] != '\t') || l->start[i] == 127)
      return "expected text: the line holds a control byte";
  return NULL;
}

int lines_next(struct lines *ls, struct line *l, const char **why)
{
  const char *end, *s;
  int got;

  if (ls->at == ls->end)
    return 0;
  *l = (struct line){.number = ++ls->number, .start = ls->at};
  end = memchr(ls->at, '\n', (size_t)(ls->end - ls->at));
  ls->at = end ? end + 1 : ls->end;
  end = end ? end : ls->end;
  while (end > l->start && (is_blank(end[-1]) || end[-1] == '\r'))
    end--;
  l->len = (size_t)(end - l->start);
  *why = not_text(l);
  got = *why ? -1 : 1;
  s = l->start;
  while (s < end && is_blank(*s))
    s++;
  if (s == end || *s == '#')
    return got;
  l->key = s;
  while (s < end && !is_blank(*s))
    s++;
  l->keylen = (size_t)(s - l->key);
  while (s < end && is_blank(*s))
    s++;
  l->value = s;
  l->valuelen = (size_t)(end - s);
  return got;
}

static int write_all(int fd, const char *s, size_t len)
{
  while (len > 0) {
    ssize_t n = write(fd, s, len);
    if (n < 0 && errno != EINTR)
      return -1;
    if (n > 0) {
      s += n;
      len -= (size_t)n;
    }
  }
  return 0;
}

int lines_replace(int dirfd, const char *name, const stralloc *text)
{
  return lines_replace_as(dirfd, name, text, 0644);
}

int lines_replace_as(int dirfd, const char *name, const stralloc *text, mode_t mode)
{
  char fresh[64];
  struct stat st;
  int fd, r;

  snprintf(fresh, sizeof fresh, ".%s.new", name);
  unlinkat(dirfd, fresh, 0);
  fd = openat(dirfd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode & 0600);
  if (fd < 0)
    return -1;
  if (mode != 0644 && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
      fchown(fd, st.st_uid, st.st_gid) != 0)
    mode &= 0600;
  r = fchmod(fd, mode) == 0 && write_all(fd, text->s, text->len) == 0 && fsync(fd) == 0 ? 0 : -1;
  close(fd);
  if (r == 0)
    r = renameat(dirfd, fresh, dirfd, name) == 0 && fsync(dirfd) == 0 ? 0 : -1;
  if (r != 0) {
    int e = errno;
    unlinkat(dirfd, fresh, 0);
    errno = e;
  }
  return r;
}
