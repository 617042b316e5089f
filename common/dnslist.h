/* dnslist.h - DNS lists of clients: values of table `dnslists`, names to ask, what answers weigh
 *
 * Pure. RFC 5782. */
#ifndef COMMON_DNSLIST_H
#define COMMON_DNSLIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/ip.h"

#define DNSLIST_TERMS 16
#define DNSLIST_WEIGHT 1000 /* at most, above and below 0 */
#define DNSLIST_NAME_MAX 255
#define DNSLIST_LABELS 72   /* bytes of an address as labels, "" and the dot after them counted */

/* answers whose four bytes are all between these weigh so much */
struct dnslist_term {
  unsigned char low[4], high[4];
  int weight;
};

struct dnslist {
  size_t n;
  struct dnslist_term term[DNSLIST_TERMS];
  int wants_txt;   /* the zone's TXT record goes into the reply */
  const char *url; /* "https://check.example/%a", into the value; may be empty */
  size_t urllen;
};

/* 0, or -1 with *why: what was expected */
int dnslist_parse(const char *value, size_t len, struct dnslist *l, const char **why);

/* the weight of these answers: each term counts once that one of them fits */
int dnslist_weigh(const struct dnslist *l, const struct ip *answer, size_t n);
/* an answer of 127.255.255.0/24 says that the list does not answer us */
int dnslist_is_complaint(const struct ip *answer);

/* "1.2.0.192." + zone for 192.0.2.1, 32 labels and zone for IPv6 (zone "in-addr.arpa" or
 * "ip6.arpa" gives a reverse name). 0, or -1 when it gets too long. */
int dnslist_name(char out[DNSLIST_NAME_MAX + 1], const struct ip *ip, const char *zone);

#endif
