/* rate.c - at most so many in any stretch of so long
 *
 * Pure, but for its memory. */
#include "queue/rate.h"

#include <stdlib.h>

int rate_set(struct rate *r, uint32_t n, uint64_t per_ms)
{
  uint64_t *at;

  if (r->n == n && r->per == per_ms)
    return 0;
  at = n ? calloc(n, sizeof *at) : NULL;
  if (n && !at)
    return -1;
  free(r->at);
  *r = (struct rate){.n = n, .per = per_ms, .at = at};
  return 0;
}

void rate_free(struct rate *r)
{
  free(r->at);
  *r = (struct rate){0};
}

uint64_t rate_wait(const struct rate *r, uint64_t now)
{
  uint64_t free_at;

  if (r->taken < r->n || r->n == 0)
    return 0;
  free_at = r->at[r->next] + r->per;
  return free_at > now ? free_at - now : 0;
}

void rate_take(struct rate *r, uint64_t now)
{
  if (r->n == 0)
    return;
  r->at[r->next] = now;
  r->next = (r->next + 1) % r->n;
  if (r->taken < r->n)
    r->taken++;
}

int rate_counts(const struct rate *r, uint64_t now)
{
  return r->taken > 0 && r->at[(r->next + r->n - 1) % r->n] + r->per > now;
}
