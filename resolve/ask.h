/* ask.h - questions to heloise-resolve, the side that other programs link
 *
 * Blocking: used in attempts, which have a channel of their own (LINK_ASK). Answers are
 * hostile bytes; names in them are checked to be printable host names before use. */
#ifndef RESOLVE_ASK_H
#define RESOLVE_ASK_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/ip.h"
#include "common/verdict.h"

#define ASK_NAME_MAX 255

enum ask_status {
  ASK_OK,       /* records follow */
  ASK_NODATA,   /* the name exists, not with this type */
  ASK_NXDOMAIN, /* the name does not exist */
  ASK_FAILED    /* SERVFAIL, timeout, bogus, malformed: ask again later */
};
enum ask_security { ASK_INSECURE, ASK_SECURE, ASK_BOGUS };

/* words on the wire, in the order of the enums: "ok", "nodata", "nxdomain", "failed" */
const char *ask_status_word(enum ask_status s);

/* one question and its answer; a struct of zeroes with name and type set is one to ask */
struct ask_question {
  const char *name; /* a host name in A-labels */
  const char *type; /* "A", "AAAA", "MX", "TLSA", "TXT", "PTR" */
  enum ask_status status;
  enum ask_security security;
  uint32_t ttl;
  stralloc canonical; /* the name after CNAMEs, as the resolver wrote it */
  stralloc records;   /* to be read with answer.h; bound: ANSWER_RECORDS_MAX */
};

/* asks n questions (at most ASK_AT_ONCE) at once and waits for all answers, timeout_ms in
 * all. What got no answer is ASK_FAILED. */
#define ASK_AT_ONCE 8
void ask_all(int sock, struct ask_question *q, size_t n, int timeout_ms);
void ask_free(struct ask_question *q, size_t n);

#define MX_HOSTS_MAX 100 /* of a larger answer the best-preference hosts are kept */
#define MX_ADDRESSES_MAX 20

struct mx_host {
  char name[ASK_NAME_MAX + 1]; /* lower case, no trailing dot */
  uint16_t preference;
  uint16_t order; /* among equal preferences: random */
};

struct mx_list {
  size_t n;
  struct mx_host host[MX_HOSTS_MAX];
  int is_implicit; /* no MX records: the domain itself (RFC 5321 5.1) */
};

/* the mail exchangers of domain, best first, equal preferences shuffled. V_OK; or V_PERM
 * or V_TEMP with status (enhanced code, "5.1.2") and why (replaced; a sentence for log and
 * bounce): NXDOMAIN 5.1.2, null MX 5.1.10, server failure 4.4.3. No answer within timeout_ms
 * is V_TEMP. A missing MX gives the domain itself; whether that has an address is
 * mx_addresses()'s question. sock is the attempt's channel to the resolver; -1 (none)
 * gives V_TEMP. */
enum verdict mx_find(int sock, const char *domain, int timeout_ms, struct mx_list *list,
                     const char **status, stralloc *why);

/* the addresses of a host, IPv6 and IPv4, at most MX_ADDRESSES_MAX. V_OK with *n > 0; V_PERM
 * when the host has none or does not exist; V_TEMP on failure. host may be an IP address. */
enum verdict mx_addresses(int sock, const char *host, int timeout_ms,
                          struct ip ip[MX_ADDRESSES_MAX], size_t *n, const char **status,
                          stralloc *why);

#endif
