/* login.c - is a client who it says? Exchanges with heloise-auth
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. heloise-auth is trusted more than we
 * are; an answer about an exchange that we gave up is no fault of its. What passes here may
 * be passwords: no buffer keeps it. */
#include "smtpd/login.h"

#include <stralloc.h>

#include "common/chan.h"
#include "smtpd/slots.h"
#include "smtpd/userslink.h"

#define ANSWER_MS 90000 /* longer than any back end of heloise-auth is given */

static struct slots slots;
static unsigned int mechanisms;

unsigned int login_mechanisms(void)
{
  return mechanisms;
}

static void forget(struct login *l)
{
  l->is_under_way = 0;
  slots_free(&slots, l->number);
  loop_timer_stop(&l->timer);
}

static void over(struct login *l, enum outcome o, const char *name)
{
  forget(l);
  l->ops->outcome(l, o, name);
}

static void on_timer(struct loop_timer *t)
{
  struct login *l = (struct login *)t;

  login_drop(l);
  l->ops->outcome(l, OUTCOME_TEMP, "");
}

static int send(struct login *l, const struct wire_out *o)
{
  int r = userslink_send(o);

  chan_wipe();
  if (r == 0 && loop_timer_in(&l->timer, ANSWER_MS) == 0)
    return 0;
  forget(l);
  return -1;
}

int login_start(struct login *l, const struct login_begin *b)
{
  struct wire_out o;

  if (slots_take(&slots, l, &l->number) != 0)
    return -1;
  l->is_under_way = 1;
  l->timer.fire = on_timer;
  wire_start(&o, WIRE_BEGIN_LOGIN);
  wire_num(&o, l->number);
  wire_str(&o, mechanism_row(b->mechanism)->word);
  wire_str(&o, b->client);
  wire_bytes(&o, b->exporter, b->exporterlen);
  wire_bytes(&o, b->unique, b->uniquelen);
  if (b->initial)
    wire_bytes(&o, b->initial, b->initiallen);
  return send(l, &o);
}

int login_step(struct login *l, const char *bytes, size_t len)
{
  struct wire_out o;

  if (!l->is_under_way)
    return -1;
  wire_start(&o, WIRE_RESPONSE);
  wire_num(&o, l->number);
  wire_bytes(&o, bytes, len);
  return send(l, &o);
}

void login_drop(struct login *l)
{
  struct wire_out o;

  if (!l->is_under_way)
    return;
  wire_start(&o, WIRE_FORGO);
  wire_num(&o, l->number);
  userslink_send(&o);
  forget(l);
}

/* ---- from heloise-auth */

static int take_mechanisms(const struct wire_msg *m, const char **why)
{
  *why = "bad mechanisms";
  return mechanisms_read(m->f[0].s, m->f[0].len, &mechanisms);
}

static int take_outcome(struct login *l, struct wire_msg *m, const char **why)
{
  static stralloc name; /* bound: SASL_LOGIN_MAX */
  enum outcome o;

  *why = "bad outcome or login";
  if (outcome_read(m->f[1].s, m->f[1].len, &o) != 0 ||
      wire_get_text(m, 2, SASL_LOGIN_MAX, &name) != 0 || (o == OUTCOME_OK) != (m->f[2].len > 0))
    return -1;
  if (l)
    over(l, o, name.s);
  return 0;
}

int login_message(struct wire_msg *m, const char **why)
{
  struct login *l;
  uint64_t number;

  if (m->type == WIRE_MECHANISMS)
    return take_mechanisms(m, why);
  *why = "bad number";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    return -1;
  l = slots_find(&slots, number);
  if (m->type == WIRE_OUTCOME)
    return take_outcome(l, m, why);
  if (l) {
    loop_timer_stop(&l->timer); /* now it is the client's turn, and the session has a clock */
    l->ops->challenge(l, m->f[1].s, m->f[1].len);
  }
  return 0;
}

void login_lose_all(void)
{
  mechanisms = 0;
  for (size_t i = 0; i < slots.n; i++)
    if (slots.slot[i].owner)
      over(slots.slot[i].owner, OUTCOME_TEMP, "");
}
