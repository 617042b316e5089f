/* transaction.h - MAIL to the final dot, for the recipients of an attempt
 *
 * RFC 5321 3.3, RFC 2920, RFC 1870, RFC 6152, RFC 3461; LADDER.md 3.6, 3.7. */
#ifndef DELIVER_TRANSACTION_H
#define DELIVER_TRANSACTION_H

#include "deliver/client.h"

/* sends to all recipients that have no result and were not answered here, in as many
 * transactions as it takes. Returns the row that ended it: DO_GO_ON when there is nothing
 * more to do here, or what the session is to do next; the session's text and status say why. */
const struct ladder_row *transaction_run(struct session *s);

/* ends what is left of a transaction on the connection, with RSET: 0, or -1: no other one may follow */
int transaction_clear(struct session *s);

#endif
