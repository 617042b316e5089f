/* backend_pam.c - logins and passwords that the system's PAM knows, through heloise-pam
 *
 * Runs in heloise-auth. heloise-pam, root in a privileged instance, is trusted more: what it
 * says against the protocol ends this program. PAM does not tell strangers from wrong
 * passwords, so the next back end is asked too. */
#include "smtpd/backend_pam.h"

#include <string.h>

#include "common/chan.h"
#include "common/program.h"
#include "common/verdict.h"
#include "smtpd/backend.h"

#define ANSWER_MS 40000 /* a password may wait its turn before heloise-pam's own clock runs */
#define WAITING 256

static struct chan chan = {.fd = -1};
static struct proof *asked; /* all whose answer is out */
static unsigned int count;
static uint64_t last;

static void take_out(struct proof *p)
{
  struct proof **at = &asked;

  while (*at != p)
    at = &(*at)->next;
  *at = p->next;
  count--;
  loop_timer_stop(&p->timer);
}

static void over(struct proof *p, enum proof_result r)
{
  take_out(p);
  proof_answer(p, r);
}

static void on_timer(struct loop_timer *t)
{
  over((struct proof *)t, PROOF_UNSURE);
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  struct proof *p = asked;
  enum verdict v;
  uint64_t number;

  (void)c;
  *why = "bad number or verdict";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 || verdict_read(m->f[1].s, m->f[1].len, &v) != 0)
    return -1;
  while (p && p->number != number)
    p = p->next;
  if (p)
    over(p, v == V_OK ? PROOF_YES : v == V_PERM ? PROOF_STRANGER : PROOF_UNSURE);
  return 0;
}

static void lose_all(void)
{
  while (asked)
    over(asked, PROOF_UNSURE);
}

static void on_closed(struct chan *c, const char *why)
{
  (void)c;
  if (why)
    program_die("pam", why);
  lose_all();
}

int backend_pam_channel(int fd)
{
  static const struct chan_ops ops = {on_message, on_closed, NULL};

  chan_close(&chan);
  lose_all();
  return chan_open(&chan, fd, LINK_CHECKS, WIRE_LOW, &ops);
}

static int ask(struct proof *p)
{
  char ip[IP_TEXT];
  struct wire_out o;
  int sent;

  if (count >= WAITING)
    return -1;
  ip_format(ip, &p->who.ip);
  p->number = ++last;
  p->timer.fire = on_timer;
  wire_start(&o, WIRE_CHECK);
  wire_num(&o, p->number);
  wire_str(&o, p->login.s);
  wire_str(&o, p->password.s);
  wire_str(&o, ip);
  sent = chan_send(&chan, &o, -1);
  chan_wipe();
  if (sent != 0 || loop_timer_in(&p->timer, ANSWER_MS) != 0)
    return -1;
  p->next = asked;
  asked = p;
  count++;
  return 0;
}

static unsigned int mechanisms(void)
{
  return MECHANISMS_OF_PASSWORDS;
}

const struct backend backend_pam = {mechanisms, ask};
