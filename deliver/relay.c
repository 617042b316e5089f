/* relay.c - what attempts say, on its way to the manager and into peer memory
 *
 * Runs in heloise-deliver: user hldeliver. Attempts have talked to strangers: what they report is
 * checked here and bears the job this side knows. */
#include "deliver/relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/units.h"
#include "common/verbs.h"
#include "common/verdict.h"
#include "deliver/offers.h"
#include "deliver/peers.h"
#include "queue/dialogue.h"
#include "queue/history.h"
#include "queue/notify.h"

#define NEWS_EACH 64       /* facts one attempt may report */
#define NAME_WARNING 86400 /* seconds between two warnings about our name */

static struct peers *peers;
static struct offers *offers;

static uint64_t now(void)
{
  return (uint64_t)time(NULL);
}

/* RESULT and STEP are SAID and STEPPED with the job in front */
static void pass_on(const struct job *j, enum wire_type type, const struct wire_msg *m)
{
  struct wire_out o;

  wire_start(&o, type);
  wire_num(&o, j->number);
  for (size_t i = 0; i < m->n; i++)
    wire_bytes(&o, m->f[i].s, m->f[i].len);
  relay_tell(&o);
}

static int is_how(const struct wire_msg *m, size_t i, enum verdict v)
{
  if (m->f[i].len == 0)
    return 1;
  if (v == V_OK)
    return wire_is(m, i, notify_word(NOTIFY_RELAYED));
  return wire_is(m, i, "unreached") || wire_is(m, i, "lost") || wire_is(m, i, "ours") ||
         (v == V_TEMP && wire_is(m, i, "uncharged"));
}

/* whether RESULT, without its job, stands in m from field i on */
static int is_result(const struct wire_msg *m, size_t i)
{
  uint64_t recipient, until;
  enum verdict v;

  return wire_get_num(m, i, UINT32_MAX, &recipient) == 0 &&
         verdict_read(m->f[i + 1].s, m->f[i + 1].len, &v) == 0 &&
         wire_get_num(m, i + 2, UINT32_MAX * 16ULL, &until) == 0 && (v == V_TEMP) == (until != 0) &&
         m->f[i + 3].len > 0 && m->f[i + 3].len <= 15 &&
         is_how(m, i + 5, v);
}

int relay_is_last(const struct wire_msg *m, size_t from)
{
  return dialogue_check(m->f[from].s, m->f[from].len) == 0 &&
         (m->n == from + 1 || (m->n == from + 7 && is_result(m, from + 1)));
}

static int on_said(const struct job *j, const struct wire_msg *m)
{
  if (!is_result(m, 0))
    return -1;
  pass_on(j, WIRE_RESULT, m);
  return 0;
}

static int read_news(const struct wire_msg *m, struct peers_news *n)
{
  uint64_t port;

  memset(n, 0, sizeof *n);
  if (ip_parse(m->f[0].s, m->f[0].len, &n->ip) != 0 || wire_get_num(m, 1, 65535, &port) != 0 ||
      port == 0 || peers_news_fact(m->f[2].s, m->f[2].len, n) != 0 ||
      peers_news_read(m->f[3].s, m->f[3].len, n) != 0)
    return -1;
  n->port = (uint16_t)port;
  return 0;
}

/* for the message's story */
static void noted(const struct job *j, const char *what, const struct peers_news *n,
                  uint64_t until)
{
  char peer[IP_PORT_TEXT], fact[PEERS_NEWS_FACT], evidence[PEERS_NEWS_EVIDENCE];
  struct wire_out o;

  ip_port_format(peer, &n->ip, n->port);
  peers_news_format(n, fact, evidence);
  wire_start(&o, WIRE_NOTED);
  wire_num(&o, j->number);
  wire_str(&o, what);
  wire_str(&o, peer);
  wire_str(&o, peers_fact_word(n->fact));
  wire_num(&o, until);
  wire_str(&o, evidence);
  relay_tell(&o);
}

/* peers refuse our name: once a day somebody should hear of it (LADDER.md E3, E33) */
static void warn_of_name(const char *peer, const struct peers_news *n)
{
  static uint64_t warned;

  if (n->fact != FACT_NAME_REFUSED || now() < warned + NAME_WARNING)
    return;
  warned = now();
  log_name_refused(peer, settings.hostname ? settings.hostname : "", n->text);
}

static void learn(const struct job *j, const char *peer, const struct peers_news *n,
                  const char *evidence)
{
  char fact[PEERS_NEWS_FACT], ignored[PEERS_NEWS_EVIDENCE];
  uint64_t end = peers_learn(peers, n, now());
  stralloc until = {0};

  peers_news_format(n, fact, ignored);
  noted(j, end ? HISTORY_LEARNED : HISTORY_UNKEPT, n, end);
  if (!end) {
    log_failed("deliver", "remember a peer", strerror(errno));
    return;
  }
  if (units_format_time(&until, end) == 0 && stralloc_0(&until))
    log_learned(peer, fact, until.s, evidence);
  free(until.s);
  warn_of_name(peer, n);
}

static int on_knew(struct job *j, const struct wire_msg *m)
{
  struct peers_news n;
  uint64_t until;

  if (read_news(m, &n) != 0 || wire_get_num(m, 4, UINT32_MAX, &until) != 0)
    return -1;
  if (j->news++ < NEWS_EACH)
    noted(j, HISTORY_KNOWN, &n, until);
  return 0;
}

static int on_news(struct job *j, const struct wire_msg *m)
{
  char peer[IP_PORT_TEXT], fact[PEERS_NEWS_FACT], evidence[PEERS_NEWS_EVIDENCE];
  struct peers_news n;
  int r;

  if (read_news(m, &n) != 0)
    return -1;
  if (!peers || j->news++ >= NEWS_EACH)
    return 0;
  ip_port_format(peer, &n.ip, n.port);
  peers_news_format(&n, fact, evidence);
  if (m->type == WIRE_LEARNED) {
    learn(j, peer, &n, evidence);
  } else if (m->type == WIRE_TRYING) {
    peers_probation(peers, &n, now());
  } else if ((r = peers_unlearn(peers, &n)) < 0) {
    log_failed("deliver", "forget what proved wrong of a peer", strerror(errno));
  } else if (r > 0) {
    log_unlearned(peer, peers_fact_word(n.fact), evidence);
    noted(j, HISTORY_UNLEARNED, &n, 0);
  }
  return 0;
}

static int read_greeting(const struct wire_msg *m, struct offers_card *c)
{
  uint64_t port, verbs, banner;
  enum offers_rung rung;

  memset(c, 0, sizeof *c);
  if (ip_parse(m->f[0].s, m->f[0].len, &c->ip) != 0 || wire_get_num(m, 1, 65535, &port) != 0 ||
      port == 0 || m->f[2].len >= OFFERS_HOST ||
      offers_rung_read(m->f[3].s, m->f[3].len, &rung) != 0 ||
      wire_get_num(m, 4, (1U << VERB_COUNT) - 1, &verbs) != 0 ||
      wire_get_num(m, 5, UINT32_MAX, &banner) != 0)
    return -1;
  c->port = (uint16_t)port;
  memcpy(c->host, m->f[2].s, m->f[2].len);
  c->now = (struct offers_seen){(uint32_t)now(), (uint32_t)verbs, (uint32_t)banner, rung};
  return 0;
}

/* "EHLO size pipelining" */
static void describe(stralloc *out, const struct offers_seen *s)
{
  if (!stralloc_copys(out, offers_rung_word((enum offers_rung)s->rung)) ||
      (s->verbs && (!stralloc_cats(out, " ") || verbs_format(out, s->verbs) != 0)) ||
      (s->banner >= OFFERS_SLOW && !stralloc_cats(out, ", slow")) || !stralloc_0(out))
    stralloc_free(out);
}

static int on_greeted(struct job *j, const struct wire_msg *m)
{
  char peer[IP_PORT_TEXT];
  stralloc was = {0}, is = {0};
  struct offers_seen before;
  struct offers_card c;

  if (read_greeting(m, &c) != 0)
    return -1;
  if (!offers || j->news++ >= NEWS_EACH || !offers_note(offers, &c, &before))
    return 0;
  ip_port_format(peer, &c.ip, c.port);
  describe(&was, &before);
  describe(&is, &c.now);
  log_greeting_changed(peer, c.host, was.s, is.s);
  stralloc_free(&was);
  stralloc_free(&is);
  return 0;
}

static int on_spoken(const struct job *j, const struct wire_msg *m)
{
  if (dialogue_check(m->f[0].s, m->f[0].len) != 0)
    return -1;
  pass_on(j, WIRE_DIALOGUE, m);
  return 0;
}

int relay(struct job *j, const struct wire_msg *m, const char **why)
{
  *why = wire_name(m->type);
  switch (m->type) {
  case WIRE_SAID:
    return on_said(j, m);
  case WIRE_STEPPED:
    pass_on(j, WIRE_STEP, m);
    return 0;
  case WIRE_LEARNED:
  case WIRE_UNLEARNED:
  case WIRE_TRYING:
    return on_news(j, m);
  case WIRE_GREETED:
    return on_greeted(j, m);
  case WIRE_KNEW:
    return on_knew(j, m);
  default: /* WIRE_SPOKEN */
    return on_spoken(j, m);
  }
}

/* ---- for spawn.c */

int relay_state(int dirfd)
{
  offers_close(offers);
  offers = offers_open(dirfd);
  if (!offers)
    log_failed("deliver", "memory of greetings, going on without", strerror(errno));
  peers_close(peers);
  peers = peers_open(dirfd);
  if (!peers)
    log_failed("deliver", "peer memory, going on without", strerror(errno));
  return 0;
}

int relay_forget(const char *peer, size_t len)
{
  return peers ? peers_forget(peers, peer, len) : 0;
}
