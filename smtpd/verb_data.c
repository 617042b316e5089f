/* verb_data.c - DATA: the message, from the client to the intake
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
#include "smtpd/judge.h"
#include "smtpd/received.h"
#include "smtpd/verb.h"

enum reply verb_data(struct session *s, const struct command *c)
{
  (void)c;
  s->doing = OPENING;
  s->refusal = REPLY_NONE;
  s->refusal_text.len = 0;
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

void session_opened(struct session *s, const char *id)
{
  enum reply r = REPLY_GO_AHEAD;

  snprintf(s->id, sizeof s->id, "%s", id);
  s->end = (struct enddata){.state = ENDDATA_START};
  content_start(&s->content);
  s->doing = DATA;
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
static void over(struct session *s)
{
  if (s->refusal != REPLY_NONE) {
    s->doing = COMMAND;
    s->argument = s->number;
    session_refuse_message(s);
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

/* takes what fits one frame and sends it. When the intake's channel is full, the bytes
 * are given back as if they had not been read. Returns the bytes taken. */
static size_t one_frame(struct session *s, const char *bytes, size_t len)
{
  static char frame[SESSION_FRAME];
  struct enddata end = s->end;
  struct content content = s->content;
  size_t head = s->refusal == REPLY_NONE ? s->received.len : 0, got, used;

  if (head > 0)
    memcpy(frame, s->received.s, head);
  used = enddata_scan(&s->end, bytes, len, frame + head, sizeof frame - head, &got);
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

  while (used < len && s->doing == DATA) {
    used += one_frame(s, bytes + used, len - used);
    if (s->doing == DATA && s->end.is_over)
      over(s);
  }
  return used;
}

void data_room(struct session *s)
{
  s->doing = DATA;
  if (s->end.is_over)
    over(s);
}
