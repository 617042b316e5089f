/* access.h - values of table `access`
 *
 * Pure. Keys: client:CIDR, helo:NAME, sender:ADDR, rcpt:ADDR. */
#ifndef COMMON_ACCESS_H
#define COMMON_ACCESS_H

#include <stddef.h>

#include "common/hello.h"

enum access_action { ACCESS_NONE, ACCESS_ACCEPT, ACCESS_RELAY, ACCESS_REJECT, ACCESS_DEFER };
enum access_key { ACCESS_CLIENT, ACCESS_HELO, ACCESS_SENDER, ACCESS_RCPT, ACCESS_KEYS };

struct access_rule {
  enum access_action action;
  const char *text; /* of reject and defer, into the value; may be empty */
  size_t textlen;
  int has_helo_policy; /* helo=junk|normal|strict, on client: keys only */
  enum hello_policy helo_policy;
};

/* "client", "helo", ... ; the prefix of a key up to its colon. 0, or -1 */
int access_key_read(const char *s, size_t len, enum access_key *key);
/* parses a value for a key of that kind (relay is not legal on helo: and sender:).
 * 0, or -1 with *why: what was expected. */
int access_parse(enum access_key key, const char *value, size_t len, struct access_rule *r,
                 const char **why);

#endif
