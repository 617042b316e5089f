/* verb_data.c - DATA, and what BDAT has in common with it: the message, from the client to the intake
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The message is hostile bytes and
 * stays so; what ends it is enddata.c's to say. A message that must be refused is still
 * read to its real end, so that nothing of it is ever taken as a command.
 * RFC 5321 4.1.1.4, 4.4, 6.3. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/units.h"
#include "smtpd/judge.h"
#include "smtpd/received.h"
#include "smtpd/verb.h"

enum reply verb_data(struct session *s, const struct command *c)
{
  (void)c;
  s->doing = OPENING;
  data_start(s);
  if (s->world->open(s) == 0)
    return REPLY_NONE;
  s->doing = COMMAND;
  return REPLY_NO_INTAKE;
}

static int make_received(struct session *s)
{
  struct received r = {
    .helo = s->hello.name.s,
    .said = s->said.len > 1 ? s->said.s : "",
    .host = settings.received_host && s->dns && *s->dns->host ? s->dns->host : NULL,
    .ip = &s->ip,
    .hostname = settings.hostname,
    .protocol = session_protocol(s),
    .login = settings.received_login && s->login.len ? s->login.s : "",
    .tls = s->tls.is_on ? &s->tls : NULL,
    .id = s->id,
    .rcpt = s->mail.nrcpt == 1 ? s->mail.rcpts.s : NULL,
    .time = (uint64_t)time(NULL),
  };

  return received_make(&s->received, &r);
}

/* whether a bare LF of this client ends a line: setting bare-lf-from */
static int takes_lf(const struct session *s)
{
  return ip_in_list(&s->ip, settings.bare_lf_from);
}

void data_start(struct session *s)
{
  s->end = (struct enddata){.is_counted = s->chunk.is_open, .takes_lf = takes_lf(s)};
  s->complete = (struct complete){.state = COMPLETE_LINE};
  content_start(&s->content);
  s->refusal = REPLY_NONE;
  s->refusal_text.len = 0;
}

void session_opened(struct session *s, const char *id)
{
  enum reply r = REPLY_GO_AHEAD;

  snprintf(s->id, sizeof s->id, "%s", id);
  s->doing = DATA;
  if (s->chunk.is_open) {
    if (make_received(s) != 0) {
      s->world->abort(s);
      data_refuse(s, REPLY_NO_MEMORY, NULL);
    }
    chunk_opened(s);
    return;
  }
  if (make_received(s) != 0) {
    s->world->abort(s);
    session_reset(s);
    s->doing = COMMAND;
    r = REPLY_NO_MEMORY;
  }
  session_reply(s, r, "DATA", 4);
}

void data_refuse(struct session *s, enum reply r, const char *text)
{
  if (s->refusal != REPLY_NONE)
    return;
  s->refusal = r;
  if (!stralloc_copys(&s->refusal_text, text ? text : "") || !stralloc_0(&s->refusal_text))
    s->refusal_text.len = 0;
}

/* what the bytes so far allow; the number goes with the reply */
static enum reply check(const struct session *s, uint64_t *number)
{
  if (s->end.has_nul)
    return REPLY_NUL_BYTE;
  if (s->end.has_bare_lf)
    return REPLY_BARE_LF;
  if (s->end.has_bare_cr)
    return REPLY_BARE_CR;
  if (s->end.size > (*number = settings.message_size_limit))
    return REPLY_TOO_BIG;
  if (s->content.header_size > (*number = settings.header_size_limit))
    return REPLY_HEADER_BIG;
  if ((s->end.longest > s->end.line ? s->end.longest : s->end.line) >
      (*number = settings.line_length_limit))
    return REPLY_LINE_LONG;
  *number = s->content.received;
  return *number >= settings.received_limit ? REPLY_LOOP : REPLY_NONE;
}

static void judge(struct session *s)
{
  uint64_t number = 0;
  enum reply r = check(s, &number);

  if (s->refusal != REPLY_NONE || r == REPLY_NONE)
    return;
  session_argument(s, number);
  data_refuse(s, r, NULL);
  s->world->abort(s);
}

/* everything is there: commit, or say why not */
void data_over(struct session *s)
{
  if (s->refusal != REPLY_NONE) {
    s->doing = COMMAND;
    s->argument = s->number;
    session_refuse_message(s, s->chunk.is_open && !s->chunk.is_last ? 1 : session_answers(s));
    return;
  }
  s->doing = COMMITTING;
  if (s->world->commit(s) == 0)
    return;
  if (errno == EAGAIN) {
    s->doing = FULL;
  } else {
    s->world->abort(s);
    session_lost(s);
  }
}

/* the fields that a message lacks, where this service puts them in; static */
static const struct complete_texts *texts_for(const struct session *s)
{
  static const struct complete_texts nothing;
  static struct complete_texts texts;
  static char date[COMPLETE_FIELD_MAX], id[COMPLETE_FIELD_MAX], from[COMPLETE_FIELD_MAX];
  static stralloc now; /* bound: a date */
  const char *null = s->mail.from.len > 1 ? "" : "MAILER-DAEMON@";

  if (!s->service->completes)
    return &nothing;
  now.len = 0;
  if (units_format_date(&now, (uint64_t)time(NULL)) != 0)
    return &nothing;
  snprintf(date, sizeof date, "Date: %.*s\r\n", (int)now.len, now.s);
  snprintf(id, sizeof id, "Message-ID: <%s@%s>\r\n", s->id, settings.hostname);
  snprintf(from, sizeof from, "From: <%s%s>\r\n", null, *null ? settings.hostname : s->mail.from.s);
  texts = (struct complete_texts){{date, id, from}};
  return &texts;
}

/* writes bytes of the message as it is to be stored; returns how many, *used of the client's */
static size_t scan(struct session *s, const char *bytes, size_t len, int is_end, char *out,
                   size_t room, size_t *used)
{
  static char raw[SESSION_FRAME];
  const struct complete_texts *texts;
  size_t got, n;

  if (s->complete.state == COMPLETE_BODY) {
    *used = enddata_scan(&s->end, bytes, len, out, room - 2, &got);
    return got + (is_end ? enddata_close(&s->end, out + got) : 0);
  }
  texts = texts_for(s);
  *used = enddata_scan(&s->end, bytes, len, raw, room - COMPLETE_ROOM - COMPLETE_ROOM, &got);
  if (is_end)
    got += enddata_close(&s->end, raw + got);
  n = complete_scan(&s->complete, texts, raw, got, out);
  return n + (s->end.is_over ? complete_end(&s->complete, texts, out + n) : 0);
}

/* takes what fits one frame and sends it. When the intake's channel is full, the bytes
 * are given back as if they had not been read. */
size_t data_frame(struct session *s, const char *bytes, size_t len, int is_end)
{
  static char frame[SESSION_FRAME];
  struct enddata end = s->end;
  struct content content = s->content;
  struct complete complete = s->complete;
  size_t head = s->refusal == REPLY_NONE ? s->received.len : 0, got, used;

  if (head > 0)
    memcpy(frame, s->received.s, head);
  got = scan(s, bytes, len, is_end, frame + head, sizeof frame - head, &used);
  if (s->content.in_header)
    content_scan(&s->content, frame + head, got);
  judge(s);
  if (s->refusal != REPLY_NONE || head + got == 0)
    return used;
  if (s->world->data(s, frame, head + got) == 0) {
    s->received.len = 0;
  } else if (errno == EAGAIN) {
    s->end = end;
    s->content = content;
    s->complete = complete;
    s->doing = FULL;
    return 0;
  } else {
    s->world->abort(s);
    data_refuse(s, REPLY_QUEUE_LOST, NULL);
  }
  return used;
}

size_t data_feed(struct session *s, const char *bytes, size_t len)
{
  size_t used = 0;

  if (s->chunk.is_reading)
    return chunk_feed(s, bytes, len);
  while (used < len && s->doing == DATA) {
    used += data_frame(s, bytes + used, len - used, 0);
    if (s->doing == DATA && s->end.is_over)
      data_over(s);
  }
  return used;
}

void data_room(struct session *s)
{
  s->doing = DATA;
  if (s->chunk.is_reading)
    chunk_go_on(s);
  else if (s->end.is_over)
    data_over(s);
}
