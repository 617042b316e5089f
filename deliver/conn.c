/* conn.c - a connection to a peer, used by an attempt
 *
 * Runs in attempts: user hldeliver, network only. What comes in is hostile. */
#include "deliver/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "deliver/spoken.h"

#define BLOCK 65536
#define TLS_MOST (1 << 20) /* bytes that TLS takes within one deadline */

uint64_t conn_clock(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* waits for events; what came, 0 at the deadline: then also when more is there, for a peer
 * may always have more */
static int wait_for(const struct conn *c, short events, uint64_t deadline)
{
  struct pollfd p = {.fd = c->fd, .events = events};
  uint64_t now;

  while ((now = conn_clock()) < deadline) {
    int r = poll(&p, 1, (int)(deadline - now));
    if (r > 0)
      return p.revents;
    if (r == 0 || errno != EINTR)
      return 0;
  }
  return 0;
}

/* a clock starts: for a reply, a block, a handshake */
static void start_clock(struct conn *c)
{
  c->taken = c->tls ? tls_taken(c->tls) : 0;
}

/* TLS passes over some of what a peer may send without end, at the peer's pace: that must not keep us
 * busy until the clock has run out */
static int may_take(const struct conn *c)
{
  return !c->tls || tls_taken(c->tls) - c->taken < TLS_MOST;
}

/* ---- opening and closing */

enum saw conn_error(int error, int family)
{
  switch (error) {
  case EADDRNOTAVAIL: /* with IPv6 switched off there is no source address: no route, like A3 */
    return family == 6 ? SAW_UNREACHABLE : SAW_LOCAL;
  case ECONNREFUSED:
    return SAW_REFUSED;
  case ECONNRESET: /* it was made, and gone before we looked */
    return SAW_RESET;
  case ETIMEDOUT:
    return SAW_NO_ANSWER;
  case ENETUNREACH:
  case EHOSTUNREACH:
  case ENETDOWN:
  case EHOSTDOWN:
  case EAFNOSUPPORT:
  case EACCES:
  case EPERM:
  case EINVAL:
  case EPROTO:
    return SAW_UNREACHABLE;
  default:
    return SAW_LOCAL;
  }
}

static enum saw finish_connect(struct conn *c, int family, uint64_t deadline)
{
  int error = 0;
  socklen_t len = sizeof error;

  if (!wait_for(c, POLLOUT, deadline))
    return SAW_NO_ANSWER;
  if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
    return SAW_LOCAL;
  if (error == ECONNRESET || error == EPIPE) { /* it was answered, and reset before we looked (A4) */
    c->has_ended = c->was_reset = 1;
    return SAW_REPLY;
  }
  return error ? conn_error(error, family) : SAW_REPLY;
}

void conn_expects_more(struct conn *c)
{
  int one = 1;

  setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

enum saw conn_open(struct conn *c, const struct ip *ip, uint16_t port, uint64_t timeout_ms)
{
  struct sockaddr_storage ss;
  socklen_t len = ip_to_sockaddr(ip, port, &ss);
  uint64_t deadline = conn_clock() + timeout_ms;
  enum saw saw = SAW_REPLY;
  int one = 1;

  c->at = c->len = 0;
  c->has_ended = c->was_reset = 0;
  c->tls = NULL;
  c->why[0] = 0;
  c->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (c->fd < 0)
    return conn_error(errno, ip->family);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
  if (connect(c->fd, (struct sockaddr *)&ss, len) != 0)
    saw = errno == EINPROGRESS || errno == EINTR ? finish_connect(c, ip->family, deadline)
                                                 : conn_error(errno, ip->family);
  if (saw != SAW_REPLY)
    conn_close(c);
  return saw;
}

static void shut(struct conn *c, int says_bye)
{
  tls_end(c->tls, says_bye);
  c->tls = NULL;
  if (c->fd >= 0)
    close(c->fd);
  c->fd = -1;
}

void conn_close(struct conn *c)
{
  shut(c, 1);
}

void conn_abort(struct conn *c)
{
  struct linger at_once = {1, 0};

  if (c->fd >= 0) {
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    spoken_note(c->spoken, "we drop the connection");
  }
  shut(c, 0);
}

int conn_local(const struct conn *c, struct ip *ip)
{
  struct sockaddr_storage ss;
  socklen_t len = sizeof ss;
  uint16_t port;

  if (c->fd < 0 || getsockname(c->fd, (struct sockaddr *)&ss, &len) != 0)
    return -1;
  return ip_from_sockaddr(&ss, ip, &port);
}

/* ---- reading */

/* what came: bytes, 0 when there is nothing yet, -1 at the peer's end */
static ssize_t receive(struct conn *c)
{
  ssize_t n = recv(c->fd, c->in + c->len, CONN_IN - c->len, MSG_DONTWAIT);

  if (n > 0)
    return n;
  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return 0;
  c->was_reset = n < 0;
  return -1;
}

static ssize_t receive_tls(struct conn *c)
{
  size_t n = 0;
  enum tls_state state = tls_read(c->tls, c->in + c->len, CONN_IN - c->len, &n);

  if (state == TLS_DONE)
    return (ssize_t)n;
  if (state == TLS_WAITS)
    return 0;
  c->was_reset = state == TLS_RESET;
  snprintf(c->why, sizeof c->why, "%s", tls_why(c->tls));
  return -1;
}

/* takes what the socket has, without waiting; 1 when there was something or its end */
static int take(struct conn *c)
{
  ssize_t n;

  if (c->at == c->len)
    c->at = c->len = 0;
  if (c->has_ended)
    return 1;
  if (c->fd < 0 || c->len == CONN_IN)
    return 0;
  n = c->tls ? receive_tls(c) : receive(c);
  if (n > 0)
    c->len += (size_t)n;
  else
    c->has_ended = n < 0;
  return n != 0;
}

static enum saw ended(const struct conn *c, const struct reply *r)
{
  if (reply_has_begun(r))
    return SAW_PART;
  return c->was_reset ? SAW_RESET : SAW_CLOSE;
}

static enum saw read_reply(struct conn *c, struct reply *r, uint64_t deadline)
{
  static const enum saw of_state[] = {[REPLY_WHOLE] = SAW_REPLY,
                                      [REPLY_GARBLED] = SAW_GARBLED,
                                      [REPLY_FOREIGN] = SAW_FOREIGN,
                                      [REPLY_ENDLESS] = SAW_ENDLESS};
  enum reply_state state = REPLY_MORE;

  reply_start(r);
  start_clock(c);
  if (conn_clock() >= deadline) /* whatever lies there: a peer that never stops is not read for ever */
    return SAW_SILENCE;
  for (;;) {
    size_t used = reply_feed(r, c->in + c->at, c->len - c->at, &state);
    spoken_heard(c->spoken, c->in + c->at, used);
    c->at += used;
    if (state != REPLY_MORE)
      return of_state[state];
    c->at = c->len = 0;
    if (c->has_ended || c->fd < 0)
      return ended(c, r);
    /* TLS may have something already; else it has to come first */
    if ((!c->tls || !take(c)) &&
        (!may_take(c) || !wait_for(c, c->tls ? tls_wants(c->tls) : POLLIN, deadline)))
      return reply_has_begun(r) ? SAW_UNFINISHED : SAW_SILENCE;
    if (!c->tls)
      take(c);
  }
}

enum saw conn_reply(struct conn *c, struct reply *r, uint64_t deadline)
{
  enum saw saw = read_reply(c, r, deadline);

  spoken_over(c->spoken, saw);
  return saw;
}

int conn_is_quiet(struct conn *c)
{
  take(c);
  return c->fd >= 0 && !c->has_ended && c->at == c->len;
}

int conn_has_input(struct conn *c)
{
  take(c);
  return c->at < c->len;
}

int conn_is_over(struct conn *c)
{
  take(c);
  return c->has_ended && c->at == c->len;
}

/* ---- writing */

static ssize_t send_tls(struct conn *c, const char *s, size_t len)
{
  size_t n = 0;
  enum tls_state state = tls_write(c->tls, s, len, &n);

  if (state == TLS_DONE)
    return (ssize_t)n;
  errno = state == TLS_WAITS ? EAGAIN : state == TLS_RESET ? ECONNRESET : EPIPE;
  return -1;
}

static ssize_t write_some(struct conn *c, const char *s, size_t len, uint64_t deadline)
{
  for (;;) {
    ssize_t n = c->tls ? send_tls(c, s, len) : send(c->fd, s, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    int can_read = c->len < CONN_IN && !c->has_ended && may_take(c), came;
    if (n >= 0 || (errno != EAGAIN && errno != EINTR))
      return n;
    came = wait_for(c, (short)(POLLOUT | (can_read ? POLLIN : 0)), deadline);
    if (came == 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    if (came & POLLIN)
      take(c);
  }
}

int conn_write(struct conn *c, const char *s, size_t len, uint64_t timeout_ms)
{
  if (c->fd < 0) {
    errno = EPIPE;
    return -1;
  }
  spoken_said(c->spoken, s, len);
  while (len > 0) {
    size_t block = len < BLOCK ? len : BLOCK;
    uint64_t deadline = conn_clock() + timeout_ms;
    start_clock(c);
    len -= block;
    while (block > 0) {
      ssize_t n = write_some(c, s, len + block, deadline);
      if (n < 0)
        return -1;
      s += n;
      if ((size_t)n >= block) {
        len -= (size_t)n - block;
        block = 0;
      } else
        block -= (size_t)n;
    }
  }
  return 0;
}

/* ---- TLS */

enum saw conn_starttls(struct conn *c, const char *name, uint64_t deadline)
{
  static const enum saw of_state[] = {[TLS_DONE] = SAW_REPLY,
                                      [TLS_WAITS] = SAW_SILENCE,
                                      [TLS_ENDED] = SAW_CLOSE,
                                      [TLS_RESET] = SAW_RESET,
                                      [TLS_FAILED] = SAW_NO_TLS};
  enum tls_state state;

  if (conn_has_input(c)) {
    snprintf(c->why, sizeof c->why, "bytes in clear after STARTTLS");
    return SAW_EARLY;
  }
  if (c->has_ended)
    return c->was_reset ? SAW_RESET : SAW_CLOSE;
  c->tls = tls_client_start(c->fd, name);
  if (!c->tls)
    return SAW_LOCAL;
  start_clock(c);
  do
    state = tls_handshake(c->tls);
  while (state == TLS_WAITS && may_take(c) && wait_for(c, tls_wants(c->tls), deadline));
  snprintf(c->why, sizeof c->why, "%s", tls_why(c->tls));
  return of_state[state];
}
