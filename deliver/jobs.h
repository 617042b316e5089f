/* jobs.h - the attempts that fly, and the connections that are kept
 *
 * Runs in heloise-deliver. A job is one message of the manager's for one next hop. Its process comes
 * from the stem, or from an attempt to the same next hop that stayed: then it has the connection. */
#ifndef DELIVER_JOBS_H
#define DELIVER_JOBS_H

#include "common/ip.h"
#include "common/chan.h"
#include "common/route.h"
#include "queue/envelope.h"

#define JOBS_HOP (HOP_HOST_MAX + 32)

/* the process at the other end of a REPORT channel, and what it does:
 *   UNBORN  the stem was asked for it, the job waits
 *   RUNS    the attempt; or one that stayed has the job and bears the process it is for
 *   STAYS   it has ended, and keeps its connection for another one: no job
 *   ENDS    it has ended, all is told, and it is to go: no job
 *   DOOMED  to be killed as soon as it is known */
enum job_state { JOB_UNBORN, JOB_RUNS, JOB_STAYS, JOB_ENDS, JOB_DOOMED };

struct job {
  struct chan report; /* first */
  struct job *next, **self; /* in the list of all, latest first; or free */
  enum job_state state;
  int process, before; /* pidfd; and that of the one it succeeded, until it is reaped; or -1 */
  int is_expected;     /* BORN is due */
  int has_spoken;      /* since it has the job */
  struct loop_timer timer;
  unsigned int age;    /* of tables and resolver when it began; when they are others it cannot stay */
  unsigned int births; /* how often one was asked for */
  unsigned int stem;   /* which one was asked last */
  unsigned int news;   /* facts it has reported */
  uint64_t number;     /* the manager's */
  unsigned int tries;
  uint64_t created;    /* as in ATTEMPT */
  int message;         /* until a process has it; or -1 */
  stralloc ranges;     /* bound: 16 KB */
  char id[ENVELOPE_ID_MAX + 1];
  char nexthop[JOBS_HOP];
  char peer[IP_PORT_TEXT]; /* STAYS: whom it is connected to */
};

/* what the manager asks for */
struct job_wanted {
  uint64_t number;
  const char *id, *nexthop, *ranges;
  unsigned int tries;
  uint64_t created; /* as in ATTEMPT */
  int message; /* taken over */
};

/* starts an attempt, or says FINISHED at once */
void jobs_start(const struct job_wanted *w);
/* FINISHED, with what m adds from field `from` on (m may be NULL) */
void jobs_finished(uint64_t number, const char *outcome, const struct wire_msg *m, size_t from);
/* connections that are kept serve no more: tables or the resolver are others */
void jobs_renew(void);
/* that stem is gone: whom it was asked for and did not bear, another one is */
void jobs_stem_gone(unsigned int stem);
/* asked to end: what is kept goes, what runs may finish. Then done() is called. */
void jobs_stop(void (*done)(void));
/* nobody is left to hear of them */
void jobs_abandon(void);
/* attempts are not heard, or heard again */
void jobs_pause(int is_paused);

/* a channel to the resolver for one attempt: our end, or -1 (set by spawn.c) */
extern int (*jobs_ask)(void);

#endif
