/* userslink.c - our end of the USERS channel to heloise-auth
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. */
#include "smtpd/userslink.h"

#include "common/chan.h"
#include "common/program.h"
#include "smtpd/knows.h"
#include "smtpd/login.h"

static struct chan chan = {.fd = -1};

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  (void)c;
  return m->type == WIRE_KNOWS ? knows_message(m, why) : login_message(m, why);
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("auth", why);
  knows_lose_all();
  login_lose_all();
}

static const struct chan_ops ops = {on_message, on_closed, NULL};

int userslink_channel(int fd)
{
  chan_close(&chan);
  knows_lose_all();
  login_lose_all();
  return chan_open(&chan, fd, LINK_USERS, WIRE_LOW, &ops);
}

int userslink_send(const struct wire_out *o)
{
  return chan_send(&chan, o, -1) == 0 ? 0 : -1;
}
