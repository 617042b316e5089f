/* client.c - what an attempt does at one address: the greeting, then the mail
 *
 * Runs in attempts: user hldeliver, network only. The peer is hostile. No path here needs a
 * reply, a banner or a recipient to exist: texts are strings, if empty ones. */
#include "deliver/client.h"

#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "common/settings.h"
#include "common/verbs.h"
#include "deliver/report.h"
#include "deliver/transaction.h"

#define SECOND_BANNER 5000 /* ms: how long a 220 in answer to EHLO may be followed by the answer */

/* ---- what others are told */

static int is_quiet(const struct ladder_row *row)
{
  switch (row->then) {
  case DO_BANNER:
  case DO_GREET:
  case DO_READY:
  case DO_GO_ON:
  case DO_RECIPIENT:
    return 1;
  case DO_SENDER:
    return row->rung == RUNG_DOT;
  default:
    return 0;
  }
}

static void step(struct session *s, enum ladder_rung rung, enum saw saw)
{
  char event[LADDER_EVENT];
  stralloc text = {0};
  struct report_step r = {.host = s->target->host, .address = s->address,
                          .rung = ladder_rung_word(rung), .event = event, .reply = ""};

  ladder_event(event, rung, saw);
  if (reply_format(&text, &s->reply, REPORT_TEXT) == 0 && stralloc_0(&text))
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
  snprintf(n.row, sizeof n.row, "%s", row->number);
  report_learned(s->attempt->given->report, &n);
}

static void unlearn(struct session *s, enum peers_fact f, const char *row)
{
  struct peers_news n = {.ip = s->target->ip, .port = s->target->port, .fact = f,
                         .code = (uint16_t)s->reply.code};

  if (f == FACT_NONE || !peers_note(&s->card, f))
    return;
  snprintf(n.row, sizeof n.row, "%s", row);
  report_unlearned(s->attempt->given->report, &n);
}

void client_explain(struct session *s, enum ladder_rung rung, enum saw saw,
                    const struct ladder_row *row)
{
  char event[LADDER_EVENT];
  int ok;

  s->text.len = 0;
  ok = stralloc_cats(&s->text, s->target->host) && stralloc_cats(&s->text, " [") &&
       stralloc_cats(&s->text, s->address) && stralloc_cats(&s->text, "]");
  if (saw == SAW_REPLY && s->reply.code != 0)
    ok = ok && stralloc_cats(&s->text, " said: ") &&
         reply_format(&s->text, &s->reply, REPORT_TEXT - 400) == 0;
  else {
    ladder_event(event, rung, saw);
    ok = ok && stralloc_cats(&s->text, ": ") && stralloc_cats(&s->text, event);
  }
  if (row->then == DO_LOST)
    ok = ok && stralloc_cats(&s->text, " (it may have arrived: possible duplicate)");
  if (!ok)
    s->text.len = 0;
  s->final = row->final;
  if (saw == SAW_REPLY && reply_status(&s->reply, s->status))
    return;
  snprintf(s->status, sizeof s->status, "%s",
           saw == SAW_LOCAL ? "4.3.0"
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
  row = ladder_find(rung, saw, saw == SAW_REPLY ? s->reply.code : 0, s->facts);
  if (!is_quiet(row))
    s->attempt->has_deviated |= row->then != DO_PLAIN;
  if (!is_quiet(row) || (row->then == DO_READY && s->attempt->has_deviated))
    step(s, rung, saw);
  s->saw = saw;
  if (row->note != s->noted)
    client_learn(s, row->note, row, (uint16_t)s->reply.code);
  s->noted = row->note;
  unlearn(s, row->erase, row->number);
  if (row->learn != FACT_NONE) {
    const struct ladder_row **keep = rung < RUNG_READY ? &s->greeting_row : &s->mail_row;
    *(rung < RUNG_READY ? &s->greeting_code : &s->mail_code) = (uint16_t)s->reply.code;
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
  s->facts &= ~(uint32_t)(IF_OVER | IF_NAME | IF_EHLO_50X | IF_EHLO_501);
  reply_start(&s->reply);
  saw = conn_open(&s->conn, &s->target->ip, s->target->port, settings.timeout_connect);
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

  return (s->facts & IF_LITERAL) || !name || !*name ? s->literal : name;
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
  enum saw saw = answer(s, settings.timeout_greeting);

  if (saw != SAW_REPLY)
    return saw;
  s->attempt->sessions++;
  s->facts &= ~(uint32_t)IF_OWN_NAME;
  if (is_own_name(s))
    s->facts |= IF_OWN_NAME;
  unlearn(s, FACT_DOWN, "B1");
  unlearn(s, FACT_CONNECT_HANG, "B1");
  if (s->reply.code / 100 == 2)
    unlearn(s, FACT_HOST5, "B1");
  if (strncmp(s->reply.text, "****", 4) == 0 && !peers_note(&s->card, FACT_PIX)) {
    static const struct ladder_row starred = {.number = "B11"};
    client_learn(s, FACT_PIX, &starred, (uint16_t)s->reply.code);
  }
  return saw;
}

static void double_banner(struct session *s)
{
  static const struct ladder_row row = {.number = "B21"};

  if (!peers_note(&s->card, FACT_DOUBLE_BANNER))
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

/* what the answer to a greeting means for the rows that follow */
static void note_answer(struct session *s, enum ladder_rung rung)
{
  unsigned int code = s->reply.code;

  s->facts &= ~(uint32_t)(IF_OVER | IF_NAME | IF_OWN_NAME);
  if (rung == RUNG_EHLO && is_own_name(s))
    s->facts |= IF_OWN_NAME;
  if (conn_is_over(&s->conn))
    s->facts |= IF_OVER;
  if (code / 100 == 5 && reply_names_argument(&s->reply, our_name(s)))
    s->facts |= IF_NAME;
  if (rung == RUNG_EHLO && (code == 500 || code == 502))
    s->facts |= IF_EHLO_50X;
  else if (rung == RUNG_EHLO && (code == 501 || code == 504))
    s->facts |= IF_EHLO_501;
}

static enum saw act(struct session *s, enum ladder_rung rung)
{
  enum saw saw;

  switch (rung) {
  case RUNG_CONNECT:
    return connect_to(s);
  case RUNG_BANNER:
    return read_banner(s);
  case RUNG_EHLO:
    saw = greet(s, "EHLO");
    break;
  case RUNG_NAME:
    s->facts |= IF_LITERAL;
    saw = greet(s, s->words.says_helo ? "HELO" : "EHLO");
    break;
  case RUNG_RSET:
    saw = rset_and_helo(s);
    break;
  default:
    saw = greet(s, "HELO");
    break;
  }
  if (saw == SAW_REPLY)
    note_answer(s, rung);
  return saw;
}

/* ---- what follows a greeting that worked */

static void take_offer(struct session *s)
{
  ehlo_parse(s->reply.text, s->reply.len, &s->ehlo);
  if (s->ehlo.size < EHLO_SIZE_LEAST)
    s->ehlo.size = 0;
  if (s->ehlo.verbs & VERB_SMTPUTF8) /* X20 */
    s->ehlo.verbs |= VERB_8BITMIME;
  s->verbs = s->ehlo.verbs & ~s->off;
}

static void forget_helo(struct session *s)
{
  static const enum peers_fact facts[] = {FACT_HELO_ONLY, FACT_NEEDS_RSET, FACT_EHLO_DROP,
                                          FACT_EHLO_HANG, FACT_EHLO_4YZ};

  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
    unlearn(s, facts[i], "E15");
}

static void take_plain(struct session *s)
{
  memset(&s->ehlo, 0, sizeof s->ehlo);
  s->verbs = 0;
}

/* what was tried because a higher rung failed has now worked */
static void prove_greeting(struct session *s)
{
  if (s->greeting_row)
    client_learn(s, s->greeting_row->learn, s->greeting_row, s->greeting_code);
  s->greeting_row = NULL;
}

static const struct ladder_row *ready(struct session *s, enum ladder_do how, enum ladder_rung rung)
{
  if (how == DO_READY)
    take_offer(s);
  else
    take_plain(s);
  if (rung == RUNG_EHLO)
    forget_helo(s);
  prove_greeting(s);
  s->greeting = rung == RUNG_HELO || rung == RUNG_RSET ? RUNG_EHLO : rung;
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
  while (conn_reply(&s->conn, r, deadline) == SAW_REPLY && r->code / 100 != 2 && r->code != 421)
    ;
}

static void leave(struct session *s, const struct ladder_row *row)
{
  s->end = row->then;
  if (row->then != DO_GO_ON && row->then != DO_LATER && row->then != DO_DROP_WORSE &&
      row->then != DO_STOP && row->then != DO_LOST)
    s->end = DO_NEXT; /* also when no connection is left for a fresh one */
}

/* how an address's first connection greets: the table, then the card, then EHLO */
static enum ladder_rung first_greeting(struct session *s)
{
  const struct peers_card *c = &s->card;
  uint64_t now = s->attempt->now;

  if (s->words.says_helo)
    return RUNG_FIRST;
  if ((s->facts & IF_NEEDED) || s->words.says_ehlo || peers_holds(c, FACT_EHLO_REQUIRED, now))
    return RUNG_EHLO;
  if (peers_holds(c, FACT_NEEDS_RSET, now)) {
    s->facts |= IF_CARD;
    return RUNG_RSET;
  }
  if (peers_holds(c, FACT_HELO_ONLY, now)) {
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
               {FACT_NO_SIZE, VERB_SIZE},         {FACT_NO_DSN, VERB_DSN}};
  uint32_t off = s->words.off;

  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (peers_holds(&s->card, known[i].fact, s->attempt->now))
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
  s->facts = 0;
  s->connections = 0;
  s->greeting_row = s->mail_row = NULL;
  s->noted = FACT_NONE;
  s->status[0] = 0;
  s->text.len = 0;
  s->literal[0] = 0;
  reply_start(&s->reply);
  ip_format(s->address, &t->ip);
  peers_card(a->given->peers, &t->ip, t->port, &s->card);
  peerwords_find(a->given->table, &t->ip, t->port, t->host, &s->words);
  s->off = verbs_off(s);
  if ((a->env.flags & ENVELOPE_SMTPUTF8) || is_barred_bare(a))
    s->facts |= IF_NEEDED;
  if (peers_note(&s->card, FACT_EHLO_HANG))
    s->facts |= IF_HUNG;
  if (peers_note(&s->card, FACT_EHLO_4YZ))
    s->facts |= IF_4YZ;
  if (peers_holds(&s->card, FACT_LITERAL_NAME, a->now))
    s->facts |= IF_LITERAL;
  s->greeting = first_greeting(s);
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
  case DO_FRESH_HELO:
    s->greeting = RUNG_FRESH;
    break;
  case DO_FRESH_NAME:
    s->greeting = RUNG_NAME;
    break;
  case DO_FRESH_EHLO:
    s->facts &= ~(uint32_t)IF_CARD;
    s->greeting = RUNG_EHLO;
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

void client_try(struct session *s, struct attempt *a, const struct target *t)
{
  enum ladder_rung rung = RUNG_CONNECT;

  prepare(s, a, t);
  while (rung != RUNG_COUNT) {
    enum saw saw = act(s, rung);
    const struct ladder_row *row = client_judge(s, rung, saw);
    client_explain(s, rung, saw, row);
    rung = follow(s, rung, row);
  }
  if (s->end == DO_GO_ON)
    report_ended(a->given->report);
  quit(s);
  conn_close(&s->conn);
}

void client_free(struct session *s)
{
  free(s->text.s);
}
