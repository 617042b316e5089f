/* incoming.h - a message on its way into the queue, between receive.c and commit.c
 *
 * From commit_add() until it is handed back it belongs to the committing thread. */
#ifndef QUEUE_INCOMING_H
#define QUEUE_INCOMING_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include <xxhash.h>

#include "common/content.h"
#include "queue/flights.h"
#include "queue/receive.h"

struct incoming {
  struct incoming *next; /* in a group */
  const struct receive_ops *ops;
  void *owner; /* NULL: disowned */
  char id[STORE_ID_LEN + 1];
  stralloc head, body; /* head: the envelope block; body: bound IN_MEMORY */
  size_t nrcpt, missing;
  size_t counted; /* bytes of head and body in in_memory */
  uint64_t *seen; /* hashes of recipients, nrcpt * 2 places: one that is named twice gets one copy */
  int fd; /* tmp/ID, or -1 while in memory */
  int error; /* of the commit: an errno */
  int is_journaled;
  struct flight place; /* in the journal */
  unsigned int flags;
  struct content content;
  XXH3_state_t *sum;
  char *sender; /* for the log */
};

#endif
