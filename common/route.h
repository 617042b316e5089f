/* route.h - where mail for a domain goes: values of table `routes`, and next hops
 *
 * Pure. A next hop is what recipients share a transaction by; its text form names it
 * between programs, in queue listings and in file-name hashes. */
#ifndef COMMON_ROUTE_H
#define COMMON_ROUTE_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

enum nexthop_kind {
  HOP_LOCAL, /* "local" */
  HOP_MX,    /* "mx:DOMAIN" or "mx:DOMAIN:PORT": the mail exchangers of DOMAIN */
  HOP_HOST,  /* "host:[HOST]:PORT": that host or address, no MX look-up */
  HOP_ERROR, /* "error:TEXT": fails for good with TEXT (may begin with an enhanced code) */
  HOP_HOLD   /* "hold": stays in the queue until released */
};

#define HOP_HOST_MAX 255

struct nexthop {
  enum nexthop_kind kind;
  char host[HOP_HOST_MAX + 1]; /* domain, host name or address; empty for others */
  uint16_t port;               /* 0: setting smtp-port */
  const char *text;            /* HOP_ERROR: into the parsed string */
  size_t textlen;
};

/* parses a value of table `routes` ("mx", "[host]:port", "host:port", "error:TEXT",
 * "hold"); domain is the destination it is for. 0, or -1 with *why: what was expected. */
int route_parse(const char *value, size_t len, const char *domain, size_t domainlen,
                struct nexthop *hop, const char **why);
/* the text form, appended to out. 0, or -1 (ENOMEM). */
int nexthop_format(stralloc *out, const struct nexthop *hop);
/* reads the text form. 0, or -1. */
int nexthop_parse(const char *s, size_t len, struct nexthop *hop);

#endif
