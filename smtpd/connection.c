/* connection.c - one client's socket: bytes in, replies out, clocks
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Every byte read is hostile and goes
 * to session_feed() unseen. What a client can make us keep is bounded: one read of input,
 * SESSION_OUT_MAX of output; a client that does not read is not read from. */
#include "smtpd/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "common/settings.h"
#include "smtpd/balancer.h"
#include "smtpd/census.h"
#include "smtpd/neighbours.h"
#include "smtpd/stream.h"
#include "smtpd/stress.h"

#define READ_MAX 65536
#define LINE_MAX_BYTES 16384 /* more than command-length-limit can be */
#define LINGER_MS 2000       /* for the last reply to reach a client that still sends */
#define OPENING_MS 60000     /* for the intake to answer */
#define PACE_MIN 64          /* bytes a second of a message */
#define WAITING_MS 3600000   /* no clock: the intake alone ends it */

/* 0 HEADER     a load balancer says for whom it connects; there is no session yet
 * 1 TALKING    the session has the word
 * 2 SHAKING    a TLS handshake; the session waits in SECURING
 * 3 LINGERING  all is said: waits for the client to close */
enum phase { HEADER, TALKING, SHAKING, LINGERING };

struct connection {
  struct loop_handler handler; /* first */
  struct loop_timer timer;
  struct neighbours near; /* with the session */
  enum phase phase;
  struct balancer *balancer; /* in HEADER; else NULL */
  int must_write;        /* TLS takes nothing more before the client has read */
  int fd;
  int wants;             /* events asked of the loop */
  uint64_t last;         /* monotonic ms of the last thing that got the session on */
  uint64_t paced;        /* when we last looked how fast a message comes */
  size_t came;           /* bytes of it since */
  stralloc pending;      /* bytes read and not taken; bound: READ_MAX + LINE_MAX_BYTES */
  size_t sent;           /* of session.out */
  struct connection *before, *after;
};

static struct connection *all;
static size_t count;
static int is_stopping;
static void (*on_gone)(void);

static struct connection *of_near(struct neighbours *n)
{
  return (struct connection *)((char *)n - offsetof(struct connection, near));
}

static struct connection *of_timer(struct loop_timer *t)
{
  return (struct connection *)((char *)t - offsetof(struct connection, timer));
}

static void want(struct connection *c, int events)
{
  if (c->wants != events)
    loop_want(c->fd, events);
  c->wants = events;
}

/* ---- stress */

/* when it begins, the clocks of all are set anew: those of idle sessions would run on for minutes */
static void look_at_stress(void)
{
  if (!stress_look())
    return;
  for (struct connection *c = all, *after; c; c = after) {
    after = c->after;
    if (c->phase != LINGERING && stress_concerns(&c->near.session))
      loop_timer_in(&c->timer, 0);
  }
}

/* what was taken may have been a password */
static void wipe(const struct connection *c, char *s, size_t len)
{
  if (c->near.session.has_auth && len > 0)
    explicit_bzero(s, len);
}

/* ---- end */

static void destroy(struct connection *c, const char *reason)
{
  if (c->balancer) {
    log_disconnected(c->balancer->name, reason, "0");
    free(c->balancer);
  } else {
    log_disconnected(c->near.session.client, c->near.session.reason ? c->near.session.reason : reason,
                     log_num(c->near.session.commands));
    neighbours_end(&c->near);
  }
  tls_end(c->near.tls, 1);
  loop_timer_stop(&c->timer);
  secret_free(&c->pending);
  loop_close(c->fd);
  if (c->before)
    c->before->after = c->after;
  else
    all = c->after;
  if (c->after)
    c->after->before = c->before;
  free(c);
  census_tell(--count);
  look_at_stress();
  if (is_stopping && count == 0)
    on_gone();
}

/* everything is said. A close() now could reset the connection and lose the last reply
 * when the client has sent more than we read. */
static void linger(struct connection *c)
{
  c->phase = LINGERING;
  tls_end(c->near.tls, 1);
  c->near.tls = NULL;
  if (shutdown(c->fd, SHUT_WR) != 0 || loop_timer_in(&c->timer, LINGER_MS) != 0) {
    destroy(c, "closed");
    return;
  }
  want(c, LOOP_READ);
}

/* ---- output */

/* 0: all is written or waits for room; -1: the connection is gone */
static int flush(struct connection *c)
{
  stralloc *out = &c->near.session.out;

  while (c->sent < out->len) {
    ssize_t n = stream_write(c->fd, c->near.tls, out->s + c->sent, out->len - c->sent);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN) {
      loop_drained(c->fd, LOOP_WRITE);
      return 0;
    }
    if (n < 0)
      return -1;
    c->sent += (size_t)n;
  }
  if (out->len > 0)
    c->last = loop_now(); /* who takes a byte at a time gets nowhere */
  c->sent = out->len = 0;
  if (out->a > 4096) {
    stralloc_free(out);
    *out = (stralloc){0};
  }
  return 0;
}

/* the time there is, less under stress */
static uint64_t patience(const struct session *s, uint64_t ms)
{
  return ms > settings.stress_timeout && stress_is_on() && stress_concerns(s) ? settings.stress_timeout
                                                                              : ms;
}

static uint64_t clock_of(const struct connection *c)
{
  const struct session *s = &c->near.session;

  if (c->phase == HEADER)
    return settings.smtpd_timeout_tls;
  switch (s->doing) {
  case SECURING:
    return settings.smtpd_timeout_tls;
  case DATA:
  case FULL:
    return patience(s, settings.smtpd_timeout_data);
  case PAUSED:
    return s->pause;
  case OPENING:
    return OPENING_MS;
  case ASKED: /* knows.c has a clock, and login.c, and clientdns.c */
  case AWAITING:
  case PROVING:
  case COMMITTING:
    return WAITING_MS;
  default:
    return patience(s, settings.smtpd_timeout_command);
  }
}

/* the timer is only ever moved nearer; on_timer() looks whether the time is really up */
static int set_clock(struct connection *c)
{
  uint64_t now = loop_now(), due = c->last + clock_of(c);

  if (c->timer.place != 0 && c->timer.at <= due)
    return 0;
  return loop_timer_in(&c->timer, due > now ? due - now : 0);
}

/* replies wait for the answer about a recipient or a message, so that those to a pipelined
 * batch leave in one write */
static int holds_replies(const struct session *s)
{
  return s->doing == ASKED || s->doing == OPENING || s->doing == PAUSED;
}

/* a message must come faster than a few bytes a second */
static void look_at_pace(struct connection *c, uint64_t now)
{
  const uint64_t window = patience(&c->near.session, settings.smtpd_timeout_slow);

  if (now - c->paced < window || c->near.session.doing != DATA)
    return;
  if (c->came < PACE_MIN * window / 1000 && stress_concerns(&c->near.session))
    session_end(&c->near.session, REPLY_DATA_SLOW, "too slow in data");
  c->paced = now;
  c->came = 0;
}

/* gives the session bytes; returns how many it took. The clock goes on when it got on by them:
 * not by the rest of a line that is too long, nor by a message that comes too slowly. */
static size_t give(struct connection *c, const char *bytes, size_t len)
{
  const struct session *s = &c->near.session;
  enum session_doing was = s->doing;
  size_t used = session_feed(&c->near.session, bytes, len);
  uint64_t now = loop_now();

  if (s->doing != DATA || was != DATA) {
    c->paced = now;
    c->came = 0;
  }
  c->came += used;
  look_at_pace(c, now);
  if (used > 0 && !(was == SKIP && s->doing == SKIP))
    c->last = now;
  return used;
}

/* gives the session the bytes that wait; returns how many it took */
static size_t feed(struct connection *c)
{
  size_t used = give(c, c->pending.s, c->pending.len);

  if (used == 0)
    return 0;
  memmove(c->pending.s, c->pending.s + used, c->pending.len - used);
  c->pending.len -= used;
  wipe(c, c->pending.s + c->pending.len, used);
  return used;
}

/* writes; and where that made room for replies to commands that wait, goes on with them */
static int write_and_go_on(struct connection *c)
{
  struct session *s = &c->near.session;

  do {
    if (holds_replies(s))
      return 0;
    if (flush(c) != 0)
      return -1;
  } while (s->out.len == 0 && c->pending.len > 0 && session_is_ready(s) && feed(c) > 0);
  return 0;
}

/* ---- TLS */

static void settle(struct connection *c);

static void secured(struct connection *c)
{
  struct session *s = &c->near.session;
  char tls[TLS_TEXT], name[256];

  tls_describe(c->near.tls, tls);
  tls_server_name(c->near.tls, name);
  log_secured(s->client, tls, name);
  c->phase = TALKING;
  c->last = loop_now();
  session_secured(s, tls);
  settle(c);
}

static void shake(struct connection *c)
{
  switch (tls_handshake(c->near.tls)) {
  case TLS_DONE:
    secured(c);
    break;
  case TLS_WAITS:
    want(c, tls_wants(c->near.tls) == POLLOUT ? LOOP_WRITE : LOOP_READ);
    break;
  case TLS_FAILED: /* the alert that says why is on its way */
    log_unsecured(c->near.session.client, tls_why(c->near.tls));
    c->near.session.reason = "TLS handshake failed";
    linger(c);
    break;
  default:
    log_unsecured(c->near.session.client, "the client closed");
    destroy(c, "client closed");
  }
}

/* all replies are written. What the client sent behind STARTTLS is in clear, whoever said it, and
 * must never be taken for a part of what is encrypted. */
static void secure(struct connection *c)
{
  struct session *s = &c->near.session;

  if (c->pending.len > 0)
    log_discarded(s->client, log_num(c->pending.len));
  stralloc_free(&c->pending);
  c->pending = (stralloc){0};
  c->near.tls = tls_server_start(c->fd, s->service);
  c->last = loop_now();
  if (!c->near.tls || set_clock(c) != 0) {
    log_unsecured(s->client, c->near.tls ? "out of memory" : "no certificate, or out of memory");
    destroy(c, "no TLS");
    return;
  }
  c->phase = SHAKING;
  shake(c);
}

/* after anything happened: writes what is to be written, and says what to wait for */
static void settle(struct connection *c)
{
  struct session *s = &c->near.session;
  int events;

  if (c->phase != TALKING)
    return;
  if (is_stopping && s->doing == COMMAND)
    session_end(s, REPLY_SHUTDOWN, "shutdown");
  if (write_and_go_on(c) != 0) {
    destroy(c, "write failed");
    return;
  }
  if (s->doing == ENDED && s->out.len == 0) {
    if (s->reason && strcmp(s->reason, "quit") == 0 && c->pending.len == 0)
      destroy(c, "closed");
    else
      linger(c);
    return;
  }
  if (s->doing == SECURING && s->out.len == 0) {
    secure(c);
    return;
  }
  if (set_clock(c) != 0) {
    destroy(c, "out of memory");
    return;
  }
  /* the answers of our own programs come soon: reading is stopped only when the client sends
   * meanwhile (ready() does that), which saves two system calls a wait */
  events = session_is_ready(s) ? LOOP_READ : c->wants & LOOP_READ;
  if (c->sent < s->out.len && !holds_replies(s))
    events |= LOOP_WRITE;
  if (c->must_write)
    events = LOOP_WRITE;
  want(c, events);
}

/* ---- input */

static int keep(struct connection *c, const char *bytes, size_t len)
{
  wipe(c, c->pending.s, c->pending.len);
  if (len == 0 && c->pending.a > 1024) {
    stralloc_free(&c->pending);
    c->pending = (stralloc){0};
    return 0;
  }
  return stralloc_copyb(&c->pending, bytes, len) ? 0 : -1;
}

/* the session may take bytes again: those that wait come first */
static void resume(struct connection *c)
{
  c->last = loop_now();
  feed(c);
  settle(c);
}

static void take_input(struct connection *c)
{
  static char buf[LINE_MAX_BYTES + READ_MAX];
  size_t have = c->pending.len, used;
  ssize_t n;

  if (have > LINE_MAX_BYTES) { /* more than a line waits: take of that first */
    resume(c);
    return;
  }
  n = stream_read(c->fd, c->near.tls, buf + have, READ_MAX);
  if (n < 0 && errno == EBUSY) {
    c->must_write = 1;
    want(c, LOOP_WRITE);
    return;
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    if (errno == EAGAIN)
      loop_drained(c->fd, LOOP_READ);
    return;
  }
  if (n <= 0) {
    destroy(c, n == 0 ? "client closed" : errno == EPROTO ? "TLS broken" : "read failed");
    return;
  }
  if (have > 0)
    memcpy(buf, c->pending.s, have);
  have += (size_t)n;
  used = give(c, buf, have);
  if (keep(c, buf + used, have - used) != 0) {
    destroy(c, "out of memory");
    return;
  }
  wipe(c, buf, have);
  settle(c);
}

/* ---- the PROXY header */

static void begin(struct connection *c, const struct service *service, const struct ip *ip, uint16_t port);

static void refuse_header(struct connection *c, const char *why)
{
  log_unproxied(c->balancer->name, why);
  destroy(c, "no PROXY header");
}

static void read_header(struct connection *c)
{
  struct balancer *b = c->balancer;
  const char *why = "";

  switch (balancer_read(b, c->fd, &why)) {
  case PROXY_MORE:
    break;
  case PROXY_BAD:
    refuse_header(c, why);
    break;
  case PROXY_DONE:
    c->balancer = NULL;
    c->last = loop_now();
    begin(c, b->service, &b->ip, b->port);
    free(b);
  }
}

static void discard_input(struct connection *c)
{
  static char buf[READ_MAX];
  ssize_t n = read(c->fd, buf, sizeof buf);

  if (n < 0 && errno == EAGAIN)
    loop_drained(c->fd, LOOP_READ);
  else if (n == 0 || (n < 0 && errno != EINTR))
    destroy(c, "closed");
}

static void ready(struct loop_handler *h, int fd, int events)
{
  struct connection *c = (struct connection *)h;

  (void)fd;
  if (c->phase == HEADER) {
    read_header(c);
    return;
  }
  if (c->phase == LINGERING) {
    discard_input(c);
    return;
  }
  if (c->phase == SHAKING) {
    shake(c);
    return;
  }
  if ((events & LOOP_WRITE) && c->must_write) {
    c->must_write = 0;
    take_input(c); /* which gives TLS its turn */
    return;
  }
  if (events & LOOP_WRITE)
    resume(c); /* with room for replies there may be room for commands */
  else if (session_is_ready(&c->near.session))
    take_input(c);
  else
    want(c, c->wants & ~LOOP_READ);
}

/* what is there before the banner goes out */
static void listen_early(struct connection *c)
{
  struct session *s = &c->near.session;
  char byte[256];
  ssize_t n;

  if (s->commands > 0 || s->doing == ENDED || !gate_listens(s))
    return;
  n = recv(c->fd, byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
  if (n > 0)
    session_spoke_early(s, (size_t)n);
}

static void out_of_time(struct connection *c)
{
  struct session *s = &c->near.session;

  switch (s->doing) {
  case COMMAND:
  case SKIP:
  case RESPONSE:
    session_end(s, REPLY_TIMEOUT, "timeout");
    break;
  case DATA:
  case FULL:
    session_end(s, REPLY_DATA_TIMEOUT, "timeout in data");
    break;
  case OPENING:
    neighbours_give_up(&c->near);
    feed(c);
    break;
  case PAUSED:
    listen_early(c);
    session_go_on(s);
    feed(c);
    break;
  default: /* others answer for it */
    break;
  }
  c->last = loop_now();
}

static void on_timer(struct loop_timer *t)
{
  struct connection *c = of_timer(t);
  int is_late = loop_now() >= c->last + clock_of(c);

  if (c->phase == LINGERING) {
    destroy(c, "closed");
    return;
  }
  if (is_late && c->phase == HEADER) {
    refuse_header(c, "the load balancer took too long");
    return;
  }
  if (is_late && c->phase == SHAKING) {
    log_unsecured(c->near.session.client, "the client took too long");
    destroy(c, "timeout in the TLS handshake");
    return;
  }
  if (c->phase == SHAKING || c->phase == HEADER) {
    set_clock(c);
    return;
  }
  if (is_late && c->sent < c->near.session.out.len && !holds_replies(&c->near.session)) {
    destroy(c, "client does not read");
    return;
  }
  if (is_late)
    out_of_time(c);
  settle(c);
}

static void answered(struct neighbours *n)
{
  resume(of_near(n));
}

/* ---- beginning */

/* the client is known: its session begins */
static void begin(struct connection *c, const struct service *service, const struct ip *ip, uint16_t port)
{
  c->phase = TALKING;
  neighbours_start(&c->near, service, ip, port, answered);
  log_connected(c->near.session.client, service->word);
  look_at_stress();
  if (c->near.session.doing == COMMAND)
    listen_early(c);
  settle(c);
}

int connection_open(int fd, const struct service *service, const struct ip *ip, uint16_t port)
{
  /* who comes by a local socket is nobody's load balancer */
  int is_balanced = !service->is_lmtp && ip_in_list(ip, settings.proxy_networks);
  struct connection *c = calloc(1, sizeof *c);

  if (c && is_balanced)
    c->balancer = balancer_new(service, ip, port);
  if (!c || (is_balanced && !c->balancer) || loop_add(fd, &c->handler) != 0) {
    if (c)
      free(c->balancer);
    free(c);
    close(fd);
    return -1;
  }
  c->handler.ready = ready;
  c->timer.fire = on_timer;
  c->fd = fd;
  c->last = loop_now();
  c->after = all;
  if (all)
    all->before = c;
  all = c;
  census_tell(++count);
  if (!is_balanced) {
    begin(c, service, ip, port);
    return 0;
  }
  want(c, LOOP_READ);
  if (set_clock(c) != 0)
    destroy(c, "out of memory");
  return 0;
}

/* whether it can be told to go: no message of its is on its way into the queue */
static int is_interruptible(const struct session *s)
{
  return s->doing < DATA || s->doing == ASKED || s->doing == PROVING || s->doing == OPENING ||
         s->doing == AWAITING || s->doing == PAUSED;
}

void connection_stop_all(void (*gone)(void))
{
  struct connection *c = all;

  is_stopping = 1;
  on_gone = gone;
  if (count == 0) {
    gone();
    return;
  }
  while (c) {
    struct connection *after = c->after;
    if (c->phase == TALKING && c->near.session.doing != SECURING && is_interruptible(&c->near.session))
      session_end(&c->near.session, REPLY_SHUTDOWN, "shutdown");
    if (c->phase == TALKING && c->near.session.doing != SECURING)
      settle(c);
    else
      destroy(c, c->phase == LINGERING ? "closed" : "shutdown");
    c = after;
  }
}
