/* chan.c - one end of a channel between programs, in the event loop
 *
 * Runs in every program. What arrives is hostile until wire_decode() took it. */
#include "common/chan.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGES_PER_TURN 64 /* from one channel before others get their go */

struct chan_packet {
  struct chan_packet *next;
  int fd;
  size_t len;
  char data[];
};

static stralloc encoded; /* bound: WIRE_MAX */
static char packet[WIRE_MAX];

static ssize_t send_packet(int sock, const char *data, size_t len, int fd)
{
  struct iovec io = {(void *)(uintptr_t)data, len};
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};

  if (fd >= 0) {
    struct cmsghdr *c;
    memset(&control, 0, sizeof control);
    h.msg_control = control.space;
    h.msg_controllen = sizeof control.space;
    c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
  }
  return sendmsg(sock, &h, MSG_NOSIGNAL);
}

/* receives one packet; *fd is the one descriptor that came, or -1. A packet that is too
 * long or brings several descriptors gives EPROTO. */
static ssize_t recv_packet(int sock, char *data, size_t room, int *fd)
{
  struct iovec io = {data, room};
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(4 * sizeof(int))];
  } control;
  struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space,
                     .msg_controllen = sizeof control.space};
  ssize_t n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
  int count = 0;

  *fd = -1;
  if (n < 0)
    return -1;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
    size_t fds;
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
      continue;
    fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < fds; i++) {
      int got;
      memcpy(&got, CMSG_DATA(c) + i * sizeof got, sizeof got);
      if (count++ == 0)
        *fd = got;
      else
        close(got);
    }
  }
  if (count > 1 || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
    if (*fd >= 0)
      close(*fd);
    *fd = -1;
    errno = EPROTO;
    return -1;
  }
  return n;
}

/* decodes what arrived and checks that a descriptor came exactly if one must */
static int decode(size_t len, enum wire_link link, enum wire_side sender, int fd,
                  struct wire_msg *m, const char **why)
{
  if (wire_decode(packet, len, link, sender, m, why) != 0)
    return -1;
  if (wire_needs_fd(m->type) != (fd >= 0)) {
    *why = "a descriptor is missing or not wanted";
    return -1;
  }
  m->fd = fd;
  return 0;
}

static enum wire_side other(enum wire_side s)
{
  return s == WIRE_LOW ? WIRE_HIGH : WIRE_LOW;
}

static void want(struct chan *c)
{
  loop_want(c->fd, (c->paused ? 0 : LOOP_READ) | (c->first ? LOOP_WRITE : 0));
}

static void broken(struct chan *c, const char *why)
{
  chan_close(c);
  c->ops->closed(c, why);
}

/* takes up to n messages */
static void receive(struct chan *c, int n)
{
  for (int i = 0; i < n && c->fd >= 0 && !c->paused; i++) {
    struct wire_msg m;
    const char *why = NULL;
    int fd, sock = c->fd, bad;
    ssize_t len = recv_packet(sock, packet, sizeof packet, &fd);

    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
      if (errno == EAGAIN)
        loop_drained(sock, LOOP_READ);
      return;
    }
    if (len <= 0) {
      broken(c, len < 0 && errno == EPROTO ? "packet too long or too many descriptors" : NULL);
      return;
    }
    bad = decode((size_t)len, c->link, other(c->side), fd, &m, &why);
    if (bad == 0) {
      bad = c->ops->message(c, &m, &why);
      fd = m.fd;
    }
    if (fd >= 0)
      close(fd);
    if (bad != 0 && c->fd == sock) {
      broken(c, why ? why : "malformed");
      return;
    }
  }
}

static void pop(struct chan *c)
{
  struct chan_packet *p = c->first;

  c->first = p->next;
  if (!c->first)
    c->last = NULL;
  c->queued -= p->len;
  if (p->fd >= 0)
    close(p->fd);
  explicit_bzero(p->data, p->len); /* some hold secrets */
  free(p);
}

static void transmit(struct chan *c)
{
  while (c->first) {
    if (send_packet(c->fd, c->first->data, c->first->len, c->first->fd) < 0) {
      if (errno == EINTR)
        continue;
      if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS) {
        loop_drained(c->fd, LOOP_WRITE);
        return;
      }
      broken(c, NULL);
      return;
    }
    pop(c);
  }
  want(c);
  if (c->wants_room) {
    c->wants_room = 0;
    if (c->ops->drained)
      c->ops->drained(c);
  }
}

static void ready(struct loop_handler *h, int fd, int events)
{
  struct chan *c = (struct chan *)h;

  if (c->fd != fd)
    return;
  if (events & LOOP_READ) /* the loop gives one event at a time, and closed() may free c */
    receive(c, MESSAGES_PER_TURN);
  else
    transmit(c);
}

int chan_open(struct chan *c, int fd, enum wire_link link, enum wire_side side,
              const struct chan_ops *ops)
{
  *c = (struct chan){.handler = {ready}, .fd = fd, .link = link, .side = side, .ops = ops,
                     .owner = c->owner, .bound = CHAN_BOUND};
  if (loop_add(fd, &c->handler) != 0) {
    close(fd);
    c->fd = -1;
    return -1;
  }
  want(c);
  return 0;
}

void chan_drain(struct chan *c)
{
  if (c->fd >= 0)
    receive(c, INT_MAX);
}

void chan_close(struct chan *c)
{
  if (c->fd < 0)
    return;
  while (c->first)
    pop(c);
  loop_close(c->fd);
  c->fd = -1;
}

int chan_is_open(const struct chan *c)
{
  return c->ops && c->fd >= 0;
}

void chan_pause(struct chan *c)
{
  c->paused = 1;
  if (c->fd >= 0)
    want(c);
}

void chan_resume(struct chan *c)
{
  c->paused = 0;
  if (c->fd >= 0)
    want(c);
}

static int enqueue(struct chan *c, int fd)
{
  struct chan_packet *p;

  if (c->queued + encoded.len > c->bound) {
    c->wants_room = 1;
    errno = EAGAIN;
    return -1;
  }
  p = malloc(sizeof *p + encoded.len);
  if (!p)
    return -1;
  p->next = NULL;
  p->len = encoded.len;
  memcpy(p->data, encoded.s, encoded.len);
  p->fd = fd < 0 ? -1 : dup(fd);
  if (fd >= 0 && p->fd < 0) {
    free(p);
    return -1;
  }
  if (c->last)
    c->last->next = p;
  else
    c->first = p;
  c->last = p;
  c->queued += p->len;
  want(c);
  return 0;
}

int chan_send(struct chan *c, const struct wire_out *o, int fd)
{
  if (!chan_is_open(c)) {
    errno = EPIPE;
    return -1;
  }
  if (wire_encode(o, &encoded) != 0)
    return -1;
  if (!c->first) {
    if (send_packet(c->fd, encoded.s, encoded.len, fd) >= 0)
      return 0;
    if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ETOOMANYREFS)
      return -1; /* the reader will see the end of the channel */
  }
  return enqueue(c, fd);
}

void chan_wipe(void)
{
  explicit_bzero(packet, sizeof packet);
  if (encoded.s)
    explicit_bzero(encoded.s, encoded.a);
}

int chan_pair(int fd[2])
{
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd);
}

int chan_send_blocking(int sock, const struct wire_out *o, int fd)
{
  if (wire_encode(o, &encoded) != 0)
    return -1;
  while (send_packet(sock, encoded.s, encoded.len, fd) < 0) {
    struct pollfd p = {.fd = sock, .events = POLLOUT};
    if (errno == EAGAIN || errno == ENOBUFS)
      poll(&p, 1, 1000);
    else if (errno != EINTR)
      return -1;
  }
  return 0;
}

int chan_recv_blocking(int sock, enum wire_link link, enum wire_side side, int timeout_ms,
                       struct wire_msg *m)
{
  int must_poll = timeout_ms >= 0; /* else recvmsg() may do the waiting */

  for (;;) {
    struct pollfd p = {.fd = sock, .events = POLLIN};
    const char *why;
    ssize_t n;
    int fd, r = must_poll ? poll(&p, 1, timeout_ms) : 1;

    if (r == 0) {
      errno = ETIMEDOUT;
      return -1;
    }
    if (r < 0 && errno != EINTR)
      return -1;
    if (r < 0)
      continue;
    n = recv_packet(sock, packet, sizeof packet, &fd);
    must_poll |= n < 0 && errno == EAGAIN;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
      continue;
    if (n < 0)
      return errno == ECONNRESET ? 0 : -1;
    if (n == 0)
      return 0;
    if (decode((size_t)n, link, other(side), fd, m, &why) == 0)
      return 1;
    if (fd >= 0)
      close(fd);
    errno = EPROTO;
    return -1;
  }
}
