/* answer.h - DNS records as they pass from the resolver to those who asked
 *
 * Pure. The field `records` of WIRE_ANSWER is a row of records, each two bytes of length
 * (high byte first) and that many bytes of rdata in DNS wire form, names not compressed.
 * The resolver copies them from the network: they are hostile until read by these
 * functions. */
#ifndef RESOLVE_ANSWER_H
#define RESOLVE_ANSWER_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

#include "common/ip.h"
#include "resolve/ask.h"

#define ANSWER_RECORDS_MAX 64000 /* bytes of the field; records beyond it are left out */

enum answer_type { ANSWER_A, ANSWER_AAAA, ANSWER_MX, ANSWER_TLSA, ANSWER_TXT, ANSWER_PTR };

/* "A", "AAAA", ... as in WIRE_QUESTION: 0, or -1 */
int answer_type_read(const char *s, size_t len, enum answer_type *t);
const char *answer_type_word(enum answer_type t);
int answer_type_number(enum answer_type t); /* in DNS: 1, 28, 15 ... */

int answer_status_read(const char *s, size_t len, enum ask_status *st);
int answer_security_read(const char *s, size_t len, enum ask_security *sec);
const char *answer_security_word(enum ask_security s);

/* appends one record: 0; -1 when it does not fit (errno EMSGSIZE) or memory is out */
int answer_add(stralloc *out, const void *rdata, size_t len);

struct answer_record {
  const unsigned char *data;
  size_t len;
};
/* the record at *at, which is moved on: 1; 0 at the end; -1 malformed */
int answer_next(const char *records, size_t len, size_t *at, struct answer_record *r);

/* an uncompressed name that fills len bytes, as text in lower case without the last dot.
 * "" is the root. Only letters, digits, - and _ are taken; a name whose last label has
 * digits alone is none of a host. 0, or -1. */
int answer_host(const unsigned char *wire, size_t len, char name[ASK_NAME_MAX + 1]);
/* rdata of MX: 0, or -1 */
int answer_mx(const struct answer_record *r, uint16_t *preference, char name[ASK_NAME_MAX + 1]);
/* rdata of A and AAAA, by its length: 0; -1 also for addresses no peer can have */
int answer_ip(const struct answer_record *r, struct ip *ip);

/* whether s may be asked for: a host name in A-labels, at most 253 bytes, a last dot
 * tolerated. It is copied to name in lower case, without that dot. 0, or -1. */
int answer_name(const char *s, size_t len, char name[ASK_NAME_MAX + 1]);

#endif
