/* children.c - the programs that `heloise run` keeps alive
 *
 * Runs in `heloise run`, as root in a privileged instance. What programs say here (READY,
 * FAULT) is hostile: they face the network. FAULT is believed of the more trusted end of a
 * link only, and only about the other end. */
#include "conf/children.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/program.h"
#include "common/sasl.h"
#include "common/service.h"
#include "common/settings.h"
#include "common/verdict.h"
#include "conf/certificates.h"
#include "conf/tickets.h"
#include "smtpd/census.h"
#include "smtpd/limits.h"

#define CALM 60000      /* ms of life after which earlier failures are forgotten */
#define STOP_NEXT 2300  /* ms that the listener has for itself: sessions within DATA may end */
#define STOP_KILL 3500  /* ms from the beginning of the end */

/* ---- the tables */

enum gift { GIVE_QUEUE = 1, GIVE_STATE = 2, GIVE_MAIL = 4, GIVE_LIBEXEC = 8, GIVE_CENSUS = 16,
            GIVE_CONTROL = 32, GIVE_TLS = 64, GIVE_LOGINS = 128 };

#define SERVE(service) (1U << SERVICE_##service)

struct child_row {
  const char *name, *program, *user; /* no user: stays root in a privileged instance */
  unsigned int gifts;                /* enum gift */
  unsigned int services;             /* whose listening sockets it is handed */
};

enum { SMTPD, SUBMISSION, AUTH, PAM, INTAKE, QUEUE, DELIVER, LOCAL, RESOLVE, PROGRAMS };

static const struct child_row rows[PROGRAMS] = {
  [SMTPD] = {"smtpd", "smtpd", "hlsmtpd", GIVE_CENSUS | GIVE_TLS, SERVE(MX)},
  [SUBMISSION] = {"smtpd.submission", "smtpd", "hlsmtpd", GIVE_CENSUS | GIVE_TLS,
                  SERVE(SUBMISSION) | SERVE(SUBMISSIONS) | SERVE(LMTP)},
  [AUTH] = {"auth", "auth", "hlauth", GIVE_LOGINS, 0},
  [PAM] = {"pam", "pam", NULL, 0, 0},
  [INTAKE] = {"intake", "intake", "hlqueue", GIVE_QUEUE, 0},
  [QUEUE] = {"queue", "queue", "hlqueue", GIVE_QUEUE | GIVE_LIBEXEC | GIVE_CONTROL, 0},
  [DELIVER] = {"deliver", "deliver", "hldeliver", GIVE_STATE | GIVE_LIBEXEC, 0},
  [LOCAL] = {"local", "local", NULL, GIVE_MAIL | GIVE_STATE, 0},
  [RESOLVE] = {"resolve", "resolve", "hlresolve", 0, 0},
};

static const struct {
  int low, high; /* high is trusted more */
} links[] = {
  {SMTPD, INTAKE}, {SMTPD, AUTH},    {SUBMISSION, INTAKE}, {SUBMISSION, AUTH}, {LOCAL, INTAKE},
  {INTAKE, QUEUE}, {DELIVER, QUEUE}, {LOCAL, QUEUE},       {RESOLVE, DELIVER},
  {SMTPD, RESOLVE}, {SUBMISSION, RESOLVE}, {AUTH, PAM},
};
#define LINKS (sizeof links / sizeof *links)

/* starts are in this order: who is told START last serves the world */
static const int order[PROGRAMS] = {PAM, AUTH, RESOLVE, DELIVER, LOCAL, QUEUE, INTAKE, SUBMISSION, SMTPD};

#define COPIES_MAX 16 /* of heloise-smtpd for mx */

static struct child children[PROGRAMS - 1 + COPIES_MAX]; /* in that order */
static int nchildren;
static const struct supplies *supplies;
static void (*changed)(void);
static struct loop_timer stop_timer;
static enum { SERVING, LISTENER_STOPS, ALL_STOP } phase;
static int is_announced;

static struct child *find(const char *name, size_t len)
{
  for (int i = 0; i < nchildren; i++)
    if (strlen(children[i].name) == len && memcmp(children[i].name, name, len) == 0)
      return &children[i];
  return NULL;
}

static int serves_service(const struct child *c, const struct service *s)
{
  return (c->row->services & 1U << s->number) != 0;
}

static int serves(const struct child *c, const struct listener *l)
{
  return serves_service(c, l->service);
}

static int names_pam(void)
{
  enum backend_name list[BACKEND_COUNT];
  size_t n;

  backends_read(settings.auth_backends, strlen(settings.auth_backends), list, &n);
  while (n > 0)
    if (list[--n] == BACKEND_PAM)
      return 1;
  return 0;
}

/* heloise-smtpd for mx runs always, so that a port can be added while the rest goes on */
static int is_wanted(const struct child *c)
{
  if (c->row == &rows[PAM])
    return names_pam();
  if (c->row->services == 0 || c->row == &rows[SMTPD])
    return 1;
  for (const struct listener *l = listeners; l; l = l->next)
    if (serves(c, l))
      return 1;
  return 0;
}

static void kill_child(const struct child *c)
{
  if (c->pid > 0)
    kill(c->pid, SIGKILL); /* SIGCHLD brings the rest */
}

/* ---- what programs say */

static void announce(void)
{
  for (int i = 0; i < nchildren; i++)
    if (!children[i].is_ready && is_wanted(&children[i]))
      return;
  if (!is_announced)
    log_started("run", supplies->is_privileged ? "each program under its own user"
                                               : "all programs under one user");
  is_announced = 1;
}

/* whether `by` may say that `peer` broke a channel: the more trusted end of their link */
static int may_accuse(const struct child *by, const struct child *peer)
{
  for (size_t i = 0; i < LINKS; i++)
    if (by->row == &rows[links[i].high] && peer->row == &rows[links[i].low])
      return 1;
  return 0;
}

static void take_fault(const struct child *by, const struct wire_msg *m)
{
  const struct child *peer = find(m->f[0].s, m->f[0].len);

  if (peer && may_accuse(by, peer)) {
    log_stopped(peer->name, "it sent what does not parse");
    kill_child(peer);
  }
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  struct child *child = c->owner;

  (void)why;
  if (m->type == WIRE_FAULT) {
    take_fault(child, m);
  } else if (!child->is_ready) {
    child->is_ready = 1;
    announce();
    changed();
  }
  return 0;
}

static void on_closed(struct chan *c, const char *why)
{
  const struct child *child = c->owner;

  if (why)
    log_fault("run", child->name, why);
  kill_child(child); /* without a control channel it is of no use */
}

static const struct chan_ops control_ops = {on_message, on_closed, NULL};

/* ---- what programs are handed */

/* a message that cannot be sent: start afresh rather than run with half of it */
static void hand(struct child *c, const struct wire_out *o, int fd)
{
  if (chan_is_open(&c->control) && chan_send(&c->control, o, fd) != 0) {
    /* at the end it may be gone before it is asked to go */
    if (phase == SERVING || (errno != EPIPE && errno != ECONNRESET))
      log_failed("run", wire_name(o->type), strerror(errno));
    kill_child(c);
  }
}

static void hand_plain(struct child *c, enum wire_type type, int fd)
{
  struct wire_out o;

  wire_start(&o, type);
  hand(c, &o, fd);
}

static void hand_dir(struct child *c, enum gift g, const char *name, int fd)
{
  struct wire_out o;

  if (!(c->row->gifts & g) || fd < 0)
    return;
  wire_start(&o, WIRE_DIR);
  wire_str(&o, name);
  hand(c, &o, fd);
}

/* its own place in the census, and those of its kind, are part of the name */
static void hand_census(struct child *c)
{
  unsigned int first = c->slot, count = 0;
  char name[64];

  while (first > 0 && children[first - 1].row == c->row)
    first--;
  while (first + count < (unsigned int)nchildren && children[first + count].row == c->row)
    count++;
  snprintf(name, sizeof name, "census.%u.%u.%u", c->slot, first, count);
  hand_dir(c, GIVE_CENSUS, name, supplies->census);
}

static void hand_limits(struct child *c)
{
  char name[32];

  snprintf(name, sizeof name, "limits.%u", c->slot);
  hand_dir(c, GIVE_CENSUS, name, supplies->limits);
}

static void hand_listener(struct child *c, const char *addr, const char *service, int fd)
{
  struct wire_out o;

  wire_start(&o, WIRE_LISTEN);
  wire_str(&o, addr);
  wire_str(&o, service);
  hand(c, &o, fd);
}

static void hand_tables(struct child *c)
{
  hand_plain(c, WIRE_TABLE, supplies->tables);
  if ((c->row->gifts & GIVE_LOGINS) && supplies->logins >= 0)
    hand_plain(c, WIRE_LOGINS, supplies->logins);
}

static void hand_ticket_key(void *child, const struct service *s, const char *key)
{
  struct wire_out o;

  wire_start(&o, WIRE_TICKETKEY);
  wire_str(&o, s->word);
  wire_str(&o, key);
  hand(child, &o, -1);
}

static void hand_tls(struct child *c)
{
  if (!(c->row->gifts & GIVE_TLS))
    return;
  if (certificates_descriptor() >= 0)
    hand_plain(c, WIRE_CERTIFICATES, certificates_descriptor());
  for (int n = 0; n < SERVICE_COUNT; n++)
    if (serves_service(c, service_row((enum service_number)n)))
      tickets_each(service_row((enum service_number)n), hand_ticket_key, c);
}

static void new_ticket_key(const struct service *s, const char *key)
{
  for (int i = 0; i < nchildren; i++)
    if (serves_service(&children[i], s))
      hand_ticket_key(&children[i], s, key);
}

/* everything that stands before the channels */
static void hand_basics(struct child *c)
{
  struct wire_out o;

  wire_start(&o, WIRE_HELLO);
  wire_num(&o, WIRE_VERSION);
  wire_str(&o, c->row->program);
  hand(c, &o, -1);
  hand_dir(c, GIVE_QUEUE, "queue", supplies->queue);
  hand_dir(c, GIVE_STATE, "state", supplies->state);
  hand_dir(c, GIVE_MAIL, "mail", supplies->mail);
  hand_dir(c, GIVE_LIBEXEC, "libexec", supplies->libexec);
  hand_census(c);
  hand_limits(c);
  hand_tables(c);
  hand_tls(c);
  for (const struct listener *l = listeners; l; l = l->next)
    if (serves(c, l))
      hand_listener(c, l->addr, l->service->word, l->fd);
  if (c->row->gifts & GIVE_CONTROL)
    hand_listener(c, "run/control", "control", supplies->control);
}

static void hand_link(struct child *low, struct child *high)
{
  struct wire_out o;
  int end[2];

  if (chan_pair(end) != 0) {
    log_failed("run", "socketpair", strerror(errno));
    kill_child(low);
    return;
  }
  wire_start(&o, WIRE_CHANNEL);
  wire_str(&o, high->name);
  hand(low, &o, end[0]);
  wire_start(&o, WIRE_CHANNEL);
  wire_str(&o, low->name);
  hand(high, &o, end[1]);
  close(end[0]);
  close(end[1]);
}

/* ---- starting */

/* between fork and exec: becomes the program, or ends */
static _Noreturn void become_program(const struct child *c, int control)
{
  char name[32], *argv[] = {name, NULL};
  char *env[] = {"PATH=/usr/bin:/bin", NULL};
  sigset_t none;
  int null = open("/dev/null", O_RDWR);

  snprintf(name, sizeof name, "heloise-%s", c->name);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGXFSZ, SIG_DFL);
  if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || chdir("/") != 0)
    goto fail;
  if (control == PROGRAM_CONTROL_FD ? fcntl(control, F_SETFD, 0) != 0
                                    : dup2(control, PROGRAM_CONTROL_FD) < 0)
    goto fail;
  if (close_range(PROGRAM_CONTROL_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
    goto fail;
  if (supplies->is_privileged && c->row->user &&
      (confine_become(&c->ids) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0))
    goto fail;
  execveat(c->program, "", argv, env, AT_EMPTY_PATH);
fail:
  log_failed("run", c->name, strerror(errno));
  _exit(EXIT_OSERR);
}

static int launch(struct child *c)
{
  int end[2];

  if (chan_pair(end) != 0)
    return -1;
  c->pid = fork();
  if (c->pid == 0)
    become_program(c, end[1]);
  close(end[1]);
  if (c->pid < 0) {
    c->pid = 0;
    close(end[0]);
    return -1;
  }
  c->control.owner = c;
  c->started = loop_now();
  c->since = time(NULL);
  c->is_fresh = 1;
  c->is_ready = 0;
  if (chan_open(&c->control, end[0], LINK_CONTROL, WIRE_HIGH, &control_ops) != 0)
    kill_child(c);
  hand_basics(c);
  return 0;
}

static void pause_before(struct child *c, const char *how)
{
  static const unsigned int seconds[] = {0, 1, 2, 4, 8, 16, 32, 60};
  const size_t last = sizeof seconds / sizeof *seconds - 1;
  unsigned int s = seconds[c->failures < last ? c->failures : last];
  char text[32];

  c->failures++;
  snprintf(text, sizeof text, "%us", s);
  log_died(c->name, how, text);
  if (loop_timer_in(&c->timer, (uint64_t)s * 1000) != 0) {
    log_failed("run", "timer", strerror(ENOMEM));
    loop_end();
  }
}

/* joins two that belong together, when one of them has just been started */
static void join(struct child *low, struct child *high, size_t link)
{
  if (low->row == &rows[links[link].low] && high->row == &rows[links[link].high] && low->pid &&
      high->pid && (low->is_fresh || high->is_fresh))
    hand_link(low, high);
}

/* starts those that are not running and not waiting; joins them to each other and to the rest */
static void start_idle(void)
{
  for (int i = 0; i < nchildren; i++) {
    struct child *c = &children[i];
    if (c->pid == 0 && c->timer.place == 0 && is_wanted(c) && launch(c) != 0)
      pause_before(c, strerror(errno));
  }
  for (size_t k = 0; k < LINKS; k++)
    for (int i = 0; i < nchildren; i++)
      for (int j = 0; j < nchildren; j++)
        join(&children[i], &children[j], k);
  for (int i = 0; i < nchildren; i++) {
    struct child *c = &children[i];
    if (c->is_fresh)
      hand_plain(c, WIRE_START, -1);
    c->is_fresh = 0;
  }
  changed();
}

static void on_timer(struct loop_timer *t)
{
  struct child *c = (struct child *)t;

  if (phase != SERVING)
    return;
  c->restarts++;
  start_idle();
}

/* the executable, by a descriptor: its user need not be able to reach the path */
static int open_program(struct child *c)
{
  char name[32];
  int fd;

  snprintf(name, sizeof name, "heloise-%s", c->row->program);
  fd = openat(supplies->libexec, name, O_PATH | O_CLOEXEC);
  if (fd < 0)
    log_failed("run", name, strerror(errno));
  c->program = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, PROGRAM_CONTROL_FD + 1);
  if (fd >= 0)
    close(fd);
  return c->program < 0 ? -1 : 0;
}

/* how many processes serve mx: a core each, unless a setting says otherwise */
static int copies_of(const struct child_row *r)
{
  cpu_set_t cores;
  int n = (int)settings.smtpd_processes;

  if (r != &rows[SMTPD])
    return 1;
  if (n == 0)
    n = sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
  return n > COPIES_MAX ? COPIES_MAX : n;
}

/* 0, or an exit code after a log line */
static int prepare(struct child *c, const struct child_row *r, int copy)
{
  c->row = r;
  c->slot = (unsigned int)(c - children);
  c->timer.fire = on_timer;
  c->control.fd = -1;
  snprintf(c->name, sizeof c->name, copy == 0 ? "%s" : "%s.%d", r->name, copy + 1);
  if (open_program(c) != 0)
    return EXIT_UNAVAILABLE;
  if (supplies->is_privileged && r->user && confine_ids_find(r->user, &c->ids) != 0) {
    log_failed("run", r->user, strerror(errno));
    return EXIT_CONFIG;
  }
  return EXIT_OK;
}

int children_start(const struct supplies *s, void (*on_change)(void))
{
  supplies = s;
  changed = on_change;
  for (int i = 0; i < PROGRAMS; i++) {
    const struct child_row *r = &rows[order[i]];
    for (int copy = 0; copy < copies_of(r); copy++) {
      int code = prepare(&children[nchildren], r, copy);
      if (code != EXIT_OK)
        return code;
      nchildren++;
    }
  }
  if (tickets_start(new_ticket_key) != 0) {
    log_failed("run", "ticket keys", strerror(errno));
    return EXIT_OSERR;
  }
  start_idle();
  return EXIT_OK;
}

void children_new_tables(void)
{
  for (int i = 0; i < nchildren; i++) {
    hand_tables(&children[i]);
    if (children[i].row == &rows[PAM] && !is_wanted(&children[i]))
      hand_plain(&children[i], WIRE_STOP, -1);
  }
  if (phase == SERVING)
    start_idle();
}

void children_new_certificates(void)
{
  for (int i = 0; i < nchildren; i++)
    if ((children[i].row->gifts & GIVE_TLS) && certificates_descriptor() >= 0)
      hand_plain(&children[i], WIRE_CERTIFICATES, certificates_descriptor());
}

void children_new_listener(const struct listener *l)
{
  for (int i = 0; i < nchildren; i++)
    if (serves(&children[i], l))
      hand_listener(&children[i], l->addr, l->service->word, l->fd);
  if (phase == SERVING)
    start_idle();
}

/* ---- ending */

static int alive(void)
{
  int n = 0;

  for (int i = 0; i < nchildren; i++)
    n += children[i].pid > 0;
  return n;
}

static int listeners_alive(void)
{
  int n = 0;

  for (int i = 0; i < nchildren; i++)
    n += children[i].pid > 0 && children[i].row->services != 0;
  return n;
}

/* asks those that listen to end, or the others */
static void ask_to_stop(int listening)
{
  for (int i = 0; i < nchildren; i++)
    if ((children[i].row->services != 0) == listening)
      hand_plain(&children[i], WIRE_STOP, -1);
}

static void stop_others(void)
{
  phase = ALL_STOP;
  loop_timer_in(&stop_timer, STOP_KILL - STOP_NEXT);
  ask_to_stop(0);
}

static void kill_all(void)
{
  for (int i = 0; i < nchildren; i++)
    kill_child(&children[i]);
}

static void on_stop_timer(struct loop_timer *t)
{
  if (phase == LISTENER_STOPS) {
    stop_others();
    return;
  }
  kill_all();
  loop_timer_in(t, 1000); /* for one that was just being started */
}

void children_stop(void)
{
  if (phase != SERVING) { /* asked twice: at once */
    kill_all();
    return;
  }
  phase = LISTENER_STOPS;
  for (int i = 0; i < nchildren; i++)
    loop_timer_stop(&children[i].timer);
  stop_timer.fire = on_stop_timer;
  loop_timer_in(&stop_timer, STOP_NEXT);
  ask_to_stop(1);
  if (alive() == 0)
    loop_end();
  else if (listeners_alive() == 0)
    stop_others();
}

static void describe(int status, char *how, size_t room)
{
  if (WIFSIGNALED(status))
    snprintf(how, room, "signal %d", WTERMSIG(status));
  else
    snprintf(how, room, "exit %d", WEXITSTATUS(status));
}

static void bury(struct child *c, int status)
{
  char how[32];

  chan_close(&c->control);
  c->pid = 0;
  c->is_ready = 0;
  if (c->row->gifts & GIVE_CENSUS)
    census_forget(supplies->census, c->slot);
  if (c->row->gifts & GIVE_CENSUS)
    limits_forget(supplies->limits, c->slot);
  if (phase != SERVING) {
    if (phase == LISTENER_STOPS && listeners_alive() == 0)
      stop_others();
    return;
  }
  if (!is_wanted(c))
    return;
  if (loop_now() - c->started >= CALM)
    c->failures = 0;
  describe(status, how, sizeof how);
  pause_before(c, how);
}

void children_reap(void)
{
  int n = 0;

  for (int i = 0; i < nchildren; i++) {
    int status;
    if (children[i].pid > 0 && waitpid(children[i].pid, &status, WNOHANG) == children[i].pid) {
      bury(&children[i], status);
      n++;
    }
  }
  if (n > 0)
    changed();
  if (phase != SERVING && alive() == 0)
    loop_end();
}

void children_each(void (*f)(void *arg, const char *name, const struct child *c), void *arg)
{
  for (int i = 0; i < nchildren; i++)
    if (children[i].pid > 0 || is_wanted(&children[i]))
      f(arg, children[i].name, &children[i]);
}
