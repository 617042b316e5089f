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
#include "smtpd/stress.h"
#include "smtpd/verb.h"
#include "smtpd/verb_auth.h"

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

static void count_error(struct session *s)
{
  s->errors++;
  if (!s->is_unlimited && !s->mail.is_relay && s->login.len == 0 && s->world->over)
    s->is_over |= s->world->over(s, LIMIT_ERRORS);
}

static void limit_errors(struct session *s)
{
  if (s->doing != ENDED && s->is_over) {
    session_turn_away(s, REPLY_CLIENT_ERRORS, settings.client_error_rate,
                      "setting client-error-rate");
    return;
  }
  if (s->doing != ENDED && (s->errors >= stress_errors(s, settings.error_limit) ||
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
  log_refused(s->client, text, reply_text(s, before), s->hello.name.len ? s->hello.name.s : NULL, s->decided);
  if (replies[r].code >= 500)
    count_error(s);
  limit_errors(s);
}

static void end(struct session *s, enum reply r, const char *argument, const char *reason)
{
  size_t before = s->out.len;

  if (s->doing == ENDED)
    return;
  s->world->abort(s);
  if (s->world->forgo)
    s->world->forgo(s);
  s->doing = ENDED;
  s->reason = reason;
  s->argument = argument;
  if (!put_reply(s, r))
    s->out.len = before;
}

void session_end(struct session *s, enum reply r, const char *reason)
{
  end(s, r, settings.hostname, reason);
}

void session_turn_away(struct session *s, enum reply r, const char *argument, const char *decided)
{
  size_t before;

  if (s->commands == 0)
    s->out.len = 0; /* instead of the banner */
  before = s->out.len;
  end(s, r, argument, "limit of its network");
  log_refused(s->client, NULL, reply_text(s, before),
              s->hello.name.len ? s->hello.name.s : NULL, decided);
}

size_t session_answers(const struct session *s)
{
  return s->service->is_lmtp ? s->mail.nrcpt + s->mail.ndropped : 1;
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
    count_error(s);
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
  clear(&s->mail.fated);
  clear(&s->asked);
  clear(&s->received);
  s->mail.nrcpt = s->mail.ndropped = 0;
  s->mail.fate = FATE_QUEUE;
  s->mail.ret = "";
  s->mail.is_8bit = s->mail.is_relay = s->mail.is_utf8 = 0;
  if (s->chunk.is_open)
    s->world->abort(s);
  s->chunk = (struct chunk){.refusal = REPLY_NONE};
  s->refusal = REPLY_NONE;
  if (s->order != HAVE_NOTHING)
    s->order = HAVE_HELLO;
}

/* the first word of a session is ours */
static void greet(struct session *s)
{
  s->argument = settings.hostname;
  session_reply(s, REPLY_BANNER, "", 0);
}

/* what the client said before counts for nothing: anybody between us could have said it */
static void forget(struct session *s)
{
  session_reset(s);
  s->order = HAVE_NOTHING;
  s->is_esmtp = 0;
  stralloc_free(&s->hello.name);
  s->hello = (struct hello){0};
  clear(&s->said);
  clear(&s->login);
}

static void call(struct session *s, const struct ip *ip, uint16_t port)
{
  s->ip = *ip;
  ip_port_format(s->client, ip, port);
  ip_format(s->address, ip);
  s->verbs_off = access_verbs_off(s->world->table(), s->service, ip);
}

void session_rename(struct session *s, const struct ip *ip, uint16_t port, const char *login)
{
  struct ip is = *ip; /* may be the session's own */

  forget(s);
  call(s, &is, port);
  if (login && (!stralloc_copys(&s->login, login) || !stralloc_0(&s->login)))
    s->login.len = 0;
  if (s->world->renamed)
    s->world->renamed(s);
  if (s->doing != ENDED)
    greet(s);
}

void session_start(struct session *s, const struct session_world *w, const struct service *service,
                   const struct ip *ip, uint16_t port)
{
  *s = (struct session){.world = w, .service = service, .doing = COMMAND, .order = HAVE_NOTHING,
                        .refusal = REPLY_NONE, .mail = {.ret = ""},
                        .chunk = {.refusal = REPLY_NONE}};
  call(s, ip, port);
  s->may_xclient = ip_in_list(ip, settings.xclient_networks);
  if (service->is_tls_first)
    s->doing = SECURING;
  else
    greet(s);
}

void session_close(struct session *s)
{
  stralloc *all[] = {&s->hello.name, &s->said,     &s->login, &s->mail.from, &s->mail.envid,   &s->mail.rcpts, &s->mail.fated,
                     &s->asked,      &s->received, &s->out,       &s->refusal_text};

  s->world->abort(s);
  if (s->world->forgo)
    s->world->forgo(s);
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

/* table access wants the reply that was just made, or that of RCPT, to wait */
static void pause_if_asked(struct session *s)
{
  if (s->pause > 0 && s->doing == COMMAND)
    s->doing = PAUSED;
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
  s->decided = NULL;
  if (has_control(line, len) && command_is(&c, "BDAT"))
    r = verb_lose(s);
  else if (has_control(line, len) && !command_is(&c, "EHLO") && !command_is(&c, "HELO") && !command_is(&c, "LHLO"))
    r = REPLY_HAS_CONTROL;
  else
    r = verb_run(s, &c);
  auth_hide(s, &c, r, &line, &len);
  session_reply(s, r, line, len);
  pause_if_asked(s);
}

/* MAIL and RCPT are judged by what DNS says of the client. The line is not taken until that is
 * there. */
static int must_wait(struct session *s, const char *line, size_t len)
{
  struct command c;
  int for_mail;

  if (!s->world->await || memchr(line, 0, len))
    return 0;
  command_parse(line, len, &c);
  for_mail = command_is(&c, "MAIL");
  if ((!for_mail && !command_is(&c, "RCPT")) || !s->world->await(s, for_mail))
    return 0;
  s->doing = AWAITING;
  return 1;
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
  if (s->has_auth || auth_is_command(line, len))
    len = 0;
  session_argument(s, settings.command_length_limit);
  session_reply(s, is_bdat(line, len) ? verb_lose(s) : REPLY_TOO_LONG, line, len);
}

static size_t line_limit(const struct session *s, const char *bytes, size_t len)
{
  return s->doing == RESPONSE || auth_is_command(bytes, len) ? AUTH_LINE_MAX
                                                             : settings.command_length_limit;
}

/* takes one command line; 0 when it is not complete */
static size_t feed_line(struct session *s, const char *bytes, size_t len)
{
  const char *lf = memchr(bytes, '\n', len);
  size_t line = lf ? (size_t)(lf - bytes) + 1 : len, text, limit = line_limit(s, bytes, len);

  if (!lf && len <= limit)
    return 0;
  if (!lf && is_bdat(bytes, len)) {
    line_too_long(s, bytes, len);
    return len;
  }
  if (!lf) {
    s->is_skipping_response = s->doing == RESPONSE;
    s->has_auth |= auth_is_command(bytes, len);
    s->doing = SKIP;
    return len;
  }
  text = line - 1;
  if (text > 0 && bytes[text - 1] == '\r')
    text--;
  if (s->doing == RESPONSE && line > limit)
    auth_too_long(s);
  else if (s->doing == RESPONSE)
    auth_response(s, bytes, text);
  else if (line > limit)
    line_too_long(s, bytes, text);
  else if (must_wait(s, bytes, text))
    return 0;
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
  if (s->is_skipping_response)
    auth_too_long(s);
  else
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
  pause_if_asked(s);
}

void session_found(struct session *s)
{
  if (s->doing == AWAITING)
    s->doing = COMMAND;
}

void session_spoke_early(struct session *s, size_t bytes)
{
  s->is_early = 1;
  log_early_talker(s->client, log_num(bytes));
}

void session_go_on(struct session *s)
{
  if (s->doing != PAUSED)
    return;
  s->doing = COMMAND;
  s->pause = 0;
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

static void log_taken(const struct session *s, const char *id)
{
  const char *by = s->mail.fated.len ? s->mail.fated.s : NULL;

  if (session_is_discarded(s)) {
    log_thrown_away(s->client, s->mail.from.s, log_num(s->mail.nrcpt + s->mail.ndropped), by,
                  log_num(s->end.size));
    return;
  }
  log_received(id, s->client, s->mail.from.s, log_num(s->end.size), log_num(s->mail.nrcpt));
  if (s->mail.fate == FATE_HOLD)
    log_held(id, s->client, s->mail.from.s, by);
}

int session_is_discarded(const struct session *s)
{
  return s->mail.fate == FATE_DISCARD || (s->mail.nrcpt == 0 && s->mail.ndropped > 0);
}

void session_secured(struct session *s, const char *tls)
{
  size_t n = strcspn(tls, " ");

  if (s->doing != SECURING)
    return;
  forget(s);
  s->tls.is_on = 1;
  snprintf(s->tls.version, sizeof s->tls.version, "%.*s", (int)n, tls);
  snprintf(s->tls.cipher, sizeof s->tls.cipher, "%s", tls[n] ? tls + n + 1 : "");
  s->doing = COMMAND;
  if (s->service->is_tls_first)
    greet(s);
}

void session_done(struct session *s, const char *id)
{
  size_t times = session_answers(s);

  log_taken(s, id);
  s->argument = id;
  s->doing = COMMAND;
  s->messages++;
  s->errors = 0;
  session_reset(s);
  while (times-- > 0)
    session_reply(s, REPLY_QUEUED, "", 0);
}
