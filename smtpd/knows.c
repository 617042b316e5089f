/* knows.c - does a local user exist? Questions to heloise-auth
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. heloise-auth is trusted more than
 * we are; an answer to a question we gave up is no fault of its. */
#include "smtpd/knows.h"

#include <stralloc.h>

#include "smtpd/slots.h"
#include "smtpd/userslink.h"

#define ANSWER_MS 30000 /* a user database that takes longer is out of order */
#define REASON_MAX 512

static struct slots slots;

void knows_drop(struct knows *k)
{
  if (!k->is_waiting)
    return;
  k->is_waiting = 0;
  slots_free(&slots, k->number);
  loop_timer_stop(&k->timer);
}

static void answer(struct knows *k, enum verdict v, const char *reason)
{
  knows_drop(k);
  k->answer(k, v, reason);
}

static void on_timer(struct loop_timer *t)
{
  answer((struct knows *)t, V_TEMP, "no answer in time");
}

int knows_message(struct wire_msg *m, const char **why)
{
  static stralloc reason; /* bound: REASON_MAX */
  enum verdict v;
  uint64_t number;
  struct knows *k;

  *why = "bad number, verdict or reason";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 ||
      verdict_read(m->f[1].s, m->f[1].len, &v) != 0 || wire_get_text(m, 2, REASON_MAX, &reason) != 0)
    return -1;
  k = slots_find(&slots, number);
  if (k)
    answer(k, v, reason.s);
  return 0;
}

void knows_lose_all(void)
{
  for (size_t i = 0; i < slots.n; i++)
    if (slots.slot[i].owner)
      answer(slots.slot[i].owner, V_TEMP, "the user database is not available");
}

int knows_ask(struct knows *k, const char *address)
{
  struct wire_out o;

  if (slots_take(&slots, k, &k->number) != 0)
    return -1;
  k->is_waiting = 1;
  k->timer.fire = on_timer;
  wire_start(&o, WIRE_KNOWN);
  wire_num(&o, k->number);
  wire_str(&o, address);
  if (userslink_send(&o) == 0 && loop_timer_in(&k->timer, ANSWER_MS) == 0)
    return 0;
  knows_drop(k);
  return -1;
}
