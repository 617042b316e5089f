/* authlink.c - heloise-auth's ends of its channels to heloise-smtpd
 *
 * Runs as hlauth. heloise-smtpd is trusted less: what does not parse ends its channel, and
 * it is restarted. What clients said comes through here, so the buffers are wiped. */
#include "smtpd/authlink.h"

#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/localuser.h"
#include "common/program.h"
#include "common/sasl.h"
#include "smtpd/backend.h"
#include "smtpd/exchange.h"

#define ADDRESS_BOUND 1000 /* bytes of an address in a question */
#define LINKS_MAX 32       /* processes of heloise-smtpd */

struct link {
  struct chan chan; /* first */
  char name[24];
};

static struct link links[LINKS_MAX];

/* ---- does a local user exist? */

static int flags(void)
{
  static int found, known;

  if (!known)
    found = localuser_has_system("hlauth") ? LOCALUSER_HAS_SYSTEM : 0;
  known = 1;
  return found;
}

static int on_known(struct chan *c, struct wire_msg *m, const char **why)
{
  static struct localuser user; /* bound: localuser.h */
  const char *address = m->f[1].s, *at, *reason = "";
  size_t len = m->f[1].len;
  struct wire_out o;
  enum verdict v;
  uint64_t number;

  *why = "a question that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 || len > ADDRESS_BOUND)
    return -1;
  at = memrchr(address, '@', len);
  v = localuser_find(program_table(), address, at ? (size_t)(at - address) : len, flags(), &user,
                     &reason);
  wire_start(&o, WIRE_KNOWS);
  wire_num(&o, number);
  wire_str(&o, verdict_word(v));
  wire_str(&o, v == V_PERM ? "no such user here" : v == V_OK ? "" : reason);
  /* unsent: the channel is full or gone, and smtpd's own clock ends its wait */
  chan_send(c, &o, -1);
  return 0;
}

/* ---- logins */

static int read_who(const struct wire_msg *m, struct proof_client *who)
{
  const struct wire_field *f = &m->f[2];
  uint16_t port;

  if (mechanism_find(m->f[1].s, m->f[1].len, &who->mechanism) != 0 ||
      ip_port_parse(f->s, f->len, &who->ip, &port) != 0)
    return -1;
  ip_port_format(who->client, &who->ip, port);
  return 0;
}

static int on_login(struct chan *c, struct wire_msg *m, const char **why)
{
  struct exchange_begin b = {.exporter = m->f[3].s, .exporterlen = m->f[3].len,
                             .unique = m->f[4].s, .uniquelen = m->f[4].len,
                             .has_initial = m->n > 5};
  uint64_t number;

  *why = "a login that is none";
  if (wire_get_num(m, 0, UINT64_MAX, &number) != 0 || read_who(m, &b.who) != 0 ||
      b.exporterlen > 64 || b.uniquelen > 64)
    return -1;
  if (b.has_initial) {
    b.initial = m->f[5].s;
    b.initiallen = m->f[5].len;
  }
  exchange_begin(c, number, &b);
  return 0;
}

static int on_message(struct chan *c, struct wire_msg *m, const char **why)
{
  uint64_t number;
  int r = 0;

  if (m->type == WIRE_KNOWN)
    return on_known(c, m, why);
  *why = "a number that is none";
  if (m->type == WIRE_BEGIN_LOGIN)
    r = on_login(c, m, why);
  else if (wire_get_num(m, 0, UINT64_MAX, &number) != 0)
    r = -1;
  else if (m->type == WIRE_RESPONSE)
    exchange_step(c, number, m->f[1].s, m->f[1].len);
  else /* WIRE_FORGO: wire_decode() lets no other through */
    exchange_forgo(c, number);
  chan_wipe();
  return r;
}

static void on_closed(struct chan *c, const char *why)
{
  exchange_lose(c);
  if (why)
    program_fault(((struct link *)c)->name, why);
}

static const struct chan_ops ops = {on_message, on_closed, NULL};

/* ---- what may be offered */

static void offer(struct chan *c, unsigned int set)
{
  stralloc words = {0};
  struct wire_out o;

  if (mechanisms_format(&words, set) == 0) {
    wire_start(&o, WIRE_MECHANISMS);
    wire_bytes(&o, words.s ? words.s : "", words.len);
    chan_send(c, &o, -1);
  }
  stralloc_free(&words);
}

void authlink_offer(void)
{
  static unsigned int last = ~0U;
  unsigned int set = backend_mechanisms();

  if (set == last)
    return;
  last = set;
  for (struct link *l = links; l < links + LINKS_MAX && l->name[0]; l++)
    offer(&l->chan, set);
}

int authlink_channel(const char *peer, int fd)
{
  struct link *l = links;

  while (l < links + LINKS_MAX && l->name[0] && strcmp(l->name, peer) != 0)
    l++;
  if (l == links + LINKS_MAX || strlen(peer) >= sizeof l->name)
    return close(fd);
  if (l->name[0]) {
    exchange_lose(&l->chan);
    chan_close(&l->chan);
  }
  strcpy(l->name, peer);
  if (chan_open(&l->chan, fd, LINK_USERS, WIRE_HIGH, &ops) != 0)
    return -1;
  offer(&l->chan, backend_mechanisms());
  return 0;
}
