/* clock.c - the wall clock, and what its steps are worth
 *
 * Runs in the manager. */
#include "queue/clock.h"

#include <stdlib.h>
#include <time.h>

#define STEP 1000 /* ms: less is no step */

static struct {
  int is_running;
  int64_t wall, ahead; /* ms; of the clock that nobody sets */
  int64_t total;       /* ms: all steps */
  int64_t *sum;        /* of the first i+1 steps; bound: 65535 */
  uint16_t steps;
} clk;

/* past 65535 steps, or without memory, a step counts as part of the one before */
static void note(int64_t step)
{
  int64_t *more = NULL;

  clk.total += step;
  if (clk.steps < UINT16_MAX)
    more = reallocarray(clk.sum, clk.steps + 1U, sizeof *more);
  if (more) {
    clk.sum = more;
    clk.steps++;
  }
  if (clk.steps)
    clk.sum[clk.steps - 1] = clk.total;
}

int64_t clock_feed(int64_t wall_ms, int64_t boot_ms)
{
  int64_t ahead = wall_ms - boot_ms, step = clk.is_running ? ahead - clk.ahead : 0;

  clk.is_running = 1;
  clk.wall = wall_ms;
  clk.ahead = ahead;
  if (step > -STEP && step < STEP)
    return 0;
  note(step);
  return step;
}

static int64_t read_clock(clockid_t id)
{
  struct timespec t;

  clock_gettime(id, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_look(void)
{
  return clock_feed(read_clock(CLOCK_REALTIME), read_clock(CLOCK_BOOTTIME));
}

static uint64_t seconds(int64_t ms)
{
  return ms > 0 ? (uint64_t)ms / 1000 : 0;
}

uint64_t clock_wall(void)
{
  return seconds(clk.wall);
}

uint64_t clock_steady_ms(void)
{
  return clk.wall > clk.total ? (uint64_t)(clk.wall - clk.total) : 0;
}

uint64_t clock_steady(void)
{
  return clock_steady_ms() / 1000;
}

/* rounded up: what is counted from it is never short */
uint64_t clock_to_steady(uint64_t wall)
{
  int64_t ms = (int64_t)wall * 1000 - clk.total;

  return seconds(ms > 0 ? ms + 999 : 0);
}

uint64_t clock_to_wall(uint64_t steady)
{
  return seconds((int64_t)steady * 1000 + clk.total);
}

uint16_t clock_steps(void)
{
  return clk.steps;
}

int64_t clock_skew(uint16_t steps)
{
  int64_t ms = clk.total - (steps ? clk.sum[steps - 1] : 0);

  return ms / 1000;
}
