/* report.h - the text of a report to the sender of a message (RFC 3461, 3464, 6522, 6533)
 *
 * Pure. Addresses, replies and names in it come from clients and peers: what is put into
 * header and report fields is one line of printable ASCII each (or UTF-8, where the sender's
 * system speaks it). The text is in wire form. */
#ifndef QUEUE_REPORT_H
#define QUEUE_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "queue/envelope.h"
#include "queue/history.h"
#include "queue/notify.h"
#include "queue/original.h"
#include "queue/story.h"

#define REPORT_ATTEMPTS 10 /* are told at most: the first and the last ones */
#define REPORT_TOLD 100    /* recipients in the text for people; all are in the part for programs */

/* a recipient: what is reported of it, and the last thing that happened to it; NULL: nothing
 * is known */
struct report_outcome {
  enum notify_action action;    /* NOTIFY_NOTHING: it is not in the report */
  uint64_t until;               /* it is tried until then, for NOTIFY_DELAYED */
  char *status, *host, *reply;  /* plain text */
  uint64_t time;
};

struct report {
  const struct envelope *e;
  struct report_outcome *outcome; /* one per recipient */
  const char *hostname, *to, *message_id, *boundary; /* unique in the message */
  const struct story *story;       /* the attempts; NULL: they are not told */
  const struct original *original; /* what comes back of the message */
  uint64_t now, return_limit;
  int is_double; /* the failed message was a report itself, or had no sender */
};

/* takes a line of the history: outcomes (later ones replace earlier). 0, or -1 (ENOMEM). */
int report_note(struct report *r, const struct history_line *l);
/* how many recipients it is about, with that action; NOTIFY_NOTHING: with any */
size_t report_count(const struct report *r, enum notify_action a);
/* whether the last answer is told: of a mailbox or an alias it is not */
int report_tells_reply(const struct report_outcome *o);
/* whether the whole message comes back, else its header only (RFC 3461 4.3): only of what
 * failed, when the sender wants it and it is not larger than return_limit */
int report_returns_all(const struct report *r);
/* flags of its envelope (enum envelope_flag) */
unsigned int report_flags(const struct report *r);

/* appends the report up to the place where the returned message, or its header, goes. 0, or
 * -1 (ENOMEM). */
int report_begin(stralloc *out, const struct report *r);
/* appends what follows it */
int report_end(stralloc *out, const struct report *r);

/* r->outcome for n recipients: NULL (ENOMEM); and away with it */
struct report_outcome *report_outcomes(size_t n);
void report_outcomes_free(struct report_outcome *o, size_t n);

#endif
