/* act.h - what an administrator can do to a message
 *
 * The words and answers that pass between the queue commands and the manager, and what is done to
 * a message's file. The manager knows more of its messages than their files (control.c). */
#ifndef QUEUE_ACT_H
#define QUEUE_ACT_H

#include <stddef.h>
#include <stralloc.h>

#include "queue/store.h"

enum act {
  ACT_HOLD,
  ACT_RELEASE,
  ACT_RETRY,
  ACT_REMOVE,
  ACT_BOUNCE,
  /* of a path in the queue */
  ACT_ASIDE, /* found broken: to corrupt/ (survey.h) */
  ACT_MEND,  /* a message with a wrong owner or mode gets the right ones */
  ACT_ADOPT, /* a message that the manager does not know: it is taken up */
  ACTS
};

/* what became of it: a letter each in an answer */
enum acted {
  ACTED_DONE = 'd',
  ACTED_LATER = 'l',   /* when the attempts of it that run have ended */
  ACTED_NOTHING = 'n', /* it was so already, or cannot be */
  ACTED_UNKNOWN = 'u', /* no such message */
  ACTED_FAILED = 'f'   /* its file cannot be changed */
};

#define ACT_IDS 200 /* at most, separated by spaces, in one message to the manager */

const char *act_word(enum act a);
/* 0, or -1: there is none of that name */
int act_read(const char *s, enum act *a);

/* the reason of a bounce as "5.3.0 TEXT"; an enhanced code in front of the text is kept.
 * reason NULL: the usual one. 0, or -1 (ENOMEM) */
int act_reason(stralloc *out, const char *reason);

/* each does it to the file of a message that is not being worked on; *n is its name afterwards.
 * Not flushed. */
enum acted act_hold(int queue_fd, struct store_name *n);
enum acted act_release(int queue_fd, struct store_name *n);
/* due now, with all its recipients */
enum acted act_retry(int queue_fd, struct store_name *n);
/* every recipient that is left has failed, with act_reason(); due now: its report is then made.
 * *failed_rcpts: how many */
enum acted act_bounce(int queue_fd, struct store_name *n, const char *reason, size_t *failed_rcpts);
enum acted act_remove(int queue_fd, const struct store_name *n);

#endif
