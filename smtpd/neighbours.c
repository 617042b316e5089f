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

static struct neighbours *of_login(struct login *l)
{
  return (struct neighbours *)((char *)l - offsetof(struct neighbours, login));
}

/* ---- what a session asks */

static int ask(struct session *s, const char *address)
{
  return knows_ask(&of_session(s)->knows, address);
}

static void on_discarding(struct loop_timer *t)
{
  struct neighbours *n = (struct neighbours *)((char *)t - offsetof(struct neighbours, discarding));

  if (n->session.doing == OPENING)
    session_opened(&n->session, gate_id());
  else
    session_done(&n->session, n->session.id);
  n->answered(n);
}

/* what the intake would say is said from here, as if it came from there */
static int discard(struct session *s)
{
  struct neighbours *n = of_session(s);

  n->discarding.fire = on_discarding;
  return loop_timer_in(&n->discarding, 0);
}

static int open_message(struct session *s)
{
  char flags[5];
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

  if (session_is_discarded(s))
    return discard(s);
  if (s->mail.is_8bit)
    flags[n++] = 'b';
  if (s->mail.is_utf8)
    flags[n++] = 'u';
  if (s->mail.is_relay)
    flags[n++] = 'r';
  if (s->mail.fate == FATE_HOLD)
    flags[n++] = 'h';
  flags[n] = 0;
  return handoff_open(&of_session(s)->handoff, &m);
}

static int send_data(struct session *s, const char *bytes, size_t len)
{
  if (session_is_discarded(s))
    return 0;
  return handoff_data(&of_session(s)->handoff, bytes, len);
}

static int commit(struct session *s)
{
  if (session_is_discarded(s))
    return discard(s);
  return handoff_commit(&of_session(s)->handoff);
}

static void give_up(struct session *s)
{
  handoff_abort(&of_session(s)->handoff);
  loop_timer_stop(&of_session(s)->discarding);
}

static int await(struct session *s, int for_mail)
{
  return gate_awaits(&of_session(s)->gate, for_mail);
}

/* connection.c does the rest when the reply is written */
static int start_tls(struct session *s)
{
  (void)s;
  return tls_server_is_ready() ? 0 : -1;
}

static int binding(struct session *s, const char *type, unsigned char *out)
{
  return tls_server_binding(of_session(s)->tls, type, out);
}

static void begin_anew(struct session *s)
{
  struct neighbours *n = of_session(s);

  gate_close(&n->gate);
  gate_open(&n->gate, s);
}

static int start_login(struct session *s, enum mechanism m, const char *initial, size_t len)
{
  unsigned char exporter[TLS_BINDING_MAX], unique[TLS_BINDING_MAX];
  struct login_begin b = {.mechanism = m, .client = s->client, .exporter = (char *)exporter,
                          .unique = (char *)unique, .initial = initial, .initiallen = len};
  int n = binding(s, "tls-exporter", exporter);

  b.exporterlen = n > 0 ? (size_t)n : 0;
  n = binding(s, "tls-unique", unique);
  b.uniquelen = n > 0 ? (size_t)n : 0;
  return login_start(&of_session(s)->login, &b);
}

static int respond(struct session *s, const char *bytes, size_t len)
{
  return login_step(&of_session(s)->login, bytes, len);
}

static void forgo(struct session *s)
{
  login_drop(&of_session(s)->login);
}

static const struct session_world world = {
  .table = program_table, .ask = ask, .open = open_message, .data = send_data, .commit = commit,
  .abort = give_up, .can_tls = tls_server_is_ready, .start_tls = start_tls, .binding = binding,
  .await = await, .over = gate_over, .over_rate = gate_over_rate, .renamed = begin_anew,
  .mechanisms = login_mechanisms, .login = start_login, .respond = respond, .forgo = forgo,
};

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

static void on_found(struct gate *g)
{
  struct neighbours *n = (struct neighbours *)((char *)g - offsetof(struct neighbours, gate));

  n->answered(n);
}

static void on_challenge(struct login *l, const char *bytes, size_t len)
{
  struct neighbours *n = of_login(l);

  session_challenged(&n->session, bytes, len);
  n->answered(n);
}

static void on_outcome(struct login *l, enum outcome o, const char *name)
{
  struct neighbours *n = of_login(l);

  session_proved(&n->session, o, name);
  n->answered(n);
}

static const struct login_ops login_ops = {on_challenge, on_outcome};

/* ---- beginning and end */

void neighbours_start(struct neighbours *n, const struct service *service, const struct ip *ip,
                      uint16_t port, void (*answered)(struct neighbours *n))
{
  n->handoff.ops = &handoff_ops;
  n->knows.answer = on_answer;
  n->login.ops = &login_ops;
  n->answered = answered;
  session_start(&n->session, &world, service, ip, port);
  n->gate.found = on_found;
  gate_open(&n->gate, &n->session);
}

void neighbours_give_up(struct neighbours *n)
{
  handoff_abort(&n->handoff);
  session_lost(&n->session);
}

void neighbours_end(struct neighbours *n)
{
  gate_close(&n->gate);
  session_close(&n->session);
  knows_drop(&n->knows);
}
