/* owed.c - what the sender of a message is owed: reports, and the warning that it is late
 *
 * Runs in the manager. In the file a recipient's status says what is owed (notify.h) until the
 * report is durable: a kill or a full disk neither loses it nor has it sent twice. A warning
 * costs no attempt and moves none. */
#include "queue/owed.h"

#include <string.h>

#include "common/log.h"
#include "common/program.h"
#include "queue/clock.h"
#include "queue/history.h"
#include "queue/reports.h"
#include "queue/waiting.h"

#define AGAIN_SOON 10 /* seconds until a report that could not be made is tried again */

static uint64_t now(void)
{
  return clock_wall();
}

/* closes failed recipients that nobody will be told of; returns how many recipients need a
 * report */
static size_t count_owed(struct work *w)
{
  size_t n = 0;

  for (size_t i = 0; i < w->e.nrcpt; i++) {
    struct envelope_rcpt *r = &w->e.rcpt[i];
    enum notify_action owed = notify_owed(&w->e, i);
    n += owed != NOTIFY_NOTHING;
    if (r->status != RCPT_FAILED || owed != NOTIFY_NOTHING)
      continue;
    log_dropped(w->name.id, r->address,
                w->e.flags & ENVELOPE_DOUBLE ? "a report about a report failed"
                                             : "its sender asked for no failure report");
    work_status(w, i, RCPT_BOUNCED);
    work_mark(w, i);
  }
  return n;
}

int owed_pay(struct work *w)
{
  size_t owed;
  int warns;
  unsigned int wait;

  w->warning = waiting_at(w->handle)->is_warned ? NOTIFY_NEVER_DUE
                                                : notify_first_warning(program_table(), &w->e);
  if (w->owed_again > now())
    return 0;
  w->owed_again = 0;
  owed = count_owed(w);
  warns = w->warning <= now();
  if (owed == 0 && !warns)
    return 0;
  wait = reports_wait(owed == 0);
  if (wait == 0 && work_to_file(w) != 0) /* a report is made from a file */
    wait = AGAIN_SOON;
  if (wait > 0) {
    w->owed_again = now() + wait;
    return 0;
  }
  w->is_reporting = 1;
  w->is_warning = warns;
  reports_start(w);
  return 1;
}

uint64_t owed_next(const struct work *w)
{
  return w->owed_again ? w->owed_again : w->warning;
}

/* for the story: when the sender was told of what */
static void remember(struct work *w, const char *action)
{
  const char *field[] = {action};
  unsigned int attempt = 0;
  stralloc line = {0};

  for (size_t i = 0; i < w->e.nrcpt; i++)
    if (w->e.rcpt[i].attempts > attempt)
      attempt = w->e.rcpt[i].attempts;
  if (history_line_make(&line, 'r', now(), attempt, field, 1) == 0)
    work_story(w, &line);
  stralloc_free(&line);
}

static void mark_warned(struct work *w)
{
  for (size_t i = 0; i < w->e.nrcpt; i++)
    if (notify_warn_at(program_table(), &w->e, i) != NOTIFY_NEVER_DUE) {
      w->e.rcpt[i].is_warned = 1;
      work_mark(w, i);
    }
  w->needs_flush = 1;
  waiting_at(w->handle)->is_warned = 1; /* should the disk not take the marks */
  remember(w, notify_word(NOTIFY_DELAYED));
}

static void mark_told(struct work *w)
{
  for (size_t i = 0; i < w->e.nrcpt; i++) {
    struct envelope_rcpt *r = &w->e.rcpt[i];
    enum rcpt_status told = notify_told(r->status);
    if (told == r->status)
      continue;
    work_status(w, i, told);
    work_mark(w, i);
  }
}

void owed_paid(struct work *w, int ok)
{
  w->is_reporting = 0;
  if (!ok)
    w->owed_again = now() + AGAIN_SOON;
  else {
    mark_told(w);
    if (w->is_warning)
      mark_warned(w);
  }
  work_settle(w);
}
