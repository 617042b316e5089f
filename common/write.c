/* write.c - writing all of it, however little is taken at once */
#include "common/write.h"

#include <errno.h>
#include <unistd.h>

int write_all(int fd, const char *s, size_t len)
{
  while (len > 0) {
    ssize_t n = write(fd, s, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      errno = n == 0 ? ENOSPC : errno;
      return -1;
    }
    s += n;
    len -= (size_t)n;
  }
  return 0;
}

int write_pieces(int fd, struct iovec *v, int n, off_t at)
{
  while (n > 0) {
    ssize_t w = at == WRITE_HERE ? writev(fd, v, n) : pwritev(fd, v, n, at);
    if (w < 0 && errno == EINTR)
      continue;
    if (w == 0 && v->iov_len > 0)
      errno = ENOSPC;
    if (w < 0 || (w == 0 && v->iov_len > 0))
      return -1;
    if (at != WRITE_HERE)
      at += w;
    for (; n > 0 && (size_t)w >= v->iov_len; v++, n--)
      w -= (ssize_t)v->iov_len;
    if (n > 0) {
      v->iov_base = (char *)v->iov_base + w;
      v->iov_len -= (size_t)w;
    }
  }
  return 0;
}
