/* concurrency.c - how many attempts may run at once to one destination: a window
 *
 * Pure. As TCP does it, where Postfix adds or subtracts one: the window doubles with each
 * round of successes up to half of what failed last, and from there grows by a half a round, so
 * that a peer which takes only so many connections is not overrun again and again. */
#include "queue/concurrency.h"

#define LEAST 3 /* failures in a row: fewer can be one message's bad luck */

void concurrency_start(struct concurrency *c, const struct concurrency_limits *l)
{
  *c = (struct concurrency){.window = l->first * CONCURRENCY_ONE, .calm = UINT32_MAX};
}

uint32_t concurrency_places(const struct concurrency *c)
{
  return c->window / CONCURRENCY_ONE;
}

static void grow(struct concurrency *c, const struct concurrency_limits *l)
{
  uint32_t most = l->most * CONCURRENCY_ONE;

  c->window += c->window < c->calm ? CONCURRENCY_ONE : CONCURRENCY_ONE * CONCURRENCY_ONE / c->window / 2;
  if (c->window > most)
    c->window = most;
}

void concurrency_took(struct concurrency *c, const struct concurrency_limits *l, uint32_t flying)
{
  c->failed = c->probes = 0;
  if (c->window == 0) { /* it is back: from small, but fast */
    c->window = 2 * CONCURRENCY_ONE;
    c->calm = UINT32_MAX;
  } else if (flying >= concurrency_places(c)) { /* what is not used proves nothing */
    grow(c, l);
  }
  if (c->window > l->most * CONCURRENCY_ONE)
    c->window = l->most * CONCURRENCY_ONE;
}

void concurrency_failed(struct concurrency *c, int is_probe)
{
  if (c->window == 0) {
    c->probes += is_probe != 0;
    return;
  }
  if (c->failed++ == 0)
    c->cohort = concurrency_places(c);
  c->calm = c->window / 2;
  c->window -= c->window > CONCURRENCY_ONE ? CONCURRENCY_ONE : 0;
  if (c->window < CONCURRENCY_ONE)
    c->window = CONCURRENCY_ONE;
  if (c->failed >= LEAST && c->failed >= c->cohort)
    c->window = 0;
}

uint32_t concurrency_probe_gap(const struct concurrency *c, uint32_t own)
{
  uint32_t gap = CONCURRENCY_PROBE_FIRST;

  for (uint32_t i = 0; i < c->probes && gap < CONCURRENCY_PROBE_LAST; i++)
    gap *= 2;
  if (gap > CONCURRENCY_PROBE_LAST)
    gap = CONCURRENCY_PROBE_LAST;
  return own < gap ? own : gap;
}
