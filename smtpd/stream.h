/* stream.h - the bytes of a connection, in clear or in TLS: as read() and write() */
#ifndef SMTPD_STREAM_H
#define SMTPD_STREAM_H

#include <stddef.h>
#include <sys/types.h>

#include "common/tls.h"

/* room that stream_read() needs: a TLS record is taken whole, so that nothing waits unseen */
#define STREAM_ROOM 16384

/* up to room (at least STREAM_ROOM) bytes; tls may be NULL. 0 at the end, -1 with errno: EAGAIN,
 * EBUSY (the client must first read what TLS has to say), EPROTO (no TLS; tls_why() says more). */
ssize_t stream_read(int fd, struct tls *tls, char *buf, size_t room);
/* -1 with errno EAGAIN: the next one must begin with the same bytes */
ssize_t stream_write(int fd, struct tls *tls, const char *s, size_t len);

#endif
