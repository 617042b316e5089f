/* ip.h - IP addresses, networks and ADDR:PORT, parsed and written
 *
 * Pure. IPv4-mapped IPv6 addresses become IPv4. */
#ifndef COMMON_IP_H
#define COMMON_IP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define IP_TEXT 48      /* room for ip_format() */
#define IP_PORT_TEXT 56 /* room for ip_port_format() */

struct ip {
  unsigned char family;    /* 4 or 6 */
  unsigned char bytes[16]; /* the first 4 for IPv4; the rest 0 */
};

struct ip_net {
  struct ip ip; /* host bits are 0 */
  unsigned int bits;
};

/* "192.0.2.1", "2001:db8::1"; no brackets, no zone. 0, or -1. */
int ip_parse(const char *s, size_t len, struct ip *ip);
/* "192.0.2.0/24", "2001:db8::/32", a bare address = all its bits. Host bits set: -1. */
int ip_net_parse(const char *s, size_t len, struct ip_net *net);
/* "192.0.2.1:25", "[2001:db8::1]:25" (IPv4 may stand in brackets too). 0, or -1. */
int ip_port_parse(const char *s, size_t len, struct ip *ip, uint16_t *port);
/* writes the text, NUL-terminated; returns its length */
size_t ip_format(char out[IP_TEXT], const struct ip *ip);
size_t ip_port_format(char out[IP_PORT_TEXT], const struct ip *ip, uint16_t port);

/* the address with all but its first `bits` bits cleared */
struct ip ip_mask(const struct ip *ip, unsigned int bits);
int ip_equal(const struct ip *a, const struct ip *b);
int ip_in_net(const struct ip *ip, const struct ip_net *net);
int ip_is_loopback(const struct ip *ip);
/* networks with white space between them: 0, or -1 when one is none */
int ip_list_check(const char *list, size_t len);
/* whether the address is in one of them; list is NUL-terminated and checked */
int ip_in_list(const struct ip *ip, const char *list);

/* to and from sockaddr; ip_from_sockaddr gives -1 for other families */
socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *ss);
int ip_from_sockaddr(const struct sockaddr_storage *ss, struct ip *ip, uint16_t *port);

#endif
