/* judge.c - may this client, with this name, send this to them? The one decision
 *
 * Runs in heloise-smtpd and in `heloise access test`. Pure. Names and addresses are the client's,
 * already parsed; what DNS says is hostile, made printable by clientdns.c; tables and settings
 * are trusted. */
#include "smtpd/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/settings.h"
#include "smtpd/access_check.h"

#define ARGUMENT_MAX 400
#define DECIDED_MAX 500

static struct judgement verdict;
static char argument[ARGUMENT_MAX], decided[DECIDED_MAX], fated[DECIDED_MAX];

/* what the kinds asked so far came to */
struct course {
  const struct judge_facts *f;
  enum access_action action; /* of the first line that has one */
  enum access_key kind;      /* that line's */
  int has_accepted;          /* it, or the recipient's line, excuses from lists */
};

__attribute__((format(printf, 3, 4)))
static void saw(const struct judge_facts *f, const char *what, const char *format, ...)
{
  static char text[DECIDED_MAX];
  va_list ap;

  if (!f->saw)
    return;
  va_start(ap, format);
  vsnprintf(text, sizeof text, format, ap);
  va_end(ap);
  f->saw(f->arg, what, text, "", "");
}

static const struct judgement *end(enum judge_way way, enum reply r)
{
  verdict.way = way;
  verdict.reply = r;
  verdict.argument = argument;
  verdict.decided = decided;
  verdict.fated = fated;
  if (verdict.may_relay)
    verdict.delay = 0;
  return &verdict;
}

static void clear(void)
{
  verdict = (struct judgement){.way = JUDGE_TAKE};
  argument[0] = decided[0] = fated[0] = 0;
}

/* ---- table access */

static const char *fact(const struct judge_facts *f, enum access_key kind)
{
  const char *const facts[ACCESS_KEYS] = {
    [ACCESS_CLIENT] = f->address, [ACCESS_HOST] = f->dns ? f->dns->host : "",
    [ACCESS_LOGIN] = f->login,    [ACCESS_TLS] = f->tls,
    [ACCESS_HELO] = f->helo,      [ACCESS_SENDER] = f->sender,
    [ACCESS_RCPT] = f->rcpt};

  return facts[kind];
}

static int find(const struct judge_facts *f, enum access_key kind, struct access_line *l)
{
  const char *looked = fact(f, kind);
  int is_there = kind == ACCESS_CLIENT ? access_of_client(f->table, &f->ip, l)
                                       : access_of_text(f->table, kind, looked, l);

  if (f->saw)
    f->saw(f->arg, access_key_word(kind), kind == ACCESS_TLS && !*looked ? "in clear" : looked,
           l->key, l->value.s);
  return is_there;
}

static void note_rate(const struct judge_facts *f, const struct access_line *l, enum access_key kind)
{
  struct judge_rate *r = &verdict.rate[verdict.nrates];

  if (l->rule.rate == 0)
    return;
  r->kind = kind;
  r->who = kind == ACCESS_LOGIN || kind == ACCESS_SENDER || kind == ACCESS_RCPT ? fact(f, kind) : "";
  snprintf(r->line, sizeof r->line, "%s", l->key);
  r->rate = l->rule.rate;
  r->per = l->rule.per;
  verdict.nrates++;
}

/* what a line says besides whether mail is taken: the first that says it is heard */
static void heed(const struct judge_facts *f, const struct access_line *l, enum access_key kind)
{
  note_rate(f, l, kind);
  if (l->rule.fate != FATE_QUEUE && verdict.fate == FATE_QUEUE) {
    verdict.fate = l->rule.fate;
    snprintf(fated, sizeof fated, "access %s", l->key);
  }
  if (l->rule.has_delay && kind != ACCESS_CLIENT && verdict.delay == 0)
    verdict.delay = l->rule.delay;
}

static const struct judgement *refuse_by(const struct access_line *l)
{
  snprintf(decided, sizeof decided, "access %s", l->key);
  snprintf(argument, sizeof argument, "%.*s", (int)l->rule.textlen, l->rule.text);
  if (l->rule.textlen == 0)
    strcpy(argument, "refused by this host's administrator; ask postmaster");
  return end(JUDGE_REFUSE, l->rule.action == ACCESS_REJECT ? REPLY_REJECTED : REPLY_DEFERRED);
}

/* the kinds about client and sender, in their order: the first line with an action decides. The
 * refusal, or NULL. */
static const struct judgement *judge_sender(struct course *c)
{
  for (enum access_key kind = ACCESS_CLIENT; kind < ACCESS_RCPT; kind++) {
    struct access_line l;
    if (!find(c->f, kind, &l))
      continue;
    heed(c->f, &l, kind);
    if (l.rule.action == ACCESS_NONE || c->action != ACCESS_NONE)
      continue;
    c->action = l.rule.action;
    c->kind = kind;
    snprintf(decided, sizeof decided, "access %s", l.key);
    if (c->action == ACCESS_REJECT || c->action == ACCESS_DEFER)
      return refuse_by(&l);
  }
  verdict.may_relay = c->action == ACCESS_RELAY;
  if (*c->f->login && !verdict.may_relay) {
    verdict.may_relay = 1;
    snprintf(decided, sizeof decided, "login");
    saw(c->f, "login", "%s has logged in: may relay", c->f->login);
  }
  /* a name anybody can say excuses from nothing but lines about other such names */
  c->has_accepted = verdict.may_relay || (c->action == ACCESS_ACCEPT && c->kind <= ACCESS_LOGIN);
  return NULL;
}

/* ---- weights */

struct sum {
  long score;
  size_t len;                  /* of decided */
  const struct judge_hit *top; /* the list that weighs most */
  long top_weight;
  const char *top_text;        /* for what is no list */
};

static void add(struct sum *s, const char *what, long weight)
{
  size_t room = sizeof decided - s->len;
  int n;

  s->score += weight;
  n = snprintf(decided + s->len, room, " %s=%ld", what, weight);
  s->len += n > 0 && (size_t)n < room ? (size_t)n : 0;
  decided[s->len] = 0;
}

/* for reasons of our own */
static void add_own(struct sum *s, const struct judge_facts *f, const char *what, uint64_t weight,
                    const char *text)
{
  if (weight == 0)
    return;
  add(s, what, (long)weight);
  saw(f, what, "weighs %lu", (unsigned long)weight);
  if ((long)weight > s->top_weight) {
    s->top_weight = (long)weight;
    s->top = NULL;
    s->top_text = text;
  }
}

static void weigh(struct sum *s, const struct judge_facts *f)
{
  const struct judge_dns *d = f->dns;

  s->len = (size_t)snprintf(decided, sizeof decided, "dnslists");
  for (size_t i = 0; d && i < d->n; i++) {
    add(s, d->hit[i].zone, d->hit[i].weight);
    saw(f, "dnslists", "%s weighs %d%s%s", d->hit[i].zone, d->hit[i].weight,
        *d->hit[i].text ? ": " : "", d->hit[i].text);
    if (d->hit[i].weight > s->top_weight) {
      s->top = &d->hit[i];
      s->top_weight = s->top->weight;
    }
  }
  if (d && d->host_is == HOST_UNKNOWN)
    add_own(s, f, "reverse-unknown", settings.reverse_unknown_weight,
            "has no name in DNS that leads back to it; ask your provider to set one");
  if (f->is_early && strcmp(settings.early_talker, "score") == 0)
    add_own(s, f, "early-talker", settings.early_talker_weight,
            "sent before the banner; wait for it, or use another program");
}

static void explain(const struct sum *s, const struct judge_facts *f)
{
  if (s->top)
    snprintf(argument, sizeof argument, "your address %.48s is on list %.130s; %.180s", f->address, s->top->zone,
             *s->top->text ? s->top->text : "ask there to be taken off");
  else
    snprintf(argument, sizeof argument, "your address %s %s", f->address,
             s->top_text ? s->top_text : "is on DNS lists; ask there to be taken off");
}

/* the refusal, or NULL */
static const struct judgement *judge_weights(const struct judge_facts *f)
{
  const uint64_t reject = settings.dnslist_reject_score, defer = settings.dnslist_defer_score;
  char before[sizeof decided];
  struct sum s = {0};

  if (f->is_early && strcmp(settings.early_talker, "reject") == 0) {
    strcpy(decided, "setting early-talker");
    saw(f, "early-talker", "it sent before the banner: refused");
    return end(JUDGE_REFUSE, REPLY_TOO_EARLY);
  }
  memcpy(before, decided, sizeof before);
  weigh(&s, f);
  if (s.score != 0 || s.top)
    saw(f, "weights", "%ld in all; rejected from %lu, deferred from %lu on (0: never)", s.score,
        (unsigned long)reject, (unsigned long)defer);
  if (s.score > 0 && reject > 0 && (uint64_t)s.score >= reject) {
    explain(&s, f);
    return end(JUDGE_REFUSE, REPLY_REJECTED);
  }
  if (s.score > 0 && defer > 0 && (uint64_t)s.score >= defer) {
    explain(&s, f);
    return end(JUDGE_REFUSE, REPLY_DEFERRED);
  }
  memcpy(decided, before, sizeof before);
  return NULL;
}

/* ---- recipients */

static const struct judgement *judge_relay(const struct judge_facts *f, int may_relay, int is_dropped)
{
  enum domain_kind kind = access_domain(f->table, f->domain);

  saw(f, "domains", "%s is %s", f->domain,
      kind == DOMAIN_LOCAL ? "local" : kind == DOMAIN_RELAY ? "relay" : "not ours");
  if (kind == DOMAIN_LOCAL || kind == DOMAIN_RELAY || may_relay)
    return end(is_dropped ? JUDGE_DROP : kind == DOMAIN_LOCAL ? JUDGE_ASK : JUDGE_TAKE,
               REPLY_RCPT_OK);
  strcpy(decided, "domains");
  snprintf(argument, sizeof argument, "%s", f->address);
  /* a line for its name could let it relay, had that name been found */
  if (f->dns && f->dns->is_for_access && f->dns->host_is == HOST_UNSURE) {
    strcpy(decided, "host unsure");
    return end(JUDGE_REFUSE, REPLY_HOST_UNSURE);
  }
  return end(JUDGE_REFUSE, REPLY_RELAY_CLOSED);
}

static const struct judgement *judge_rcpt(struct course *c)
{
  const struct judge_facts *f = c->f;
  const struct judgement *refusal;
  struct access_line l;
  int may_relay = verdict.may_relay;

  verdict.nrates = 0; /* those of MAIL were counted there */
  /* RFC 5321 4.5.1: postmaster hears of everybody who is not shut out by name */
  if (f->is_postmaster)
    return end(JUDGE_TAKE, REPLY_RCPT_OK);
  if (find(f, ACCESS_RCPT, &l)) {
    heed(f, &l, ACCESS_RCPT);
    if (l.rule.action == ACCESS_REJECT || l.rule.action == ACCESS_DEFER)
      return refuse_by(&l);
    if (l.rule.action != ACCESS_NONE)
      snprintf(decided, sizeof decided, "access %s", l.key);
    may_relay |= l.rule.action == ACCESS_RELAY;
    c->has_accepted |= l.rule.action != ACCESS_NONE;
  }
  refusal = c->has_accepted ? NULL : judge_weights(f);
  return refusal ? refusal : judge_relay(f, may_relay, l.rule.fate == FATE_DISCARD);
}

const struct judgement *judge_decide(const struct judge_facts *f)
{
  struct course c = {.f = f};
  const struct judgement *refusal;

  clear();
  refusal = judge_sender(&c);
  if (refusal)
    return refusal;
  return f->rcpt ? judge_rcpt(&c) : end(JUDGE_TAKE, REPLY_SENDER_OK);
}

/* ---- apart from mail */

void judge_client(const struct table *t, const struct ip *ip, struct access_rule *r)
{
  struct access_line l;

  access_of_client(t, ip, &l);
  *r = l.rule;
}

int judge_is_unlimited(const struct table *t, const struct ip *ip)
{
  struct access_rule r;

  if (ip_in_list(ip, settings.unlimited_clients))
    return 1;
  judge_client(t, ip, &r);
  return r.action == ACCESS_RELAY;
}

const struct judgement *judge_over_rate(const struct judge_rate *r)
{
  clear();
  snprintf(decided, sizeof decided, "access %s", r->line);
  snprintf(argument, sizeof argument, "%lu in %lu seconds", (unsigned long)r->rate,
           (unsigned long)(r->per / 1000));
  return end(JUDGE_REFUSE, REPLY_OVER_RATE);
}
