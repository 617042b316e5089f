/* stream.c - the bytes of a connection, in clear or in TLS
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. */
#include "smtpd/stream.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define SMALL 4096 /* less than this at once: it is a dialogue, and more is not likely there */

static int fail(struct tls *t, enum tls_state state, short event)
{
  switch (state) {
  case TLS_WAITS:
    errno = tls_wants(t) == event ? EAGAIN : EBUSY;
    break;
  case TLS_RESET:
    errno = ECONNRESET;
    break;
  default:
    errno = EPROTO;
  }
  return -1;
}

ssize_t stream_read(int fd, struct tls *tls, char *buf, size_t room)
{
  size_t got = 0;

  if (!tls)
    return read(fd, buf, room);
  while (room - got >= STREAM_ROOM) {
    size_t n;
    enum tls_state state = tls_read(tls, buf + got, room - got, &n);
    got += n;
    if (state == TLS_ENDED && got == 0)
      return 0;
    if (state != TLS_DONE)
      return got > 0 ? (ssize_t)got : fail(tls, state, POLLIN);
    if (got < SMALL)
      break;
  }
  return (ssize_t)got;
}

ssize_t stream_write(int fd, struct tls *tls, const char *s, size_t len)
{
  enum tls_state state;
  size_t n;

  if (!tls)
    return write(fd, s, len);
  state = tls_write(tls, s, len, &n);
  if (state == TLS_DONE)
    return (ssize_t)n;
  if (state == TLS_ENDED)
    errno = EPIPE;
  return state == TLS_ENDED ? -1 : fail(tls, state, POLLOUT);
}
