/* transaction_one.h - one transaction: MAIL to the final dot
 *
 * Runs in attempts. transaction.c says which recipients, in which form, and on which connection. */
#ifndef DELIVER_TRANSACTION_ONE_H
#define DELIVER_TRANSACTION_ONE_H

#include "deliver/body.h"
#include "deliver/client.h"

struct transaction {
  struct session *s;
  struct body body;
  uint64_t size;     /* on the wire; 0 when not known */
  stralloc commands; /* MAIL, RCPTs, DATA; bound: attempt-recipients lines of 1 KB or so */
  size_t *end;       /* of each command in it */
  size_t n;          /* commands: recipients + 2 */
  struct recipient **to;
  size_t nto, accepted;
  int is_batch;
  int is_silent; /* of these recipients nothing is to be reported: it goes from the null sender */
  const char *reason; /* for the form of the body, told last */
};

/* the row that ended it: `fine` when nobody was accepted, and nothing else happened */
const struct ladder_row *transaction_one(struct transaction *t, const struct ladder_row *fine);
/* the row for what was seen, explained unless it goes on */
const struct ladder_row *transaction_judge(struct transaction *t, enum ladder_rung rung, enum saw saw);
/* says RSET: 0 when it was taken, or -1 */
int transaction_reset(struct session *s);

#endif
