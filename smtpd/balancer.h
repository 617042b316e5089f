/* balancer.h - a connection from a load balancer, before it said for whom it connects */
#ifndef SMTPD_BALANCER_H
#define SMTPD_BALANCER_H

#include "common/ip.h"
#include "common/service.h"
#include "smtpd/proxy.h"

struct balancer {
  const struct service *service;
  struct ip ip; /* the load balancer's, until balancer_read() knows better */
  uint16_t port;
  char name[IP_PORT_TEXT]; /* the load balancer */
  size_t len;
  char header[PROXY_MAX];
};

/* NULL: out of memory; free() ends it */
struct balancer *balancer_new(const struct service *service, const struct ip *ip, uint16_t port);

/* reads what is there. PROXY_DONE: ip and port are the client's; PROXY_BAD with *why, a sentence */
enum proxy_state balancer_read(struct balancer *b, int fd, const char **why);

#endif
