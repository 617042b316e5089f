/* verb_hello.c - HELO, EHLO and LHLO: the client's name, and what we offer it
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The argument is hostile bytes until
 * hello_judge() made a printable name of it; the name is never believed, only written
 * down. RFC 5321 4.1.1.1; LADDER.md 4. A refused greeting leaves the session as it was. */
#include <string.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/units.h"
#include "common/verbs.h"
#include "smtpd/access_check.h"
#include "smtpd/decide.h"
#include "smtpd/verb.h"
#include "smtpd/verb_auth.h"

#define SAID_MAX 255

/* what we implement, in the order it is listed */
static const enum verb_number offered[] = {VERBN_SIZE, VERBN_PIPELINING, VERBN_8BITMIME, VERBN_DSN,
                                           VERBN_ENHANCEDSTATUSCODES, VERBN_SMTPUTF8, VERBN_CHUNKING,
                                           VERBN_LIMITS, VERBN_STARTTLS, VERBN_AUTH, VERBN_XCLIENT,
                                           VERBN_HELP};

static enum hello_policy policy_for(const struct access_rule *r)
{
  enum hello_policy p = HELLO_NORMAL;

  if (r->has_helo_policy)
    return r->helo_policy;
  hello_policy_read(settings.helo_policy, strlen(settings.helo_policy), &p);
  return p;
}

static enum reply refuse(struct session *s, const char *why)
{
  if (verb_no_memory(why))
    return REPLY_NO_MEMORY;
  s->greeting_errors++;
  s->argument = why;
  return strcmp(why, "control bytes") == 0 ? REPLY_HELLO_CONTROL : REPLY_HELLO_REFUSED;
}

/* a client that said nothing (helo=junk) is called by its address */
static int name_by_address(struct session *s)
{
  char text[IP_TEXT];

  ip_format(text, &s->ip);
  s->hello.kind = HELLO_LITERAL;
  return stralloc_copys(&s->hello.name, s->ip.family == 6 ? "[IPv6:" : "[") &&
             stralloc_cats(&s->hello.name, text) && stralloc_cats(&s->hello.name, "]")
           ? 0
           : -1;
}

/* the name is settled: completed, terminated, and what was said kept beside it */
static int settle(struct session *s, const struct command *c, int may_relay)
{
  size_t n = c->arglen < SAID_MAX ? c->arglen : SAID_MAX;

  if (s->hello.name.len == 0 && name_by_address(s) != 0)
    return -1;
  if (may_relay && hello_complete(&s->hello, settings.domain) < 0)
    return -1;
  if (!stralloc_0(&s->hello.name))
    return -1;
  s->hello.name.len--;
  if (!s->hello.is_changed && !s->hello.is_malformed)
    n = 0;
  return stralloc_copyb(&s->said, c->arg, n) && stralloc_0(&s->said) ? 0 : -1;
}

static void log_it(const struct session *s, const struct command *c)
{
  char said[SAID_MAX + 1];
  size_t n = c->arglen < SAID_MAX ? c->arglen : SAID_MAX;

  memcpy(said, c->arg, n);
  said[n] = 0;
  log_greeted(s->client, s->service->is_lmtp ? "LHLO" : s->is_esmtp ? "EHLO" : "HELO", said,
              s->hello.is_malformed  ? "malformed"
              : s->hello.is_changed ? s->hello.name.s
                                    : NULL);
}

static enum reply judge(struct session *s, const struct command *c, int is_esmtp)
{
  const struct table *t = s->world->table();
  struct hello before = s->hello;
  struct access_rule rule;
  const char *why, *failed = NULL;

  decide_greeting(s, &rule);
  s->hello.name = (stralloc){0};
  if (hello_judge(c->arg, c->arglen, policy_for(&rule), &s->hello, &why) != 0)
    failed = why;
  else if (settle(s, c, rule.action == ACCESS_RELAY) != 0)
    failed = "out of memory";
  if (failed) {
    stralloc_free(&s->hello.name);
    s->hello = before;
    return refuse(s, failed);
  }
  stralloc_free(&before.name);
  session_reset(s);
  s->order = HAVE_HELLO;
  s->is_esmtp = is_esmtp;
  s->verbs_off = access_verbs_off(t, s->service, &s->ip);
  s->argument = settings.hostname;
  log_it(s, c);
  return REPLY_HELLO;
}

enum reply verb_helo(struct session *s, const struct command *c)
{
  return judge(s, c, 0);
}

/* LIMITS has numbers of at most 6 digits (RFC 9422 4) */
static uint64_t limit(uint64_t v)
{
  return v < 999999 ? v : 999999;
}

static int put_number(struct session *s, const char *before, uint64_t v)
{
  return stralloc_cats(&s->out, before) && units_format_number(&s->out, v) == 0;
}

static int put_keyword(struct session *s, enum verb_number verb, int is_last)
{
  int ok = stralloc_cats(&s->out, is_last ? "250 " : "250-") &&
           stralloc_cats(&s->out, verb_keyword(verb));

  if (ok && verb == VERBN_SIZE)
    ok = put_number(s, " ", settings.message_size_limit);
  if (ok && verb == VERBN_LIMITS)
    ok = put_number(s, " MAILMAX=", limit(settings.session_message_limit)) &&
         put_number(s, " RCPTMAX=", limit(settings.recipient_limit));
  if (ok && verb == VERBN_XCLIENT)
    ok = stralloc_cats(&s->out, " NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT");
  if (ok && verb == VERBN_AUTH)
    ok = mechanisms_format(&s->out, auth_offered(s)) == 0;
  return ok && stralloc_cats(&s->out, "\r\n");
}

/* the first line is our name alone: no word there can be taken for a keyword */
static int put_offers(struct session *s)
{
  size_t n = 0, left = 0;

  for (size_t i = 0; i < sizeof offered / sizeof *offered; i++)
    left += (size_t)verb_offers(s, 1U << offered[i]);
  if (!stralloc_cats(&s->out, left ? "250-" : "250 ") ||
      !stralloc_cats(&s->out, settings.hostname) || !stralloc_cats(&s->out, "\r\n"))
    return 0;
  for (size_t i = 0; i < sizeof offered / sizeof *offered; i++)
    if (verb_offers(s, 1U << offered[i]) && !put_keyword(s, offered[i], ++n == left))
      return 0;
  return 1;
}

enum reply verb_ehlo(struct session *s, const struct command *c)
{
  enum reply r = judge(s, c, 1);
  size_t before = s->out.len;

  if (r != REPLY_HELLO)
    return r;
  if (put_offers(s))
    return REPLY_NONE;
  s->out.len = before;
  return REPLY_NO_MEMORY;
}
