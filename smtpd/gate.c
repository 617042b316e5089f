/* gate.c - where a client comes in: limits of its network, what DNS says of it, and the banner
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. */
#include "smtpd/gate.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "common/loop.h"
#include "common/settings.h"
#include "common/units.h"
#include "smtpd/limits.h"

/* ---- limits */

/* a setting of type RATE; 0 in *n when it is empty */
static void read_rate(const char *value, uint64_t *n, uint64_t *per)
{
  *n = *per = 0;
  if (*value && units_rate(value, strlen(value), n, per) != 0)
    *n = 0;
}

static const char *rate_of(enum limit l)
{
  return l == LIMIT_CONNECTIONS  ? settings.client_connection_rate
         : l == LIMIT_MESSAGES   ? settings.client_message_rate
         : l == LIMIT_RECIPIENTS ? settings.client_recipient_rate
                                 : settings.client_error_rate;
}

int gate_over(struct session *s, enum limit l)
{
  uint64_t n, per;

  read_rate(rate_of(l), &n, &per);
  return limits_count(&s->ip, l, n, per, loop_now());
}

/* who is counted: each client network, or each login, sender or recipient that fits the line */
int gate_over_rate(struct session *s, const struct judge_rate *r)
{
  char text[1000];
  struct ip net = limits_network(&s->ip);
  char network[IP_TEXT];
  int n;

  ip_format(network, &net);
  n = snprintf(text, sizeof text, "%s %s", r->line, *r->who ? r->who : network);
  return limits_count_text(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1, r->rate, r->per,
                           loop_now());
}

/* whether it was turned away */
static int is_too_many(struct gate *g)
{
  struct session *s = g->session;
  uint64_t n, per;
  int is_over = limits_enter(&s->ip, settings.client_session_limit, loop_now(), &g->ticket);

  if (is_over) {
    session_argument(s, settings.client_session_limit);
    session_turn_away(s, REPLY_CLIENT_SESSIONS, s->number, "setting client-session-limit");
    return 1;
  }
  if (gate_over(s, LIMIT_CONNECTIONS)) {
    session_turn_away(s, REPLY_CLIENT_CONNECTIONS, settings.client_connection_rate,
                      "setting client-connection-rate");
    return 1;
  }
  read_rate(settings.client_error_rate, &n, &per);
  if (!limits_is_over(&s->ip, LIMIT_ERRORS, n, per, loop_now()))
    return 0;
  session_turn_away(s, REPLY_CLIENT_ERRORS, settings.client_error_rate, "setting client-error-rate");
  return 1;
}

/* ---- the banner */

/* while only the banner waits, by the setting: nothing speaks against this client */
static int is_clean(const struct judge_dns *d)
{
  long score = 0;

  for (size_t i = 0; i < d->n; i++)
    score += d->hit[i].weight;
  return score <= 0 && d->host_is != HOST_UNKNOWN;
}

static void on_found(void *owner)
{
  struct gate *g = owner;
  struct session *s = g->session;

  s->dns = clientdns_result(g->dns);
  session_found(s);
  if (s->doing == PAUSED && s->commands == 0 && s->pause == settings.banner_delay && s->dns &&
      is_clean(s->dns))
    session_go_on(s);
  g->found(g);
}

int gate_listens(const struct session *s)
{
  return s->service->number == SERVICE_MX && !s->is_unlimited &&
         strcmp(settings.early_talker, "off") != 0;
}

static uint64_t banner_delay(const struct session *s)
{
  struct access_rule r;

  judge_client(s->world->table(), &s->ip, &r);
  if (r.action == ACCESS_RELAY)
    return 0;
  return r.has_delay ? r.delay : gate_listens(s) ? settings.banner_delay : 0;
}

void gate_open(struct gate *g, struct session *s)
{
  g->session = s;
  s->is_early = s->is_over = 0;
  s->is_unlimited = s->service->is_lmtp || judge_is_unlimited(s->world->table(), &s->ip);
  if (!s->is_unlimited && is_too_many(g))
    return;
  s->pause = s->doing == COMMAND ? banner_delay(s) : 0;
  if (s->pause > 0)
    s->doing = PAUSED;
  if (!s->is_unlimited)
    g->dns = clientdns_begin(&s->ip, !s->service->needs_login, on_found, g);
}

void gate_close(struct gate *g)
{
  limits_leave(g->ticket);
  g->ticket = 0;
  if (g->session)
    g->session->dns = NULL;
  clientdns_end(g->dns);
  g->dns = NULL;
}

int gate_awaits(const struct gate *g, int for_mail)
{
  return clientdns_is_pending(g->dns, for_mail);
}

const char *gate_id(void)
{
  static char id[16];
  struct timeval t;

  gettimeofday(&t, NULL);
  snprintf(id, sizeof id, "%08lx%05lx00", (unsigned long)t.tv_sec & 0xffffffff,
           (unsigned long)t.tv_usec & 0xfffff);
  return id;
}
