/* verb_auth.c - AUTH: a client proves who it is
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Lines are hostile bytes; only their
 * base64 is undone here, the rest is heloise-auth's. No password stays in a buffer, and none
 * gets into the log. RFC 4954.
 *
 *   AUTH mechanism [initial-response]     initial-response = base64 / "="
 *   334 base64                            base64 / "*" */
#include "smtpd/verb_auth.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base64.h"
#include "common/secret.h"
#include "common/settings.h"
#include "smtpd/verb.h"

/* ---- what is offered */

static int is_for_logins(const struct session *s)
{
  return s->service->needs_login || (s->service->number == SERVICE_MX && settings.auth_on_mx);
}

static int is_safe(const struct session *s)
{
  return s->tls.is_on ||
         (strcmp(settings.auth_in_clear, "loopback") == 0 && ip_is_loopback(&s->ip));
}

/* TLS 1.2 without extended master secret has nothing to bind to */
static int can_bind(struct session *s)
{
  unsigned char bytes[64]; /* TLS_BINDING_MAX */

  return s->tls.is_on && (s->world->binding(s, "tls-exporter", bytes) > 0 ||
                          s->world->binding(s, "tls-unique", bytes) > 0);
}

unsigned int auth_offered(struct session *s)
{
  unsigned int set = is_for_logins(s) && is_safe(s) && s->world->mechanisms ? s->world->mechanisms() : 0;

  return set && can_bind(s) ? set : set & ~MECHANISM_BIT(MECHANISM_SCRAM_SHA_256_PLUS);
}

/* ---- what is logged */

int auth_is_command(const char *line, size_t len)
{
  return len > 4 && strncasecmp(line, "AUTH", 4) == 0 && (line[4] == ' ' || line[4] == '\t');
}

void auth_hide(struct session *s, const struct command *c, enum reply r, const char **line, size_t *len)
{
  if (command_is(c, "AUTH")) {
    s->has_auth = 1;
    *line = "AUTH";
    *len = 4;
  } else if (s->has_auth && (r == REPLY_UNKNOWN || r == REPLY_HAS_CONTROL || r == REPLY_EMPTY)) {
    *line = "(hidden: it may be a password)";
    *len = strlen(*line);
  }
}

/* ---- the exchange */

static void over(struct session *s, enum reply r)
{
  s->doing = COMMAND;
  session_reply(s, r, "AUTH", 4);
}

/* the bytes of a line, or of an initial response, in out */
static enum reply decode(const char *s, size_t len, stralloc *out)
{
  if (base64_decode(s, len, out) == 0)
    return REPLY_NONE;
  return errno == ENOMEM ? REPLY_NO_MEMORY : REPLY_AUTH_BASE64;
}

static enum reply begin(struct session *s, enum mechanism m, const char *initial, size_t len)
{
  stralloc bytes = {0}; /* bound: SASL_MESSAGE_MAX */
  enum reply r = REPLY_NONE;
  int is_empty = len == 1 && *initial == '=';

  if (len > 0 && !is_empty)
    r = decode(initial, len, &bytes);
  s->doing = PROVING;
  if (r == REPLY_NONE && s->world->login(s, m, len == 0 ? NULL : is_empty ? "" : bytes.s, bytes.len) != 0)
    r = REPLY_AUTH_TEMP;
  if (r != REPLY_NONE)
    s->doing = COMMAND;
  secret_free(&bytes);
  return r;
}

static enum reply not_offered(struct session *s, const char *name, size_t len)
{
  size_t n = len < sizeof s->number ? len : sizeof s->number - 1;
  enum mechanism m;

  if (mechanism_find(name, len, &m) != 0) { /* a password in the wrong place is not to be echoed */
    name = "of that name";
    n = strlen(name);
  }
  memcpy(s->number, name, n);
  s->number[n] = 0;
  s->argument = s->number;
  return REPLY_AUTH_MECHANISM;
}

enum reply verb_auth(struct session *s, const struct command *c)
{
  const char *rest = c->arg;
  size_t name = 0, len;
  enum mechanism m;

  if (!is_for_logins(s))
    return REPLY_NOT_IMPLEMENTED;
  if (s->login.len > 0)
    return REPLY_AUTH_TWICE;
  if (!is_safe(s))
    return REPLY_AUTH_NEEDS_TLS;
  while (name < c->arglen && c->arg[name] != ' ' && c->arg[name] != '\t')
    name++;
  if (name == 0)
    return REPLY_AUTH_SYNTAX;
  if (mechanism_find(c->arg, name, &m) != 0 || !(auth_offered(s) & MECHANISM_BIT(m)))
    return not_offered(s, c->arg, name);
  rest += name;
  len = c->arglen - name;
  while (len > 0 && (*rest == ' ' || *rest == '\t')) {
    rest++;
    len--;
  }
  return begin(s, m, rest, len);
}

void auth_response(struct session *s, const char *line, size_t len)
{
  stralloc bytes = {0}; /* bound: SASL_MESSAGE_MAX */
  enum reply r;

  if (len == 1 && *line == '*') {
    r = REPLY_AUTH_CANCELLED;
  } else {
    r = decode(line, len, &bytes);
    s->doing = PROVING;
    if (r == REPLY_NONE && s->world->respond(s, bytes.len ? bytes.s : "", bytes.len) != 0)
      r = REPLY_AUTH_TEMP;
  }
  secret_free(&bytes);
  if (r == REPLY_NONE)
    return;
  s->world->forgo(s);
  over(s, r);
}

void auth_too_long(struct session *s)
{
  s->world->forgo(s);
  s->commands++;
  over(s, REPLY_AUTH_TOO_LONG);
}

/* ---- from heloise-auth */

void session_challenged(struct session *s, const char *bytes, size_t len)
{
  size_t before = s->out.len;

  if (s->doing != PROVING)
    return;
  s->doing = RESPONSE;
  if (stralloc_cats(&s->out, "334 ") && base64_encode(&s->out, bytes, len) == 0 &&
      stralloc_cats(&s->out, "\r\n"))
    return;
  s->out.len = before;
  s->world->forgo(s);
  over(s, REPLY_NO_MEMORY);
}

void session_proved(struct session *s, enum outcome o, const char *login)
{
  static const enum reply replies[OUTCOME_COUNT] = {
    [OUTCOME_OK] = REPLY_AUTH_OK,           [OUTCOME_WRONG] = REPLY_AUTH_WRONG,
    [OUTCOME_MALFORMED] = REPLY_AUTH_MALFORMED, [OUTCOME_LIMITED] = REPLY_AUTH_LIMITED,
    [OUTCOME_TEMP] = REPLY_AUTH_TEMP,
  };
  enum reply r = replies[o];

  if (s->doing != PROVING && s->doing != RESPONSE)
    return;
  if (o == OUTCOME_OK && (!stralloc_copys(&s->login, login) || !stralloc_0(&s->login))) {
    s->login.len = 0;
    r = REPLY_NO_MEMORY;
  }
  s->has_auth = o != OUTCOME_OK;
  over(s, r);
}
