/* listen.c - the sockets that table `listen` asks for
 *
 * Runs in `heloise run`: as root where the instance is root's, so that ports under 1024 can
 * be had. Nothing is read from these sockets here. */
#include "conf/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"

#define BACKLOG 4096

struct listener *listeners;

struct sync {
  const char *run;
  void (*opened)(const struct listener *l);
  unsigned int failed;
  int loud;
};

static int open_socket(const struct ip *ip, uint16_t port)
{
  struct sockaddr_storage ss;
  socklen_t len = ip_to_sockaddr(ip, port, &ss);
  int yes = 1, e;
  int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0)
    return -1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
      (ip->family == 4 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes) == 0) &&
      bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, BACKLOG) == 0)
    return fd;
  e = errno;
  close(fd);
  errno = e;
  return -1;
}

/* ---- local sockets */

/* the address of socket `name`; a path too long for one goes through an open directory, *dir,
 * which is closed after use. 0, or -1 with errno. */
static int local_address(const char *run, const char *name, struct sockaddr_un *a, int *dir)
{
  *a = (struct sockaddr_un){.sun_family = AF_UNIX};
  *dir = -1;
  if ((size_t)snprintf(a->sun_path, sizeof a->sun_path, "%s/%s", run, name) < sizeof a->sun_path)
    return 0;
  *dir = open(run, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (*dir < 0)
    return -1;
  snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/%s", *dir, name);
  return 0;
}

static int local_socket(const char *run, const char *name, int type,
                        int (*use)(int fd, const struct sockaddr_un *a))
{
  struct sockaddr_un a;
  int dir, e, fd = -1, r = local_address(run, name, &a, &dir);

  if (r == 0)
    r = fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd >= 0)
    r = use(fd, &a);
  e = errno;
  if (r != 0 && fd >= 0)
    close(fd);
  if (dir >= 0)
    close(dir);
  errno = e;
  return r == 0 ? fd : -1;
}

static int bind_name(int fd, const struct sockaddr_un *a, mode_t mode)
{
  unlink(a->sun_path);
  return bind(fd, (const struct sockaddr *)a, sizeof *a) == 0 && chmod(a->sun_path, mode) == 0 ? 0
                                                                                           : -1;
}

static int serve(int fd, const struct sockaddr_un *a)
{
  return bind_name(fd, a, 0666) == 0 ? listen(fd, 64) : -1;
}

static int serve_service(int fd, const struct sockaddr_un *a)
{
  return bind_name(fd, a, (mode_t)settings.lmtp_socket_mode) == 0 ? listen(fd, BACKLOG) : -1;
}

static int dial(int fd, const struct sockaddr_un *a)
{
  return connect(fd, (const struct sockaddr *)a, sizeof *a);
}

int listen_control(const char *run)
{
  return local_socket(run, "control", SOCK_SEQPACKET, serve);
}

int listen_connect(const char *run)
{
  return local_socket(run, "control", SOCK_SEQPACKET, dial);
}

static void forget_name(const char *run, const struct listener *l)
{
  const char *name = service_socket(l->addr, strlen(l->addr));
  int dir = name ? open(run, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

  if (dir < 0)
    return;
  unlinkat(dir, name, 0);
  close(dir);
}

void listen_forget(const char *run)
{
  for (const struct listener *l = listeners; l; l = l->next)
    forget_name(run, l);
}

/* ---- those of the table */

static struct listener *find(const char *addr)
{
  struct listener *l = listeners;

  while (l && strcmp(l->addr, addr) != 0)
    l = l->next;
  return l;
}

static int open_key(const char *run, const char *key)
{
  const char *name = service_socket(key, strlen(key));
  struct ip ip;
  uint16_t port;

  if (name)
    return local_socket(run, name, SOCK_STREAM | SOCK_NONBLOCK, serve_service);
  errno = EINVAL;
  return ip_port_parse(key, strlen(key), &ip, &port) == 0 ? open_socket(&ip, port) : -1;
}

static struct listener *open_listener(const char *run, const char *key, const char *service)
{
  struct listener *l = calloc(1, sizeof *l);

  if (!l)
    return NULL;
  snprintf(l->addr, sizeof l->addr, "%s", key);
  l->service = service_find(service, strlen(service));
  errno = EINVAL;
  l->fd = l->service ? open_key(run, key) : -1;
  if (l->fd < 0) {
    free(l);
    return NULL;
  }
  l->is_wanted = 1;
  l->next = listeners;
  listeners = l;
  return l;
}

/* a socket whose service is another now stays open: its clients find no gap */
static void renew(struct sync *s, struct listener *l, const char *service)
{
  if (strcmp(l->service->word, service) == 0 || !service_find(service, strlen(service)))
    return;
  l->service = service_find(service, strlen(service));
  if (s->opened)
    s->opened(l);
}

/* how a table's line is taken: with text NUL-terminated */
static int take(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  struct sync *s = arg;
  char addr[LISTEN_KEY];
  struct listener *l;

  if (keylen >= sizeof addr)
    return 0;
  memcpy(addr, key, keylen);
  addr[keylen] = 0;
  l = find(addr);
  if (l) {
    renew(s, l, v->s);
    return 0;
  }
  l = open_listener(s->run, addr, v->s);
  if (!l) {
    s->failed++;
    if (s->loud)
      log_failed("run", addr, strerror(errno));
  } else if (s->opened) {
    s->opened(l);
  }
  return 0;
}

static int mark(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  (void)arg;
  (void)v;
  for (struct listener *l = listeners; l; l = l->next)
    if (strlen(l->addr) == keylen && memcmp(l->addr, key, keylen) == 0)
      l->is_wanted = 1;
  return 0;
}

unsigned int listen_sync(const struct table *t, const char *run,
                         void (*opened)(const struct listener *l), int loud)
{
  struct sync s = {run, opened, 0, loud};
  struct listener **at = &listeners;

  for (struct listener *l = listeners; l; l = l->next)
    l->is_wanted = 0;
  table_each(t, "listen", mark, NULL);
  while (*at) {
    struct listener *l = *at;
    if (l->is_wanted) {
      at = &l->next;
      continue;
    }
    *at = l->next;
    forget_name(run, l);
    close(l->fd);
    free(l);
  }
  table_each(t, "listen", take, &s);
  return s.failed;
}
