/* hello.h - names in greetings: what a client may say, what we say ourselves
 *
 * Pure. LADDER.md 4; RFC 5321 4.1.1.1, 4.1.2, 4.1.3. */
#ifndef COMMON_HELLO_H
#define COMMON_HELLO_H

#include <stddef.h>
#include <stralloc.h>

enum hello_policy { HELLO_JUNK, HELLO_NORMAL, HELLO_STRICT };

/* reads "junk", "normal", "strict"; 0, or -1 */
int hello_policy_read(const char *s, size_t len, enum hello_policy *p);

/* a full domain name by RFC 5321's grammar: at least two labels, at most 253 bytes,
 * no trailing dot, not all-numeric; not localhost or localhost.localdomain */
int hello_is_fqdn(const char *s, size_t len);

enum hello_kind { HELLO_NAME, HELLO_HOST_ONLY, HELLO_LITERAL };

struct hello {
  enum hello_kind kind;
  int is_malformed; /* outside the grammar, taken all the same: goes to log and Received */
  int is_changed;   /* `name` is not what was said (dot stripped, bare address bracketed, bytes replaced) */
  stralloc name;    /* what stands for it in Received, log and look-ups: printable ASCII, lower case */
};

/* judges the argument of HELO or EHLO as LADDER.md 4.2. Returns 0: accept; -1: refuse
 * with 501, *why then says what is wrong ("missing", "longer than 255 bytes", "control
 * bytes", or under HELLO_STRICT what the grammar wants). h->name is reused between calls. */
int hello_judge(const char *arg, size_t len, enum hello_policy policy, struct hello *h,
                const char **why);

/* completes a host-only name with our domain (LADDER.md 4.3 b): h->name becomes
 * name.domain. Returns 1 when it did, 0 when there is nothing to do, -1 ENOMEM. */
int hello_complete(struct hello *h, const char *domain);

#endif
