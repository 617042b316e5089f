/* transaction.c - the mail: to which recipients, in which form, in how many transactions
 *
 * Runs in attempts. The peer is hostile. */
#include "deliver/transaction.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/settings.h"
#include "common/verbs.h"
#include "deliver/transaction_one.h"

#define LATE_REPLY 2000 /* ms: what a peer that hung up may have said before */

/* what the failure will say: "mx.example [192.0.2.1] " and that */
static void explain(struct session *s, const char *what, const char *status)
{
  s->text.len = 0;
  if (!stralloc_cats(&s->text, s->target->host) || !stralloc_cats(&s->text, " [") ||
      !stralloc_cats(&s->text, s->address) || !stralloc_cats(&s->text, "] ") ||
      !stralloc_cats(&s->text, what))
    s->text.len = 0;
  snprintf(s->status, sizeof s->status, "%s", status);
}

static uint64_t most_recipients(const struct session *s)
{
  uint64_t max = settings.attempt_recipients;

  if (s->ehlo.rcpt_max && s->ehlo.rcpt_max < max)
    max = s->ehlo.rcpt_max;
  if (peers_holds(&s->card, FACT_RCPT_MAX, s->attempt->now) && s->card.rcpt_max &&
      s->card.rcpt_max < max)
    max = s->card.rcpt_max;
  return max;
}

/* whether r's domain is one of those in the transaction, or one more is allowed (RFC 9422) */
static int fits_domains(const struct transaction *t, const struct recipient *r, uint64_t *domains)
{
  const char *domain = envelope_domain(r->rcpt->address);

  if (t->s->ehlo.domain_max == 0)
    return 1;
  for (size_t i = 0; i < t->nto; i++)
    if (strcasecmp(envelope_domain(t->to[i]->rcpt->address), domain) == 0)
      return 1;
  return ++*domains <= t->s->ehlo.domain_max;
}

/* RFC 3461 5.2.2: a host that takes no NOTIFY gets those with NOTIFY=NEVER from nobody */
static int is_silent(const struct session *s, const struct recipient *r)
{
  return !(s->verbs & VERB_DSN) && strcmp(r->rcpt->notify, "NEVER") == 0;
}

/* the recipients of the next transaction; how many */
static size_t pick(struct transaction *t)
{
  struct attempt *a = t->s->attempt;
  uint64_t max = most_recipients(t->s), domains = 0;

  t->nto = 0;
  for (size_t i = 0; i < a->n && t->nto < max; i++) {
    struct recipient *r = &a->recipient[i];
    if (r->is_settled || r->was_answered ||
        (t->nto > 0 && is_silent(t->s, r) != t->is_silent) || !fits_domains(t, r, &domains))
      continue;
    t->is_silent = is_silent(t->s, r);
    r->is_accepted = 0;
    t->to[t->nto++] = r;
  }
  return t->nto;
}

static int prepare(struct transaction *t, struct session *s)
{
  struct attempt *a = s->attempt;

  t->s = s;
  t->body = (struct body){.fd = a->given->message, .at = a->env.body_at, .len = a->env.body_len,
                          .has_dots = (a->env.content & CONTENT_DOT_LINE) != 0};
  t->to = calloc(a->n, sizeof *t->to);
  t->end = calloc(a->n + 2, sizeof *t->end);
  return t->to && t->end ? 0 : -1;
}

/* whether other addresses may be tried first: returning takes another connection and session */
static int has_others(const struct session *s)
{
  const struct attempt *a = s->attempt;

  return a->others > 0 && a->addresses + a->later + 1 < settings.attempt_addresses &&
         s->connections < settings.attempt_connections && attempt_has_sessions(a, 1);
}

static void choose_form(struct transaction *t)
{
  struct session *s = t->s;
  struct eightbit_case c = s->attempt->eight;
  const char *reason;

  c.is_offered = (s->verbs & VERB_8BITMIME) != 0;
  c.has_others = has_others(s);
  t->body.form = eightbit_choose(&c);
  if (t->body.form == FORM_LATER)
    s->facts |= IF_LATER;
  else if (t->body.form == FORM_BARRED)
    s->facts |= IF_BARRED;
  reason = eightbit_reason(&c);
  if (*reason && reason != t->reason)
    client_chose(s, RUNG_READY, reason);
  t->reason = reason;
}

/* what the message needs and the peer may lack */
static const struct ladder_row *check_needs(struct transaction *t)
{
  struct session *s = t->s;

  t->size = 0;
  s->facts &= ~(uint64_t)(IF_TOO_BIG | IF_NO_UTF8 | IF_LATER | IF_BARRED);
  choose_form(t);
  if ((s->verbs & VERB_SIZE) && body_size(&t->body, &t->size) != 0)
    t->size = 0; /* D23 will show it */
  if (s->ehlo.size && t->size > s->ehlo.size)
    s->facts |= IF_TOO_BIG;
  if (attempt_needs_utf8(s->attempt) && !(s->verbs & VERB_SMTPUTF8))
    s->facts |= IF_NO_UTF8;
  return transaction_judge(t, RUNG_READY, SAW_REPLY);
}

/* by the fact that made the row fit */
static void explain_needs(struct session *s, const struct ladder_row *row)
{
  static const struct {
    uint64_t fact;
    const char *status, *text;
  } needs[] = {
    {IF_REQUIRETLS, "5.7.30", "does not offer TLS, which the message requires"},
    {IF_TLS_NEEDED, "4.7.4", "does not offer TLS, and nothing may go there in clear"},
    {IF_TLS_HISTORY, "4.7.4", "did TLS before and does not offer it now: not in clear this time"},
    {IF_TOO_BIG, "5.3.4", "takes only messages of fewer bytes"},
    {IF_NO_UTF8, "5.6.7", "does not take internationalised mail (SMTPUTF8)"},
    {IF_BARRED, "5.6.3", "does not take 8-bit mail (8BITMIME), and to convert it would break its "
                         "signature"},
    {IF_LATER, "4.6.3", "does not take 8-bit mail (8BITMIME)"},
  };
  size_t i = 0;

  while (i + 1 < sizeof needs / sizeof *needs && !(row->when & needs[i].fact))
    i++;
  explain(s, needs[i].text, needs[i].status);
}

/* should no connection be left for them, this is why the rest waits */
static void explain_rest(struct session *s, const char *why)
{
  explain(s, why, "4.3.2");
  s->final = FINAL_DEFER;
}

int transaction_clear(struct session *s)
{
  static const struct ladder_row row = {.number = "D20", .rung = RUNG_MAIL};

  if (!s->has_open_transaction)
    return 0;
  if (peers_holds(&s->card, FACT_NO_REUSE, s->attempt->now))
    return -1;
  if (transaction_reset(s) == 0) {
    s->has_open_transaction = 0;
    return 0;
  }
  client_learn(s, FACT_NO_REUSE, &row, (uint16_t)s->reply.code);
  return -1;
}

/* what the peer has said or done since its last answer: it was not asked, so it has hung up */
static int is_gone(struct session *s)
{
  if (s->transactions == 0 || conn_is_quiet(&s->conn))
    return 0;
  conn_reply(&s->conn, &s->reply, conn_clock() + LATE_REPLY); /* for the transcript */
  return 1;
}

/* what stands between this connection and one more transaction on it: a row, or NULL */
static const struct ladder_row *check_reuse(struct session *s)
{
  static const struct ladder_row limit = {.number = "X25", .rung = RUNG_MAIL,
                                          .then = DO_FRESH_REDO};
  static const struct ladder_row fresh = {.number = "D20", .rung = RUNG_MAIL,
                                          .then = DO_FRESH_REDO};
  static const struct ladder_row gone = {.number = "D22", .rung = RUNG_MAIL,
                                         .then = DO_FRESH_REDO};

  explain_rest(s, "takes no more messages on this connection");
  if ((s->ehlo.mail_max && s->transactions >= s->ehlo.mail_max) ||
      (s->words.no_reuse && s->transactions > 0))
    return &limit;
  if (s->conn.fd < 0)
    return &fresh;
  if (is_gone(s))
    return &gone;
  return transaction_clear(s) == 0 ? NULL : &fresh;
}

static const struct ladder_row *run_all(struct transaction *t)
{
  static const struct ladder_row others = {.number = "D4", .rung = RUNG_RCPT, .then = DO_NEXT};
  struct session *s = t->s;
  const struct ladder_row *fine = check_needs(t), *row;

  while (pick(t) > 0) {
    if (fine->then != DO_GO_ON) {
      explain_needs(s, fine);
      return fine;
    }
    if ((row = check_reuse(s)))
      return row;
    s->transactions++;
    row = transaction_one(t, fine);
    s->has_open_transaction = row->rung != RUNG_DOT;
    if (row->then == DO_REDO) {
      s->off |= row->without;
      s->verbs &= ~row->without;
      fine = check_needs(t);
    } else if (row->then != DO_GO_ON && row->then != DO_SENDER)
      return row;
  }
  return attempt_left(s->attempt) ? &others : fine;
}

const struct ladder_row *transaction_run(struct session *s)
{
  struct transaction t = {0};
  const struct ladder_row *row;

  if (prepare(&t, s) == 0)
    row = run_all(&t);
  else {
    reply_start(&s->reply);
    row = transaction_judge(&t, RUNG_BODY, SAW_LOCAL);
  }
  free(t.commands.s);
  free(t.end);
  free(t.to);
  return row;
}
