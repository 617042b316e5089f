/* client.c - what an attempt does at one address: the greeting, then the mail
 *
 * Runs in attempts: user hldeliver, network only. The peer is hostile. No path here needs a
 * reply, a banner or a recipient to exist: texts are strings, if empty ones. */
#include "deliver/client.h"

#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "common/hello.h"
#include "common/settings.h"
#include "common/verbs.h"
#include "deliver/notes.h"
#include "deliver/report.h"
#include "deliver/starttls.h"
#include "deliver/transaction.h"

#define SECOND_BANNER 5000 /* ms: how long a 220 in answer to EHLO may be followed by the answer */

/* ---- what others are told */

static int is_quiet(const struct ladder_row *row)
{
  switch (row->then) {
  case DO_BANNER:
  case DO_GREET:
  case DO_GO_ON:
  case DO_RECIPIENT:
  case DO_STARTTLS:
  case DO_HANDSHAKE:
  case DO_TLS_EHLO:
    return 1;
  case DO_READY:
    return row->rung != RUNG_STARTTLS;
  case DO_SENDER:
    return row->rung == RUNG_DOT;
  default:
    return 0;
  }
}

void client_event(const struct session *s, char out[CLIENT_EVENT], enum ladder_rung rung, enum saw saw)
{
  char tls[TLS_TEXT];

  if (rung == RUNG_TLS && saw == SAW_REPLY) {
    tls_describe(s->conn.tls, tls);
    snprintf(out, CLIENT_EVENT, "encrypted with %s", tls);
  } else
    ladder_event(out, rung, saw);
}

/* what there is to say about TLS then, or "" */
static const char *detail_of(const struct session *s, enum ladder_rung rung, enum saw saw)
{
  if (saw != SAW_REPLY)
    return s->conn.why;
  return rung == RUNG_TLS ? s->certificate : "";
}

static void step(struct session *s, enum ladder_rung rung, enum saw saw)
{
  char event[CLIENT_EVENT];
  stralloc text = {0};
  struct report_step r = {.host = s->target->host, .address = s->address,
                          .rung = ladder_rung_word(rung), .event = event, .reply = ""};

  client_event(s, event, rung, saw);
  if (*detail_of(s, rung, saw))
    r.reply = detail_of(s, rung, saw);
  else if (reply_format(&text, &s->reply, REPORT_TEXT) == 0 && stralloc_0(&text))
    r.reply = text.s;
  report_step(s->attempt->given->report, &r);
  free(text.s);
}

void client_chose(struct session *s, enum ladder_rung rung, const char *what)
{
  struct report_step r = {.host = s->target->host, .address = s->address,
                          .rung = ladder_rung_word(rung), .event = what, .reply = ""};

  report_step(s->attempt->given->report, &r);
}

void client_learn(struct session *s, enum peers_fact f, const struct ladder_row *row, uint16_t code)
{
  struct peers_news n = {.ip = s->target->ip, .port = s->target->port, .fact = f, .code = code};

  if (f == FACT_NONE)
    return;
  if (f == FACT_RCPT_MAX)
    n.value = (uint16_t)(s->accepted < UINT16_MAX ? s->accepted : UINT16_MAX);
  snprintf(n.row, sizeof n.row, "%s", row->number);
  snprintf(n.text, sizeof n.text, "%s", s->lesson);
  report_learned(s->attempt->given->report, &n);
}

void client_unlearn(struct session *s, enum peers_fact f, const char *row)
{
  struct peers_news n = {.ip = s->target->ip, .port = s->target->port, .fact = f,
                         .code = (uint16_t)s->reply.code};

  if (f == FACT_NONE || !peers_note(&s->card, f))
    return;
  snprintf(n.row, sizeof n.row, "%s", row);
  report_unlearned(s->attempt->given->report, &n);
}

int client_card_says(struct session *s, enum peers_fact f)
{
  struct peers_news n = {.ip = s->target->ip, .port = s->target->port, .fact = f, .row = "R0"};

  if (peers_holds(&s->card, f, s->attempt->now))
    return 1;
  if (peers_note(&s->card, f))
    report_trying(s->attempt->given->report, &n);
  return 0;
}

/* what came instead of SMTP */
static enum saw look_at_foreign(const struct session *s)
{
  const char *t = s->reply.text;

  if (s->reply.line_len > 0 && (s->reply.line[0] == 0x15 || s->reply.line[0] == 0x16))
    return SAW_BINARY;
  return strncasecmp(t, "EHLO ", 5) == 0 || strncasecmp(t, "HELO ", 5) == 0 ? SAW_ECHO : SAW_FOREIGN;
}

void client_explain(struct session *s, enum ladder_rung rung, enum saw saw,
                    const struct ladder_row *row)
{
  char event[CLIENT_EVENT];
  int ok;

  s->text.len = 0;
  ok = stralloc_cats(&s->text, s->target->host) && stralloc_cats(&s->text, " [") &&
       stralloc_cats(&s->text, s->address) && stralloc_cats(&s->text, "]");
  if (saw == SAW_REPLY && s->reply.code != 0)
    ok = ok && stralloc_cats(&s->text, " said: ") &&
         reply_format(&s->text, &s->reply, REPORT_TEXT - 400) == 0;
  else {
    client_event(s, event, rung, saw);
    ok = ok && stralloc_cats(&s->text, ": ") && stralloc_cats(&s->text, event);
    if (*detail_of(s, rung, saw))
      ok = ok && stralloc_cats(&s->text, ": ") && stralloc_cats(&s->text, detail_of(s, rung, saw));
  }
  if (row->then == DO_LOST)
    ok = ok && stralloc_cats(&s->text, " (it may have arrived: possible duplicate)");
  if (!ok)
    s->text.len = 0;
  s->final = row->final;
  if (saw == SAW_REPLY && reply_status(&s->reply, s->status))
    return;
  snprintf(s->status, sizeof s->status, "%s",
           row->status ? row->status
           : saw == SAW_LOCAL ? "4.3.0"
           : rung == RUNG_CONNECT ? "4.4.1"
           : saw != SAW_REPLY ? "4.4.2"
           : rung < RUNG_READY ? "4.3.2"
                               : "4.0.0");
}

const struct ladder_row *client_judge(struct session *s, enum ladder_rung rung, enum saw saw)
{
  const struct ladder_row *row;

  if (saw != SAW_REPLY && saw != SAW_EARLY && !reply_has_begun(&s->reply))
    reply_start(&s->reply);
  if (saw == SAW_FOREIGN)
    saw = look_at_foreign(s);
  if (rung > RUNG_READY)
    s->facts &= ~(uint64_t)(IF_SYNC | IF_TOO_MANY);
  if (rung > RUNG_READY && saw == SAW_REPLY && reply_names_pipelining(&s->reply))
    s->facts |= IF_SYNC;
  if (rung == RUNG_RCPT && saw == SAW_REPLY && reply_may_be_too_many(&s->reply))
    s->facts |= IF_TOO_MANY;
  row = ladder_find(rung, saw, saw == SAW_REPLY ? s->reply.code : 0, s->facts);
  if (rung != RUNG_HELO || saw == SAW_REPLY || !s->greeting_row)
    notes_lesson(s, rung, saw); /* a close after HELO belongs to the refusal before it */
  if (saw == SAW_REPLY)
    notes_garbage(s, rung);
  if (!is_quiet(row))
    s->attempt->has_deviated |= row->then != DO_PLAIN;
  if (!is_quiet(row) || row->then == DO_TLS_EHLO ||
      (row->then == DO_READY && s->attempt->has_deviated))
    step(s, rung, saw);
  s->saw = saw;
  if (row->note != s->noted)
    client_learn(s, row->note, row, (uint16_t)s->reply.code);
  s->noted = row->note;
  client_unlearn(s, row->erase, row->number);
  if (row->learn != FACT_NONE) {
    const struct ladder_row **keep = rung < RUNG_READY ? &s->greeting_row : &s->mail_row;
    *(rung < RUNG_READY ? &s->greeting_code : &s->mail_code) = (uint16_t)s->reply.code;
    memcpy(rung < RUNG_READY ? s->greeting_text : s->mail_text, s->lesson, sizeof s->lesson);
    *keep = row;
  }
  return row;
}

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

static enum saw act(struct session *s, enum ladder_rung rung)
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
static void prove_greeting(struct session *s)
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

static const struct ladder_row *ready(struct session *s, enum ladder_do how, enum ladder_rung rung)
{
  static const struct ladder_row probed = {.number = "R6", .rung = RUNG_READY, .then = DO_NEXT};

  if (how == DO_PLAIN || s->is_helo)
    take_plain(s);
  s->greeting = greeting_again(s, rung);
  if ((s->greeting == RUNG_EHLO || (s->greeting == RUNG_NAME && !s->is_helo)) &&
      rung != RUNG_HELO && rung != RUNG_RSET)
    forget_helo(s); /* EHLO works */
  forget_refusals(s);
  prove_greeting(s);
  s->reached = rung;
  if (s->attempt->is_probe && s->attempt->n == 0)
    return &probed;
  tell_greeting(s, how);
  starttls_settle(s);
  return transaction_run(s);
}

/* ---- climbing */

/* whether the ladder lets this attempt open another connection here */
static int may_reconnect(struct session *s)
{
  return s->connections < settings.attempt_connections && attempt_has_sessions(s->attempt, 0);
}

static void quit(struct session *s)
{
  struct reply *r = &s->reply;
  uint64_t deadline = conn_clock() + settings.timeout_quit;

  if (s->conn.fd < 0 || s->saw != SAW_REPLY || s->end == DO_LOST || conn_is_over(&s->conn) ||
      client_say(s, "QUIT", (const char *)NULL) != 0)
    return;
  while (conn_reply(&s->conn, r, deadline) == SAW_REPLY && r->code / 100 != 2 && r->code != 421 &&
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

static void prepare(struct session *s, struct attempt *a, const struct target *t)
{
  s->attempt = a;
  s->target = t;
  s->conn.fd = -1;
  s->conn.spoken = &a->spoken;
  s->facts = 0;
  s->connections = t->connections;
  s->reached = RUNG_COUNT;
  s->greeting_row = NULL;
  s->mail_row = t->row;
  s->mail_code = t->code;
  memcpy(s->mail_text, t->text, sizeof s->mail_text);
  s->noted = FACT_NONE;
  s->status[0] = 0;
  s->text.len = 0;
  s->literal[0] = 0;
  reply_start(&s->reply);
  ip_format(s->address, &t->ip);
  peers_card(a->given->peers, &t->ip, t->port, &s->card);
  peerwords_find(a->given->table, &t->ip, t->port, t->host, &s->words);
  s->lesson[0] = 0;
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
  s->greeting = t->is_later ? t->greeting : first_greeting(s);
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
static enum ladder_rung follow(struct session *s, enum ladder_rung rung,
                               const struct ladder_row *row)
{
  if (row->then == DO_READY || row->then == DO_PLAIN)
    row = ready(s, row->then, rung);
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
    prove_greeting(s);
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

void client_try(struct session *s, struct attempt *a, const struct target *t)
{
  enum ladder_rung rung = RUNG_CONNECT;

  prepare(s, a, t);
  while (rung != RUNG_COUNT) {
    enum saw saw = act(s, rung);
    const struct ladder_row *row = client_judge(s, rung, saw);
    client_explain(s, rung, s->saw, row);
    rung = follow(s, rung, row);
  }
  if (s->end == DO_GO_ON)
    report_ended(a->given->report);
  else
    tell_card(s);
  quit(s);
  conn_close(&s->conn);
}

void client_free(struct session *s)
{
  free(s->text.s);
}
