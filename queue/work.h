/* work.h - messages being worked on: from due to settled
 *
 * A message that is due is opened, its recipients are grouped by next hop into jobs, jobs
 * wait at their destination for a place, a spawner (deliver, local) makes an attempt of
 * each, results are marked in the file as they come, and when the last job is over the
 * message is settled: gone, waiting again, or reported to its sender first. */
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

/* a message being worked on */
struct work {
  struct work *next, *prev;
  uint32_t handle; /* waiting.h */
  struct store_name name;
  struct envelope e;
  unsigned char *busy; /* per recipient: in a job */
  size_t jobs;         /* not yet over */
  int fd;              /* O_RDWR once something was marked, else -1 */
  int is_changed;      /* in the journal: its file, when it gets one, has other marks */
  stralloc story;      /* in the journal: history lines for its file; bound: those of its jobs */
  int is_hurried, is_removed, is_reporting, is_warning;
  int is_held;   /* goes on hold when its jobs end */
  char *give_up; /* then its recipients fail, with this text: "5.3.0 TEXT"; or NULL */
  uint32_t crowded_hop; /* a next hop it could not be sent to for want of room; 0: none */
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
  struct job *next; /* at its destination */
  struct job *chain; /* by number */
  uint64_t number;
  struct work *work;
  struct destination *to;
  size_t nrcpt;
  size_t *rcpt; /* numbers of its recipients in the envelope */
  unsigned char *told; /* per recipient: has a result */
  unsigned int attempt, steps;
  stralloc story; /* history lines, written when the job is over; bound: JOB_STEPS_MAX and nrcpt lines */
  char host[300]; /* the last host it spoke to */
  uint64_t started;
  stralloc spoken; /* what was said; bound: DIALOGUE_MAX */
};

/* the queue directory; before anything else */
void work_open(int queue_fd);
/* begins with a message that is due; it leaves the waiting list's schedule. 0; -1 when too
 * many are being worked on (it stays due). */
int work_begin(uint32_t handle);
/* how many may still begin */
size_t work_room(void);
/* the work on a message, or NULL */
struct work *work_find(uint32_t handle);
/* an administrator removes a message that is being worked on: it goes when its jobs end */
void work_remove(struct work *w);
/* ... holds it likewise, or no longer: 0 when that was so already */
int work_hold(struct work *w, int is_held);
/* ... gives it up likewise. 0, or -1 (ENOMEM) */
int work_bounce(struct work *w, const char *text);

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
/* writes the state of recipient i into the file, if it is one; what cannot be written is tried
 * again before the message is settled */
void work_mark(struct work *w, size_t i);
/* appends history lines to the file */
void work_story(struct work *w, const stralloc *lines);
/* a message that is in the journal becomes a file. 0; -1: it cannot now, and is settled again */
int work_as_file(struct work *w);
void work_free_job(struct job *j);
/* nothing is under way any more: the message leaves, waits again, or a report is started */
void work_settle(struct work *w);

#endif
