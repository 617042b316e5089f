/* receive.h - new messages on their way into the queue
 *
 * A message is gathered (in memory while it is small, in queue/tmp beyond that), then
 * commit.h makes it durable. */
#ifndef QUEUE_RECEIVE_H
#define QUEUE_RECEIVE_H

#include <stddef.h>

#include "common/verdict.h"
#include "queue/envelope.h"
#include "queue/store.h"

struct incoming;
struct flight;

/* what a message over the limits of size and hops meets */
enum receive_limits {
  RECEIVE_REFUSES,
  RECEIVE_MARKS, /* nobody is there to hear a refusal (queue/drop): it is taken, and fails in the
                    queue with a report to its sender */
  RECEIVE_TAKES  /* a failure report, which must not fail for what it reports */
};

struct receive_ops {
  /* it is durable; called for all of a group before anybody is answered. May be NULL. */
  void (*committed)(const struct incoming *in);
  /* exactly one of the two ends a message that was not aborted; it is freed after the call */
  void (*durable)(void *owner, struct incoming *in);
  /* reply is "452 4.3.1 text" */
  void (*refused)(void *owner, struct incoming *in, enum verdict v, const char *reply);
  enum receive_limits limits;
};

/* opens the journal, starts the committing thread. 0, or -1 with errno. */
int receive_start(int queue_fd);

/* begins a message from `n` (its id is made here) with at most nrcpt recipients. NULL with
 * *reply when it is refused at once (no room, malformed). owner and ops must outlive it. */
struct incoming *receive_begin(struct envelope_new *n, size_t nrcpt, const struct receive_ops *ops,
                               void *owner, const char **reply);
/* adds a recipient. 0; -1: malformed, the caller's fault (the message is not ended by it) */
int receive_rcpt(struct incoming *in, const char *address, const char *notify, const char *orcpt);
/* takes bytes in wire form. May end the message through refused(): then -1. */
int receive_data(struct incoming *in, const char *s, size_t len);
/* the message is complete: durable() or refused() follows, perhaps before this returns */
void receive_commit(struct incoming *in);
/* forgets the message; nothing is called any more. Legal until receive_commit(). */
void receive_abort(struct incoming *in);
/* the owner is gone: a message already committed goes on, its end is not told */
void receive_disown(struct incoming *in);

/* whether a reply says that our client's hand-over was at fault */
int receive_is_malformed(const char *reply);
const char *receive_id(const struct incoming *in);
/* its place in the journal; NULL when it is a file */
const struct flight *receive_place(const struct incoming *in);
size_t receive_missing_rcpts(const struct incoming *in); /* of those announced */

#endif
