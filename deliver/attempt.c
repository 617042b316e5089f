/* attempt.c - one delivery attempt
 *
 * Runs in heloise-deliver's children: user hldeliver, network, its message and two channels,
 * nothing else. The envelope is parsed here; peers and DNS answers are hostile. */
#include "deliver/attempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/idna.h"
#include "common/log.h"
#include "common/settings.h"
#include "deliver/attempt_hosts.h"
#include "deliver/attempt_results.h"
#include "deliver/body.h"
#include "deliver/client.h"
#include "deliver/past.h"
#include "deliver/report.h"
#include "deliver/targets.h"

/* ---- delivering */

static void start_address(struct attempt *a)
{
  for (size_t i = 0; i < a->n; i++)
    a->recipient[i].was_answered = 0;
}

/* what an address that failed says of the host: its greeting is the first thing that is about mail, and
 * when it took a recipient, what made it hang up may be the message */
static enum report_host host_of(const struct session *s)
{
  if (s->saw == SAW_LOCAL)
    return REPORT_OURS;
  if (s->reached == RUNG_COUNT && !(s->is_taken_over && s->connections == 0))
    return REPORT_UNREACHED;
  return !s->has_accepted && (s->saw != SAW_REPLY || s->reply.code == 421) ? REPORT_LOST : REPORT_ANSWERED;
}

/* 1: no other address in this attempt */
static int try_address(struct attempt *a, struct session *s, struct target *t, uint16_t *worst)
{
  start_address(a);
  s->is_fallback = t->preference > a->best;
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
    attempt_record(a, s->final, s->status, &s->text, host_of(s));
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
static void try_all(struct attempt *a, struct session *s, struct target *t, size_t n)
{
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
    is_over = try_address(a, s, next, &drop) || probes;
    if (s->end == DO_DROP_WORSE)
      worst = drop;
    if (s->saw == SAW_UNREACHABLE)
      a->dead_family = next->ip.family;
    if (probes)
      targets_all_down(a, s, n);
  }
  if (!is_over)
    is_over = try_later(a, s, t, n, &worst);
  a->others = 0;
  if (s->end != DO_STOP && s->end != DO_LOST)
    try_clear(a, s, t, n);
  targets_defer_untried(a, t, n, worst);
}

/* on the connection that is there. What it was not used for, or did not bring to an end, goes the usual
 * way: 1 when nothing does */
static int go_on(struct attempt *a, struct session *s)
{
  if (!client_suits(s, a)) {
    spoken_note(&a->spoken, "the connection that was kept cannot serve this message");
    client_leave(s);
    return 0;
  }
  start_address(a);
  a->addresses++;
  client_resume(s, a);
  a->tried = s->place;
  a->tried.connections = s->connections;
  a->tried.is_in_clear = s->end == DO_CLEAR;
  if (s->end != DO_GO_ON)
    attempt_record(a, s->final, s->status, &s->text, host_of(s));
  return s->end == DO_GO_ON || s->end == DO_STOP || s->end == DO_LOST;
}

/* where the attempt has been already, on a connection that was there */
static void mark_tried(struct attempt *a, struct target *t, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    if (t[i].preference < a->best || i == 0)
      a->best = t[i].preference;
    if (a->addresses == 0 || t[i].port != a->tried.port || !ip_equal(&t[i].ip, &a->tried.ip))
      continue;
    t[i].is_tried = 1;
    t[i].connections = a->tried.connections;
    t[i].is_in_clear = a->tried.is_in_clear;
  }
}

static void deliver(struct attempt *a, struct session *s)
{
  struct mx_list *list;
  size_t room = settings.attempt_addresses + 2 * MX_ADDRESSES_MAX, n;
  struct target *t;

  if (s->conn.fd >= 0 && go_on(a, s)) {
    attempt_conclude(a);
    return;
  }
  list = calloc(1, sizeof *list);
  t = calloc(room, sizeof *t);
  if (!list || !t)
    attempt_settle_rest(a, V_TEMP, "4.3.0", "out of memory", REPORT_OURS);
  else if (attempt_hosts(a, list) == 0) {
    n = attempt_targets(a, list, t, room);
    mark_tried(a, t, n);
    try_all(a, s, t, n);
    attempt_conclude(a);
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

/* an address goes out without SMTPUTF8 when its domain alone is not ASCII: in A-labels */
static int is_global(const char *address)
{
  const char *at = strrchr(address, '@');
  char ascii[IDNA_MAX + 1];

  if (!idna_is_needed(address, strlen(address)))
    return 0;
  return !at || idna_is_needed(address, (size_t)(at - address)) ||
         idna_ascii(at + 1, strlen(at + 1), ascii) == 0;
}

int attempt_needs_utf8(const struct attempt *a)
{
  int needs;

  if (!(a->env.flags & ENVELOPE_SMTPUTF8))
    return 0;
  needs = is_global(a->env.sender) || (a->env.content & CONTENT_8BIT_HEADER);
  for (size_t i = 0; i < a->n && !needs; i++)
    needs = is_global(a->recipient[i].rcpt->address);
  return needs != 0;
}

/* ---- the end: the connection is kept, or not */

static int end(struct attempt *a, struct session *s)
{
  char peer[IP_PORT_TEXT];
  struct report_result result;
  struct report_last last = {&a->spoken.text, NULL};
  uint64_t stays;
  int r;

  if (a->untold) {
    result = attempt_result(a, a->untold, V_OK, 0);
    last.result = &result;
  }
  stays = client_stays(s);
  if (stays > 0) {
    ip_port_format(peer, &s->place.ip, s->place.port);
    r = report_stays(a->given->report, peer, stays, &last);
  } else {
    if (s->conn.fd >= 0 && last.result) { /* QUIT may take its time */
      report_said(a->given->report, last.result);
      last.result = NULL;
    }
    client_leave(s);
    r = report_ended(a->given->report, &last);
  }
  return r == 0 ? 0 : 1;
}

static void release(struct attempt *a)
{
  for (size_t i = 0; i < a->n; i++)
    free(a->recipient[i].text.s);
  free(a->recipient);
  envelope_free(&a->env);
  spoken_free(&a->spoken);
}

static int take_up(struct attempt *a)
{
  const struct attempt_given *g = a->given;
  const char *why = "the recipients asked for are not in the message";

  if (nexthop_parse(g->nexthop, strlen(g->nexthop), &a->hop) != 0 ||
      (a->hop.kind != HOP_MX && a->hop.kind != HOP_HOST))
    why = "no next hop for a remote delivery";
  else if (envelope_read(g->message, &a->env, &why) == 0 && is_sayable(a->env.sender) &&
           pick_recipients(a) == 0)
    return 0;
  log_failed("deliver", g->id, why);
  return -1;
}

int attempt_run(const struct attempt_given *g, struct session *s)
{
  struct attempt a = {.given = g, .now = (uint64_t)time(NULL)};
  int code = 1;

  if (take_up(&a) == 0) {
    if (g->created)
      a.env.created = g->created;
    if (g->tries > 0)
      past_read(&a);
    if (settings.transcript_keep > 0)
      spoken_start(&a.spoken, g->report);
    body_eightbit(&(struct body){.fd = g->message, .at = a.env.body_at, .len = a.env.body_len},
                  &a.env, &a.eight);
    deliver(&a, s);
    code = end(&a, s);
  } else
    client_leave(s);
  release(&a);
  return code;
}
