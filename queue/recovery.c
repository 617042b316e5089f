/* recovery.c - destinations that are down, and mail that waits outside
 *
 * Runs in the manager. What is known of a destination only ever moves mail to another time; a
 * message that is due to go back is tried once more, or goes back on the word of an attempt
 * made a moment ago. */
#include "queue/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/units.h"
#include "queue/clock.h"
#include "queue/line.h"
#include "queue/waiting.h"

#define RELEASED_AT_ONCE 20 /* of those held back by the host, when mail gets through */
#define RELEASED_MORE 2     /* for each that does from then on */
#define UNTRIED_AT_ONCE 5000
#define FRESH_MS 60000      /* an attempt so long ago still tells how things are */
#define WHY_MAX 300

static int is_down(const struct destination *d)
{
  return d->spawner == WORK_DELIVER && concurrency_places(&d->window) == 0;
}

static const char *why_of(const struct destination *d)
{
  return d->why.len > 0 ? d->why.s : "no answer";
}

static int is_busy(const struct destination *d)
{
  return d->flying > 0 || d->batches > 0;
}

int recovery_is_shut(uint32_t hop, enum lane_kind lane, int is_hurried)
{
  const struct destination *d = schedule_by_hop(hop);

  if (!d)
    return 0;
  if (is_down(d))
    return is_busy(d) || (!is_hurried && loop_now() < d->probe_at);
  return !is_hurried && schedule_room(&d->lane[lane]) == 0;
}

int recovery_is_down(uint32_t hop, const char **why, uint64_t *probe)
{
  const struct destination *d = schedule_by_hop(hop);
  uint64_t now = loop_now();

  if (!d || !is_down(d))
    return 0;
  *why = why_of(d);
  *probe = clock_wall() + 1 + (d->probe_at > now ? (d->probe_at - now) / 1000 : 0);
  return 1;
}

void recovery_park(uint32_t hop, uint32_t handle, uint32_t until)
{
  const struct destination *d = schedule_by_hop(hop);
  struct waiting *w = waiting_at(handle);

  if (d && is_down(d))
    w->is_backlog = 1;
  line_join(handle, hop, schedule_lane(handle) == LANE_NEW ? LINE_NEW : LINE_DUE);
  waiting_until(handle, until);
}

/* ---- calling */

static uint32_t older(uint32_t a, uint32_t b)
{
  if (a == WAITING_NONE || b == WAITING_NONE)
    return a == WAITING_NONE ? b : a;
  return memcmp(waiting_at(a)->id, waiting_at(b)->id, STORE_ID_LEN) < 0 ? a : b;
}

static void call_one(struct destination *d, uint32_t handle)
{
  struct waiting *w = waiting_at(handle);

  if (w->line == LINE_HELD) {
    w->is_released = 1;
    d->budget--;
  }
  line_leave(handle);
  waiting_until(handle, 0);
}

/* the next to be called into a lane; WAITING_NONE without */
static uint32_t next_called(const struct destination *d, enum lane_kind lane)
{
  if (lane == LANE_NEW)
    return line_first(d->hop, LINE_NEW);
  return older(line_first(d->hop, LINE_DUE),
               d->budget > 0 ? line_first(d->hop, LINE_HELD) : WAITING_NONE);
}

/* those called in this turn come in the next, and take room until then */
int recovery_call(struct destination *d)
{
  int has_more = 0;
  uint32_t h;

  if (d->spawner != WORK_DELIVER || is_down(d))
    return 0;
  if (d->called != schedule_turns())
    d->coming[LANE_NEW] = d->coming[LANE_AGAIN] = 0;
  d->called = schedule_turns();
  for (int lane = 0; lane < LANES; lane++) {
    size_t room = schedule_room(&d->lane[lane]);
    for (; d->coming[lane] < room && (h = next_called(d, (enum lane_kind)lane)) != WAITING_NONE;
         d->coming[lane]++)
      call_one(d, h);
    has_more |= room > 0 && next_called(d, (enum lane_kind)lane) != WAITING_NONE;
  }
  return has_more;
}

/* it is down: those that waited for room and were never tried are to hear why they wait */
static void call_untried(struct destination *d)
{
  uint32_t h;

  for (size_t n = UNTRIED_AT_ONCE; n > 0 && (h = line_first(d->hop, LINE_NEW)) != WAITING_NONE; n--)
    call_one(d, h);
}

/* one, unless those that were called before gave no job here, because table `routes` leads elsewhere
 * now: then as many again, or what waits would come one by one */
int recovery_probe(struct destination *d)
{
  size_t n = is_busy(d) ? 0 : d->strayed + 1, had = d->strayed;
  uint32_t h;

  for (; n > 0; n--, d->strayed++) {
    h = older(line_first(d->hop, LINE_DUE), line_first(d->hop, LINE_NEW));
    if (h == WAITING_NONE)
      break;
    call_one(d, h);
  }
  call_untried(d);
  return d->strayed > had;
}

void recovery_reroute(struct destination *d)
{
  if (!is_down(d))
    return;
  d->is_rerouted = is_busy(d);
  d->probe_at = loop_now();
  loop_timer_in(&d->wake, 0);
}

void recovery_mind(struct destination *d)
{
  uint64_t now = loop_now();

  if (is_down(d) && !is_busy(d) && d->wake.place == 0 && recovery_is_waited_for(d))
    loop_timer_in(&d->wake, d->probe_at > now + 1000 ? d->probe_at - now : 1000);
}

int recovery_is_waited_for(const struct destination *d)
{
  if (d->spawner != WORK_DELIVER)
    return 0;
  return line_first(d->hop, LINE_DUE) != WAITING_NONE ||
         line_first(d->hop, LINE_NEW) != WAITING_NONE ||
         (is_down(d) && line_first(d->hop, LINE_HELD) != WAITING_NONE);
}

/* ---- results */

/* "5m" */
static const char *duration(uint64_t seconds)
{
  static stralloc text[2];
  static unsigned int turn;
  stralloc *t = &text[turn++ % 2];

  return stralloc_copys(t, "") && units_format_duration(t, seconds) == 0 && stralloc_0(t) ? t->s : "";
}

void recovery_took(struct destination *d)
{
  struct concurrency_limits limits = schedule_limits();
  int was_down = is_down(d);

  concurrency_took(&d->window, &limits, (uint32_t)d->flying);
  if (was_down) {
    log_up(d->nexthop, duration((loop_now() - d->down_since) / 1000));
    loop_timer_stop(&d->wake);
  }
  if (line_first(d->hop, LINE_HELD) == WAITING_NONE) {
    d->is_releasing = 0;
    d->budget = 0;
  } else {
    d->budget += d->is_releasing ? RELEASED_MORE : RELEASED_AT_ONCE;
    d->is_releasing = 1;
  }
}

/* the next probe: after a growing gap, but not after the message of the last one is due again */
static void plan_probe(struct destination *d, const struct job *j)
{
  uint64_t now = clock_wall(), own = j->until > now ? j->until - now : 0;
  uint64_t gap = concurrency_probe_gap(&d->window, own < UINT32_MAX && own ? (uint32_t)own : UINT32_MAX);

  if (d->is_rerouted) /* meanwhile */
    gap = 1;
  d->is_rerouted = 0;
  d->probe_at = loop_now() + gap * 1000;
  loop_timer_in(&d->wake, gap * 1000);
}

void recovery_failed(struct destination *d, const struct job *j)
{
  int was_down = is_down(d);
  stralloc at = {0};

  d->failed_at = loop_now();
  if (!stralloc_copyb(&d->why, j->why, strnlen(j->why, WHY_MAX)) || !stralloc_0(&d->why))
    d->why.len = 0;
  concurrency_failed(&d->window, j->is_probe);
  d->budget = 0;
  if (!is_down(d) || (was_down && !j->is_probe))
    return;
  plan_probe(d, j);
  if (was_down)
    return;
  d->down_since = loop_now();
  d->is_releasing = 0;
  if (units_format_time(&at, clock_wall() + (d->probe_at - loop_now()) / 1000) == 0 && stralloc_0(&at))
    log_down(d->nexthop, why_of(d), at.s);
  free(at.s);
  schedule_dismiss(d);
  call_untried(d);
}

/* a probe that this host spoiled proves nothing: the next one after the same gap. One that was never
 * begun is made up for at once. */
void recovery_unknown(struct destination *d, const struct job *j)
{
  if (is_down(d) && j->is_probe && j->until != 0)
    plan_probe(d, j);
}

enum recovery_last recovery_last_word(uint32_t hop, const char **why)
{
  const struct destination *d = schedule_by_hop(hop);

  if (!d || !is_down(d))
    return RECOVERY_TRY;
  if (is_busy(d))
    return RECOVERY_WAIT;
  *why = why_of(d);
  return loop_now() - d->failed_at <= FRESH_MS ? RECOVERY_EXPIRE : RECOVERY_TRY;
}

/* ---- for people */

void recovery_explain(const char *nexthop, char text[RECOVERY_TEXT])
{
  struct destination *d = schedule_by_hop(store_hop_hash(nexthop, strlen(nexthop)));
  uint64_t now = loop_now(), wait;

  text[0] = 0;
  if (!d || strcmp(d->nexthop, nexthop) != 0)
    return;
  if (is_down(d)) {
    snprintf(text, RECOVERY_TEXT,
             "Its next hop is down since %s (%s): mail for it waits behind one probe, %s%s. When it "
             "answers, the oldest goes first.",
             duration((now - d->down_since) / 1000), why_of(d),
             d->flying ? "which is under way" : now >= d->probe_at ? "which is made when a message is due" : "which comes in ",
             d->flying || now >= d->probe_at ? "" : duration((d->probe_at - now + 999) / 1000));
    return;
  }
  wait = schedule_rate_wait(d);
  if (wait > 0)
    snprintf(text, RECOVERY_TEXT,
             "Table peers allows %u message%s in %s to its next hop: the next one may go in %s.",
             d->rate.n, d->rate.n == 1 ? "" : "s", duration(d->rate.per / 1000),
             duration((wait + 999) / 1000));
  else if (d->conns && d->flying >= d->conns)
    snprintf(text, RECOVERY_TEXT,
             "Table peers allows %u connection%s at once to its next hop, and %s in use.", d->conns,
             d->conns == 1 ? "" : "s", d->conns == 1 ? "it is" : "all are");
}
