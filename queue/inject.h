/* inject.h - one new message given to the intake over an INJECT channel, blocking
 *
 * For short-lived programs. The intake is trusted more: what it answers is believed. */
#ifndef QUEUE_INJECT_H
#define QUEUE_INJECT_H

#include <stddef.h>

#include "queue/envelope.h"

#define INJECT_FRAME 32000 /* bytes of message in one DATA */

struct inject {
  int sock;
  char id[ENVELOPE_ID_MAX + 1]; /* set by inject_begin() */
  char refusal[256];            /* what the intake said when it refused; "" otherwise */
};

/* begins a message from the null sender to one recipient and waits for its id. `client` says
 * where it comes from. 0; -1 with errno (ECONNREFUSED: refused). */
int inject_begin(struct inject *in, unsigned int flags, const char *client, const char *to);
/* the next bytes of the message, any number */
int inject_data(struct inject *in, const char *s, size_t len);
/* 0: durable */
int inject_commit(struct inject *in);

#endif
