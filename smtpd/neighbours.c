/* neighbours.c - a session, joined to the programs that work for it
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Answers come from programs that are
 * trusted more; handoff.c and knows.c have looked at them. */
#include "smtpd/neighbours.h"

#include <stddef.h>

#include "common/program.h"

static struct neighbours *of_session(struct session *s)
{
  return (struct neighbours *)((char *)s - offsetof(struct neighbours, session));
}

static struct neighbours *of_handoff(struct handoff *h)
{
  return (struct neighbours *)((char *)h - offsetof(struct neighbours, handoff));
}

static struct neighbours *of_knows(struct knows *k)
{
  return (struct neighbours *)((char *)k - offsetof(struct neighbours, knows));
}

/* ---- what a session asks */

static int ask(struct session *s, const char *address)
{
  return knows_ask(&of_session(s)->knows, address);
}

static int open_message(struct session *s)
{
  char flags[4];
  size_t n = 0;
  struct handoff_mail m = {
    .flags = flags,
    .sender = s->mail.from.s,
    .envid = s->mail.envid.len ? s->mail.envid.s : "",
    .ret = s->mail.ret,
    .client = s->client,
    .helo = s->hello.name.s,
    .protocol = session_protocol(s),
    .rcpts = &s->mail.rcpts,
    .nrcpt = s->mail.nrcpt,
  };

  if (s->mail.is_8bit)
    flags[n++] = 'b';
  if (s->mail.is_utf8)
    flags[n++] = 'u';
  if (s->mail.is_relay)
    flags[n++] = 'r';
  flags[n] = 0;
  return handoff_open(&of_session(s)->handoff, &m);
}

static int send_data(struct session *s, const char *bytes, size_t len)
{
  return handoff_data(&of_session(s)->handoff, bytes, len);
}

static int commit(struct session *s)
{
  return handoff_commit(&of_session(s)->handoff);
}

static void give_up(struct session *s)
{
  handoff_abort(&of_session(s)->handoff);
}

static const struct session_world world = {program_table, ask, open_message, send_data, commit,
                                           give_up};

/* ---- answers */

static void on_answer(struct knows *k, enum verdict v, const char *reason)
{
  struct neighbours *n = of_knows(k);

  session_known(&n->session, v, reason);
  n->answered(n);
}

static void on_opened(struct handoff *h, const char *id)
{
  struct neighbours *n = of_handoff(h);

  session_opened(&n->session, id);
  n->answered(n);
}

static void on_done(struct handoff *h, const char *id)
{
  struct neighbours *n = of_handoff(h);

  session_done(&n->session, id);
  n->answered(n);
}

static void on_refused(struct handoff *h, const char *reply)
{
  struct neighbours *n = of_handoff(h);

  session_refused(&n->session, reply);
  n->answered(n);
}

static void on_lost(struct handoff *h)
{
  struct neighbours *n = of_handoff(h);

  session_lost(&n->session);
  n->answered(n);
}

static void on_room(struct handoff *h)
{
  struct neighbours *n = of_handoff(h);

  session_room(&n->session);
  n->answered(n);
}

static const struct handoff_ops handoff_ops = {on_opened, on_done, on_refused, on_lost, on_room};

/* ---- beginning and end */

void neighbours_start(struct neighbours *n, const struct service *service, const struct ip *ip,
                      uint16_t port, void (*answered)(struct neighbours *n))
{
  n->handoff.ops = &handoff_ops;
  n->knows.answer = on_answer;
  n->answered = answered;
  session_start(&n->session, &world, service, ip, port);
}

void neighbours_give_up(struct neighbours *n)
{
  handoff_abort(&n->handoff);
  session_lost(&n->session);
}

void neighbours_end(struct neighbours *n)
{
  session_close(&n->session);
  knows_drop(&n->knows);
}
