/* ehlo.h - what a peer offers in its answer to EHLO
 *
 * Pure. LADDER.md 3.3 E15-E20, 3.6 X8-X10, X25; RFC 5321 4.1.1.1, RFC 1870, RFC 9422. */
#ifndef DELIVER_EHLO_H
#define DELIVER_EHLO_H

#include <stddef.h>
#include <stdint.h>

#define EHLO_SIZE_LEAST 65536 /* a smaller limit is no limit: RFC 5321 4.5.3.1.7 */

struct ehlo {
  uint32_t verbs;    /* enum verb_bit */
  uint64_t size;     /* the smallest declared limit; 0: none */
  uint64_t mail_max, rcpt_max, domain_max; /* LIMITS; 0: none */
};

/* text: the lines of the reply without their codes, separated by LF. The first is the
 * host's name and never a keyword. Keywords in any case, split from their parameters at SP, TAB
 * or =; what is no keyword is skipped. */
void ehlo_parse(const char *text, size_t len, struct ehlo *e);

#endif
