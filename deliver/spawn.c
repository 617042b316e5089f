/* spawn.c - starts attempts for the manager and relays what they say
 *
 * Runs in heloise-deliver: user hldeliver. The manager is trusted; attempts have talked to
 * strangers and are not: what they report is checked and bears the job this side knows. */
#include "deliver/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "common/route.h"
#include "common/settings.h"
#include "common/units.h"
#include "common/verbs.h"
#include "common/verdict.h"
#include "deliver/attempt.h"
#include "deliver/peers.h"
#include "queue/dialogue.h"
#include "queue/history.h"
#include "queue/notify.h"

#define NEWS_EACH 64               /* facts one attempt may report */
#define NAME_WARNING 86400         /* seconds between two warnings about our name */
#define STOP_WAIT 2500             /* ms for attempts to finish when asked to end */
#define RELAY_BOUND (64 << 20)     /* bytes waiting for the manager; reports stop coming long before */
#define RELAY_HIGH (1 << 20)

/* one attempt. States: 1 running (report open), 2 over (report closed, on the free list). */
struct job {
  struct chan report;
  struct job *next, **self; /* in the list of those running, or free */
  pid_t pid;
  uint64_t number;
  unsigned int news;
  int has_ended; /* it said so */
  stralloc spoken; /* what it said last; bound: ENDED's */
  char id[ENVELOPE_ID_MAX + 1];
  char nexthop[HOP_HOST_MAX + 32];
};

static struct chan manager = {.fd = -1}, resolver = {.fd = -1};
static struct job *running, *idle;
static struct peers *peers;
static struct offers *offers;
static struct attempt_own own;
static struct loop_timer stop_timer;
static int is_stopping, is_paused;

static uint64_t now(void)
{
  return (uint64_t)time(NULL);
}

/* ---- the list of jobs */

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

/* a job's memory is used again, never freed: its channel may still be on the stack */
static struct job *new_job(void)
{
  struct job *j = idle;

  if (j)
    unlink_job(j);
  else
    j = malloc(sizeof *j);
  if (j)
    memset(j, 0, sizeof *j);
  return j;
}

/* ---- to the manager */

static void pause_reports(int pause)
{
  is_paused = pause;
  for (struct job *j = running; j; j = j->next) {
    if (pause)
      chan_pause(&j->report);
    else
      chan_resume(&j->report);
  }
}

static void tell(const struct wire_out *o)
{
  if (chan_send(&manager, o, -1) != 0 && errno == EAGAIN)
    program_die("manager", "it takes no results");
  if (manager.queued > RELAY_HIGH && !is_paused) {
    manager.wants_room = 1;
    pause_reports(1);
  }
}

static void finished(uint64_t number, const char *why, const stralloc *spoken)
{
  struct wire_out o;

  wire_start(&o, WIRE_FINISHED);
  wire_num(&o, number);
  wire_str(&o, why);
  if (spoken && spoken->len > 0)
    wire_bytes(&o, spoken->s, spoken->len);
  tell(&o);
}

/* ---- the end of an attempt */

static void over(struct job *j)
{
  stralloc_free(&j->spoken);
  unlink_job(j);
  link_job(&idle, j);
  if (is_stopping && !running)
    program_done();
}

/* its report has ended, so it has exited or has no business living */
static void reap(struct job *j, const char *fault)
{
  char how[128];
  int status = 0;

  kill(j->pid, SIGKILL);
  while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
    ;
  if (fault)
    snprintf(how, sizeof how, "sent what does not parse: %s", fault);
  else if (WIFSIGNALED(status))
    snprintf(how, sizeof how, "signal %d", WTERMSIG(status));
  else if (WEXITSTATUS(status) != 0 || !j->has_ended)
    snprintf(how, sizeof how, "exit code %d without a report", WEXITSTATUS(status));
  else
    how[0] = 0;
  if (how[0])
    log_attempt_died(j->id, j->nexthop, how);
  finished(j->number, how[0] ? how : "reported", &j->spoken);
  over(j);
}

/* nobody is left to hear of it */
static void abandon(struct job *j)
{
  chan_close(&j->report);
  kill(j->pid, SIGKILL);
  while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
    ;
  over(j);
}

/* ---- what attempts say */

/* RESULT and STEP are SAID and STEPPED with the job in front */
static void relay(const struct job *j, enum wire_type type, const struct wire_msg *m)
{
  struct wire_out o;

  wire_start(&o, type);
  wire_num(&o, j->number);
  for (size_t i = 0; i < m->n; i++)
    wire_bytes(&o, m->f[i].s, m->f[i].len);
  tell(&o);
}

static int on_said(struct job *j, const struct wire_msg *m)
{
  uint64_t recipient, until;
  enum verdict v;

  if (wire_get_num(m, 0, UINT32_MAX, &recipient) != 0 ||
      verdict_read(m->f[1].s, m->f[1].len, &v) != 0 ||
      wire_get_num(m, 2, UINT32_MAX * 16ULL, &until) != 0 || (v == V_TEMP) != (until != 0) ||
      m->f[3].len == 0 || m->f[3].len > 15 ||
      !(m->f[5].len == 0 || wire_is(m, 5, v == V_TEMP ? "uncharged" : notify_word(NOTIFY_RELAYED))) ||
      (m->n > 6 && m->f[6].len > 0 && !wire_is(m, 6, "unreached") && !wire_is(m, 6, "lost")))
    return -1;
  relay(j, WIRE_RESULT, m);
  return 0;
}

static int read_news(const struct wire_msg *m, struct peers_news *n)
{
  uint64_t port;

  memset(n, 0, sizeof *n);
  if (ip_parse(m->f[0].s, m->f[0].len, &n->ip) != 0 || wire_get_num(m, 1, 65535, &port) != 0 ||
      port == 0 || peers_news_fact(m->f[2].s, m->f[2].len, n) != 0 ||
      peers_news_read(m->f[3].s, m->f[3].len, n) != 0)
    return -1;
  n->port = (uint16_t)port;
  return 0;
}

/* for the message's story */
static void noted(const struct job *j, const char *what, const struct peers_news *n,
                  uint64_t until)
{
  char peer[IP_PORT_TEXT], fact[PEERS_NEWS_FACT], evidence[PEERS_NEWS_EVIDENCE];
  struct wire_out o;

  ip_port_format(peer, &n->ip, n->port);
  peers_news_format(n, fact, evidence);
  wire_start(&o, WIRE_NOTED);
  wire_num(&o, j->number);
  wire_str(&o, what);
  wire_str(&o, peer);
  wire_str(&o, peers_fact_word(n->fact));
  wire_num(&o, until);
  wire_str(&o, evidence);
  tell(&o);
}

/* peers refuse our name: once a day somebody should hear of it (LADDER.md E3, E33) */
static void warn_of_name(const char *peer, const struct peers_news *n)
{
  static uint64_t warned;

  if (n->fact != FACT_NAME_REFUSED || now() < warned + NAME_WARNING)
    return;
  warned = now();
  log_name_refused(peer, settings.hostname ? settings.hostname : "", n->text);
}

static void learn(const struct job *j, const char *peer, const struct peers_news *n,
                  const char *evidence)
{
  char fact[PEERS_NEWS_FACT], ignored[PEERS_NEWS_EVIDENCE];
  uint64_t end = peers_learn(peers, n, now());
  stralloc until = {0};

  peers_news_format(n, fact, ignored);
  noted(j, end ? HISTORY_LEARNED : HISTORY_UNKEPT, n, end);
  if (!end) {
    log_failed("deliver", "remember a peer", strerror(errno));
    return;
  }
  if (units_format_time(&until, end) == 0 && stralloc_0(&until))
    log_learned(peer, fact, until.s, evidence);
  free(until.s);
  warn_of_name(peer, n);
}

static int on_knew(struct job *j, const struct wire_msg *m)
{
  struct peers_news n;
  uint64_t until;

  if (read_news(m, &n) != 0 || wire_get_num(m, 4, UINT32_MAX, &until) != 0)
    return -1;
  if (j->news++ < NEWS_EACH)
    noted(j, HISTORY_KNOWN, &n, until);
  return 0;
}

static int on_news(struct job *j, const struct wire_msg *m)
{
  char peer[IP_PORT_TEXT], fact[PEERS_NEWS_FACT], evidence[PEERS_NEWS_EVIDENCE];
  struct peers_news n;
  int r;

  if (read_news(m, &n) != 0)
    return -1;
  if (!peers || j->news++ >= NEWS_EACH)
    return 0;
  ip_port_format(peer, &n.ip, n.port);
  peers_news_format(&n, fact, evidence);
  if (m->type == WIRE_LEARNED) {
    learn(j, peer, &n, evidence);
  } else if (m->type == WIRE_TRYING) {
    peers_probation(peers, &n, now());
  } else if ((r = peers_unlearn(peers, &n)) < 0) {
    log_failed("deliver", "forget what proved wrong of a peer", strerror(errno));
  } else if (r > 0) {
    log_unlearned(peer, peers_fact_word(n.fact), evidence);
    noted(j, HISTORY_UNLEARNED, &n, 0);
  }
  return 0;
}

static int read_greeting(const struct wire_msg *m, struct offers_card *c)
{
  uint64_t port, verbs, banner;
  enum offers_rung rung;

  memset(c, 0, sizeof *c);
  if (ip_parse(m->f[0].s, m->f[0].len, &c->ip) != 0 || wire_get_num(m, 1, 65535, &port) != 0 ||
      port == 0 || m->f[2].len >= OFFERS_HOST ||
      offers_rung_read(m->f[3].s, m->f[3].len, &rung) != 0 ||
      wire_get_num(m, 4, (1U << VERB_COUNT) - 1, &verbs) != 0 ||
      wire_get_num(m, 5, UINT32_MAX, &banner) != 0)
    return -1;
  c->port = (uint16_t)port;
  memcpy(c->host, m->f[2].s, m->f[2].len);
  c->now = (struct offers_seen){(uint32_t)now(), (uint32_t)verbs, (uint32_t)banner, rung};
  return 0;
}

/* "EHLO size pipelining" */
static void describe(stralloc *out, const struct offers_seen *s)
{
  if (!stralloc_copys(out, offers_rung_word((enum offers_rung)s->rung)) ||
      (s->verbs && (!stralloc_cats(out, " ") || verbs_format(out, s->verbs) != 0)) ||
      (s->banner >= OFFERS_SLOW && !stralloc_cats(out, ", slow")) || !stralloc_0(out))
    stralloc_free(out);
}

static int on_greeted(struct job *j, const struct wire_msg *m)
{
  char peer[IP_PORT_TEXT];
  stralloc was = {0}, is = {0};
  struct offers_seen before;
  struct offers_card c;

  if (read_greeting(m, &c) != 0)
    return -1;
  if (!offers || j->news++ >= NEWS_EACH || !offers_note(offers, &c, &before))
    return 0;
  ip_port_format(peer, &c.ip, c.port);
  describe(&was, &before);
  describe(&is, &c.now);
  log_greeting_changed(peer, c.host, was.s, is.s);
  stralloc_free(&was);
  stralloc_free(&is);
  return 0;
}

static int on_spoken(struct job *j, const struct wire_msg *m)
{
  if (dialogue_check(m->f[0].s, m->f[0].len) != 0)
    return -1;
  if (m->type == WIRE_SPOKEN)
    relay(j, WIRE_DIALOGUE, m);
  else if (!stralloc_copyb(&j->spoken, m->f[0].s, m->f[0].len))
    j->spoken.len = 0;
  return 0;
}

static int on_report(struct chan *c, struct wire_msg *m, const char **why)
{
  struct job *j = c->owner;

  *why = wire_name(m->type);
  switch (m->type) {
  case WIRE_SAID:
    return on_said(j, m);
  case WIRE_STEPPED:
    relay(j, WIRE_STEP, m);
    return 0;
  case WIRE_LEARNED:
  case WIRE_UNLEARNED:
  case WIRE_TRYING:
    return on_news(j, m);
  case WIRE_GREETED:
    return on_greeted(j, m);
  case WIRE_KNEW:
    return on_knew(j, m);
  case WIRE_SPOKEN:
    return on_spoken(j, m);
  default: /* WIRE_ENDED */
    j->has_ended = 1;
    return m->n > 0 ? on_spoken(j, m) : 0;
  }
}

static void on_report_closed(struct chan *c, const char *why)
{
  reap(c->owner, why);
}

static const struct chan_ops report_ops = {on_report, on_report_closed, NULL};

/* ---- starting one */

static void close_others(const int *keep, size_t n)
{
  unsigned int from = 0;

  for (size_t done = 0; done < n; done++) {
    unsigned int least = ~0U;
    for (size_t i = 0; i < n; i++)
      if (keep[i] >= 0 && (unsigned int)keep[i] >= from && (unsigned int)keep[i] < least)
        least = (unsigned int)keep[i];
    if (least == ~0U)
      break;
    if (least > from)
      close_range(from, least - 1, 0);
    from = least + 1;
  }
  close_range(from, ~0U, 0);
}

/* the child's life. It never touches the event loop it inherited. */
static _Noreturn void attempt(const struct attempt_given *g, pid_t parent)
{
  const int keep[] = {STDERR_FILENO, g->message, g->ask, g->report, peers_descriptor(g->peers),
                      offers_descriptor(g->offers)};

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent)
    _exit(1);
  if (confine_attempt() != 0) {
    log_failed("deliver", "confine", strerror(errno));
    _exit(1);
  }
  close_others(keep, sizeof keep / sizeof *keep);
  _exit(attempt_run(g));
}

static int is_address_hop(const char *nexthop)
{
  struct nexthop hop;
  struct ip ip;

  return nexthop_parse(nexthop, strlen(nexthop), &hop) == 0 && hop.kind == HOP_HOST &&
         ip_parse(hop.host, strlen(hop.host), &ip) == 0;
}

/* a channel to the resolver for one attempt: our end, or -1 (the attempt will defer) */
static int open_ask(void)
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

static int fork_job(struct job *j, struct attempt_given *g)
{
  pid_t parent = getpid();
  int pair[2];

  if (chan_pair(pair) != 0)
    return -1;
  g->report = pair[1];
  g->ask = is_address_hop(g->nexthop) ? -1 : open_ask();
  j->pid = fork();
  if (j->pid == 0)
    attempt(g, parent);
  close(pair[1]);
  if (g->ask >= 0)
    close(g->ask);
  if (j->pid < 0) {
    close(pair[0]);
    return -1;
  }
  j->report.owner = j;
  if (chan_open(&j->report, pair[0], LINK_REPORT, WIRE_HIGH, &report_ops) != 0) {
    kill(j->pid, SIGKILL);
    waitpid(j->pid, NULL, 0);
    return -1;
  }
  if (is_paused)
    chan_pause(&j->report);
  return 0;
}

static void start(struct attempt_given *g, uint64_t number)
{
  struct job *j = is_stopping ? NULL : new_job();

  if (!j) {
    finished(number, is_stopping ? "shutting down" : "out of memory", NULL);
    return;
  }
  j->number = number;
  snprintf(j->id, sizeof j->id, "%s", g->id);
  snprintf(j->nexthop, sizeof j->nexthop, "%s", g->nexthop);
  if (fork_job(j, g) == 0) {
    link_job(&running, j);
    return;
  }
  log_failed("deliver", "start an attempt", strerror(errno));
  link_job(&idle, j);
  finished(number, "no attempt could be started", NULL);
}

/* ---- what the manager says */

static int on_attempt(struct wire_msg *m)
{
  static stralloc id, hop, ranges; /* bounds: 31 bytes, 512, 16 KB */
  struct attempt_given g = {.message = m->fd, .ask = -1, .table = program_table(), .peers = peers, .offers = offers,
                            .own = &own};
  uint64_t number, tries;

  if ((m->n > 5 && wire_get_num(m, 5, UINT64_MAX, &g.created) != 0) ||
      wire_get_num(m, 0, UINT64_MAX, &number) != 0 ||
      wire_get_text(m, 1, ENVELOPE_ID_MAX, &id) != 0 || wire_get_text(m, 2, 512, &hop) != 0 ||
      wire_get_num(m, 3, UINT32_MAX / 2, &tries) != 0 ||
      wire_get_text(m, 4, 16384, &ranges) != 0)
    return -1;
  g.id = id.s;
  g.nexthop = hop.s;
  g.ranges = ranges.s;
  g.tries = (unsigned int)tries;
  start(&g, number);
  return 0;
}

static int on_forget(const struct wire_msg *m)
{
  struct wire_out o;
  uint64_t number;
  int n;

  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    return -1;
  n = peers ? peers_forget(peers, m->f[1].s, m->f[1].len) : 0;
  wire_start(&o, WIRE_FORGOTTEN);
  wire_num(&o, number);
  wire_num(&o, n < 0 ? 0 : (uint64_t)n);
  tell(&o);
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
  while (running)
    abandon(running);
  is_paused = 0;
}

static void on_manager_drained(struct chan *c)
{
  (void)c;
  pause_reports(0);
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

/* ---- for deliver.c */

int spawn_state(int dirfd)
{
  offers_close(offers);
  offers = offers_open(dirfd);
  if (!offers)
    log_failed("deliver", "memory of greetings, going on without", strerror(errno));
  peers_close(peers);
  peers = peers_open(dirfd);
  if (!peers)
    log_failed("deliver", "peer memory, going on without", strerror(errno));
  return 0;
}

int spawn_manager(int fd)
{
  if (chan_is_open(&manager))
    chan_close(&manager);
  while (running)
    abandon(running);
  is_paused = 0;
  if (chan_open(&manager, fd, LINK_ATTEMPTS, WIRE_LOW, &manager_ops) != 0)
    return -1;
  manager.bound = RELAY_BOUND;
  return 0;
}

int spawn_resolver(int fd)
{
  if (chan_is_open(&resolver))
    chan_close(&resolver);
  return chan_open(&resolver, fd, LINK_ASKERS, WIRE_HIGH, &resolver_ops);
}

int spawn_table(const struct table *t)
{
  attempt_own_find(t, &own);
  return 0;
}

static void stop_now(struct loop_timer *t)
{
  (void)t;
  program_done();
}

void spawn_stop(void)
{
  is_stopping = 1;
  stop_timer.fire = stop_now;
  if (!running || loop_timer_in(&stop_timer, STOP_WAIT) != 0)
    program_done();
}
