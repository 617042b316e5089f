/* store_flight.h - messages in the journal, behind the store's interface
 *
 * What this program knows of the journal: the manager what the intake told it and what it
 * replayed; a command, while nothing runs, what it replays when it is first asked. A message
 * stays known until the journal is known to have ended it, also as a file. */
#ifndef QUEUE_STORE_FLIGHT_H
#define QUEUE_STORE_FLIGHT_H

#include "queue/flights.h"
#include "queue/store.h"

/* ---- for store.c */

int flight_scan(int queue_fd, int (*f)(void *arg, const struct store_name *n), void *arg);
int flight_find(int queue_fd, const char *id, struct store_name *n);
int flight_open(int queue_fd, const struct store_name *n, int flags);
int flight_corrupt(int queue_fd, const struct store_name *n, const char *why);
/* whether the journal may still hold it, whatever form it has */
int flight_is_known(int queue_fd, const char *id);
/* such a message has left the queue; n may be its file. 0, or -1 with errno */
int flight_over(int queue_fd, const struct store_name *n);

/* ---- who tells the journal; a command does it by itself */

struct flight_keeper {
  /* the message is a file now, not yet flushed */
  void (*filed)(const struct store_name *n);
  /* it is done with; its file, if n is one, goes when flight_settled() is called. 0, or -1 */
  int (*over)(const struct store_name *n);
};

/* ---- for the manager */

void flight_keep(const struct flight_keeper *k);
/* the intake committed a message. 0; 1: it was known; -1 (ENOMEM) */
int flight_committed(const struct flight *f);
/* reads the journal; found() is called for each message that was not known, with the name it
 * has there, and says whether it is to be known from now on; done(), if not NULL, for each that
 * a D ends. 0, or -1: not all could be read */
int flight_replay(int queue_fd, int (*found)(const struct store_name *n),
                  void (*done)(const char *id));
/* a message is in both forms. 1: its file is whole, and is the message; 0: it is torn, and was
 * cleared away; -1: it cannot be read now */
int flight_twin(int queue_fd, const struct store_name *file);
/* whether the intake has yet to write down that it is done with */
int flight_is_over(const char *id);
/* it is a durable file, says the flushing thread; whether the intake is to be told */
int flight_is_filed(const char *id);
/* the intake has made a note of it durable */
void flight_settled(const char *id, enum journal_type note);
/* what is in the journal only, in that segment: its name; start with *at 0; 0 after the last */
int flight_next(uint32_t *at, unsigned int segments, struct store_name *n);

#endif
