/* client_greet.c - the rungs: a connection, its banner, a greeting, and what follows one that worked
 *
 * Runs in attempts: user hldeliver, network only. The peer is hostile. */
#include "deliver/client.h"

#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/hello.h"
#include "common/settings.h"
#include "common/verbs.h"
#include "deliver/notes.h"
#include "deliver/report.h"
#include "deliver/starttls.h"
#include "deliver/transaction.h"

#define SECOND_BANNER 5000 /* ms: how long a 220 in answer to EHLO may be followed by the answer */

/* ---- rungs */

int client_say(struct session *s, ...)
{
  stralloc line = {0};
  const char *word;
  va_list ap;
  int r = -1, ok = 1;

  va_start(ap, s);
  while ((word = va_arg(ap, const char *)))
    ok = ok && stralloc_cats(&line, word);
  va_end(ap);
  if (ok && stralloc_cats(&line, "\r\n"))
    r = conn_write(&s->conn, line.s, line.len, settings.timeout_helo);
  free(line.s);
  return r;
}

static enum saw answer(struct session *s, uint64_t timeout_ms)
{
  return conn_reply(&s->conn, &s->reply, conn_clock() + timeout_ms);
}

static enum saw connect_to(struct session *s)
{
  struct ip own;
  enum saw saw;

  conn_close(&s->conn);
  s->connections++;
  s->transactions = 0;
  s->has_open_transaction = s->is_taken_over = 0;
  s->opened = conn_clock();
  s->since = (uint64_t)time(NULL);
  s->facts &= ~(uint64_t)(IF_OVER | IF_NAME | IF_EHLO_50X | IF_EHLO_501 | IF_TLS | IF_TLS_REFUSED |
                          IF_HELO | IF_TLS_CARD);
  s->is_helo = 0;
  reply_start(&s->reply);
  spoken_session(s->conn.spoken, s->target->host, s->address, s->target->port);
  saw = conn_open(&s->conn, &s->target->ip, s->target->port, settings.timeout_connect);
  spoken_over(s->conn.spoken, saw);
  if (saw == SAW_REPLY && conn_local(&s->conn, &own) == 0) {
    char text[IP_TEXT];
    ip_format(text, &own);
    snprintf(s->literal, sizeof s->literal, own.family == 6 ? "[IPv6:%s]" : "[%s]", text);
  }
  return saw;
}

static const char *our_name(const struct session *s)
{
  const char *name = settings.hostname;

  /* what `heloise build` would not have let in is not said either */
  return (s->facts & IF_LITERAL) || !name || !hello_is_fqdn(name, strlen(name)) ? s->literal : name;
}

/* whether the first word of the reply is our own name, at an address that could be ours
 * behind some other one (B22, E31) */
static int is_own_name(const struct session *s)
{
  const char *name = settings.hostname;
  size_t n = name ? strlen(name) : 0;

  return n > 0 && !ip_is_loopback(&s->target->ip) && strncasecmp(s->reply.text, name, n) == 0 &&
         (s->reply.text[n] == 0 || strchr(" \n\t", s->reply.text[n]));
}

static enum saw read_banner(struct session *s)
{
  uint64_t start = conn_clock();
  enum saw saw = answer(s, settings.timeout_greeting);

  s->banner_ms = conn_clock() - start;
  if (saw != SAW_REPLY)
    return saw;
  s->attempt->sessions++;
  s->facts &= ~(uint64_t)IF_OWN_NAME;
  if (is_own_name(s))
    s->facts |= IF_OWN_NAME;
  notes_lesson(s, RUNG_BANNER, saw);
  client_unlearn(s, FACT_DOWN, "B1");
  client_unlearn(s, FACT_CONNECT_HANG, "B1");
  client_unlearn(s, FACT_UNREACHABLE, "B1");
  notes_time(s, conn_clock() - start);
  notes_stars(s);
  return saw;
}

static void double_banner(struct session *s)
{
  static const struct ladder_row row = {.number = "B21"};

  if (!peers_holds(&s->card, FACT_DOUBLE_BANNER, s->attempt->now))
    client_learn(s, FACT_DOUBLE_BANNER, &row, (uint16_t)s->reply.code);
}

/* what lies there before we have said a word: another banner is one (B21); the peer hanging
 * up is its answer to come; anything else was sent by one who does not listen (E29) */
static int comes_early(struct session *s, enum saw *saw)
{
  if (!conn_has_input(&s->conn))
    return 0;
  *saw = answer(s, SECOND_BANNER);
  if (*saw == SAW_REPLY && s->reply.code == 220) {
    double_banner(s);
    return 0;
  }
  if (*saw == SAW_REPLY && s->reply.code != 421)
    *saw = SAW_EARLY;
  return 1;
}

/* says a greeting and reads its answer; a second banner in between is skipped */
static enum saw greet(struct session *s, const char *verb)
{
  enum saw saw;

  if (comes_early(s, &saw))
    return saw;
  client_say(s, verb, " ", our_name(s), (const char *)NULL);
  saw = answer(s, settings.timeout_helo);
  if (saw == SAW_REPLY && s->reply.code == 220 && !conn_is_over(&s->conn)) {
    struct reply first = s->reply;
    saw = answer(s, SECOND_BANNER);
    if (saw == SAW_REPLY)
      double_banner(s);
    else {
      s->reply = first;
      saw = SAW_REPLY;
    }
  }
  return saw;
}

static enum saw rset_and_helo(struct session *s)
{
  client_say(s, "RSET", (const char *)NULL);
  answer(s, settings.timeout_helo);
  return greet(s, "HELO");
}

static int is_ehlo(const struct session *s, enum ladder_rung rung)
{
  return rung == RUNG_EHLO || rung == RUNG_TLS_EHLO || (rung == RUNG_NAME && !s->is_helo);
}

/* what is offered counts until the next greeting: within TLS the first list is forgotten */
static void take_offer(struct session *s)
{
  s->is_plain = 0;
  ehlo_parse(s->reply.text, s->reply.len, &s->ehlo);
  if (s->ehlo.size < EHLO_SIZE_LEAST)
    s->ehlo.size = 0;
  if (s->ehlo.verbs & VERB_SMTPUTF8) /* X20 */
    s->ehlo.verbs |= VERB_8BITMIME;
  s->verbs = s->ehlo.verbs & ~s->off;
  if (!s->conn.tls)
    s->offered = s->ehlo.verbs;
  starttls_offer(s);
}

static void take_plain(struct session *s)
{
  memset(&s->ehlo, 0, sizeof s->ehlo);
  s->verbs = 0;
  s->is_plain = 1;
}

/* what the answer to a greeting means for the rows that follow */
static void note_answer(struct session *s, enum ladder_rung rung)
{
  unsigned int code = s->reply.code;

  s->facts &= ~(uint64_t)(IF_OVER | IF_NAME | IF_OWN_NAME);
  if (is_ehlo(s, rung) && is_own_name(s))
    s->facts |= IF_OWN_NAME;
  if (rung == RUNG_EHLO)
    notes_filter(s);
  if (conn_is_over(&s->conn))
    s->facts |= IF_OVER;
  if (code / 100 == 5 && reply_names_argument(&s->reply, our_name(s)))
    s->facts |= IF_NAME;
  if (rung == RUNG_EHLO && (code == 500 || code == 502))
    s->facts |= IF_EHLO_50X;
  else if (rung == RUNG_EHLO && (code == 501 || code == 504))
    s->facts |= IF_EHLO_501;
  if (code == 250 && is_ehlo(s, rung))
    take_offer(s);
}

enum saw client_act(struct session *s, enum ladder_rung rung)
{
  enum saw saw;

  switch (rung) {
  case RUNG_CONNECT:
    return connect_to(s);
  case RUNG_BANNER:
    return read_banner(s);
  case RUNG_STARTTLS:
    return starttls_say(s);
  case RUNG_TLS:
    return starttls_handshake(s);
  case RUNG_EHLO:
  case RUNG_TLS_EHLO:
    saw = greet(s, "EHLO");
    break;
  case RUNG_NAME:
    s->facts |= IF_LITERAL;
    s->is_helo |= s->words.says_helo || (s->facts & IF_EHLO_50X);
    saw = greet(s, s->is_helo ? "HELO" : "EHLO");
    break;
  case RUNG_RSET:
    saw = rset_and_helo(s);
    break;
  default:
    s->is_helo |= rung != RUNG_HELO;
    saw = greet(s, "HELO");
    break;
  }
  s->facts &= ~(uint64_t)IF_HELO;
  if (!is_ehlo(s, rung))
    s->facts |= IF_HELO;
  if (saw == SAW_REPLY)
    note_answer(s, rung);
  return saw;
}

/* ---- what follows a greeting that worked */

static void forget_helo(struct session *s)
{
  static const enum peers_fact facts[] = {FACT_HELO_ONLY, FACT_NEEDS_RSET, FACT_EHLO_DROP,
                                          FACT_EHLO_HANG, FACT_EHLO_4YZ};

  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
    client_unlearn(s, facts[i], "E15");
  if (!(s->facts & IF_LITERAL)) {
    client_unlearn(s, FACT_LITERAL_NAME, "E15");
    client_unlearn(s, FACT_NAME_REFUSED, "E15");
  }
}

/* a greeting was accepted: the peer speaks SMTP and takes ours */
static void forget_refusals(struct session *s)
{
  static const enum peers_fact facts[] = {FACT_HOST5, FACT_NO_MAIL, FACT_NOT_SMTP, FACT_SOFT_HIT,
                                          FACT_HELO_FAILED};

  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
    client_unlearn(s, facts[i], "H1");
}

/* what was tried because a higher rung failed has now worked */
void client_greeted(struct session *s)
{
  if (s->greeting_row)
    memcpy(s->lesson, s->greeting_text, sizeof s->lesson);
  if (s->greeting_row)
    starttls_learn(s, s->greeting_row, s->greeting_code);
  s->greeting_row = NULL;
}

/* how the next connection greets when this rung has led to the mail */
static enum ladder_rung greeting_again(const struct session *s, enum ladder_rung rung)
{
  switch (rung) {
  case RUNG_STARTTLS:
  case RUNG_TLS_EHLO:
    return s->facts & IF_LITERAL ? RUNG_NAME : RUNG_EHLO;
  case RUNG_HELO:
  case RUNG_RSET:
    return RUNG_EHLO;
  default:
    return rung;
  }
}

/* for `heloise peers report`; what an administrator chose is no news */
static void tell_greeting(struct session *s, enum ladder_do how)
{
  const struct attempt_given *g = s->attempt->given;
  struct offers_card c = {.ip = s->target->ip, .port = s->target->port};

  if (s->words.says_helo)
    return;
  c.now.at = (uint32_t)s->attempt->now;
  c.now.verbs = how == DO_PLAIN ? 0 : s->offered;
  c.now.banner = (uint32_t)(s->banner_ms < UINT32_MAX ? s->banner_ms : UINT32_MAX);
  c.now.rung = how == DO_PLAIN ? OFFERS_HELO : OFFERS_EHLO;
  snprintf(c.host, sizeof c.host, "%.*s", OFFERS_HOST - 1, s->target->host);
  if (offers_is_news(g->offers, &c))
    report_greeted(g->report, &c);
}

const struct ladder_row *client_ready(struct session *s, enum ladder_do how, enum ladder_rung rung)
{
  static const struct ladder_row probed = {.number = "R6", .rung = RUNG_READY, .then = DO_NEXT};

  if (how == DO_PLAIN || s->is_helo)
    take_plain(s);
  s->greeting = greeting_again(s, rung);
  if ((s->greeting == RUNG_EHLO || (s->greeting == RUNG_NAME && !s->is_helo)) &&
      rung != RUNG_HELO && rung != RUNG_RSET)
    forget_helo(s); /* EHLO works */
  forget_refusals(s);
  client_greeted(s);
  s->reached = rung;
  if (s->attempt->is_probe && s->attempt->n == 0)
    return &probed;
  tell_greeting(s, how);
  starttls_settle(s);
  return transaction_run(s);
}
