/* transaction_one.c - one transaction: MAIL to the final dot
 *
 * Runs in attempts. The peer is hostile. What a reply means is ladder.c's; this file sends
 * the commands, one at a time or in one batch (RFC 2920), and keeps replies and commands in step. */
#include "deliver/transaction_one.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/idna.h"
#include "common/settings.h"
#include "common/units.h"
#include "common/verbs.h"

#define LATE_REPLY 2000     /* ms: what a peer that hung up may have said before */
#define LOST_WAIT 3600      /* seconds: RFC 1047, LADDER.md D13 */

/* ---- what to say */

static int cats(stralloc *out, const char *a, const char *b)
{
  return stralloc_cats(out, a) && stralloc_cats(out, b);
}

/* the address, its domain in A-labels when MAIL has no SMTPUTF8 (RFC 6531 3.2) */
static int cat_address(const struct session *s, stralloc *out, const char *address)
{
  const char *at = strrchr(address, '@');
  char ascii[IDNA_MAX + 1];

  if ((s->facts & IF_UTF8) || !at || !idna_is_needed(at, strlen(at)) ||
      idna_ascii(at + 1, strlen(at + 1), ascii) == 0)
    return stralloc_cats(out, address);
  return stralloc_catb(out, address, (size_t)(at + 1 - address)) && stralloc_cats(out, ascii);
}

static int cat_mail(struct transaction *t, stralloc *out)
{
  struct session *s = t->s;
  const struct envelope *e = &s->attempt->env;
  int ok;

  if ((s->verbs & VERB_SMTPUTF8) && (e->flags & ENVELOPE_SMTPUTF8))
    s->facts |= IF_UTF8;
  ok = stralloc_cats(out, "MAIL FROM:<") && cat_address(s, out, t->is_silent ? "" : e->sender) &&
       stralloc_cats(out, ">");
  if ((s->verbs & VERB_SIZE) && t->size) {
    s->facts |= IF_SIZE;
    ok = ok && stralloc_cats(out, " SIZE=") && units_format_number(out, t->size) == 0;
  }
  if (s->attempt->eight.has_8bit && (s->verbs & VERB_8BITMIME)) {
    s->facts |= IF_BODY;
    ok = ok && stralloc_cats(out, " BODY=8BITMIME");
  }
  if (s->facts & IF_UTF8)
    ok = ok && stralloc_cats(out, " SMTPUTF8");
  if ((s->verbs & VERB_DSN) && e->ret[0]) {
    s->facts |= IF_DSN;
    ok = ok && cats(out, " RET=", e->ret);
  }
  if ((s->verbs & VERB_DSN) && e->envid[0]) {
    s->facts |= IF_DSN;
    ok = ok && cats(out, " ENVID=", e->envid);
  }
  return ok && stralloc_cats(out, "\r\n");
}

static int cat_rcpt(struct transaction *t, const struct envelope_rcpt *r, stralloc *out)
{
  struct session *s = t->s;
  int ok = stralloc_cats(out, "RCPT TO:<") && cat_address(s, out, r->address) &&
           stralloc_cats(out, ">");

  if ((s->verbs & VERB_DSN) && r->notify[0]) {
    s->facts |= IF_DSN;
    ok = ok && cats(out, " NOTIFY=", r->notify);
  }
  if ((s->verbs & VERB_DSN) && r->orcpt[0]) {
    s->facts |= IF_DSN;
    ok = ok && cats(out, " ORCPT=", r->orcpt);
  }
  return ok && stralloc_cats(out, "\r\n");
}

static int make_commands(struct transaction *t)
{
  int ok;

  t->commands.len = t->n = 0;
  t->s->facts &= ~(uint64_t)(IF_SIZE | IF_BODY | IF_DSN | IF_BATCH | IF_ACCEPTED | IF_UTF8 | IF_REUSED);
  if (t->s->transactions > 1)
    t->s->facts |= IF_REUSED;
  ok = cat_mail(t, &t->commands);
  t->end[t->n++] = t->commands.len;
  for (size_t i = 0; i < t->nto; i++) {
    ok = ok && cat_rcpt(t, t->to[i]->rcpt, &t->commands);
    t->end[t->n++] = t->commands.len;
  }
  ok = ok && stralloc_cats(&t->commands, "DATA\r\n");
  t->end[t->n++] = t->commands.len;
  if (t->is_batch)
    t->s->facts |= IF_BATCH;
  return ok ? 0 : -1;
}

/* says command i (in a batch, MAIL brings all) and reads its reply */
static enum saw command(struct transaction *t, size_t i, uint64_t timeout_ms)
{
  struct session *s = t->s;
  size_t from = i ? t->end[i - 1] : 0, to = t->is_batch ? t->commands.len : t->end[i];

  if (!t->is_batch || i == 0)
    conn_write(&s->conn, t->commands.s + from, to - from, timeout_ms);
  if (t->is_batch && i == 0)
    conn_expects_more(&s->conn);
  return conn_reply(&s->conn, &s->reply, conn_clock() + timeout_ms);
}

const struct ladder_row *transaction_judge(struct transaction *t, enum ladder_rung rung, enum saw saw)
{
  const struct ladder_row *row = client_judge(t->s, rung, saw);

  if (row->then != DO_GO_ON)
    client_explain(t->s, rung, saw, row);
  return row;
}

/* ---- results */

static int keep_result(struct session *s, struct recipient *r)
{
  r->host = REPORT_ANSWERED;
  memcpy(r->status, s->status, sizeof r->status);
  return stralloc_copy(&r->text, &s->text);
}

static void settle(struct session *s, struct recipient *r, enum verdict v)
{
  keep_result(s, r);
  attempt_settle(s->attempt, r, v, 0);
}

/* the reply is everybody's: those accepted, or all when MAIL was refused */
static void settle_all(struct transaction *t, enum verdict v, uint64_t wait)
{
  for (size_t i = 0; i < t->nto; i++) {
    struct recipient *r = t->to[i];
    if (r->is_settled || r->was_answered || (t->accepted && !r->is_accepted))
      continue;
    keep_result(t->s, r);
    r->has_dsn = (t->s->verbs & VERB_DSN) != 0;
    attempt_settle(t->s->attempt, r, v, wait);
  }
}

static void answer_one(struct session *s, struct recipient *r)
{
  if (verdict_of_reply(s->reply.code) == V_PERM) {
    settle(s, r, V_PERM);
    return;
  }
  keep_result(s, r);
  r->finals |= 1U << FINAL_DEFER;
  r->was_answered = 1;
}

/* ---- staying in step */

/* after a refusal within a batch: reads the replies to the commands from i on. A DATA that was
 * taken all the same is ended by a dot alone, but only when nobody was accepted: else the dot
 * would deliver an empty message (RFC 2920 3.1). Returns 0, or -1: the connection is of no use. */
static int catch_up(struct transaction *t, size_t i)
{
  struct session *s = t->s;
  int is_accepted = t->accepted > 0;

  if (!t->is_batch)
    return 0;
  for (; i < t->n; i++) {
    if (conn_reply(&s->conn, &s->reply, conn_clock() + settings.timeout_rcpt) != SAW_REPLY)
      return -1;
    if (i + 1 < t->n && s->reply.code / 100 == 2)
      is_accepted = 1;
  }
  if (s->reply.code / 100 != 3)
    return 0;
  if (is_accepted || client_say(s, ".", (const char *)NULL) != 0)
    return -1;
  return conn_reply(&s->conn, &s->reply, conn_clock() + settings.timeout_data) == SAW_REPLY ? 0 : -1;
}

int transaction_reset(struct session *s)
{
  return client_say(s, "RSET", (const char *)NULL) == 0 &&
             conn_reply(&s->conn, &s->reply, conn_clock() + settings.timeout_helo) == SAW_REPLY &&
             s->reply.code / 100 == 2
           ? 0
           : -1;
}

/* nothing more can be said on this connection */
static const struct ladder_row *hang_up(struct transaction *t, const struct ladder_row *row)
{
  conn_abort(&t->s->conn);
  return row;
}

/* ---- the phases; each returns the row that ends the transaction, or NULL to go on */

static const struct ladder_row *say_mail(struct transaction *t)
{
  struct session *s = t->s;
  enum saw saw = command(t, 0, settings.timeout_mail);
  const struct ladder_row *row = transaction_judge(t, RUNG_MAIL, saw);

  if (row->then == DO_GO_ON)
    return NULL;
  if (row->then == DO_SENDER)
    settle_all(t, V_PERM, 0);
  if (saw != SAW_REPLY || s->reply.code == 421 || catch_up(t, 1) != 0)
    return hang_up(t, row);
  return row;
}

static const struct ladder_row *say_rcpts(struct transaction *t)
{
  struct session *s = t->s;

  for (size_t i = 0; i < t->nto; i++) {
    enum saw saw = command(t, i + 1, settings.timeout_rcpt);
    const struct ladder_row *row = transaction_judge(t, RUNG_RCPT, saw);
    switch (row->then) {
    case DO_GO_ON:
      t->to[i]->is_accepted = 1;
      s->accepted = ++t->accepted;
      s->has_accepted = 1;
      s->facts |= IF_ACCEPTED;
      break;
    case DO_RECIPIENT:
      answer_one(s, t->to[i]);
      break;
    case DO_AGAIN:
      break;
    default:
      if (saw != SAW_REPLY || t->is_batch)
        return hang_up(t, row);
      return row;
    }
  }
  return NULL;
}

static const struct ladder_row *say_data(struct transaction *t)
{
  struct session *s = t->s;
  enum saw saw = command(t, t->n - 1, settings.timeout_data);
  const struct ladder_row *row = transaction_judge(t, RUNG_DATA, saw);

  if (row->then == DO_GO_ON)
    return NULL;
  if (row->then == DO_SENDER)
    settle_all(t, V_PERM, 0);
  return saw != SAW_REPLY || s->reply.code < 400 ? hang_up(t, row) : row;
}

/* the body could not be sent: why, and what the peer may have said about it (D10) */
static const struct ladder_row *broken(struct transaction *t, enum body_end how, int error)
{
  struct session *s = t->s;
  const struct ladder_row *row;
  enum saw saw = SAW_LOCAL;

  reply_start(&s->reply);
  if (how == BODY_BROKEN) {
    saw = conn_reply(&s->conn, &s->reply, conn_clock() + LATE_REPLY);
    if (saw != SAW_REPLY && error == ETIMEDOUT)
      saw = SAW_SILENCE;
    else if (saw != SAW_REPLY)
      saw = error == ECONNRESET ? SAW_RESET : SAW_CLOSE;
  }
  row = transaction_judge(t, RUNG_BODY, saw);
  if (row->then == DO_SENDER)
    settle_all(t, V_PERM, 0);
  return hang_up(t, row);
}

/* the dot was answered: where it was not before, its coming in one segment was what it took (D12) */
static void prove_dot(struct session *s)
{
  static const struct ladder_row row = {.number = "D12"};

  if (peers_holds(&s->card, FACT_DOT_HANG, s->attempt->now))
    client_learn(s, FACT_PIX, &row, (uint16_t)s->reply.code);
  if (!(s->facts & IF_PIX))
    client_unlearn(s, FACT_PIX, "D18"); /* past its time, and not needed any more */
  client_unlearn(s, FACT_DOT_HANG, "D18");
  client_unlearn(s, FACT_DOT_LOST, "D18");
  if (s->reply.code / 100 != 2)
    return;
  client_unlearn(s, FACT_PROTOCOL_HIT, "D18");
  client_unlearn(s, FACT_SLOW, "D18");
}

static const struct ladder_row *send_body(struct transaction *t)
{
  struct session *s = t->s;
  enum body_end how = body_send(&s->conn, &t->body, settings.timeout_block);
  const struct ladder_row *row;
  uint64_t deadline;
  int is_garbled = 0;
  enum saw saw;

  if (how != BODY_SENT)
    return broken(t, how, errno);
  deadline = conn_clock() + settings.timeout_data_end;
  while (((saw = conn_reply(&s->conn, &s->reply, deadline)) == SAW_GARBLED || saw == SAW_FOREIGN) &&
         conn_clock() < deadline)
    is_garbled = 1; /* D17: what is no reply is passed over */
  if (is_garbled && saw == SAW_REPLY)
    s->reply.garbage++;
  row = client_judge(s, RUNG_DOT, saw);
  client_explain(s, RUNG_DOT, saw, row);
  if (saw == SAW_REPLY)
    prove_dot(s);
  if (row->then == DO_SENDER)
    settle_all(t, verdict_of_reply(s->reply.code), 0);
  else if (row->then == DO_LOST)
    settle_all(t, V_TEMP, LOST_WAIT);
  return saw != SAW_REPLY ? hang_up(t, row) : row;
}

/* facts past their time, and what of this transaction does without them */
static const struct {
  enum peers_fact fact;
  uint32_t tried;
} probations[] = {{FACT_NO_8BITMIME, IF_BODY}, {FACT_NO_PIPELINING, IF_BATCH},
                  {FACT_NO_SIZE, IF_SIZE},     {FACT_NO_DSN, IF_DSN},
                  {FACT_NO_SMTPUTF8, IF_UTF8}};

static void try_without(struct session *s)
{
  for (size_t i = 0; i < sizeof probations / sizeof *probations; i++)
    if (s->facts & probations[i].tried)
      client_card_says(s, probations[i].fact);
}

/* an extension that failed was left out, and that was enough; or it works again */
static void prove(struct session *s)
{
  for (size_t i = 0; i < sizeof probations / sizeof *probations; i++)
    if (s->facts & probations[i].tried)
      client_unlearn(s, probations[i].fact, "D4");
  if (s->mail_row)
    memcpy(s->lesson, s->mail_text, sizeof s->lesson);
  if (s->mail_row)
    client_learn(s, s->mail_row->learn, s->mail_row, s->mail_code);
  s->mail_row = NULL;
}

/* the recipients were asked for: a probe does not say DATA */
static const struct ladder_row *probed(struct session *s)
{
  static const struct ladder_row row = {.number = "R6", .rung = RUNG_RCPT, .then = DO_NEXT};

  s->text.len = 0;
  transaction_reset(s);
  return &row;
}

/* on a connection that served before, replies that nobody has asked for yet: those read so far were
 * perhaps none to this message, and what comes next would count as its delivery */
static int is_out_of_step(struct session *s)
{
  return s->transactions > 1 && conn_has_input(&s->conn);
}

const struct ladder_row *transaction_one(struct transaction *t, const struct ladder_row *fine)
{
  static const struct ladder_row early = {.number = "D22", .rung = RUNG_DATA, .then = DO_FRESH_REDO};
  struct session *s = t->s;
  const struct ladder_row *row;

  t->is_batch = (s->verbs & VERB_PIPELINING) && !s->attempt->is_probe; /* it would have DATA in it */
  s->accepted = t->accepted = 0;
  t->body.is_one_segment = (s->facts & IF_PIX) != 0;
  if (make_commands(t) != 0) {
    reply_start(&s->reply);
    return hang_up(t, transaction_judge(t, RUNG_BODY, SAW_LOCAL));
  }
  try_without(s);
  if ((row = say_mail(t)) || (row = say_rcpts(t)))
    return row;
  if (s->attempt->is_probe)
    return probed(s);
  if (t->accepted == 0)
    return catch_up(t, t->n - 1) == 0 ? fine : hang_up(t, fine);
  prove(s);
  if ((row = say_data(t)))
    return row;
  return is_out_of_step(s) ? hang_up(t, &early) : send_body(t);
}
