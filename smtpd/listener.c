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
#include "smtpd/census.h"
#include "smtpd/connection.h"
#include "smtpd/session.h"

/* few: other processes that serve the same socket have time for the rest */
#define ACCEPTS_PER_TURN 8
#define KEY_MAX 64
#define PAUSE_MS 1000 /* when descriptors or memory are out */
#define YIELD_MS 2    /* for another process to take the next client */
#define YIELDED_MS 20 /* after which it waits again */

struct listener {
  struct loop_handler handler; /* first */
  struct loop_timer pause;
  struct listener *next;
  int fd;
  uint64_t yielded; /* when it last waited for others */
  char key[KEY_MAX]; /* as in table `listen` */
  const struct service *service;
};

static struct listener *all;
static int has_started;

static void on_pause_over(struct loop_timer *t)
{
  struct listener *l = (struct listener *)((char *)t - offsetof(struct listener, pause));

  l->yielded = loop_now();
  loop_want(l->fd, LOOP_READ);
}

static void pause_for(struct listener *l, uint64_t ms)
{
  loop_want(l->fd, 0);
  if (loop_timer_in(&l->pause, ms) != 0)
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

/* clients from the Internet leave room for users, where there is a service for them */
static size_t limit_of(const struct listener *l)
{
  size_t limit = settings.session_limit;

  return l->service->number == SERVICE_MX && census_has_others() ? limit - limit / 10
                                                                           : limit;
}

static void serve(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
  struct ip ip = {4, {127, 0, 0, 1}}; /* who comes by a local socket */
  uint16_t port = 0;

  if (peer->ss_family != AF_UNIX && ip_from_sockaddr(peer, &ip, &port) != 0)
    close(fd);
  else if (census_total() >= limit_of(l))
    turn_away(fd, &ip, port);
  else if (connection_open(fd, l->service, &ip, port) != 0)
    log_failed("smtpd", "session", strerror(errno));
}

static void ready(struct loop_handler *h, int fd, int events)
{
  struct listener *l = (struct listener *)h;

  (void)events;
  /* all processes of a service wake for a client: one that has many sessions lets others be first,
   * so that they spread; what nobody took meanwhile it takes */
  if (loop_now() > l->yielded + YIELDED_MS && census_is_heavy()) {
    pause_for(l, YIELD_MS);
    return;
  }
  l->yielded = 0;
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
      pause_for(l, PAUSE_MS);
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

  if (!l || strlen(addr) >= sizeof l->key || !service_find(service, strlen(service))) {
    free(l);
    close(fd);
    return -1;
  }
  l->handler.ready = ready;
  l->pause.fire = on_pause_over;
  l->fd = fd;
  strcpy(l->key, addr);
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
    if (table_get(t, "listen", l->key, strlen(l->key), &v) && strcmp(v.s, l->service->word) == 0) {
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
