/* attempt.c - one delivery attempt
 *
 * Runs in heloise-deliver's children: user hldeliver, network, its message and two channels,
 * nothing else. The envelope is parsed here; peers and DNS answers are hostile. */
#include "deliver/attempt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/log.h"
#include "common/retry.h"
#include "common/settings.h"
#include "deliver/body.h"
#include "deliver/client.h"
#include "deliver/past.h"
#include "deliver/report.h"
#include "deliver/targets.h"

#define GREETSOFT_TRIES 3

/* ---- results */

size_t attempt_left(const struct attempt *a)
{
  size_t n = 0;

  for (size_t i = 0; i < a->n; i++)
    n += !a->recipient[i].is_settled;
  return n;
}

static void say(struct attempt *a, struct recipient *r, enum verdict v, uint64_t until)
{
  struct report_result said = {r->number, v, until, r->status, "",
                               v == V_TEMP && a->is_uncharged, v == V_OK && !r->has_dsn,
                               v == V_OK ? REPORT_ANSWERED : r->host};

  if (stralloc_0(&r->text))
    said.text = r->text.s;
  report_said(a->given->report, &said);
  r->is_settled = 1;
}

static uint64_t next_try(const struct attempt *a, struct recipient *r, uint64_t wait)
{
  struct retry_message m = {.birth = a->env.created,
                            .key = XXH3_64bits(a->env.id, strlen(a->env.id)),
                            .tries = a->given->tries + 1,
                            .has_null_sender = a->env.sender[0] == 0};
  const char *domain = envelope_domain(r->rcpt->address);
  uint64_t next, stated, now = retry_clock();
  struct retry schedule;

  retry_find(a->given->table, domain, strlen(domain), &schedule);
  next = retry_next(&schedule, &m, now);
  if (next && next < now + wait)
    next = now + wait < retry_end(&schedule, &m) ? now + wait : retry_end(&schedule, &m);
  stated = next && !wait ? past_stated(a, r, retry_end(&schedule, &m)) : 0;
  if (stated) {
    past_moved(r, stated);
    next = stated;
  }
  return next;
}

/* the message's life is over: what was last said stays, but it is for good now */
static void expire(struct attempt *a, struct recipient *r)
{
  static const char prefix[] = "delivery time expired: ";
  stralloc text = {0};

  if (stralloc_copys(&text, prefix) && stralloc_cat(&text, &r->text))
    stralloc_copy(&r->text, &text);
  free(text.s);
  snprintf(r->status, sizeof r->status, "4.4.7");
  say(a, r, V_PERM, 0);
}

void attempt_settle(struct attempt *a, struct recipient *r, enum verdict v, uint64_t wait)
{
  static const char class[] = {[V_OK] = '2', [V_TEMP] = '4', [V_PERM] = '5'};
  uint64_t until;

  if (r->is_settled)
    return;
  if (r->status[0] < '2' || r->status[0] > '5')
    snprintf(r->status, sizeof r->status, "2.0.0");
  r->status[0] = class[v];
  if (v != V_TEMP) {
    say(a, r, v, 0);
    return;
  }
  until = next_try(a, r, wait);
  if (until == 0)
    expire(a, r);
  else
    say(a, r, V_TEMP, until);
}

static void settle_rest(struct attempt *a, enum verdict v, const char *status, const char *text,
                        enum report_host host)
{
  for (size_t i = 0; i < a->n; i++) {
    struct recipient *r = &a->recipient[i];
    if (r->is_settled)
      continue;
    snprintf(r->status, sizeof r->status, "%s", status);
    r->host = host;
    if (!stralloc_copys(&r->text, text))
      r->text.len = 0;
    attempt_settle(a, r, v, 0);
  }
}

/* a greeting that says no is about hosts, not recipients: it counts only when the message has
 * waited long enough and was tried often enough (LADDER.md 0) */
static int is_greeting_final(const struct attempt *a, const struct recipient *r)
{
  const char *domain = envelope_domain(r->rcpt->address);
  struct retry schedule;

  retry_find(a->given->table, domain, strlen(domain), &schedule);
  return a->given->tries + 1 >= GREETSOFT_TRIES &&
         (uint64_t)time(NULL) >= a->env.created + schedule.greetsoft;
}

static enum verdict verdict_of(const struct attempt *a, const struct recipient *r)
{
  if (r->finals == 0 || (r->finals & (1U << FINAL_DEFER)))
    return V_TEMP;
  if (r->finals & (1U << FINAL_GREET))
    return is_greeting_final(a, r) ? V_PERM : V_TEMP;
  return V_PERM;
}

static void conclude(struct attempt *a)
{
  for (size_t i = 0; i < a->n; i++) {
    struct recipient *r = &a->recipient[i];
    if (!r->is_settled)
      attempt_settle(a, r, verdict_of(a, r), 0);
  }
}

/* ---- addresses */

static int add_own(void *arg, const char *key, size_t len, const struct table_value *v)
{
  struct attempt_own *own = arg;
  size_t i = own->n;

  (void)v;
  if (i == ATTEMPT_OWN)
    return 1;
  if (ip_port_parse(key, len, &own->at[i].ip, &own->at[i].port) == 0) {
    struct ip any = {.family = own->at[i].ip.family};
    own->at[i].is_any = ip_equal(&own->at[i].ip, &any);
    own->n++;
  }
  return 0;
}

void attempt_own_find(const struct table *t, struct attempt_own *own)
{
  own->n = 0;
  table_each(t, "listen", add_own, own);
}

/* whether an address is one of this host: the kernel would send to it from itself */
static int is_local(const struct ip *ip, uint16_t port)
{
  struct sockaddr_storage ss;
  socklen_t len = ip_to_sockaddr(ip, port, &ss);
  struct ip from;
  uint16_t ignored;
  int fd, yes = 0;

  if (ip_is_loopback(ip))
    return 1;
  fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return 0;
  if (connect(fd, (struct sockaddr *)&ss, len) == 0) {
    len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
        ip_from_sockaddr(&ss, &from, &ignored) == 0)
      yes = ip_equal(&from, ip);
  }
  close(fd);
  return yes;
}

int attempt_is_own(const struct attempt_own *own, const struct ip *ip, uint16_t port)
{
  for (size_t i = 0; i < own->n; i++) {
    if (own->at[i].port != port || own->at[i].ip.family != ip->family)
      continue;
    if (ip_equal(&own->at[i].ip, ip) || (own->at[i].is_any && is_local(ip, port)))
      return 1;
  }
  return 0;
}

/* what an address that failed says of the host: its greeting is the first thing that is about mail */
static enum report_host host_of(const struct session *s)
{
  if (s->saw == SAW_LOCAL)
    return REPORT_ANSWERED;
  if (s->reached == RUNG_COUNT)
    return REPORT_UNREACHED;
  return s->saw != SAW_REPLY || s->reply.code == 421 ? REPORT_LOST : REPORT_ANSWERED;
}

/* one address failed for all that are left and were not answered there themselves */
static void record(struct attempt *a, enum ladder_final final, const char *status,
                   const stralloc *text, enum report_host host)
{
  for (size_t i = 0; i < a->n; i++) {
    struct recipient *r = &a->recipient[i];
    if (r->is_settled || r->was_answered)
      continue;
    r->finals |= 1U << final;
    r->host = host;
    snprintf(r->status, sizeof r->status, "%s", status);
    if (!stralloc_copy(&r->text, text))
      r->text.len = 0;
  }
}

/* the addresses of a host in targets (room for MX_ADDRESSES_MAX); how many */
static size_t resolve(struct attempt *a, const char *host, unsigned int preference,
                      struct target *targets)
{
  struct ip ip[MX_ADDRESSES_MAX];
  const char *status = "4.4.3";
  uint16_t port = a->hop.port ? a->hop.port : (uint16_t)settings.smtp_port;
  stralloc why = {0};
  size_t n = 0;
  enum verdict v = mx_addresses(a->given->ask, host, (int)settings.timeout_dns, ip, &n, &status,
                                &why);

  if (v != V_OK) {
    n = 0;
    record(a, v == V_TEMP ? FINAL_DEFER : FINAL_BOUNCE, status, &why, REPORT_UNREACHED);
  }
  for (size_t i = 0; i < n; i++) {
    struct peers_card card;
    peers_card(a->given->peers, &ip[i], port, &card);
    targets[i] = (struct target){.ip = ip[i], .port = port, .preference = (uint16_t)preference};
    targets_judge(a, &card, &targets[i]);
    snprintf(targets[i].host, sizeof targets[i].host, "%s", host);
  }
  free(why.s);
  return n;
}

/* drops the preference of the first own address and all worse (LADDER.md A9) */
static size_t drop_own(struct attempt *a, struct target *t, size_t n)
{
  static const char loop[] = "this host itself is the mail exchanger: the mail would loop";
  stralloc why = {0};
  size_t keep = n;

  for (size_t i = 0; i < n && keep == n; i++)
    if (attempt_is_own(a->given->own, &t[i].ip, t[i].port))
      for (keep = 0; t[keep].preference < t[i].preference; keep++)
        ;
  if (keep < n && stralloc_copys(&why, loop))
    record(a, FINAL_LOOP, "5.4.6", &why, REPORT_ANSWERED);
  free(why.s);
  return keep;
}

/* all targets, best first, at most `room`; those to be avoided come last, but are there */
static size_t find_targets(struct attempt *a, const struct mx_list *list, struct target *t,
                           size_t room)
{
  size_t n = 0;

  for (size_t i = 0; i < list->n && n + MX_ADDRESSES_MAX <= room; i++) {
    if (n >= settings.attempt_addresses && list->host[i].preference > t[n - 1].preference)
      break;
    n += resolve(a, list->host[i].name, list->host[i].preference, t + n);
  }
  n = drop_own(a, t, n);
  targets_order(t, n);
  return n;
}

/* ---- delivering */

static void start_address(struct attempt *a)
{
  for (size_t i = 0; i < a->n; i++)
    a->recipient[i].was_answered = 0;
}

/* 1: no other address in this attempt */
static int try_address(struct attempt *a, struct session *s, struct target *t, uint16_t *worst)
{
  start_address(a);
  client_try(s, a, t);
  t->connections = s->connections;
  t->is_in_clear = s->end == DO_CLEAR;
  if (s->end == DO_LATER) {
    t->is_tried = 0;
    t->is_later = 1;
    t->off = s->off;
    t->greeting = s->greeting;
    t->facts = s->facts & IF_CARD;
    t->row = s->mail_row;
    t->code = s->mail_code;
    memcpy(t->text, s->mail_text, sizeof t->text);
    a->later++;
  } else if (s->end != DO_GO_ON)
    record(a, s->final, s->status, &s->text, host_of(s));
  if (s->end == DO_DROP_WORSE)
    *worst = t->preference;
  return s->end == DO_STOP || s->end == DO_LOST;
}

int attempt_has_sessions(const struct attempt *a, unsigned int keep)
{
  return a->sessions + a->later + keep < settings.attempt_sessions;
}

static int may_try(const struct attempt *a)
{
  return attempt_left(a) > 0 && a->addresses + a->later < settings.attempt_addresses &&
         attempt_has_sessions(a, 0);
}

/* where TLS failed, and nobody else took the mail: in clear (LADDER.md T5) */
static void try_clear(struct attempt *a, struct session *s, struct target *t, size_t n)
{
  uint16_t ignored;
  int is_over = 0;

  for (size_t i = 0; i < n && !is_over; i++)
    if (t[i].is_in_clear && attempt_left(a) > 0 && attempt_has_sessions(a, 0) &&
        t[i].connections < settings.attempt_connections)
      is_over = try_address(a, s, &t[i], &ignored);
}

/* where signed 8-bit mail was put off: nobody else took it (LADDER.md X14). 1: no other address */
static int try_later(struct attempt *a, struct session *s, struct target *t, size_t n,
                     unsigned int *worst)
{
  int is_over = 0;

  a->later = 0; /* the sessions kept are there to be used */
  a->others = 0;
  for (size_t i = 0; i < n && !is_over && may_try(a); i++) {
    uint16_t drop = UINT16_MAX;
    if (!t[i].is_later || t[i].preference >= *worst)
      continue;
    t[i].is_tried = 1;
    a->addresses++;
    is_over = try_address(a, s, &t[i], &drop);
    if (s->end == DO_DROP_WORSE)
      *worst = drop;
  }
  return is_over;
}

/* first those that nothing speaks against; what is marked down only when there was no other,
 * and then the best one of them (LADDER.md 6.2); last those that were put off, and in clear */
static void try_all(struct attempt *a, struct target *t, size_t n)
{
  static struct session s; /* one per process */
  unsigned int worst = UINT16_MAX + 1;
  struct target *next;
  int is_over = 0;

  while (!is_over && may_try(a)) {
    uint16_t drop = UINT16_MAX;
    int probes = 0;
    next = targets_next(a, t, n, 0, worst);
    if (!next && a->addresses == 0) {
      probes = 1;
      next = targets_next(a, t, n, 1, worst);
    }
    if (!next)
      break;
    next->is_tried = 1;
    a->addresses++;
    a->others = probes ? 0 : targets_others(t, n, worst);
    is_over = try_address(a, &s, next, &drop) || probes;
    if (s.end == DO_DROP_WORSE)
      worst = drop;
    if (s.saw == SAW_UNREACHABLE)
      a->dead_family = next->ip.family;
    if (probes)
      targets_all_down(a, &s, n);
  }
  if (!is_over)
    is_over = try_later(a, &s, t, n, &worst);
  a->others = 0;
  if (s.end != DO_STOP && s.end != DO_LOST)
    try_clear(a, &s, t, n);
  targets_defer_untried(a, t, n, worst);
  client_free(&s);
}

static int find_hosts(struct attempt *a, struct mx_list *list)
{
  const char *status = "4.4.3";
  stralloc why = {0};
  enum verdict v;

  if (a->hop.kind == HOP_HOST) {
    list->n = 1;
    list->host[0].preference = 0;
    snprintf(list->host[0].name, sizeof list->host[0].name, "%s", a->hop.host);
    return 0;
  }
  v = mx_find(a->given->ask, a->hop.host, (int)settings.timeout_dns, list, &status, &why);
  if (v != V_OK)
    settle_rest(a, v, status, stralloc_0(&why) ? why.s : "", REPORT_UNREACHED);
  free(why.s);
  return v == V_OK ? 0 : -1;
}

static void deliver(struct attempt *a)
{
  struct mx_list *list = calloc(1, sizeof *list);
  size_t room = settings.attempt_addresses + 2 * MX_ADDRESSES_MAX, n;
  struct target *t = calloc(room, sizeof *t);

  if (!list || !t)
    settle_rest(a, V_TEMP, "4.3.0", "out of memory", REPORT_ANSWERED);
  else if (find_hosts(a, list) == 0) {
    n = find_targets(a, list, t, room);
    try_all(a, t, n);
    conclude(a);
  }
  free(list);
  free(t);
}

/* ---- what is to be delivered */

size_t attempt_ranges(const char *s, size_t max, unsigned char *set)
{
  size_t n = 0, last = 0;

  memset(set, 0, max);
  for (;;) {
    char *end;
    unsigned long from, to;
    if (*s < '0' || *s > '9')
      return 0;
    from = to = strtoul(s, &end, 10);
    if (*end == '-') {
      if (end[1] < '0' || end[1] > '9')
        return 0;
      to = strtoul(end + 1, &end, 10);
    }
    if (from > to || to >= max || (n > 0 && from <= last))
      return 0;
    for (unsigned long i = from; i <= to; i++, n++)
      set[i] = 1;
    last = to;
    if (*end == 0)
      return n;
    if (*end != ',')
      return 0;
    s = end + 1;
  }
}

/* an address that could end its line, or its angle brackets, is not said to anyone */
static int is_sayable(const char *s)
{
  for (; *s; s++)
    if ((unsigned char)*s < 0x20 || *s == 0x7f)
      return 0;
  return 1;
}

static int pick_recipients(struct attempt *a)
{
  unsigned char *set = malloc(a->env.nrcpt ? a->env.nrcpt : 1);
  size_t n = set ? attempt_ranges(a->given->ranges, a->env.nrcpt, set) : 0;

  a->recipient = n ? calloc(n, sizeof *a->recipient) : NULL;
  for (size_t i = 0; a->recipient && i < a->env.nrcpt; i++)
    if (set[i] && is_sayable(a->env.rcpt[i].address)) {
      a->recipient[a->n].number = i;
      a->recipient[a->n++].rcpt = &a->env.rcpt[i];
    }
  free(set);
  return a->n ? 0 : -1;
}

static int has_8bit(const char *s)
{
  for (; *s; s++)
    if ((unsigned char)*s > 127)
      return 1;
  return 0;
}

int attempt_needs_utf8(const struct attempt *a)
{
  int needs;

  if (!(a->env.flags & ENVELOPE_SMTPUTF8))
    return 0;
  needs = has_8bit(a->env.sender) || (a->env.content & CONTENT_8BIT_HEADER);
  for (size_t i = 0; i < a->n && !needs; i++)
    needs = has_8bit(a->recipient[i].rcpt->address);
  return needs != 0;
}

int attempt_run(const struct attempt_given *g)
{
  struct attempt a = {.given = g, .now = (uint64_t)time(NULL)};
  const char *why = "the recipients asked for are not in the message";

  if (nexthop_parse(g->nexthop, strlen(g->nexthop), &a.hop) != 0 ||
      (a.hop.kind != HOP_MX && a.hop.kind != HOP_HOST)) {
    log_failed("deliver", g->id, "no next hop for a remote delivery");
    return 1;
  }
  if (envelope_read(g->message, &a.env, &why) != 0 || !is_sayable(a.env.sender) ||
      pick_recipients(&a) != 0) {
    log_failed("deliver", g->id, why);
    return 1;
  }
  if (g->created)
    a.env.created = g->created;
  past_read(&a);
  if (settings.transcript_keep > 0)
    spoken_start(&a.spoken, g->report);
  body_eightbit(&(struct body){.fd = g->message, .at = a.env.body_at, .len = a.env.body_len}, &a.env,
                &a.eight);
  deliver(&a);
  return report_ended_with(g->report, &a.spoken.text) == 0 ? 0 : 1;
}
