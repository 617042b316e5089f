/* localjob.h - local deliveries under way: what is told to the manager, and aliases */
#ifndef DELIVER_LOCALJOB_H
#define DELIVER_LOCALJOB_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/chan.h"
#include "common/localuser.h"
#include "common/verdict.h"
#include "deliver/forward.h"
#include "queue/envelope.h"

#define LOCALJOBS_MAX 1024

/* one ATTEMPT: one recipient of one message */
struct localjob {
  struct localjob *next;
  struct forward forward;
  struct loop_timer timer;
  uint64_t number;
  int fd;
  struct envelope env;
  size_t rcpt;
  unsigned int tries; /* before this attempt */
  struct localuser who;
  pid_t pid; /* of the child, 0 when there is none */
  int report_fd;
  int sends_on; /* the alias has addresses besides the mailbox */
  int is_kept;  /* it is in the mailbox, and is sent on besides */
};

/* a new job for the manager's number, with the queue file in fd, which is taken; NULL when
 * there is no room */
struct localjob *localjob_new(uint64_t number, int fd);
/* the channel on which jobs are reported; it may be closed */
void localjob_manager(struct chan *c);
/* called each time the last job has ended */
void localjob_when_idle(void (*idle)(void));
size_t localjob_count(void);

const struct envelope_rcpt *localjob_rcpt(const struct localjob *j);
/* RESULT and FINISHED; j is gone then. status: enhanced code; what was delivered is in a
 * mailbox. A temporary failure of a message whose life is over becomes a permanent one. */
void localjob_report(struct localjob *j, enum verdict v, const char *status, const char *text);
/* FINISHED without RESULT, because the recipient was not tried; j is gone then */
void localjob_give_up(struct localjob *j, const char *why);
void localjob_finished(uint64_t number, const char *outcome);
/* sends the message on to the addresses in j->forward, and reports */
void localjob_send_on(struct localjob *j);

/* the job whose child this is, or NULL */
struct localjob *localjob_of(pid_t pid);
/* kills all children and forgets all jobs, unreported */
void localjob_abandon_all(void);

#endif
