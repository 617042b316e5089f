/* notify.c - which reports a sender wants, and which it is owed
 *
 * Pure. Used where reports are decided (the manager), made (heloise-bounce) and foretold
 * (`heloise queue why`), and for the words in which deliverers say how a message was taken. */
#include "queue/notify.h"

#include <string.h>

#include "common/retry.h"

static const struct {
  const char *word;
  enum rcpt_status owing, told; /* a recipient with the report to come, and after it */
} actions[NOTIFY_ACTIONS] = {
  [NOTIFY_NOTHING] = {"", RCPT_DONE, RCPT_DONE},
  [NOTIFY_FAILED] = {"failed", RCPT_FAILED, RCPT_BOUNCED},
  [NOTIFY_DELAYED] = {"delayed", RCPT_TODO, RCPT_TODO},
  [NOTIFY_DELIVERED] = {"delivered", RCPT_DELIVERED, RCPT_DONE},
  [NOTIFY_RELAYED] = {"relayed", RCPT_RELAYED, RCPT_DONE},
  [NOTIFY_EXPANDED] = {"expanded", RCPT_EXPANDED, RCPT_DONE},
};

const char *notify_word(enum notify_action a)
{
  return actions[a].word;
}

int notify_read(const char *s, size_t len, enum notify_action *a)
{
  for (int i = 0; i < NOTIFY_ACTIONS; i++)
    if (strlen(actions[i].word) == len && memcmp(actions[i].word, s, len) == 0) {
      *a = (enum notify_action)i;
      return 0;
    }
  return -1;
}

static int wants(const struct envelope *e, size_t i, const char *keyword)
{
  return strstr(e->rcpt[i].notify, keyword) != NULL;
}

/* without NOTIFY: failures, and delays when the client is one of ours */
int notify_wants_failure(const struct envelope *e, size_t i)
{
  return *e->rcpt[i].notify == 0 || wants(e, i, "FAILURE");
}

static int wants_warning(const struct envelope *e, size_t i)
{
  if (*e->sender == 0 || (e->flags & (ENVELOPE_REPORT | ENVELOPE_DOUBLE)))
    return 0;
  return *e->rcpt[i].notify == 0 ? (e->flags & ENVELOPE_RELAYED) != 0 : wants(e, i, "DELAY");
}

enum rcpt_status notify_taken(const struct envelope *e, size_t i, enum notify_action how)
{
  int is_told = *e->sender && wants(e, i, "SUCCESS") && how != NOTIFY_FAILED && how != NOTIFY_DELAYED;

  return is_told ? actions[how].owing : RCPT_DONE;
}

enum notify_action notify_owed(const struct envelope *e, size_t i)
{
  enum rcpt_status s = e->rcpt[i].status;

  if (s == RCPT_FAILED)
    return notify_wants_failure(e, i) && !(e->flags & ENVELOPE_DOUBLE) ? NOTIFY_FAILED
                                                                       : NOTIFY_NOTHING;
  for (int a = NOTIFY_DELIVERED; a < NOTIFY_ACTIONS; a++)
    if (actions[a].owing == s)
      return (enum notify_action)a;
  return NOTIFY_NOTHING;
}

enum rcpt_status notify_told(enum rcpt_status s)
{
  for (int a = 0; a < NOTIFY_ACTIONS; a++)
    if (actions[a].owing == s)
      return actions[a].told;
  return s;
}

/* ---- times */

static void times(const struct table *t, const struct envelope *e, size_t i, struct retry *schedule,
                  uint64_t *end)
{
  const char *domain = envelope_domain(e->rcpt[i].address);
  struct retry_message m = {.birth = e->created, .has_null_sender = !*e->sender};

  retry_find(t, domain, strlen(domain), schedule);
  *end = retry_end(schedule, &m);
}

uint64_t notify_end(const struct table *t, const struct envelope *e, size_t i)
{
  struct retry schedule;
  uint64_t end;

  times(t, e, i, &schedule, &end);
  return end;
}

uint64_t notify_warn_at(const struct table *t, const struct envelope *e, size_t i)
{
  const struct envelope_rcpt *r = &e->rcpt[i];
  struct retry schedule;
  uint64_t end, at;

  /* one that is held waits for the administrator, and nobody knows until when */
  if (r->status != RCPT_TODO || r->is_warned || r->next == UINT32_MAX || !wants_warning(e, i))
    return NOTIFY_NEVER_DUE;
  times(t, e, i, &schedule, &end);
  at = e->created + schedule.warn;
  return schedule.warn && at < end ? at : NOTIFY_NEVER_DUE;
}

uint64_t notify_first_warning(const struct table *t, const struct envelope *e)
{
  uint64_t first = NOTIFY_NEVER_DUE, at;

  for (size_t i = 0; i < e->nrcpt; i++)
    if ((at = notify_warn_at(t, e, i)) < first)
      first = at;
  return first;
}
