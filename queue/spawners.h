/* spawners.h - destinations, their jobs, and the programs that make attempts of them */
#ifndef QUEUE_SPAWNERS_H
#define QUEUE_SPAWNERS_H

#include <stddef.h>

#include "common/route.h"
#include "queue/work.h"

struct destination {
  struct destination *chain;      /* by name */
  struct destination *next_ready; /* in the round of those with jobs to start */
  enum work_spawner spawner;
  int is_ready;
  int is_proven; /* its last result was a delivery */
  uint64_t key;  /* hash of the next hop, or of a local address */
  size_t flying, waiting; /* jobs */
  struct job *first, *last;
  uint32_t parked, parked_last; /* messages that wait for room here; WAITING_NONE */
  char nexthop[]; /* NUL-terminated */
};

/* the queue directory; before anything else */
void spawners_open(int queue_fd);
/* a CHANNEL from run: deliver or local (ATTEMPTS, high side) */
int spawners_channel(enum work_spawner s, int fd);
/* puts a job in its destination's line; j->to is set. 0, or -1 (ENOMEM). */
int spawners_add(struct job *j, const char *nexthop, size_t len, enum work_spawner s);
/* whether so many jobs wait for a next hop (store_hop_hash) that no more should be made */
int spawners_is_crowded(uint32_t hop);
/* a message that is due waits until that next hop, which is crowded, has room: then it is due
 * again, oldest first */
void spawners_park(uint32_t hop, uint32_t handle);
/* takes a parked message out of its line; the caller does with it what it wants */
void spawners_unpark(uint32_t handle);
/* starts what has a place; called at the end of each turn */
void spawners_run(void);
/* asks deliver to forget what it remembers of a peer; told(arg, count) when it did, -1 when
 * it cannot be asked */
void spawners_forget(const char *peer, void (*told)(void *arg, long count), void *arg);

#endif
