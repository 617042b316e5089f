/* probe_envelope.h - with a message a probe goes on to MAIL and RCPT: for whom, and what became of it */
#ifndef DELIVER_PROBE_ENVELOPE_H
#define DELIVER_PROBE_ENVELOPE_H

#include <jansson.h>

#include "deliver/client.h"
#include "deliver/probe_message.h"

#define PROBE_RECIPIENTS 100 /* that may be asked for */

/* what was asked for besides the message */
struct probe_envelope {
  const char *sender; /* NULL: the message's */
  const char *recipient[PROBE_RECIPIENTS];
  size_t n; /* 0: those of the message that are left */
};

/* puts it into the message. Where no recipients are asked for, those at `domain` are kept; NULL: all.
 * 0, or an exit code after a complaint */
int probe_envelope_set(const struct probe_envelope *e, const char *domain, struct probe_message *m);
/* the recipients as they were, for another address */
void probe_envelope_reset(struct probe_message *m);
/* what the peer said to the sender and the recipients */
void probe_envelope_print(const struct probe_message *m, const struct session *s);
json_t *probe_envelope_json(const struct probe_message *m, const struct session *s);

#endif
