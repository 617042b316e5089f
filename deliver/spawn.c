/* spawn.c - attempts for the manager: its wishes, and the way back to it
 *
 * Runs in heloise-deliver: user hldeliver. The manager is trusted. */
#include "deliver/spawn.h"

#include <errno.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/program.h"
#include "deliver/jobs.h"
#include "deliver/relay.h"
#include "deliver/stems.h"

#define STOP_WAIT 1200         /* ms for attempts to finish when asked to end */
#define RELAY_BOUND (64 << 20) /* bytes waiting for the manager; reports stop coming long before */
#define RELAY_HIGH (1 << 20)

static struct chan manager = {.fd = -1}, resolver = {.fd = -1};
static struct loop_timer stop_timer;
static int is_stopping, is_paused, is_over; /* over: only what was reported is still to be sent */

void relay_tell(const struct wire_out *o)
{
  if (chan_send(&manager, o, -1) != 0 && errno == EAGAIN)
    program_die("manager", "it takes no results");
  if (manager.queued > RELAY_HIGH && !is_paused) {
    manager.wants_room = 1;
    jobs_pause(is_paused = 1);
  }
}

/* ---- what the manager says */

static int on_attempt(struct wire_msg *m)
{
  static stralloc id, hop, ranges; /* bounds: 31 bytes, 512, 16 KB */
  struct job_wanted w = {.message = m->fd};
  uint64_t tries;

  if ((m->n > 5 && wire_get_num(m, 5, UINT64_MAX, &w.created) != 0) ||
      wire_get_num(m, 0, UINT64_MAX, &w.number) != 0 ||
      wire_get_text(m, 1, ENVELOPE_ID_MAX, &id) != 0 || wire_get_text(m, 2, 512, &hop) != 0 ||
      wire_get_num(m, 3, UINT32_MAX / 2, &tries) != 0 ||
      wire_get_text(m, 4, 16384, &ranges) != 0)
    return -1;
  w.id = id.s;
  w.nexthop = hop.s;
  w.ranges = ranges.s;
  w.tries = (unsigned int)tries;
  if (is_stopping)
    jobs_finished(w.number, "stopping", NULL, 0);
  else {
    m->fd = -1;
    jobs_start(&w);
  }
  return 0;
}

static int on_forget(const struct wire_msg *m)
{
  struct wire_out o;
  uint64_t number;
  int n;

  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    return -1;
  n = relay_forget(m->f[1].s, m->f[1].len);
  jobs_renew(); /* they were greeted as it was known */
  wire_start(&o, WIRE_FORGOTTEN);
  wire_num(&o, number);
  wire_num(&o, n < 0 ? 0 : (uint64_t)n);
  relay_tell(&o);
  return 0;
}

static int on_manager(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  *why = wire_name(m->type);
  return m->type == WIRE_ATTEMPT ? on_attempt(m) : on_forget(m);
}

/* the attempts of a manager that is gone are the next one's to repeat: at least once */
static void on_manager_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("manager", why);
  jobs_abandon();
  jobs_pause(is_paused = 0);
}

static void on_manager_drained(struct chan *c)
{
  (void)c;
  if (is_over)
    program_done();
  jobs_pause(is_paused = 0);
}

static const struct chan_ops manager_ops = {on_manager, on_manager_closed, on_manager_drained};

/* ---- the resolver only gets channels, it says nothing here */

static int on_resolver(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  *why = wire_name(m->type);
  return -1;
}

static void on_resolver_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_fault("resolve", why);
}

static const struct chan_ops resolver_ops = {on_resolver, on_resolver_closed, NULL};

/* a channel to the resolver for one attempt: our end, or -1 (the attempt will defer) */
static int ask(void)
{
  struct wire_out o;
  int pair[2];

  if (!chan_is_open(&resolver) || chan_pair(pair) != 0)
    return -1;
  wire_start(&o, WIRE_ASKER);
  if (chan_send(&resolver, &o, pair[1]) != 0) {
    close(pair[0]);
    pair[0] = -1;
  }
  close(pair[1]);
  return pair[0];
}

/* ---- for deliver.c */

int spawn_manager(int fd)
{
  if (chan_is_open(&manager))
    chan_close(&manager);
  jobs_abandon();
  jobs_pause(is_paused = 0);
  if (chan_open(&manager, fd, LINK_ATTEMPTS, WIRE_LOW, &manager_ops) != 0)
    return -1;
  manager.bound = RELAY_BOUND;
  return 0;
}

int spawn_resolver(int fd)
{
  if (chan_is_open(&resolver))
    chan_close(&resolver);
  jobs_ask = ask;
  jobs_renew();
  return chan_open(&resolver, fd, LINK_ASKERS, WIRE_HIGH, &resolver_ops);
}

int spawn_table(void)
{
  stems_table();
  jobs_renew();
  return 0;
}

static void stop_now(struct loop_timer *t)
{
  (void)t;
  program_done();
}

/* what they reported reaches the manager before */
static void end_when_told(void)
{
  is_over = manager.wants_room = 1;
  if (!manager.first)
    program_done();
}

void spawn_stop(void)
{
  is_stopping = 1;
  stop_timer.fire = stop_now;
  if (loop_timer_in(&stop_timer, STOP_WAIT) != 0)
    program_done();
  jobs_stop(end_when_told);
}
