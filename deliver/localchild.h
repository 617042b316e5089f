/* localchild.h - the child that delivers one message into one mailbox */
#ifndef DELIVER_LOCALCHILD_H
#define DELIVER_LOCALCHILD_H

#include <stddef.h>
#include <sys/types.h>

#include "common/localuser.h"
#include "queue/envelope.h"

struct localchild {
  int message_fd, mail_fd, report_fd;
  const struct envelope *env;
  size_t rcpt;
  pid_t parent;
  const struct localuser *who; /* LOCALUSER_SYSTEM or LOCALUSER_MAILBOX */
};

#define LOCALCHILD_REPORT 900 /* bytes of "STATUS TEXT" that a child writes to report_fd */
#define LOCALCHILD_TEMP 111   /* its exit codes; 0 is delivered */
#define LOCALCHILD_PERM 100

/* in the child, right after the fork: becomes the mailbox's owner, delivers, exits */
_Noreturn void localchild_run(const struct localchild *c);

/* the enhanced code that goes with a failed delivery's errno */
const char *localchild_status(int error);

#endif
