/* conn.h - a connection to a peer, used by an attempt
 *
 * Blocking with deadlines: one clock for a whole reply, one for each block written. What
 * arrives while we write is kept for later, so that neither side waits for the other. */
#ifndef DELIVER_CONN_H
#define DELIVER_CONN_H

#include <stddef.h>
#include <stdint.h>

#include "common/ip.h"
#include "common/tls.h"
#include "deliver/reply.h"

/* what was seen: on the ladder these are the events */
enum saw {
  SAW_REPLY,       /* a whole reply; at connect: the connection */
  SAW_CLOSE,       /* closed, or the write failed, before any byte of a reply */
  SAW_RESET,       /* the same by RST */
  SAW_PART,        /* closed or reset within a reply */
  SAW_SILENCE,     /* nothing until the clock ran out */
  SAW_UNFINISHED,  /* something, but no whole reply until the clock ran out */
  SAW_GARBLED,
  SAW_FOREIGN,     /* another protocol */
  SAW_BINARY,      /* TLS, unasked for */
  SAW_ECHO,        /* our own greeting */
  SAW_ENDLESS,
  SAW_EARLY,       /* a reply before we had asked */
  SAW_NO_TLS,      /* the handshake failed */
  SAW_REFUSED,     /* connect: RST to SYN */
  SAW_NO_ANSWER,   /* connect: timed out */
  SAW_UNREACHABLE, /* connect: ICMP, or no route */
  SAW_LOCAL,       /* a fault of this host: no ports, no memory, the queue file does not read */
  SAW_COUNT
};

#define CONN_IN 32768

struct spoken;

struct conn {
  int fd; /* -1: closed */
  struct spoken *spoken; /* keeps what is said; may be NULL */
  int has_ended, was_reset; /* the peer's side */
  size_t at, len;           /* of in */
  char in[CONN_IN];
  struct tls *tls;          /* NULL: in clear */
  uint64_t taken;           /* of it, tls_taken() when the clock that runs was started */
  char why[TLS_TEXT];       /* more about what was last seen of TLS, or "" */
};

/* monotonic milliseconds */
uint64_t conn_clock(void);

/* what the errno of a connect() to an address of that family says. Pure. */
enum saw conn_error(int error, int family);
enum saw conn_open(struct conn *c, const struct ip *ip, uint16_t port, uint64_t timeout_ms);
void conn_close(struct conn *c);
/* sends a close without a FIN's promise: what was sent is not to be taken as complete */
void conn_abort(struct conn *c);
/* reads one reply until the deadline (conn_clock) */
enum saw conn_reply(struct conn *c, struct reply *r, uint64_t deadline);
/* writes all of it, each at most 64 KiB within timeout_ms. 0, or -1 with errno. */
int conn_write(struct conn *c, const char *s, size_t len, uint64_t timeout_ms);
/* several replies are due: a peer that writes each by itself waits for our acknowledgement of
 * the one before (Nagle), so none is held back (40 ms a message otherwise) */
void conn_expects_more(struct conn *c);
/* puts TLS on the connection to a host of that name, or address, until the deadline. SAW_REPLY:
 * from here on all is encrypted; SAW_EARLY: bytes in clear lay there already, and nothing of this
 * connection is to be believed */
enum saw conn_starttls(struct conn *c, const char *name, uint64_t deadline);
/* whether the connection is open, and the peer has said nothing that nobody asked for */
int conn_is_quiet(struct conn *c);
/* whether bytes of the peer are here that nobody asked for */
int conn_has_input(struct conn *c);
/* whether the peer has closed its side and nothing is left to read */
int conn_is_over(struct conn *c);
/* our own address on this connection. 0, or -1 */
int conn_local(const struct conn *c, struct ip *ip);

#endif
