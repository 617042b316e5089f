/* asklink.c - questions to heloise-resolve: our end of the ASK channel
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. */
#include "smtpd/asklink.h"

#include "common/chan.h"
#include "common/program.h"
#include "resolve/answer.h"
#include "smtpd/slots.h"

static struct chan chan = {.fd = -1};
static struct slots slots;

void asklink_drop(struct asked *a)
{
  if (!a->is_waiting)
    return;
  a->is_waiting = 0;
  slots_free(&slots, a->number);
}

static void answer(struct asked *a, enum ask_status s, const char *records, size_t len)
{
  asklink_drop(a);
  a->answered(a, s, records, len);
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  enum ask_status status;
  enum ask_security security;
  uint64_t number;
  struct asked *a;

  (void)c;
  *why = "bad number, status or records";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 ||
      answer_status_read(m->f[1].s, m->f[1].len, &status) != 0 ||
      answer_security_read(m->f[2].s, m->f[2].len, &security) != 0 ||
      m->f[5].len > ANSWER_RECORDS_MAX)
    return -1;
  a = slots_find(&slots, number);
  if (a)
    answer(a, security == ASK_BOGUS ? ASK_FAILED : status, m->f[5].s, m->f[5].len);
  return 0;
}

static void lose_all(void)
{
  for (size_t i = 0; i < slots.n; i++)
    if (slots.slot[i].owner)
      answer(slots.slot[i].owner, ASK_FAILED, "", 0);
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("resolve", why);
  lose_all();
}

static const struct chan_ops ops = {on_message, on_closed, NULL};

int asklink_channel(int fd)
{
  chan_close(&chan);
  lose_all();
  return chan_open(&chan, fd, LINK_ASK, WIRE_LOW, &ops);
}

int asklink_ask(struct asked *a, const char *name, const char *type)
{
  struct wire_out o;

  if (!chan_is_open(&chan) || slots_take(&slots, a, &a->number) != 0)
    return -1;
  a->is_waiting = 1;
  wire_start(&o, WIRE_QUESTION);
  wire_num(&o, a->number);
  wire_str(&o, name);
  wire_str(&o, type);
  if (chan_send(&chan, &o, -1) == 0)
    return 0;
  asklink_drop(a);
  return -1;
}
