/* starttls.h - whether a session is to be encrypted, and how it gets there
 *
 * RFC 3207; LADDER.md 3.5, 8 (downgrade guard). What happens next is ladder.c's. */
#ifndef DELIVER_STARTTLS_H
#define DELIVER_STARTTLS_H

#include "deliver/client.h"

/* at a new address: the facts and the verbs that are off, from the settings, table `peers`
 * and the card */
void starttls_prepare(struct session *s);
/* the card no longer speaks against TLS: for a peer that takes no mail in clear */
void starttls_retry(struct session *s);
/* after the answer to EHLO: whether STARTTLS comes next */
void starttls_offer(struct session *s);
/* says STARTTLS and reads its answer */
enum saw starttls_say(struct session *s);
/* the handshake */
enum saw starttls_handshake(struct session *s);
/* learns what a greeting that worked has proved by row. Of a peer that did TLS lately HELO and
 * no-starttls are learned on the second proof only, ten minutes after the first (LADDER.md 8 rule 5),
 * which is kept as tls-missing */
void starttls_learn(struct session *s, const struct ladder_row *row, uint16_t code);
/* mail goes out in clear, or encrypted: what that means for the card and the log */
void starttls_settle(struct session *s);

#endif
