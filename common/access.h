/* access.h - values of table `access`
 *
 * Pure. Keys: client:CIDR, host:NAME, login:NAME, tls:VERSION, helo:NAME, sender:ADDR, rcpt:ADDR.
 * Their order here is the one in which they are asked. */
#ifndef COMMON_ACCESS_H
#define COMMON_ACCESS_H

#include <stddef.h>
#include <stdint.h>

#include "common/hello.h"

enum access_action { ACCESS_NONE, ACCESS_ACCEPT, ACCESS_RELAY, ACCESS_REJECT, ACCESS_DEFER };
/* what becomes of a message that is taken */
enum access_fate { FATE_QUEUE, FATE_HOLD, FATE_DISCARD };
enum access_key {
  ACCESS_CLIENT, ACCESS_HOST, ACCESS_LOGIN, ACCESS_TLS, ACCESS_HELO, ACCESS_SENDER, ACCESS_RCPT,
  ACCESS_KEYS
};

struct access_rule {
  enum access_action action;
  enum access_fate fate;
  const char *text; /* of reject and defer, into the value; may be empty */
  size_t textlen;
  int has_helo_policy; /* helo=junk|normal|strict, on client: keys only */
  enum hello_policy helo_policy;
  int has_delay;
  uint64_t delay;     /* ms */
  uint64_t rate, per; /* so many messages in so many ms; rate 0: not said */
};

#define ACCESS_DELAY_MAX 240000 /* ms: RFC 5321 lets a client wait 5 minutes for any reply */

/* "client", "helo", ... ; the prefix of a key up to its colon. 0, or -1 */
int access_key_read(const char *s, size_t len, enum access_key *key);
const char *access_key_word(enum access_key key);
/* parses a value for a key of that kind (relay is not legal on helo: and sender:).
 * 0, or -1 with *why: what was expected. */
int access_parse(enum access_key key, const char *value, size_t len, struct access_rule *r,
                 const char **why);

#endif
