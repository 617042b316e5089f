/* chan.h - one end of a channel between programs, in the event loop
 *
 * Sending never blocks: what the socket does not take is kept in a queue of at most
 * `bound` bytes; a sender that would pass it gets EAGAIN and waits for drained().
 * That is the credit of a channel: a slow reader costs its peers a bounded queue. */
#ifndef COMMON_CHAN_H
#define COMMON_CHAN_H

#include "common/loop.h"
#include "common/wire.h"

struct chan;
struct chan_packet;

struct chan_ops {
  /* one legal message. A descriptor in m->fd that is not taken (set to -1) is closed.
   * Return 0, or -1 with *why when the content is malformed after all: it is then
   * handled by trust. The handler may close the channel. */
  int (*message)(struct chan *c, struct wire_msg *m, const char **why);
  /* the other end is gone, or sent what does not parse (why is then not NULL). The
   * channel is closed already. */
  void (*closed)(struct chan *c, const char *why);
  /* the queue has room again after a send gave EAGAIN; may be NULL */
  void (*drained)(struct chan *c);
};

struct chan {
  struct loop_handler handler; /* first */
  int fd;                      /* -1 when closed */
  enum wire_link link;
  enum wire_side side; /* ours */
  const struct chan_ops *ops;
  void *owner;
  struct chan_packet *first, *last; /* waiting to be sent */
  size_t queued, bound;             /* bytes waiting, and their limit */
  int wants_room;
  int paused; /* not reading */
};

#define CHAN_BOUND (4 * 1024 * 1024)

/* puts fd in the loop as our side of link. 0, or -1 with errno (fd is then closed). */
int chan_open(struct chan *c, int fd, enum wire_link link, enum wire_side side,
              const struct chan_ops *ops);
/* takes all that has arrived; may close the channel */
void chan_drain(struct chan *c);
/* closes at once; packets not yet sent are dropped. Harmless when closed. */
void chan_close(struct chan *c);
int chan_is_open(const struct chan *c);
/* stop and start reading: how a receiver holds a fast sender back */
void chan_pause(struct chan *c);
void chan_resume(struct chan *c);

/* sends o, with descriptor fd (-1 for none; it stays the caller's). 0; or -1 with
 * errno: EAGAIN queue full (drained() follows), EPIPE closed, EMSGSIZE, ENOMEM. */
int chan_send(struct chan *c, const struct wire_out *o, int fd);

/* after a message with a secret was sent or handled: leaves nothing of it in the buffers that all
 * channels share */
void chan_wipe(void);

/* a socket pair for a channel, close-on-exec: 0, or -1 with errno */
int chan_pair(int fd[2]);

/* blocking use, outside a loop (attempts, commands): one message either way.
 * chan_recv_blocking returns 1, 0 at end, -1 with errno (EPROTO: malformed; ETIMEDOUT).
 * The fields point into a static buffer that the next call overwrites. */
int chan_send_blocking(int sock, const struct wire_out *o, int fd);
int chan_recv_blocking(int sock, enum wire_link link, enum wire_side side, int timeout_ms,
                       struct wire_msg *m);

#endif
