/* work.h - messages being worked on: from due to settled
 *
 * A message that is due is opened, its recipients are grouped by next hop into batches, a
 * batch gives jobs when it is its turn at its destination (schedule.h), a spawner (deliver,
 * local) makes an attempt of each, results are marked in the file as they come, and when the
 * last job is over the message is settled: gone, waiting again, or reported to its sender
 * first. */
#ifndef QUEUE_WORK_H
#define QUEUE_WORK_H

#include <stddef.h>
#include <stdint.h>

#include <stralloc.h>

#include "common/loop.h"
#include "common/verdict.h"
#include "queue/envelope.h"
#include "queue/notify.h"
#include "queue/store.h"

enum work_spawner { WORK_DELIVER, WORK_LOCAL, WORK_SPAWNERS };

struct destination;
struct batch;

/* a recipient that is due, with its next hop's hash */
struct due {
  uint64_t hop;
  size_t rcpt;
};

/* a message being worked on */
struct work {
  struct work *next, *prev;
  uint32_t handle; /* waiting.h */
  struct store_name name;
  struct envelope e;
  unsigned char *held; /* per recipient: waits because of the host alone (STORE_HELD) */
  struct due *due;     /* due.c: those that are, sorted by next hop */
  size_t ndue, routed, spread; /* of them; recipients looked at; due[] that are in batches */
  struct work *next_routing;
  int is_routing;
  size_t batches, jobs; /* that wait for their turn; that are not yet over */
  struct batch *waits;  /* those batches */
  size_t todo, open;    /* recipients still to do; those, and whom their sender is owed word of */
  size_t weight;        /* recipients */
  int fd;              /* O_RDWR once something was marked, else -1 */
  int is_changed;      /* in the journal: its file, when it gets one, has other marks */
  stralloc story;      /* in the journal: history lines for its file; bound: those of its jobs */
  int is_hurried, is_released, is_again, is_removed, is_reporting, is_warning;
  int is_held;   /* goes on hold when its jobs end */
  char *give_up; /* then its recipients fail, with this text: "5.3.0 TEXT"; or NULL */
  uint16_t clock;       /* clock_steps(): its times are by that clock */
  int is_short;         /* of memory: the rest is tried again soon */
  uint32_t shut_hop;    /* a next hop that has no use for it now; 0: none */
  int has_more_shut;    /* and others */
  int is_rerouted;      /* what is due is to be looked at anew */
  uint64_t look_again;  /* wall clock: an attempt there will tell then; 0: none */
  uint64_t owed_again; /* a report could not be made: when it is tried again; 0: none */
  uint64_t warning;    /* when its sender is to be warned of the delay; NOTIFY_NEVER_DUE */
  int is_unmarked; /* the queue could not be written: what is done is known here only */
  struct loop_timer again; /* then it is written again */
  int is_gone;         /* it has left the store: the last recipient was delivered */
  int needs_flush;     /* a recipient was marked as finished */
  int has_transcript;  /* a file of its own in queue/transcript */
};

#define JOB_STEPS_MAX 64 /* of one attempt that are kept */

struct job {
  struct job *chain; /* by number */
  uint64_t number;
  struct work *work;
  struct destination *to;
  size_t nrcpt;
  size_t *rcpt; /* numbers of its recipients in the envelope */
  unsigned char *told; /* per recipient: has a result */
  unsigned int attempt, steps;
  int is_probe, is_doubtful; /* schedule.c */
  size_t answers, unreached; /* results of a host; that none was reached, or it was lost */
  uint64_t until;  /* wall clock: the earliest next attempt its results name; 0: none */
  char why[300];   /* the last result without a host */
  stralloc story; /* history lines, written when the job is over; bound: JOB_STEPS_MAX and nrcpt lines */
  char host[300]; /* the last host it spoke to */
  uint64_t started;
  stralloc spoken; /* what was said; bound: DIALOGUE_MAX */
};

/* the queue directory; before anything else */
void work_open(int queue_fd);
/* takes up what is due, some of it: called once a turn. Whether there is more. */
int work_turn(void);
/* the work on a message, or NULL */
struct work *work_find(uint32_t handle);
/* an administrator removes, holds or gives up a message that is being worked on. What waits for its
 * turn never gets it; what is being tried, or a report that is being made, is waited for: then w is
 * still there (waiting_at(handle)->is_active). text: as for due_refuse(); -1 (ENOMEM) */
void work_remove(struct work *w);
void work_hold(struct work *w);
int work_bounce(struct work *w, const char *text);
/* it is not to be held after all; 0 when it was not */
int work_release(struct work *w);

/* a message that is in the journal becomes a file, whatever is done with it just now. 0, or -1
 * with errno */
int work_file(uint32_t handle);
/* the same for one that is being worked on, unless it is a file: reports are made from files */
int work_to_file(struct work *w);

/* ---- results, from spawners.c */

struct result {
  enum verdict verdict;
  uint64_t until; /* epoch, for V_TEMP */
  const char *status, *reply;
  int is_uncharged; /* it does not count as an attempt */
  enum notify_action how; /* it was taken, for V_OK */
  enum result_host { HOST_ANSWERED, HOST_LOST, HOST_UNREACHED, HOST_UNKNOWN } host;
};
void work_result(struct job *j, size_t rcpt, const struct result *r);
void work_step(struct job *j, const char *const field[5]);
/* what is remembered of a peer: the fields of a history line */
void work_noted(struct job *j, const char *const field[5]);
/* lines of what was said in the attempt (dialogue.h) */
void work_spoken(struct job *j, const char *lines, size_t len);
/* the job is over. why: NULL when the attempt reported; else why it did not. charged: it
 * counts as an attempt (it may have reached the peer). Frees j. */
void work_finished(struct job *j, const char *why, int charged);
/* a batch has given its last job */
void work_batch_over(struct work *w);
/* a batch must leave its destination: what is left of it waits outside */
void work_shut_out(struct work *w, const struct batch *b, const struct destination *d);
/* a batch leaves its destination, because table `routes` leads elsewhere: its message is looked at anew */
void work_reroute(struct work *w);
/* those of due[] that were never tried, and whose next hop is down, are deferred uncharged, so that
 * people can see why */
void work_suspend(struct work *w, const struct batch *b, const char *nexthop);
/* a recipient gets another status */
void work_status(struct work *w, size_t i, enum rcpt_status s);
/* it goes back: its life is over, and why is what was said last */
void work_expire(struct work *w, size_t i, const char *why);
/* how the schedule of recipient i looks at it */
struct retry;
struct retry_message;
void work_schedule(const struct work *w, size_t i, struct retry *r, struct retry_message *m);
/* writes the state of recipient i into the file, if it is one; what cannot be written is tried
 * again before the message is settled */
void work_mark(struct work *w, size_t i);
/* appends history lines to the file */
void work_story(struct work *w, const stralloc *lines);
void work_free_job(struct job *j);
/* nothing is under way any more: the message leaves, waits again, or a report is started */
void work_settle(struct work *w);

#endif
