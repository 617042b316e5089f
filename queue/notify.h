/* notify.h - which reports a sender wants, and which it is owed (RFC 3461 4.1, 5.2)
 *
 * Pure. A report says for each of its recipients what became of the message: an action, by
 * its word of RFC 3464 2.3.3. */
#ifndef QUEUE_NOTIFY_H
#define QUEUE_NOTIFY_H

#include <stddef.h>
#include <stdint.h>

#include "common/table.h"
#include "queue/envelope.h"

enum notify_action {
  NOTIFY_NOTHING,
  NOTIFY_FAILED,
  NOTIFY_DELAYED,
  NOTIFY_DELIVERED, /* into a mailbox */
  NOTIFY_RELAYED,   /* to a host that makes no reports of its own */
  NOTIFY_EXPANDED,  /* to the addresses of an alias, of whom no success is reported */
  NOTIFY_ACTIONS
};

#define NOTIFY_NEVER_DUE UINT64_MAX

/* "" for NOTIFY_NOTHING */
const char *notify_word(enum notify_action a);
/* 0, or -1 when it is none of the words; "" is NOTIFY_NOTHING */
int notify_read(const char *s, size_t len, enum notify_action *a);

/* what recipient i becomes when the message was taken for it in that way: done, or done and
 * its sender, who asked, is to be told */
enum rcpt_status notify_taken(const struct envelope *e, size_t i, enum notify_action how);
/* whether the sender wants to hear of a failure of recipient i */
int notify_wants_failure(const struct envelope *e, size_t i);
/* the report that recipient i's status owes its sender; a warning is none of these */
enum notify_action notify_owed(const struct envelope *e, size_t i);
/* what it becomes when that report is queued */
enum rcpt_status notify_told(enum rcpt_status s);

/* when the sender is to be warned that the message is late for recipient i, by table `retry`:
 * epoch; NOTIFY_NEVER_DUE: never, or it was */
uint64_t notify_warn_at(const struct table *t, const struct envelope *e, size_t i);
/* the earliest of them */
uint64_t notify_first_warning(const struct table *t, const struct envelope *e);
/* when recipient i fails if it is still waiting then: epoch */
uint64_t notify_end(const struct table *t, const struct envelope *e, size_t i);

#endif
