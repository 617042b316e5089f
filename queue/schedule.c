/* schedule.c - whose turn it is: destinations, and the recipients that wait there
 *
 * Runs in the manager. Of a destination's jobs as many fly at once as its window allows
 * (concurrency.h), and as table `peers` does. */
#include "queue/schedule.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "common/log.h"
#include "common/peerwords.h"
#include "common/program.h"
#include "common/route.h"
#include "common/settings.h"
#include "queue/due.h"
#include "queue/recovery.h"
#include "queue/waiting.h"

#define CHAINS 16384   /* a power of two up to 2^31 */
#define CROWD 4        /* times destination-attempts: no more messages are taken up for it */
#define LONG_CROWD 16  /* the same, with those that had a turn: long lists */
#define LOCAL_EACH 4   /* deliveries at once to one local address */
#define UNPROVEN_EACH 1
#define IDLE_MS 300000 /* then a destination is forgotten */
#define SWEEP_MS 60000
#define NEXT_TURN_MS 1

/* a destination that has not shown that it takes mail waits longer for mail that was tried
 * before: its attempts may take three quarters of all places, so that new mail always has some */
enum round { ROUND_NEW, ROUND_AGAIN, ROUND_DOUBTFUL, ROUNDS };

static struct fleet {
  const uint64_t *limit; /* of jobs that fly at once */
  size_t flying, doubtful;
  int is_tight; /* half of its places were taken: some destinations were held to few */
  enum round turn;
  struct {
    struct lane *first, *last;
  } round[ROUNDS];
} fleet[WORK_SPAWNERS] = {
  [WORK_DELIVER] = {.limit = &settings.queue_attempts},
  [WORK_LOCAL] = {.limit = &settings.local_attempts},
};

static struct destination *by_name[CHAINS];
static struct loop_timer sweeper;
static unsigned int tables, turns;

/* ---- destinations */

struct concurrency_limits schedule_limits(void)
{
  uint64_t most = settings.destination_attempts, first = settings.destination_attempts_initial;

  return (struct concurrency_limits){(uint32_t)(first < most ? first : most), (uint32_t)most};
}

static struct destination **chain_of(uint64_t key)
{
  return &by_name[(key >> 1) % CHAINS];
}

struct destination *schedule_by_hop(uint32_t hop)
{
  struct destination *d = *chain_of(hop);

  while (d && (d->hop != hop || d->spawner != WORK_DELIVER))
    d = d->chain;
  return d;
}

static void on_wake(struct loop_timer *t)
{
  struct destination *d = (struct destination *)((char *)t - offsetof(struct destination, wake));

  if (concurrency_places(&d->window) == 0 && recovery_probe(d))
    recovery_mind(d); /* should they go elsewhere, the next ones' turn comes soon */
  schedule_ready(d);
  if (recovery_call(d))
    loop_timer_in(&d->wake, NEXT_TURN_MS);
}

static void on_sweep(struct loop_timer *t);

static struct destination *destination(const char *nexthop, enum work_spawner s, uint64_t key)
{
  struct destination **p = chain_of(key), *d;
  struct concurrency_limits limits = schedule_limits();
  size_t len = strlen(nexthop);

  for (; *p; p = &(*p)->chain)
    if ((*p)->key == key && (*p)->spawner == s)
      return *p;
  d = calloc(1, sizeof *d + len + 1);
  if (!d)
    return NULL;
  memcpy(d->nexthop, nexthop, len);
  d->key = key;
  d->hop = s == WORK_DELIVER ? store_hop_hash(nexthop, len) : 0;
  d->spawner = s;
  d->wake.fire = on_wake;
  d->tables = tables - 1;
  concurrency_start(&d->window, &limits);
  for (size_t i = 0; i < LANES; i++)
    d->lane[i].to = d;
  *p = d;
  sweeper.fire = on_sweep;
  if (sweeper.place == 0)
    loop_timer_in(&sweeper, SWEEP_MS);
  return d;
}

/* ---- table peers */

/* the limits for a next hop: by its host name or domain, or by its address where it is one */
static void look_up(struct destination *d)
{
  struct peerwords w = {0};
  struct nexthop hop;
  struct ip ip;

  if (d->tables == tables || d->spawner != WORK_DELIVER)
    return;
  d->tables = tables;
  if (nexthop_parse(d->nexthop, strlen(d->nexthop), &hop) == 0) {
    if (ip_parse(hop.host, strlen(hop.host), &ip) == 0)
      peerwords_find(program_table(), &ip, hop.port ? hop.port : (uint16_t)settings.smtp_port, "", &w);
    else
      peerwords_find_name(program_table(), hop.host, &w);
  }
  d->conns = w.conns;
  if (rate_set(&d->rate, w.rate, w.rate_ms) != 0)
    log_failed("queue", d->nexthop, "out of memory; its rate is not limited");
}

uint64_t schedule_rate_wait(struct destination *d)
{
  look_up(d);
  return rate_wait(&d->rate, loop_now());
}

unsigned int schedule_turns(void)
{
  return turns;
}

/* ---- forgetting */

static int is_idle(const struct destination *d)
{
  return d->flying == 0 && d->batches == 0 && !d->lane[LANE_NEW].is_ready &&
         !d->lane[LANE_AGAIN].is_ready;
}

static void forget(struct destination *d)
{
  struct destination **p = chain_of(d->key);

  while (*p != d)
    p = &(*p)->chain;
  *p = d->chain;
  loop_timer_stop(&d->wake);
  rate_free(&d->rate);
  free(d->why.s);
  free(d);
}

/* what was learned of a destination is kept for a while; of most there is nothing */
static void rest(struct destination *d)
{
  struct concurrency_limits l = schedule_limits();

  if (!is_idle(d))
    return;
  recovery_mind(d);
  d->idle_since = loop_now();
  if (d->window.window == l.first * CONCURRENCY_ONE && d->window.failed == 0 && d->rate.n == 0 &&
      !recovery_is_waited_for(d))
    forget(d);
}

/* also the time to call those that were overlooked: what was called before may have left the queue */
static void on_sweep(struct loop_timer *t)
{
  uint64_t now = loop_now();
  size_t left = 0;

  for (size_t i = 0; i < CHAINS; i++)
    for (struct destination *d = by_name[i], *next; d; d = next) {
      next = d->chain;
      recovery_call(d);
      recovery_mind(d);
      if (is_idle(d) && d->idle_since + IDLE_MS <= now && !rate_counts(&d->rate, now) &&
          !recovery_is_waited_for(d))
        forget(d);
      else
        left++;
    }
  if (left > 0)
    loop_timer_in(t, SWEEP_MS);
}

/* ---- places */

/* while half of all places are taken, destinations that have not shown that they take mail get
 * few, so that slow ones cannot take all */
static size_t places(struct destination *d)
{
  const struct fleet *f = &fleet[d->spawner];
  size_t n = concurrency_places(&d->window);

  if (d->spawner == WORK_LOCAL)
    return LOCAL_EACH;
  look_up(d);
  if (n == 0)
    return 1; /* down: what is here was let in as a probe */
  if (f->flying * 2 >= *f->limit && !d->is_proven)
    n = UNPROVEN_EACH;
  return d->conns && d->conns < n ? d->conns : n;
}

static int may_start(struct destination *d)
{
  uint64_t wait;

  if (d->batches == 0 || d->flying >= places(d))
    return 0;
  wait = rate_wait(&d->rate, loop_now());
  if (wait > 0)
    loop_timer_in(&d->wake, wait);
  return wait == 0;
}

static void stand(struct lane *l, enum round r)
{
  struct fleet *f = &fleet[l->to->spawner];

  l->is_ready = 1;
  l->next_ready = NULL;
  if (f->round[r].first)
    f->round[r].last->next_ready = l;
  else
    f->round[r].first = l;
  f->round[r].last = l;
}

void schedule_ready(struct destination *d)
{
  if (!may_start(d))
    return;
  if (d->lane[LANE_NEW].first && !d->lane[LANE_NEW].is_ready)
    stand(&d->lane[LANE_NEW], ROUND_NEW);
  if (d->lane[LANE_AGAIN].first && !d->lane[LANE_AGAIN].is_ready)
    stand(&d->lane[LANE_AGAIN], d->is_proven ? ROUND_AGAIN : ROUND_DOUBTFUL);
}

/* what was held up may not be any more */
static void ready_all(const struct fleet *f)
{
  for (size_t i = 0; i < CHAINS; i++)
    for (struct destination *d = by_name[i]; d; d = d->chain)
      if (!f || &fleet[d->spawner] == f)
        schedule_ready(d);
}

/* ---- batches */

enum lane_kind schedule_lane(uint32_t handle)
{
  const struct waiting *w = waiting_at(handle);

  return (w->state == STORE_NEW || w->state == STORE_FLIGHT) && !w->is_backlog ? LANE_NEW : LANE_AGAIN;
}

size_t schedule_room(const struct lane *l)
{
  uint64_t most = settings.destination_attempts;

  return l->fresh < CROWD * most && l->batches < LONG_CROWD * most ? CROWD * most - l->fresh : 0;
}

static void append(struct lane *l, struct batch *b)
{
  l->to->batches++;
  l->batches++;
  l->fresh += !b->has_begun;
  b->lane = l;
  b->next = NULL;
  b->prev = l->first ? l->last : NULL;
  if (b->prev)
    b->prev->next = b;
  else
    l->first = b;
  l->last = b;
}

static void take_out(struct batch *b)
{
  struct lane *l = b->lane;

  *(b->prev ? &b->prev->next : &l->first) = b->next;
  *(b->next ? &b->next->prev : &l->last) = b->prev;
  l->to->batches--;
  l->batches--;
  l->fresh -= !b->has_begun;
}

static void join_work(struct batch *b, struct work *w)
{
  b->work = w;
  b->sibling_before = NULL;
  b->sibling = w->waits;
  if (w->waits)
    w->waits->sibling_before = b;
  w->waits = b;
}

static void leave_work(struct batch *b)
{
  *(b->sibling_before ? &b->sibling_before->sibling : &b->work->waits) = b->sibling;
  if (b->sibling)
    b->sibling->sibling_before = b->sibling_before;
}

int schedule_add(struct work *w, const struct batch *b, const char *nexthop, enum work_spawner s,
                 uint64_t key)
{
  struct destination *d = destination(nexthop, s, key);
  struct batch *copy = d ? malloc(sizeof *copy) : NULL;

  if (!copy) {
    if (d)
      rest(d);
    return -1;
  }
  *copy = *b;
  copy->has_begun = 0;
  join_work(copy, w);
  w->batches++;
  append(&d->lane[w->is_again ? LANE_AGAIN : LANE_NEW], copy);
  schedule_ready(d);
  return 0;
}

/* batches leave whose recipients go elsewhere now, and what waits for their room is called */
static void reroute(struct destination *d)
{
  size_t before = d->batches;

  recovery_reroute(d);
  for (size_t i = 0; d->spawner == WORK_DELIVER && i < LANES; i++)
    for (struct batch *b = d->lane[i].first, *next; b; b = next) {
      next = b->next;
      if (!due_is_elsewhere(b->work, b, d->nexthop))
        continue;
      take_out(b);
      leave_work(b);
      work_reroute(b->work);
      free(b);
    }
  if (d->batches < before)
    loop_timer_in(&d->wake, 0);
}

void schedule_tables(void)
{
  tables++;
  ready_all(NULL);
  for (size_t i = 0; i < CHAINS; i++)
    for (struct destination *d = by_name[i]; d; d = d->chain)
      reroute(d);
}

void schedule_dismiss(struct destination *d)
{
  for (size_t i = 0; i < LANES; i++)
    while (d->lane[i].first) {
      struct batch *b = d->lane[i].first;
      take_out(b);
      leave_work(b);
      work_shut_out(b->work, b, d);
      free(b);
    }
}

void schedule_withdraw(struct work *w)
{
  struct batch *b;

  while ((b = w->waits)) {
    struct destination *d = b->lane->to;
    take_out(b);
    leave_work(b);
    w->batches--;
    free(b);
    recovery_call(d); /* there is room for others */
    schedule_ready(d);
    rest(d);
  }
}

/* ---- the next job */

/* the lane whose turn it is. Destinations that may not be sent to drop out of their round */
static struct lane *next_lane(struct fleet *f)
{
  for (size_t tried = 0; tried < ROUNDS;) {
    enum round r = f->turn;
    struct lane *l = f->round[r].first;
    if (!l || (r == ROUND_DOUBTFUL && f->doubtful * 4 >= *f->limit * 3)) {
      f->turn = (r + 1) % ROUNDS;
      tried++;
      continue;
    }
    f->round[r].first = l->next_ready;
    l->is_ready = 0;
    if (!l->first || !may_start(l->to)) {
      rest(l->to);
      continue;
    }
    f->turn = (r + 1) % ROUNDS;
    return l;
  }
  return NULL;
}

/* a job of the first batch of l, which then goes to the end; NULL: it gave none */
static struct job *cut(struct lane *l)
{
  struct destination *d = l->to;
  struct batch *b = l->first;
  struct work *w = b->work;
  struct job *j = due_job(w, b, d->spawner == WORK_LOCAL ? 1 : settings.attempt_recipients);

  take_out(b);
  if (j && b->n > 0) {
    b->has_begun = 1;
    append(l, b);
  } else {
    leave_work(b);
    free(b);
    work_batch_over(w); /* it may be gone afterwards, when it gave no job */
  }
  return j;
}

static void fly(struct destination *d, struct job *j)
{
  struct fleet *f = &fleet[d->spawner];

  j->to = d;
  j->is_probe = d->spawner == WORK_DELIVER && concurrency_places(&d->window) == 0;
  j->is_doubtful = !d->is_proven && j->attempt > 1;
  d->strayed = 0;
  d->flying++;
  f->flying++;
  f->doubtful += (size_t)j->is_doubtful;
  f->is_tight |= f->flying * 2 >= *f->limit;
  rate_take(&d->rate, loop_now());
}

struct job *schedule_next(enum work_spawner s)
{
  struct fleet *f = &fleet[s];
  struct lane *l;

  while (f->flying < *f->limit && (l = next_lane(f))) {
    struct destination *d = l->to;
    struct job *j = cut(l);
    if (j)
      fly(d, j);
    recovery_call(d);
    schedule_ready(d);
    if (j)
      return j;
    rest(d);
  }
  return NULL;
}

void schedule_judge(const struct job *j)
{
  struct destination *d = j->to;

  if (d->spawner != WORK_DELIVER)
    return;
  if (j->answers > 0)
    recovery_took(d);
  else if (j->unreached > 0)
    recovery_failed(d, j);
  else
    recovery_unknown(d, j);
}

void schedule_landed(struct destination *d, int is_doubtful)
{
  struct fleet *f = &fleet[d->spawner];

  d->flying--;
  f->flying--;
  f->doubtful -= (size_t)is_doubtful;
  recovery_call(d);
  schedule_ready(d);
  rest(d);
}

/* those that were held to few places may have more now */
void schedule_turn(void)
{
  turns++;
  for (size_t s = 0; s < WORK_SPAWNERS; s++) {
    struct fleet *f = &fleet[s];
    if (!f->is_tight || f->flying * 2 >= *f->limit)
      continue;
    f->is_tight = 0;
    ready_all(f);
  }
}
