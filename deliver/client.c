/* client.c - what an attempt does at one address: the greeting, then the mail
 *
 * Runs in attempts: user hldeliver, network only. The peer is hostile. No path here needs a
 * reply, a banner or a recipient to exist: texts are strings, if empty ones. */
#include "deliver/client.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "common/settings.h"
#include "common/verbs.h"
#include "deliver/report.h"
#include "deliver/starttls.h"
#include "deliver/transaction.h"

/* how it was greeted, and that it is encrypted, holds for the next message too */
#define OF_CONNECTION ((uint64_t)(IF_TLS | IF_HELO | IF_LITERAL | IF_CARD | IF_CARD_NAME))

/* ---- climbing */

/* whether the ladder lets this attempt open another connection here */
static int may_reconnect(struct session *s)
{
  return s->connections < settings.attempt_connections && attempt_has_sessions(s->attempt, 0);
}

static void quit(struct session *s)
{
  struct reply r; /* its answer is not what the attempt came to */
  uint64_t deadline = conn_clock() + settings.timeout_quit;

  if (s->conn.fd < 0 || s->saw != SAW_REPLY || s->end == DO_LOST || conn_is_over(&s->conn) ||
      client_say(s, "QUIT", (const char *)NULL) != 0)
    return;
  while (conn_reply(&s->conn, &r, deadline) == SAW_REPLY && r.code / 100 != 2 && r.code != 421 &&
         conn_clock() < deadline)
    ;
}

static void leave(struct session *s, const struct ladder_row *row)
{
  s->end = row->then;
  if (row->then != DO_GO_ON && row->then != DO_LATER && row->then != DO_DROP_WORSE &&
      row->then != DO_STOP && row->then != DO_LOST && row->then != DO_CLEAR)
    s->end = DO_NEXT; /* also when no connection is left for a fresh one */
}

/* how an address's first connection greets: the table, then the card, then EHLO */
static enum ladder_rung first_greeting(struct session *s)
{
  if (s->words.says_helo)
    return RUNG_FIRST;
  if ((s->facts & IF_NEEDED) || s->words.says_ehlo || peers_holds(&s->card, FACT_EHLO_REQUIRED, s->attempt->now))
    return RUNG_EHLO;
  if (client_card_says(s, FACT_NEEDS_RSET)) {
    s->facts |= IF_CARD;
    return RUNG_RSET;
  }
  if (client_card_says(s, FACT_HELO_ONLY)) {
    s->facts |= IF_CARD;
    return RUNG_FIRST;
  }
  return RUNG_EHLO;
}

static uint32_t verbs_off(const struct session *s)
{
  static const struct {
    enum peers_fact fact;
    uint32_t verb;
  } known[] = {{FACT_NO_8BITMIME, VERB_8BITMIME}, {FACT_NO_PIPELINING, VERB_PIPELINING},
               {FACT_NO_SIZE, VERB_SIZE},         {FACT_NO_DSN, VERB_DSN},
               {FACT_DOT_HANG, VERB_PIPELINING},  {FACT_NO_SMTPUTF8, VERB_SMTPUTF8}};
  uint32_t off = s->words.off;

  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (peers_holds(&s->card, known[i].fact, s->attempt->now) &&
        !(known[i].verb == VERB_SMTPUTF8 && (s->facts & IF_MUST_UTF8))) /* it would bounce */
      off |= known[i].verb;
  return off;
}

/* whether the message may not go to a peer without 8BITMIME: to say HELO would be for nothing */
static int is_barred_bare(const struct attempt *a)
{
  return a->eight.has_8bit && a->eight.is_signed && a->eight.policy == EIGHTBIT_BOUNCE;
}

void client_prepare(struct session *s, struct attempt *a)
{
  const struct target *t = &s->place;

  s->attempt = a;
  s->target = t;
  s->conn.spoken = &a->spoken;
  s->facts &= s->conn.fd < 0 ? 0 : OF_CONNECTION;
  s->greeting_row = NULL;
  s->mail_row = t->row;
  s->mail_code = t->code;
  memcpy(s->mail_text, t->text, sizeof s->mail_text);
  s->noted = FACT_NONE;
  s->status[0] = 0;
  s->text.len = 0;
  reply_start(&s->reply);
  ip_format(s->address, &t->ip);
  peers_card(a->given->peers, &t->ip, t->port, &s->card);
  peerwords_find(a->given->table, &t->ip, t->port, t->host, &s->words);
  s->lesson[0] = 0;
  s->has_accepted = 0;
  if (attempt_needs_utf8(a))
    s->facts |= IF_NEEDED | IF_MUST_UTF8;
  if (peers_holds(&s->card, FACT_DOT_HANG, a->now) || client_card_says(s, FACT_PIX))
    s->facts |= IF_PIX;
  s->off = verbs_off(s);
  if (is_barred_bare(a))
    s->facts |= IF_NEEDED;
  if (peers_holds(&s->card, FACT_EHLO_HANG, a->now))
    s->facts |= IF_HUNG;
  if (peers_holds(&s->card, FACT_EHLO_4YZ, a->now))
    s->facts |= IF_4YZ;
  if (peers_holds(&s->card, FACT_HELO_FAILED, a->now))
    s->facts |= IF_HELO_FAILED;
  if (client_card_says(s, FACT_LITERAL_NAME))
    s->facts |= IF_LITERAL | IF_CARD_NAME;
  starttls_prepare(s);
  s->off |= t->off;
  s->facts |= t->facts;
}

/* what the card says about greetings does not work: as if it said nothing */
static void forget_card(struct session *s)
{
  if (s->facts & IF_CARD_NAME)
    s->facts &= ~(uint64_t)IF_LITERAL;
  s->facts &= ~(uint64_t)(IF_CARD | IF_CARD_NAME);
  s->greeting = s->words.says_helo ? RUNG_FIRST : RUNG_EHLO;
}

/* carries out a row: the rung to act on next, or RUNG_COUNT when this address is done */
static enum ladder_rung follow(struct session *s, const struct ladder_row *row)
{
  s->off |= row->without;
  switch (row->then) {
  case DO_BANNER:
    return RUNG_BANNER;
  case DO_GREET:
    return s->greeting;
  case DO_HELO:
    return RUNG_HELO;
  case DO_RSET:
    return RUNG_RSET;
  case DO_NAME:
    return RUNG_NAME;
  case DO_STARTTLS:
    client_greeted(s);
    return RUNG_STARTTLS;
  case DO_HANDSHAKE:
    return RUNG_TLS;
  case DO_TLS_EHLO:
    return RUNG_TLS_EHLO;
  case DO_FRESH_TLS:
    starttls_retry(s);
    break;
  case DO_FRESH_HELO:
    s->greeting = RUNG_FRESH;
    break;
  case DO_FRESH_NAME:
    s->greeting = RUNG_NAME;
    break;
  case DO_FRESH_EHLO:
    forget_card(s);
    break;
  case DO_FRESH_REDO:
    break;
  default:
    leave(s, row);
    return RUNG_COUNT;
  }
  if (may_reconnect(s))
    return RUNG_CONNECT;
  leave(s, row);
  return RUNG_COUNT;
}

/* the message stays: its story shall say what was known of the peer */
static void tell_card(const struct session *s)
{
  struct peers_news n = {.ip = s->target->ip, .port = s->target->port};

  for (size_t i = 0; i < PEERS_FACTS_EACH; i++) {
    const struct peers_note *note = &s->card.note[i];
    if (note->fact == FACT_NONE || note->until <= s->attempt->now)
      continue;
    n.fact = (enum peers_fact)note->fact;
    n.code = note->code;
    snprintf(n.row, sizeof n.row, "%s", note->row);
    report_knew(s->attempt->given->report, &n, note->until);
  }
}

static void climb(struct session *s, enum ladder_rung rung)
{
  while (rung != RUNG_COUNT) {
    enum saw saw = client_act(s, rung);
    const struct ladder_row *row = client_judge(s, rung, saw);
    client_explain(s, rung, s->saw, row);
    if (row->then == DO_READY || row->then == DO_PLAIN)
      row = client_ready(s, row->then, rung);
    rung = follow(s, row);
  }
  if (s->end == DO_GO_ON)
    return;
  tell_card(s);
  client_leave(s);
}

void client_try(struct session *s, struct attempt *a, const struct target *t)
{
  s->conn.fd = -1;
  s->conn.tls = NULL;
  s->place = *t;
  s->connections = t->connections;
  s->reached = RUNG_COUNT;
  s->literal[0] = 0;
  client_prepare(s, a);
  s->greeting = t->is_later ? t->greeting : first_greeting(s);
  climb(s, RUNG_CONNECT);
}

void client_go_on(struct session *s, const struct ladder_row *row)
{
  climb(s, follow(s, row));
}

void client_leave(struct session *s)
{
  quit(s);
  conn_close(&s->conn);
}

void client_free(struct session *s)
{
  free(s->text.s);
}
