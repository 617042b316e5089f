/* client_judge.c - what was seen at a rung: the ladder's row for it, and who is told
 *
 * Runs in attempts. No path here needs a reply, a banner or a recipient to exist: texts are strings, if
 * empty ones. */
#include "deliver/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"
#include "deliver/notes.h"
#include "deliver/report.h"

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

void client_connection(const struct session *s, char out[CLIENT_EVENT])
{
  stralloc since = {0};

  if (units_format_time(&since, s->since) != 0 || !stralloc_0(&since))
    stralloc_free(&since);
  snprintf(out, CLIENT_EVENT, "on a connection open since %s, message %llu on it",
           since.s ? since.s : "earlier", (unsigned long long)s->begins_with);
  stralloc_free(&since);
}

/* the steps of an attempt that did not open its connection begin with where that came from */
static void tell_taken_over(struct session *s)
{
  char what[CLIENT_EVENT];

  if (s->is_taken_over != 1)
    return;
  s->is_taken_over = 2;
  client_connection(s, what);
  client_chose(s, RUNG_CONNECT, what);
}

static void step(struct session *s, enum ladder_rung rung, enum saw saw)
{
  char event[CLIENT_EVENT];
  stralloc text = {0};
  struct report_step r = {.host = s->target->host, .address = s->address,
                          .rung = ladder_rung_word(rung), .event = event, .reply = ""};

  tell_taken_over(s);
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

  tell_taken_over(s);
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
