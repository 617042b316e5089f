/* tally.c - what the manager did in the last minute, the last hour, and since its start
 *
 * Runs in the manager. Counted by the clock that nobody sets. */
#include "queue/tally.h"

#include <string.h>

#include "queue/clock.h"

#define PARTS 60

/* the last PARTS seconds, or minutes, each at its number modulo PARTS */
struct window {
  uint64_t now; /* the number of the last one */
  uint64_t part[TALLIES][PARTS];
};

static struct window seconds, minutes;
static uint64_t total[TALLIES], start;

static const struct {
  const char *word, *what;
} rows[TALLIES] = {
#define TALLY(name, word, what) [TALLY_##name] = {word, what},
#include "queue/tally.def"
#undef TALLY
};

static void move_on(struct window *w, uint64_t now)
{
  if (now - w->now >= PARTS)
    w->now = now - PARTS;
  while (w->now < now) {
    w->now++;
    for (size_t t = 0; t < TALLIES; t++)
      w->part[t][w->now % PARTS] = 0;
  }
}

static void look_at_clock(void)
{
  uint64_t now = clock_steady();

  move_on(&seconds, now);
  move_on(&minutes, now / 60);
}

static uint64_t sum(const struct window *w, enum tally t)
{
  uint64_t n = 0;

  for (size_t i = 0; i < PARTS; i++)
    n += w->part[t][i];
  return n;
}

void tally_start(void)
{
  memset(&seconds, 0, sizeof seconds);
  memset(&minutes, 0, sizeof minutes);
  memset(total, 0, sizeof total);
  start = clock_steady();
  look_at_clock();
}

void tally_count(enum tally t, size_t n)
{
  look_at_clock();
  seconds.part[t][seconds.now % PARTS] += n;
  minutes.part[t][minutes.now % PARTS] += n;
  total[t] += n;
}

void tally_sums(enum tally t, struct tally_sums *s)
{
  look_at_clock();
  *s = (struct tally_sums){sum(&seconds, t), sum(&minutes, t), total[t]};
}

uint64_t tally_since(void)
{
  return clock_to_wall(start);
}

const char *tally_word(enum tally t)
{
  return rows[t].word;
}

const char *tally_what(enum tally t)
{
  return rows[t].what;
}
