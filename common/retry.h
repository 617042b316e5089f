/* retry.h - the retry schedule: values of table `retry` and their arithmetic
 *
 * Pure. LADDER.md 6. Times are seconds; clocks are wall clock (epoch). */
#ifndef COMMON_RETRY_H
#define COMMON_RETRY_H

#include <stddef.h>
#include <stdint.h>

#include "common/table.h"

#define RETRY_LIST_MAX 32
#define RETRY_DEFAULT "parabola 20 cap 3h life 5d bouncelife 1d warn 4h jitter 12 greetsoft 4h"

enum retry_form { RETRY_PARABOLA, RETRY_EVERY, RETRY_LIST };

struct retry {
  enum retry_form form;
  uint64_t c, cap;                 /* parabola */
  uint64_t every;                  /* every */
  uint64_t list[RETRY_LIST_MAX];   /* list: gaps; the last one repeats */
  size_t list_len;
  uint64_t life, bouncelife, warn /* 0: none */, jitter /* percent */, greetsoft;
};

/* parses "parabola 20 cap 3h ...", "every 10m life 1d", "list 15m,30m,60m,240m life 2d";
 * gaps of every and list with their unit; words in any order, each at most once, missing ones as in RETRY_DEFAULT.
 * 0, or -1 with *why: what was expected. */
int retry_parse(const char *value, size_t len, struct retry *r, const char **why);
/* the schedule for a recipient domain (the domain itself, .suffix, *), RETRY_DEFAULT without one */
void retry_find(const struct table *t, const char *domain, size_t len, struct retry *r);

struct retry_message {
  uint64_t birth;
  uint64_t key;      /* hash of the queue id: the jitter's source */
  unsigned int tries; /* attempts so far, with the one that just failed */
  int has_null_sender, is_local;
};

/* the wall clock in whole seconds, rounded up: a gap counted from it is never short */
uint64_t retry_clock(void);
/* when the next attempt is due: an epoch time > now; the last one falls exactly on the end
 * of the message's life; 0 when its life is over. */
uint64_t retry_next(const struct retry *r, const struct retry_message *m, uint64_t now);
/* the longest gap it can give, jitter included */
uint64_t retry_longest(const struct retry *r);
/* of all schedules in force: the longest gap, and the shortest time after which a message must be
 * looked at: its life, that of a report, or until its sender is warned */
struct retry_bounds {
  uint64_t longest, look;
};
void retry_bounds(const struct table *t, struct retry_bounds *b);
/* when life ends: birth + life (or bouncelife) */
uint64_t retry_end(const struct retry *r, const struct retry_message *m);

#endif
