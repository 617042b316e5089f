/* jobs.c - the attempts that fly, and the connections that are kept
 *
 * Runs in heloise-deliver: user hldeliver. Attempts have talked to strangers and are not trusted:
 * a process is known by the descriptor its maker got for it (pidfd), which names a child of ours or
 * nothing, so that none can pass another off as its own. */
#include "deliver/jobs.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"
#include "deliver/relay.h"
#include "deliver/stems.h"

#define BIRTHS 10         /* how often a process is asked for when none comes */
#define BIRTH_AGAIN 500   /* ms until then */
#define GOING 60000       /* ms: from LEAVE to SIGKILL; QUIT is one of the shorter waits */

int (*jobs_ask)(void);

static struct job *all, *unused;
static size_t count, kept;
static unsigned int age;
static void (*on_done)(void);
static int is_paused;

static const struct chan_ops report_ops;

/* ---- the list. A job's memory is used again, never freed: its channel may still be on the stack */

static void link_job(struct job **list, struct job *j)
{
  j->next = *list;
  if (j->next)
    j->next->self = &j->next;
  j->self = list;
  *list = j;
}

static void unlink_job(struct job *j)
{
  *j->self = j->next;
  if (j->next)
    j->next->self = j->self;
}

static struct job *new_job(void)
{
  struct job *j = unused;

  if (j)
    unlink_job(j);
  else if (!(j = calloc(1, sizeof *j)))
    return NULL;
  *j = (struct job){.report = {.fd = -1}, .process = -1, .before = -1, .message = -1,
                    .ranges = j->ranges};
  link_job(&all, j);
  count++;
  return j;
}

static void drop_message(struct job *j)
{
  if (j->message >= 0)
    close(j->message);
  j->message = -1;
}

static void set_state(struct job *j, enum job_state state)
{
  kept += (state == JOB_STAYS) - (j->state == JOB_STAYS);
  j->state = state;
}

/* its process is gone */
static void over(struct job *j)
{
  set_state(j, JOB_ENDS);
  loop_timer_stop(&j->timer);
  drop_message(j);
  unlink_job(j);
  link_job(&unused, j);
  count--;
  if (on_done && count == 0)
    on_done();
}

/* ---- processes */

static void kill_process(int process)
{
  if (process >= 0)
    syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
}

/* kills what is left of it and waits: how it ended, as of waitpid(); 0 when it is no child of ours */
static int reap(int *process)
{
  siginfo_t how = {0};

  if (*process < 0)
    return 0;
  if (waitid((idtype_t)P_PIDFD, (id_t)*process, &how, WEXITED | WNOHANG) == 0 && how.si_pid == 0) {
    kill_process(*process);
    while (waitid((idtype_t)P_PIDFD, (id_t)*process, &how, WEXITED) != 0 && errno == EINTR)
      ;
  }
  close(*process);
  *process = -1;
  return how.si_code == CLD_EXITED ? how.si_status << 8 : how.si_status & 0x7f;
}

/* the one before has said BORN and left; an end by a signal is one all the same */
static void reap_before(struct job *j)
{
  int status = j->before >= 0 ? reap(&j->before) : 0;

  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
    stems_renew();
}

/* ---- to the manager */

void jobs_finished(uint64_t number, const char *outcome, const struct wire_msg *m, size_t from)
{
  struct wire_out o;

  wire_start(&o, WIRE_FINISHED);
  wire_num(&o, number);
  wire_str(&o, outcome);
  for (size_t i = from; m && i < m->n; i++)
    wire_bytes(&o, m->f[i].s, m->f[i].len);
  relay_tell(&o);
}

/* ---- from UNBORN to RUNS */

static void ask_to_leave(struct job *j);
static void on_timer(struct loop_timer *t);

static void set_timer(struct job *j, uint64_t ms)
{
  j->timer.fire = on_timer;
  loop_timer_in(&j->timer, ms);
}

static int is_address_hop(const char *nexthop)
{
  struct nexthop hop;
  struct ip ip;

  return nexthop_parse(nexthop, strlen(nexthop), &hop) == 0 && hop.kind == HOP_HOST &&
         ip_parse(hop.host, strlen(hop.host), &ip) == 0;
}

static void doom(struct job *j);

/* an end that is gone is told by the loop; anything else is a fault of ours. 0, or -1 */
static int hand(struct job *j, const struct wire_out *o, int fd)
{
  if (chan_send(&j->report, o, fd) == 0 || errno == EPIPE || errno == ECONNRESET)
    return 0;
  log_failed("deliver", wire_name(o->type), strerror(errno));
  return -1;
}

static void hand_job(struct job *j)
{
  struct wire_out o;

  wire_start(&o, WIRE_JOB);
  wire_str(&o, j->id);
  wire_str(&o, j->nexthop);
  wire_num(&o, j->tries);
  wire_bytes(&o, j->ranges.s, j->ranges.len);
  wire_num(&o, j->created);
  set_state(j, JOB_RUNS);
  if (hand(j, &o, j->message) == 0)
    return;
  jobs_finished(j->number, "no attempt could be started", NULL, 0);
  doom(j);
}

static void hand_answers(struct job *j)
{
  struct wire_out o;
  int ask = is_address_hop(j->nexthop) ? -1 : jobs_ask();

  if (ask < 0)
    return;
  wire_start(&o, WIRE_ANSWERS);
  hand(j, &o, ask);
  close(ask);
}

static void fail(struct job *j)
{
  log_failed("deliver", "start an attempt", strerror(errno));
  jobs_finished(j->number, "no attempt could be started", NULL, 0);
  over(j);
}

/* asks the stem for a process */
static void conceive(struct job *j)
{
  int pair[2];

  set_state(j, JOB_UNBORN);
  set_timer(j, BIRTH_AGAIN);
  j->is_expected = 1;
  j->age = age;
  errno = EAGAIN;
  if (j->births++ == BIRTHS || chan_pair(pair) != 0) {
    fail(j);
    return;
  }
  j->stem = stems_birth(pair[1]);
  if (j->stem == 0) {
    close(pair[0]);
    close(pair[1]);
    return;
  }
  close(pair[1]);
  set_timer(j, settings.attempt_time_limit);
  if (chan_open(&j->report, pair[0], LINK_REPORT, WIRE_HIGH, &report_ops) != 0)
    fail(j);
  else if (is_paused)
    chan_pause(&j->report);
}

void jobs_stem_gone(unsigned int stem)
{
  for (struct job *j = all, *next_one; j; j = next_one) {
    next_one = j->next;
    if (j->state != JOB_UNBORN || j->stem != stem || !chan_is_open(&j->report))
      continue;
    chan_close(&j->report); /* should there be a child that nobody has told of, it ends */
    conceive(j);
  }
}

static int on_born(struct job *j, struct wire_msg *m)
{
  int process = m->fd;

  if (!j->is_expected)
    return -1;
  m->fd = -1;
  j->is_expected = 0;
  reap_before(j);
  j->before = j->process;
  j->process = process;
  if (j->state == JOB_DOOMED) {
    kill_process(process);
    return 0;
  }
  if (j->state == JOB_UNBORN) {
    hand_answers(j);
    hand_job(j);
  }
  drop_message(j);
  return 0;
}

/* ---- connections that are kept */

static int is_near(const struct job *a, const struct job *b)
{
  return strcmp(a->nexthop, b->nexthop) == 0 || strcmp(a->peer, b->peer) == 0;
}

/* the one that was kept last, so that those which are too many get old */
static struct job *find_kept(const char *nexthop)
{
  struct job *found = NULL;

  if (kept == 0)
    return NULL;
  for (struct job *j = all; j; j = j->next)
    if (j->state == JOB_STAYS && !j->is_expected && strcmp(j->nexthop, nexthop) == 0 &&
        (!found || j->timer.at > found->timer.at))
      found = j;
  return found;
}

/* makes room: the one that was kept longest goes, of all (like NULL), or of those to a peer; when
 * they are as many as `most` */
static void make_room(const struct job *like, size_t most)
{
  struct job *oldest = NULL;
  size_t n = 0;

  for (struct job *j = kept ? all : NULL; j; j = j->next) {
    if (j->state != JOB_STAYS || j == like || (like && !is_near(j, like)))
      continue;
    n++;
    if (!oldest || j->timer.at < oldest->timer.at)
      oldest = j;
  }
  if (n >= most && oldest)
    ask_to_leave(oldest);
}

static void ask_to_leave(struct job *j)
{
  struct wire_out o;

  set_state(j, JOB_ENDS);
  set_timer(j, GOING);
  wire_start(&o, WIRE_LEAVE);
  hand(j, &o, -1);
}

static void keep(struct job *j, uint64_t ms)
{
  if (on_done || j->age != age || settings.session_reuse_idle == 0) {
    ask_to_leave(j);
    return;
  }
  make_room(j, settings.destination_attempts);
  set_state(j, JOB_STAYS);
  set_timer(j, ms < settings.session_reuse_idle ? ms : settings.session_reuse_idle);
}

void jobs_renew(void)
{
  age++;
  for (struct job *j = all; j; j = j->next)
    if (j->state == JOB_STAYS)
      ask_to_leave(j);
}

/* ---- what attempts say of themselves; the rest is relayed */

static int on_ended(struct job *j, const struct wire_msg *m, size_t from)
{
  if (j->state == JOB_STAYS || j->state == JOB_ENDS || !relay_is_last(m, from))
    return -1;
  reap_before(j);
  drop_message(j);
  if (j->state == JOB_DOOMED)
    return 0;
  jobs_finished(j->number, "reported", m, from);
  set_state(j, JOB_ENDS);
  set_timer(j, GOING);
  return 0;
}

static int on_stays(struct job *j, const struct wire_msg *m)
{
  struct ip ip;
  uint16_t port;
  uint64_t ms;

  if (ip_port_parse(m->f[0].s, m->f[0].len, &ip, &port) != 0 ||
      wire_get_num(m, 1, UINT32_MAX, &ms) != 0 || on_ended(j, m, 2) != 0)
    return -1;
  ip_port_format(j->peer, &ip, port);
  if (j->state == JOB_ENDS && j->process >= 0)
    keep(j, ms);
  return 0;
}

static int on_report(struct chan *c, struct wire_msg *m, const char **why)
{
  struct job *j = (struct job *)c;

  *why = wire_name(m->type);
  switch (m->type) {
  case WIRE_BORN:
    return on_born(j, m);
  case WIRE_ENDED:
    return on_ended(j, m, 0);
  case WIRE_STAYS:
    return on_stays(j, m);
  case WIRE_LEFT:
    if (j->state == JOB_STAYS)
      ask_to_leave(j);
    return 0;
  default:
    if (j->state != JOB_RUNS)
      return j->state == JOB_DOOMED ? 0 : -1;
    j->has_spoken = 1;
    return relay(j, m, why);
  }
}

/* how a process ended that has not said ENDED */
static void tell_death(struct job *j, int status, const char *fault)
{
  char how[128];

  if (fault)
    snprintf(how, sizeof how, "sent what does not parse: %s", fault);
  else if (WIFSIGNALED(status))
    snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
  else
    snprintf(how, sizeof how, "exit code %d without a report", WEXITSTATUS(status));
  log_attempt_died(j->id, j->nexthop, how);
  if (j->state == JOB_RUNS || j->state == JOB_UNBORN)
    jobs_finished(j->number, how, NULL, 0);
}

/* its report has ended, so it has exited or has no business living */
static void on_report_closed(struct chan *c, const char *why)
{
  struct job *j = (struct job *)c;
  int status;

  reap_before(j);
  status = reap(&j->process);
  if ((j->state == JOB_UNBORN || (j->state == JOB_RUNS && j->is_expected && !j->has_spoken)) && !why) {
    conceive(j); /* whoever was asked died before there was a process */
    return;
  }
  if (j->state == JOB_RUNS || why || (WIFSIGNALED(status) && j->state != JOB_DOOMED))
    tell_death(j, status, why);
  if (why || (WIFSIGNALED(status) && j->state != JOB_DOOMED))
    stems_renew();
  over(j);
}

static const struct chan_ops report_ops = {on_report, on_report_closed, NULL};

/* ends it, and forgets its job: the channel stays open until its process is known */
static void doom(struct job *j)
{
  drop_message(j);
  if (!chan_is_open(&j->report)) {
    over(j);
    return;
  }
  set_state(j, JOB_DOOMED);
  loop_timer_stop(&j->timer);
  kill_process(j->process);
  kill_process(j->before);
}

static void on_timer(struct loop_timer *t)
{
  struct job *j = (struct job *)((char *)t - offsetof(struct job, timer));

  if (j->state == JOB_STAYS) {
    ask_to_leave(j);
    return;
  }
  if (j->state == JOB_UNBORN && !chan_is_open(&j->report)) {
    conceive(j);
    return;
  }
  if (j->state != JOB_ENDS) {
    log_attempt_died(j->id, j->nexthop, "attempt-time-limit");
    jobs_finished(j->number, "the attempt took longer than attempt-time-limit", NULL, 0);
  }
  doom(j);
}

/* ---- for spawn.c */

static int take_job(struct job *j, const struct job_wanted *w)
{
  j->number = w->number;
  j->tries = w->tries;
  j->created = w->created;
  j->news = j->births = j->has_spoken = 0;
  snprintf(j->id, sizeof j->id, "%s", w->id);
  snprintf(j->nexthop, sizeof j->nexthop, "%s", w->nexthop);
  j->message = w->message;
  return stralloc_copys(&j->ranges, w->ranges) ? 0 : -1;
}

void jobs_start(const struct job_wanted *w)
{
  struct job *j = find_kept(w->nexthop);

  if (!j && count >= settings.queue_attempts)
    make_room(NULL, 1);
  if (!j && !(j = new_job())) {
    jobs_finished(w->number, "out of memory", NULL, 0);
    close(w->message);
    return;
  }
  if (take_job(j, w) != 0) {
    log_failed("deliver", "start an attempt", strerror(errno));
    jobs_finished(w->number, "no attempt could be started", NULL, 0);
    if (j->state == JOB_STAYS)
      ask_to_leave(j);
    else
      over(j);
    return;
  }
  if (j->state == JOB_STAYS) {
    set_timer(j, settings.attempt_time_limit);
    j->is_expected = 1;
    hand_job(j);
  } else
    conceive(j);
}

void jobs_stop(void (*done)(void))
{
  on_done = done;
  jobs_renew();
  if (count == 0)
    done();
}

void jobs_abandon(void)
{
  for (struct job *j = all, *next; j; j = next) {
    next = j->next;
    if (j->state == JOB_STAYS)
      ask_to_leave(j);
    else if (j->state != JOB_ENDS && j->state != JOB_DOOMED)
      doom(j);
  }
}

void jobs_pause(int pause)
{
  is_paused = pause;
  for (struct job *j = all; j; j = j->next) {
    if (pause)
      chan_pause(&j->report);
    else
      chan_resume(&j->report);
  }
}
