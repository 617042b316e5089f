/* schedule.h - whose turn it is: destinations, and the recipients that wait there
 *
 * A batch is what is left of one message at one destination. Batches of a destination take
 * turns: each gives one job, of at most attempt-recipients, and goes to the end, so that a
 * message for one never waits for one for 100,000. Those never tried and those tried before
 * have lanes of their own, which take turns too, and so do destinations. */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "queue/concurrency.h"
#include "queue/rate.h"
#include "queue/work.h"

enum lane_kind { LANE_NEW, LANE_AGAIN, LANES };

struct batch {
  struct batch *next; /* in its lane */
  struct work *work;
  size_t from, n; /* work->due: those that are in no job yet */
  int has_begun;
};

struct lane {
  struct destination *to;
  struct lane *next_ready;
  int is_ready; /* stands in a round */
  struct batch *first, *last;
  size_t batches, fresh; /* of them, those that had no turn */
};

struct destination {
  struct destination *chain; /* by name */
  enum work_spawner spawner;
  uint64_t key; /* hash of the next hop, or of a local address */
  uint32_t hop; /* store_hop_hash(); 0 for a local address */
  struct lane lane[LANES];
  size_t flying, batches; /* jobs; those in both lanes */
  struct concurrency window;
  int is_proven;       /* its last result was a delivery */
  struct loop_timer wake; /* for the next probe, or the next place under its rate */
  uint64_t idle_since; /* ms, when it has neither jobs nor batches */
  /* recovery.c */
  uint64_t down_since, probe_at, failed_at; /* monotonic ms */
  size_t budget;       /* of those that wait because of the host, so many may be called */
  int is_releasing;
  size_t strayed;      /* probes that were called since the last job: they went elsewhere */
  int is_rerouted;     /* the tables changed while one was under way */
  unsigned int called; /* the turn of the manager in which it called last, */
  size_t coming[LANES]; /* and how many: they come in the next */
  stralloc why;        /* the last host failure; bound: 300 bytes */
  /* table peers */
  unsigned int tables; /* as of that many reloads */
  uint32_t conns;      /* 0: no limit */
  struct rate rate;
  char nexthop[];      /* NUL-terminated */
};

/* a batch for a destination: recipients due[from] ... of w. key: of the local address, for local
 * mail. 0, or -1 (ENOMEM). */
int schedule_add(struct work *w, const struct batch *b, const char *nexthop, enum work_spawner s,
                 uint64_t key);
/* the next job that has a place, by turns; NULL without. It flies from now on. */
struct job *schedule_next(enum work_spawner s);
/* a job has ended: what it says of its host, before work_finished(), and that its place is free,
 * afterwards */
void schedule_judge(const struct job *j);
void schedule_landed(struct destination *d, int is_doubtful);
/* the lane in which a message of the queue stands */
enum lane_kind schedule_lane(uint32_t handle);
/* other tables are in force */
void schedule_tables(void);
/* once a turn */
void schedule_turn(void);

/* ---- for recovery.c */

struct destination *schedule_by_hop(uint32_t hop);
/* all batches leave, without a job */
void schedule_dismiss(struct destination *d);
/* puts its lanes in the rounds when there is a job to start and a place for it */
void schedule_ready(struct destination *d);
struct concurrency_limits schedule_limits(void);
/* how many more messages should be taken up for a lane */
size_t schedule_room(const struct lane *l);
unsigned int schedule_turns(void);
/* what table peers says holds it up: ms until it may go on; 0: nothing */
uint64_t schedule_rate_wait(struct destination *d);

#endif
