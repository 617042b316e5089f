/* verb_starttls.c - STARTTLS: everything said so far is forgotten, and the rest is encrypted
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. RFC 3207. What the client sent in clear
 * behind the command is thrown away by connection.c; session_secured() is how it goes on. */
#include "smtpd/verb.h"

int verb_can_starttls(const struct session *s)
{
  return !s->tls.is_on && s->world->can_tls && s->world->can_tls();
}

enum reply verb_starttls(struct session *s, const struct command *c)
{
  (void)c;
  if (s->tls.is_on)
    return REPLY_TLS_TWICE;
  if (s->login.len > 0)
    return REPLY_TLS_AFTER_AUTH;
  if (!verb_can_starttls(s))
    return REPLY_NOT_IMPLEMENTED;
  if (s->world->start_tls(s) != 0)
    return REPLY_TLS_NOT_NOW;
  s->doing = SECURING;
  return REPLY_TLS_READY;
}
