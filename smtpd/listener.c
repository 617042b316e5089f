/* listener.c - the listening sockets that `heloise run` bound for us
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Nothing is read here; a client's
 * address is the kernel's word. */
#include "smtpd/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stralloc.h>

#include "common/ip.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "smtpd/connection.h"
#include "smtpd/session.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE_MS 1000 /* when descriptors or memory are out */

struct listener {
  struct loop_handler handler; /* first */
  struct loop_timer pause;
  struct listener *next;
  int fd;
  char key[IP_PORT_TEXT]; /* as in table `listen` */
  const struct service *service;
};

static struct listener *all;
static int has_started;

static void on_pause_over(struct loop_timer *t)
{
  struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, pause));

  loop_want(l->fd, LOOP_READ);
}

/* one more than session-limit: told to come again. Nothing was read, so the close resets
 * nothing. */
static void turn_away(int fd, const struct ip *ip, uint16_t port)
{
  stralloc line = {0};
  char client[IP_PORT_TEXT];

  if (session_farewell(&line, REPLY_TOO_MANY_SESSIONS) == 0) {
    ssize_t ignored = write(fd, line.s, line.len);
    (void)ignored; /* a client that does not take it learns by the close */
  }
  stralloc_free(&line);
  close(fd);
  ip_port_format(client, ip, port);
  log_disconnected(client, "too many sessions", "0");
}

static void serve(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
  struct ip ip;
  uint16_t port;

  if (ip_from_sockaddr(peer, &ip, &port) != 0)
    close(fd);
  else if (connection_count() >= settings.session_limit)
    turn_away(fd, &ip, port);
  else if (connection_open(fd, l->service, &ip, port) != 0)
    log_failed("smtpd", "session", strerror(errno));
}

static void ready(struct loop_handler *h, int fd, int events)
{
  struct listener *l = (struct listener *)h;

  (void)events;
  for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    int client = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (client >= 0) {
      serve(l, client, &peer);
    } else if (errno == EAGAIN) {
      loop_drained(fd, LOOP_READ);
      return;
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
      log_failed("smtpd", "accept", strerror(errno));
      loop_want(fd, 0);
      loop_timer_in(&l->pause, PAUSE_MS);
      return;
    } /* other errors are the one client's that gave up */
  }
}

static int start(struct listener *l)
{
  int on = 1;

  /* sessions inherit it: a reply never waits for the ACK of the one before */
  setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (loop_add(l->fd, &l->handler) != 0)
    return -1;
  loop_want(l->fd, LOOP_READ);
  return 0;
}

int listener_add(const char *addr, const char *service, int fd)
{
  struct listener *l = calloc(1, sizeof *l);
  struct ip ip;
  uint16_t port;

  if (!l || !service_find(service, strlen(service))) {
    free(l);
    close(fd);
    return -1;
  }
  l->handler.ready = ready;
  l->pause.fire = on_pause_over;
  l->fd = fd;
  if (ip_port_parse(addr, strlen(addr), &ip, &port) == 0)
    ip_port_format(l->key, &ip, port);
  l->service = service_find(service, strlen(service));
  l->next = all;
  all = l;
  return has_started ? start(l) : 0;
}

int listener_start(void)
{
  has_started = 1;
  for (struct listener *l = all; l; l = l->next)
    if (start(l) != 0)
      return -1;
  return 0;
}

static void remove_one(struct listener *l)
{
  loop_timer_stop(&l->pause);
  if (has_started)
    loop_close(l->fd);
  else
    close(l->fd);
  free(l);
}

void listener_prune(const struct table *t)
{
  for (struct listener **p = &all; *p;) {
    struct listener *l = *p;
    struct table_value v;
    if (!l->key[0] || table_get(t, "listen", l->key, strlen(l->key), &v)) {
      p = &l->next;
      continue;
    }
    *p = l->next;
    remove_one(l);
  }
}

void listener_stop_all(void)
{
  while (all) {
    struct listener *l = all;
    all = l->next;
    remove_one(l);
  }
}
