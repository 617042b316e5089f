/* exchange.h - logins under way: what clients were asked, and what they answered
 *
 * heloise-smtpd begins an exchange under a number of its own and passes on what the client
 * says, decoded; here the mechanism runs, and an outcome ends it. Failures are told late: a
 * second for each that lately came from the client's network, ten at most, counted from
 * when the client's last word came, so that the time tells nothing. RFC 4954, 4616, 5802. */
#ifndef SMTPD_EXCHANGE_H
#define SMTPD_EXCHANGE_H

#include <stdint.h>

#include "common/chan.h"
#include "smtpd/proof.h"

#define EXCHANGES_MAX 20000 /* at once, of all channels */

struct exchange_begin {
  struct proof_client who;
  const char *exporter, *unique; /* channel bindings, raw */
  size_t exporterlen, uniquelen;
  int has_initial; /* an initial response came with the command */
  const char *initial;
  size_t initiallen;
};

void exchange_begin(struct chan *c, uint64_t number, const struct exchange_begin *b);
/* the client's answer to a challenge; one that comes unasked is ignored */
void exchange_step(struct chan *c, uint64_t number, const char *bytes, size_t len);
/* the client has given up, or gone */
void exchange_forgo(struct chan *c, uint64_t number);
/* the channel has gone, and all that was begun on it */
void exchange_lose(struct chan *c);

#endif
