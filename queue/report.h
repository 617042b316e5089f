/* report.h - the text of a failure report (RFC 3461, 3462, 3464)
 *
 * Pure. Addresses, replies and names in it come from clients and peers: what is put into
 * header and report fields is one line of printable ASCII each. The text is in wire form. */
#ifndef QUEUE_REPORT_H
#define QUEUE_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "queue/envelope.h"
#include "queue/history.h"
#include "queue/story.h"

#define REPORT_ATTEMPTS 10 /* are told at most: the first and the last ones */
#define REPORT_FULL_MAX 51200 /* a longer message comes back as its header, unless RET=FULL */

/* the last thing that happened to a recipient; NULL: nothing is known */
struct report_outcome {
  char *status, *host, *reply; /* plain text */
  uint64_t time;
};

struct report {
  const struct envelope *e;
  struct report_outcome *outcome; /* one per recipient */
  const char *hostname, *to, *boundary /* unique in the message */;
  const struct story *story; /* the attempts; NULL: they are not told */
  uint64_t now;
  int is_double; /* the failed message was a report itself, or had no sender */
};

/* whether recipient i has failed and its sender is to be told */
int report_is_wanted(const struct envelope *e, size_t i);
/* takes a line of the history: outcomes (later ones replace earlier). 0, or -1 (ENOMEM). */
int report_note(struct report *r, const struct history_line *l);
/* whether the whole message comes back, else its header only */
int report_returns_all(const struct envelope *e);

/* appends the report up to the place where the returned message, or its header, goes. 0, or
 * -1 (ENOMEM). */
int report_begin(stralloc *out, const struct report *r);
/* appends what follows it */
int report_end(stralloc *out, const struct report *r);

/* r->outcome for n recipients: NULL (ENOMEM); and away with it */
struct report_outcome *report_outcomes(size_t n);
void report_outcomes_free(struct report_outcome *o, size_t n);

#endif
