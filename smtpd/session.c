/* session.c - one SMTP session: its lines, its replies, its reset rules
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. All bytes fed are hostile. A line
 * ends with LF, with or without CR before it; a message ends as enddata.c says, which is
 * stricter. RFC 5321 4.1.4, 4.2, 4.5.3. */
#include "smtpd/session.h"

#include <stdio.h>
#include <string.h>

#include "common/units.h"

#include "common/log.h"
#include "common/settings.h"
#include "common/units.h"
#include "common/verbs.h"
#include "smtpd/access_check.h"
#include "smtpd/verb.h"

#define ARGUMENT_MAX 400 /* bytes of a %s: the reply stays under 512 */
#define LOGGED_MAX 200   /* bytes of a refused command that are logged */

static const struct {
  unsigned int code;
  const char *status, *text;
} replies[] = {
#define REPLY(name, code, status, text) {code, status, text},
#include "smtpd/replies.def"
#undef REPLY
};

/* ---- replies */

/* appends what stands for %s: printable, and not too long */
static int cat_argument(stralloc *out, const char *s)
{
  size_t n = s ? strnlen(s, ARGUMENT_MAX) : 0, from = out->len;

  if (!stralloc_catb(out, s, n))
    return 0;
  for (size_t i = from; i < out->len; i++)
    if (out->s[i] < 32 || out->s[i] > 126)
      out->s[i] = '?';
  return 1;
}

static int cat_text(stralloc *out, const char *text, const char *argument)
{
  const char *hole = strstr(text, "%s");

  if (!hole)
    return stralloc_cats(out, text);
  return stralloc_catb(out, text, (size_t)(hole - text)) && cat_argument(out, argument) &&
         stralloc_cats(out, hole + 2);
}

static int cat_reply(stralloc *out, enum reply r, const char *argument, int has_status)
{
  if (!*replies[r].status)
    has_status = 0;
  return units_format_number(out, replies[r].code) == 0 && stralloc_cats(out, " ") &&
         stralloc_cats(out, has_status ? replies[r].status : "") &&
         stralloc_cats(out, has_status ? " " : "") && cat_text(out, replies[r].text, argument) &&
         stralloc_cats(out, "\r\n");
}

static int put_reply(struct session *s, enum reply r)
{
  return cat_reply(&s->out, r, s->argument, !(s->verbs_off & VERB_ENHANCEDSTATUSCODES));
}

int session_farewell(stralloc *out, enum reply r)
{
  return stralloc_copys(out, "") && cat_reply(out, r, settings.hostname, 1) ? 0 : -1;
}

/* bytes of "4.3.1 " at the text's beginning; 0: there is none */
static size_t status_span(const char *text)
{
  size_t n = strspn(text, "0123456789.");

  return n > 4 && text[1] == '.' && text[n] == ' ' ? n + 1 : 0;
}

/* "452 4.3.1 text" of the intake: printable, one line; anything else gives -1 */
static int put_foreign(struct session *s, const char *text)
{
  size_t len = strlen(text);

  if (len < 5 || (text[0] != '4' && text[0] != '5') || text[1] < '0' || text[1] > '5' ||
      text[2] < '0' || text[2] > '9' || text[3] != ' ')
    return -1;
  if (!stralloc_catb(&s->out, text, 4))
    return -1;
  text += 4;
  if (s->verbs_off & VERB_ENHANCEDSTATUSCODES)
    text += status_span(text);
  return cat_argument(&s->out, text) && stralloc_cats(&s->out, "\r\n") ? 0 : -1;
}

/* the reply that begins at `from` in out, without its line end, for the log; static */
static const char *reply_text(const struct session *s, size_t from)
{
  static char text[ARGUMENT_MAX + 128];
  size_t n = s->out.len - from;

  n = n >= 2 ? n - 2 : 0;
  if (n >= sizeof text)
    n = sizeof text - 1;
  memcpy(text, s->out.s + from, n);
  text[n] = 0;
  return text;
}

static void limit_errors(struct session *s)
{
  if (s->doing != ENDED && (s->errors >= settings.error_limit ||
                            s->greeting_errors >= settings.greeting_error_limit)) {
    s->argument = settings.hostname;
    session_end(s, REPLY_TOO_MANY_ERRORS, "too many refused commands");
  }
}

void session_reply(struct session *s, enum reply r, const char *command, size_t len)
{
  size_t before = s->out.len;
  char text[LOGGED_MAX + 1];

  if (r == REPLY_NONE)
    return;
  if (!put_reply(s, r)) {
    s->out.len = before;
    s->doing = ENDED; /* without memory for a reply there is nothing better to say */
    s->reason = "out of memory";
    return;
  }
  if (replies[r].code < 400)
    return;
  if (len > LOGGED_MAX)
    len = LOGGED_MAX;
  memcpy(text, command, len);
  text[len] = 0;
  log_refused(s->client, text, reply_text(s, before), s->hello.name.len ? s->hello.name.s : NULL);
  if (replies[r].code >= 500)
    s->errors++;
  limit_errors(s);
}

void session_end(struct session *s, enum reply r, const char *reason)
{
  size_t before = s->out.len;

  if (s->doing == ENDED)
    return;
  s->world->abort(s);
  s->doing = ENDED;
  s->reason = reason;
  s->argument = settings.hostname;
  if (!put_reply(s, r))
    s->out.len = before;
}

size_t session_answers(const struct session *s)
{
  return s->service->is_lmtp ? s->mail.nrcpt : 1;
}

static void put_refusal(struct session *s)
{
  size_t before = s->out.len;

  if (s->refusal_text.len > 1 && put_foreign(s, s->refusal_text.s) == 0)
    return;
  s->out.len = before;
  if (!put_reply(s, s->refusal))
    s->out.len = before;
}

void session_refuse_message(struct session *s, size_t times)
{
  size_t before = s->out.len;
  int is_temporary;

  while (times-- > 1)
    put_refusal(s);
  before = s->out.len;
  put_refusal(s);
  is_temporary = s->out.len > before && s->out.s[before] == '4';
  log_unreceived(s->client, s->mail.from.s, reply_text(s, before));
  session_reset(s);
  if (!is_temporary)
    s->errors++;
  limit_errors(s);
}

void session_argument(struct session *s, uint64_t v)
{
  s->number[units_digits(s->number, v)] = 0;
  s->argument = s->number;
}

const char *session_protocol(const struct session *s)
{
  static const char *const words[2][2][2][2] = {
    {{{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}}, {{"LMTP", "LMTPA"}, {"LMTPS", "LMTPSA"}}},
    {{{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}},
     {{"UTF8LMTP", "UTF8LMTPA"}, {"UTF8LMTPS", "UTF8LMTPSA"}}}};

  if (!s->is_esmtp && !s->mail.is_utf8)
    return "SMTP";
  return words[s->mail.is_utf8 != 0][s->service->is_lmtp != 0][s->tls.is_on != 0][s->login.len > 0];
}

/* ---- life */

static void clear(stralloc *sa)
{
  if (sa->a > 1024) { /* thousands of sessions: what was large is not kept */
    stralloc_free(sa);
    *sa = (stralloc){0};
  }
  sa->len = 0;
}

void session_reset(struct session *s)
{
  clear(&s->mail.from);
  clear(&s->mail.envid);
  clear(&s->mail.rcpts);
  clear(&s->asked);
  clear(&s->received);
  s->mail.nrcpt = 0;
  s->mail.ret = "";
  s->mail.is_8bit = s->mail.is_relay = s->mail.is_utf8 = 0;
  if (s->chunk.is_open)
    s->world->abort(s);
  s->chunk = (struct chunk){.refusal = REPLY_NONE};
  s->refusal = REPLY_NONE;
  if (s->order != HAVE_NOTHING)
    s->order = HAVE_HELLO;
}

void session_start(struct session *s, const struct session_world *w, const struct service *service,
                   const struct ip *ip, uint16_t port)
{
  *s = (struct session){.world = w, .service = service, .ip = *ip, .doing = COMMAND, .order = HAVE_NOTHING,
                        .refusal = REPLY_NONE, .mail = {.ret = ""},
                        .chunk = {.refusal = REPLY_NONE}};
  ip_port_format(s->client, ip, port);
  ip_format(s->address, ip);
  s->verbs_off = access_verbs_off(w->table(), service, ip);
  s->argument = settings.hostname;
  session_reply(s, REPLY_BANNER, "", 0);
}

void session_close(struct session *s)
{
  stralloc *all[] = {&s->hello.name, &s->said,     &s->login, &s->mail.from, &s->mail.envid,   &s->mail.rcpts,
                     &s->asked,      &s->received, &s->out,       &s->refusal_text};

  s->world->abort(s);
  s->doing = ENDED;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    stralloc_free(all[i]);
}

/* ---- lines */

static int has_control(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (((unsigned char)s[i] < 32 && s[i] != '\t') || s[i] == 127)
      return 1;
  return 0;
}

static void run_line(struct session *s, const char *line, size_t len)
{
  struct command c;
  enum reply r;

  s->commands++;
  if (memchr(line, 0, len)) {
    session_reply(s, REPLY_HAS_NUL, line, len);
    s->doing = ENDED;
    s->reason = "NUL in a command";
    return;
  }
  command_parse(line, len, &c);
  s->argument = "";
  if (has_control(line, len) && command_is(&c, "BDAT"))
    r = verb_lose(s);
  else if (has_control(line, len) && !command_is(&c, "EHLO") && !command_is(&c, "HELO") && !command_is(&c, "LHLO"))
    r = REPLY_HAS_CONTROL;
  else
    r = verb_run(s, &c);
  session_reply(s, r, line, len);
}

/* where a BDAT of any kind cannot be read, nobody knows where the next command begins */
static int is_bdat(const char *line, size_t len)
{
  struct command c;

  command_parse(line, len, &c);
  return command_is(&c, "BDAT");
}

static void line_too_long(struct session *s, const char *line, size_t len)
{
  s->commands++;
  session_argument(s, settings.command_length_limit);
  session_reply(s, is_bdat(line, len) ? verb_lose(s) : REPLY_TOO_LONG, line, len);
}

/* takes one command line; 0 when it is not complete */
static size_t feed_line(struct session *s, const char *bytes, size_t len)
{
  const char *lf = memchr(bytes, '\n', len);
  size_t line = lf ? (size_t)(lf - bytes) + 1 : len, text;

  if (!lf && len <= settings.command_length_limit)
    return 0;
  if (!lf && is_bdat(bytes, len)) {
    line_too_long(s, bytes, len);
    return len;
  }
  if (!lf) {
    s->doing = SKIP;
    return len;
  }
  text = line - 1;
  if (text > 0 && bytes[text - 1] == '\r')
    text--;
  if (line > settings.command_length_limit)
    line_too_long(s, bytes, text);
  else
    run_line(s, bytes, text);
  return line;
}

static size_t skip_line(struct session *s, const char *bytes, size_t len)
{
  const char *lf = memchr(bytes, '\n', len);

  if (!lf)
    return len;
  s->doing = COMMAND;
  line_too_long(s, "", 0);
  return (size_t)(lf - bytes) + 1;
}

int session_is_ready(const struct session *s)
{
  return s->doing <= DATA && s->out.len <= SESSION_OUT_MAX;
}

size_t session_feed(struct session *s, const char *bytes, size_t len)
{
  size_t used = 0;

  while (used < len && session_is_ready(s)) {
    const char *at = bytes + used;
    size_t left = len - used;
    size_t n = s->doing == DATA   ? data_feed(s, at, left)
               : s->doing == SKIP ? skip_line(s, at, left)
                                  : feed_line(s, at, left);
    if (n == 0)
      break;
    used += n;
  }
  return used;
}

/* ---- answers of other programs */

void session_known(struct session *s, enum verdict v, const char *reason)
{
  char command[LOGGED_MAX];

  (void)reason;
  if (s->doing != ASKED)
    return;
  s->doing = COMMAND;
  snprintf(command, sizeof command, "RCPT TO:<%s>", s->asked.s);
  session_reply(s, verb_rcpt_known(s, v), command, strlen(command));
}

void session_refused(struct session *s, const char *reply)
{
  size_t times = s->doing == COMMITTING ? session_answers(s) : 1;

  data_refuse(s, REPLY_QUEUE_LOST, reply);
  if (s->doing == DATA || s->doing == FULL)
    data_room(s);
  else if (s->chunk.is_open && s->doing != COMMITTING)
    chunk_refused(s);
  else {
    s->doing = COMMAND;
    session_refuse_message(s, times);
  }
}

void session_lost(struct session *s)
{
  session_refused(s, "");
}

void session_room(struct session *s)
{
  if (s->doing == FULL)
    data_room(s);
}

void session_done(struct session *s, const char *id)
{
  size_t times = session_answers(s);

  log_received(id, s->client, s->mail.from.s, log_num(s->end.size), log_num(s->mail.nrcpt));
  s->argument = id;
  s->doing = COMMAND;
  s->messages++;
  s->errors = 0;
  session_reset(s);
  while (times-- > 0)
    session_reply(s, REPLY_QUEUED, "", 0);
}
