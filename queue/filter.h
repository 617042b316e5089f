/* filter.h - which messages a queue command means: --state --sender --rcpt --domain --older
 *
 * Pure. Patterns come from an administrator, addresses from strangers; letter case is ignored
 * in both. */
#ifndef QUEUE_FILTER_H
#define QUEUE_FILTER_H

#include <stdint.h>

#include "queue/envelope.h"

/* the states as they are shown */
enum filter_state {
  FILTER_NEW = 1,
  FILTER_ACTIVE = 2,
  FILTER_DEFERRED = 4,
  FILTER_HOLD = 8
};
#define FILTER_ALL_STATES 15U

struct filter {
  unsigned int states; /* enum filter_state; 0: all */
  /* NULL: all. An address, "@domain", or a pattern with * and ?; "" or "<>": the null sender */
  const char *sender;
  const char *rcpt;   /* of a recipient that is not finished */
  const char *domain; /* of such a recipient; ".domain": beneath it */
  uint64_t older;     /* seconds since it was received, at least */
};

/* reads the value of --NAME: 0; -1: it is none, with *why; 1: there is no such option */
int filter_set(struct filter *f, const char *name, const char *value, const char **why);
/* whether it leaves anything out */
int filter_is_set(const struct filter *f);
/* whether it needs the envelope to tell */
int filter_needs_envelope(const struct filter *f);
int filter_takes_state(const struct filter *f, enum filter_state s);
int filter_takes(const struct filter *f, const struct envelope *e, uint64_t now);

/* the filter as options again, "--NAME=VALUE": calls option for each, until it returns non-zero;
 * that, or 0 */
int filter_options(const struct filter *f,
                   int (*option)(void *arg, const char *name, const char *value), void *arg);

/* "new", "active", "deferred", "hold" */
const char *filter_state_word(enum filter_state s);

#endif
