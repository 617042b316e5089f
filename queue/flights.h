/* flights.h - messages that are in the journal: a table of ids and places
 *
 * The intake knows with it which segments are still needed, the manager where a message
 * lies, a replay what is left of the records it read. 32 bytes a place, at most half empty. */
#ifndef QUEUE_FLIGHTS_H
#define QUEUE_FLIGHTS_H

#include <stdint.h>

#include "queue/journal.h"

enum flight_state {
  FLIGHT_LIVE,  /* the journal is the only place it is in */
  FLIGHT_FILED, /* it is a file, which is perhaps not durable yet; the intake does not know */
  FLIGHT_TOLD,  /* the intake was told that it is a durable file */
  FLIGHT_OVER   /* the intake was told that it is done with */
};

struct flight {
  char id[STORE_ID_LEN]; /* id[0] == 0: an empty place */
  uint8_t segment;
  uint8_t state; /* enum flight_state; the manager's */
  uint32_t at, len; /* the record's offset in the segment; bytes of its payload */
};

struct flights {
  struct flight *slot; /* bound: twice the messages that fit in the journal */
  uint32_t slots, count; /* a power of two */
  uint32_t in_segment[JOURNAL_SEGMENTS];
};

/* pointers are good until the next add or drop */
struct flight *flights_find(const struct flights *t, const char *id);
/* adds a copy of f; an id that is there stays as it is. NULL (ENOMEM) */
struct flight *flights_add(struct flights *t, const struct flight *f);
void flights_drop(struct flights *t, struct flight *f);
/* all of them, in no order: start with *at 0; NULL after the last */
struct flight *flights_next(const struct flights *t, uint32_t *at);
void flights_free(struct flights *t);

#endif
