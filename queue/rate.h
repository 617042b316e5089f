/* rate.h - at most so many in any stretch of so long
 *
 * Pure, but for its memory. Exact: no stretch of that length, wherever it begins, sees more. */
#ifndef QUEUE_RATE_H
#define QUEUE_RATE_H

#include <stddef.h>
#include <stdint.h>

/* zeroes: no limit */
struct rate {
  uint32_t n;
  uint64_t per;      /* ms */
  uint64_t *at;      /* when the last n were, a ring; bound: n, 8 bytes each */
  size_t taken;      /* so many of them there were, up to n */
  size_t next;       /* the oldest, to be replaced */
};

/* a new limit (n 0: none); what was taken under the same limit still counts. 0, or -1 (ENOMEM). */
int rate_set(struct rate *r, uint32_t n, uint64_t per_ms);
void rate_free(struct rate *r);
/* ms until one more is allowed; 0: now. Times are monotonic ms. */
uint64_t rate_wait(const struct rate *r, uint64_t now);
void rate_take(struct rate *r, uint64_t now);
/* whether some were taken of late: it must not be forgotten yet */
int rate_counts(const struct rate *r, uint64_t now);

#endif
