/* handoff.h - messages on their way to the intake: our end of the INJECT channel
 *
 * Many messages at once on one channel, told apart by numbers we choose. The intake is
 * more trusted than we are: what it says against the protocol ends this program. */
#ifndef SMTPD_HANDOFF_H
#define SMTPD_HANDOFF_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

/* 0 IDLE     no message
 * 1 OPENING  BEGIN is sent; recipients from `at` on are still to be sent, then OPENED comes
 * 2 OPEN     OPENED came: takes data
 * 3 CLOSING  COMMIT is sent: DONE or REFUSED comes */
enum handoff_state { HANDOFF_IDLE, HANDOFF_OPENING, HANDOFF_OPEN, HANDOFF_CLOSING };

struct handoff_mail {
  const char *flags, *sender, *envid, *ret, *client, *helo, *protocol;
  const stralloc *rcpts; /* address NUL notify NUL orcpt NUL ...; lives until opened() */
  size_t nrcpt;
};

struct handoff;
struct handoff_ops {
  void (*opened)(struct handoff *h, const char *id);
  void (*done)(struct handoff *h, const char *id);      /* durable */
  void (*refused)(struct handoff *h, const char *reply); /* "452 4.3.1 text" */
  void (*lost)(struct handoff *h);                       /* the intake is gone */
  void (*room)(struct handoff *h);                       /* after EAGAIN: go on */
};

/* one message; zeroes and ops are its beginning */
struct handoff {
  const struct handoff_ops *ops;
  enum handoff_state state;
  uint64_t number;
  const stralloc *rcpts;
  size_t at;              /* the next recipient's place in rcpts */
  int wants_room;
  struct handoff *next;   /* in the row of those that want room */
};

/* the channel's descriptor: the first or one that replaces it. 0, or -1 with errno. */
int handoff_channel(int fd);

/* begins a message: opened() or refused() or lost() follows. 0, or -1 when there is no
 * intake to talk to. */
int handoff_open(struct handoff *h, const struct handoff_mail *m);
/* 0; -1 with errno: EAGAIN, room() follows; or another, and lost() follows */
int handoff_data(struct handoff *h, const char *bytes, size_t len);
int handoff_commit(struct handoff *h);
/* forgets the message, in any state; one that is not committed yet is given up */
void handoff_abort(struct handoff *h);

#endif
