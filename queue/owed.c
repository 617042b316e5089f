/* owed.c - what the sender of a message is owed: a report of those who failed
 *
 * Runs in the manager. A recipient that failed stays so in the file until the report about it
 * is durable: a kill or a full disk neither loses it nor has it sent twice. */
#include "queue/owed.h"

#include <string.h>
#include <time.h>

#include "common/log.h"
#include "queue/reports.h"

#define AGAIN_LATER 60 /* seconds until a report that could not be queued is tried again */

/* whether the sender wants to hear of a failure of r (RFC 3461 4.1) */
static int wants_failure(const struct envelope_rcpt *r)
{
  return *r->notify == 0 || strstr(r->notify, "FAILURE");
}

/* closes failed recipients that nobody will be told of; returns how many need a report */
static size_t need_report(struct work *w)
{
  size_t n = 0;

  for (size_t i = 0; i < w->e.nrcpt; i++) {
    struct envelope_rcpt *r = &w->e.rcpt[i];
    const char *why = NULL;
    if (r->status != RCPT_FAILED)
      continue;
    if (w->e.flags & ENVELOPE_DOUBLE)
      why = "a report about a report failed";
    else if (!wants_failure(r))
      why = "its sender asked for no failure report";
    if (!why) {
      n++;
      continue;
    }
    log_dropped(w->name.id, r->address, why);
    r->status = RCPT_BOUNCED;
    work_mark(w, i);
  }
  return n;
}

int owed_pay(struct work *w)
{
  if (w->owed_again || need_report(w) == 0)
    return 0;
  w->is_reporting = 1;
  reports_start(w);
  return 1;
}

uint64_t owed_next(const struct work *w)
{
  return w->owed_again ? w->owed_again : OWED_NOTHING;
}

void owed_paid(struct work *w, int ok)
{
  w->is_reporting = 0;
  if (!ok)
    w->owed_again = (uint64_t)time(NULL) + AGAIN_LATER;
  for (size_t i = 0; ok && i < w->e.nrcpt; i++)
    if (w->e.rcpt[i].status == RCPT_FAILED) {
      w->e.rcpt[i].status = RCPT_BOUNCED;
      work_mark(w, i);
    }
  work_settle(w);
}
