/* concurrency.h - how many attempts may run at once to one destination: a window
 *
 * Pure. The window grows with every attempt that a host took up, and shrinks with every one
 * that found no host: refused, silent, hung up. What a host says about a sender, a message or
 * a recipient is no failure of the host. When so many attempts in a row failed as the window
 * has places, the destination is down, and is probed by one attempt at growing gaps. */
#ifndef QUEUE_CONCURRENCY_H
#define QUEUE_CONCURRENCY_H

#include <stdint.h>

#define CONCURRENCY_ONE 1000 /* the window's unit: thousandths of an attempt */
#define CONCURRENCY_PROBE_FIRST 60 /* seconds */
#define CONCURRENCY_PROBE_LAST 3600

struct concurrency_limits {
  uint32_t first, most; /* attempts; first <= most, both at least 1 */
};

struct concurrency {
  uint32_t window; /* 0: down */
  uint32_t calm;   /* up to here it grows fast: half of what failed last */
  uint32_t failed, cohort; /* in a row, and the places there were when the row began */
  uint32_t probes; /* that failed since it is down */
};

void concurrency_start(struct concurrency *c, const struct concurrency_limits *l);
/* attempts that may run at once; 0: down */
uint32_t concurrency_places(const struct concurrency *c);
/* an attempt has ended that a host took up; flying: those that ran, with it */
void concurrency_took(struct concurrency *c, const struct concurrency_limits *l, uint32_t flying);
/* one has ended that found no host. A straggler that was started before the destination was
 * down is no probe. */
void concurrency_failed(struct concurrency *c, int is_probe);
/* seconds until the next probe; own: the gap after which the message of the last one is due */
uint32_t concurrency_probe_gap(const struct concurrency *c, uint32_t own);

#endif
