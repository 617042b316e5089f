/* peerwords.h - values of table `peers`: how the administrator wants a peer spoken to
 *
 * Pure. Keys, in the order they win: ADDR:PORT, ADDR, CIDR, host name, .domain, *.
 * Values: words, or a decimal IIS mask of verbs to use (LADDER.md 5). */
#ifndef COMMON_PEERWORDS_H
#define COMMON_PEERWORDS_H

#include <stddef.h>
#include <stdint.h>

#include "common/ip.h"
#include "common/table.h"

enum peer_tls {
  PEER_TLS_UNSAID,
  PEER_TLS_NONE,    /* never */
  PEER_TLS_MAY,     /* when offered, whatever the settings and memory say */
  PEER_TLS_ENCRYPT, /* nothing goes in clear; any certificate will do */
  PEER_TLS_VERIFY   /* nor to a host whose certificate is not trusted and its own */
};

struct peerwords {
  int says_helo;     /* `helo`: never EHLO */
  int says_ehlo;     /* `ehlo`: EHLO, whatever memory says */
  uint32_t off;      /* verbs not used (enum verb_bit): `no-8bitmime`, `no-pipelining`, ... or a mask */
  int no_reuse;      /* `no-reuse`: a connection serves one message */
  enum peer_tls tls; /* `tls=none`, `may`, `encrypt`, `verify` */
  /* these are the queue's: for a next hop, which has no address yet, by its name */
  uint32_t conns;    /* `conns=5`: attempts at once; 0: not said */
  uint32_t rate;     /* `rate=100/1m`: so many messages ... */
  uint64_t rate_ms;  /* ... in so long; 0: not said */
};

#define PEERWORDS_CONNS 10000
#define PEERWORDS_RATE 10000

/* 0, or -1 with *why: what was expected */
int peerwords_parse(const char *value, size_t len, struct peerwords *w, const char **why);
/* what the table says about this peer; all zero when nothing */
void peerwords_find(const struct table *t, const struct ip *ip, uint16_t port, const char *host,
                    struct peerwords *w);
/* the same for a host or domain without address: by its name, .suffix or * */
void peerwords_find_name(const struct table *t, const char *name, struct peerwords *w);

#endif
