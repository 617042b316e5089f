/* decide.c - a session's facts before judge_decide(), and what becomes of the session by it
 *
 * Runs in heloise-smtpd and in `heloise access test`. */
#include "smtpd/decide.h"

#include <string.h>

#include "common/settings.h"

static void (*trace)(void *arg, const char *what, const char *looked, const char *line,
                     const char *value);
static void *trace_arg;

void decide_trace(void (*saw)(void *arg, const char *what, const char *looked, const char *line,
                              const char *value), void *arg)
{
  trace = saw;
  trace_arg = arg;
}

void decide_greeting(const struct session *s, struct access_rule *r)
{
  judge_client(s->world->table(), &s->ip, r);
}

static void facts_of(const struct session *s, struct judge_facts *f)
{
  *f = (struct judge_facts){
    .table = s->world->table(),
    .ip = s->ip,
    .address = s->address,
    .dns = s->dns,
    .login = s->login.len ? s->login.s : "",
    .tls = !s->tls.is_on ? "" : *s->tls.version ? s->tls.version : "yes",
    .helo = s->hello.name.len ? s->hello.name.s : "",
    .sender = s->mail.from.len ? s->mail.from.s : "",
    .domain = "",
    .is_early = s->is_early,
    .saw = trace,
    .arg = trace_arg,
  };
}

static enum reply refuse(struct session *s, const struct judgement *j)
{
  s->argument = j->argument;
  s->decided = j->decided;
  return j->reply;
}

static enum reply over(struct session *s, enum reply r, const char *setting, const char *value)
{
  s->argument = value;
  s->decided = setting;
  return r;
}

/* counts what the lines bound; the refusal of the first that is exceeded, or REPLY_NONE */
static enum reply count_rates(struct session *s, const struct judgement *j, int *has_client_rate)
{
  *has_client_rate = 0;
  for (size_t i = 0; i < j->nrates && s->world->over_rate; i++) {
    const struct judge_rate r = j->rate[i];
    *has_client_rate |= r.kind == ACCESS_CLIENT || r.kind == ACCESS_HOST;
    if (s->world->over_rate(s, &r))
      return refuse(s, judge_over_rate(&r));
  }
  return REPLY_NONE;
}

static int is_over(struct session *s, enum limit l)
{
  return !s->is_unlimited && !s->mail.is_relay && s->world->over && s->world->over(s, l);
}

enum reply decide_mail(struct session *s, const char *sender)
{
  const struct judgement *j;
  struct judge_facts f;
  int has_client_rate;
  enum reply r;

  facts_of(s, &f);
  f.sender = sender;
  j = judge_decide(&f);
  if (trace && *j->decided)
    trace(trace_arg, "decided", j->decided, "", "");
  s->mail.is_relay = j->may_relay;
  if (j->way == JUDGE_REFUSE)
    return refuse(s, j);
  s->mail.fate = j->fate;
  if (!stralloc_copys(&s->mail.fated, j->fated) || !stralloc_0(&s->mail.fated))
    return REPLY_NO_MEMORY;
  r = count_rates(s, j, &has_client_rate);
  if (r == REPLY_NONE && !has_client_rate && is_over(s, LIMIT_MESSAGES))
    r = over(s, REPLY_CLIENT_MESSAGES, "setting client-message-rate", settings.client_message_rate);
  return r;
}

/* what the recipient's own line makes of the message, or of this recipient of it. A recipient
 * without such a line takes nothing back: what another's holds is held for all. */
static int take_fate(struct session *s, const struct judgement *j)
{
  if (j->fate == FATE_QUEUE || j->fate == s->mail.fate || j->fate == FATE_DISCARD)
    return 0;
  s->mail.fate = j->fate;
  return stralloc_copys(&s->mail.fated, j->fated) && stralloc_0(&s->mail.fated) ? 0 : -1;
}

enum reply decide_rcpt(struct session *s, const char *address, const char *domain,
                       int is_postmaster, enum judge_way *way)
{
  const struct judgement *j;
  struct judge_facts f;
  int has_client_rate;

  if (is_over(s, LIMIT_RECIPIENTS))
    return over(s, REPLY_CLIENT_RECIPIENTS, "setting client-recipient-rate",
                settings.client_recipient_rate);
  facts_of(s, &f);
  f.rcpt = address;
  f.domain = domain;
  f.is_postmaster = is_postmaster;
  j = judge_decide(&f);
  if (trace && *j->decided)
    trace(trace_arg, "decided", j->decided, "", "");
  s->pause = j->delay;
  if (j->way == JUDGE_REFUSE)
    return refuse(s, j);
  *way = j->way;
  if (take_fate(s, j) != 0)
    return REPLY_NO_MEMORY;
  return count_rates(s, j, &has_client_rate);
}
