/* endings.h - what the manager tells the intake of messages in the journal
 *
 * A message that is delivered in its first attempt, or became a file, is ended in the journal
 * by a note, which only the intake writes. Notes are numbered, sent at the end of the turn,
 * kept until the intake says that they are durable, and said again to an intake that is new.
 * Bound: two for each message in the journal. */
#ifndef QUEUE_ENDINGS_H
#define QUEUE_ENDINGS_H

#include <stdint.h>

#include "common/chan.h"

/* the channel to the intake; before anything else. From here on the store tells us. */
void endings_open(int queue_fd, struct chan *intake);
/* the flushing thread has made that message's file durable */
void endings_filed(const char *id);
/* there is a new intake */
void endings_begin_again(void);
/* its channel has room again */
void endings_drained(void);
/* at the end of each turn */
void endings_send(void);
/* whether some are not known to be durable */
int endings_are_open(void);
/* all up to this number are durable. 0; -1: that number was never sent */
int endings_settled(uint64_t number);

#endif
