/* proxy.h - the PROXY header, in which a load balancer says for whom it connects
 *
 * Pure. HAProxy's proxy-protocol.txt, versions 1 and 2. The bytes are hostile; who may send them is
 * setting proxy-networks. */
#ifndef SMTPD_PROXY_H
#define SMTPD_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "common/ip.h"

#define PROXY_MAX 1024 /* bytes of a header; what stands in it behind the addresses is not used */

struct proxy {
  int has_address; /* 0: the load balancer speaks for itself, or does not say for whom */
  struct ip ip;    /* the client's */
  uint16_t port;
};

enum proxy_state {
  PROXY_MORE, /* all of it belongs to the header, and it goes on */
  PROXY_DONE, /* *used bytes were the header */
  PROXY_BAD   /* *why */
};

enum proxy_state proxy_parse(const char *s, size_t len, struct proxy *p, size_t *used, const char **why);

#endif
