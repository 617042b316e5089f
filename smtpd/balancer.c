/* balancer.c - a connection from a load balancer, before it said for whom it connects
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The header is hostile: any host of
 * proxy-networks may have sent it, and nobody else may. */
#include "smtpd/balancer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/log.h"

struct balancer *balancer_new(const struct service *service, const struct ip *ip, uint16_t port)
{
  struct balancer *b = malloc(sizeof *b);

  if (!b)
    return NULL;
  b->service = service;
  b->ip = *ip;
  b->port = port;
  b->len = 0;
  ip_port_format(b->name, ip, port);
  return b;
}

static void take(struct balancer *b, const struct proxy *p)
{
  char client[IP_PORT_TEXT];

  if (!p->has_address)
    return;
  ip_port_format(client, &p->ip, p->port);
  log_proxied(client, b->name);
  b->ip = p->ip;
  b->port = p->port;
}

/* takes of the socket what belongs to the header and not a byte more: TLS may follow, which reads
 * for itself. What was only looked at would wake us again and again, so all of an unfinished header
 * is taken. */
enum proxy_state balancer_read(struct balancer *b, int fd, const char **why)
{
  ssize_t n = recv(fd, b->header + b->len, sizeof b->header - b->len, MSG_PEEK);
  enum proxy_state state;
  struct proxy p;
  size_t used, more;

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return PROXY_MORE;
  *why = n == 0 ? "the load balancer closed" : strerror(errno);
  if (n <= 0)
    return PROXY_BAD;
  state = proxy_parse(b->header, b->len + (size_t)n, &p, &used, why);
  more = state == PROXY_DONE ? used - b->len : (size_t)n;
  if (state == PROXY_BAD || recv(fd, b->header + b->len, more, 0) != (ssize_t)more)
    return PROXY_BAD;
  b->len += more;
  if (state == PROXY_DONE)
    take(b, &p);
  return state;
}
