/* verb_other.c - RSET, NOOP, VRFY, HELP, QUIT, and the verbs we do not offer
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. RFC 5321 4.1.1.5 to 4.1.1.10. */
#include "common/settings.h"
#include "smtpd/verb.h"

enum reply verb_rset(struct session *s, const struct command *c)
{
  (void)c;
  session_reset(s);
  return REPLY_OK;
}

enum reply verb_noop(struct session *s, const struct command *c)
{
  (void)s;
  (void)c;
  return REPLY_OK;
}

/* says nothing about users: RCPT does, where it is counted */
enum reply verb_vrfy(struct session *s, const struct command *c)
{
  (void)s;
  return c->arglen > 0 ? REPLY_VRFY : REPLY_VRFY_WHAT;
}

enum reply verb_help(struct session *s, const struct command *c)
{
  (void)s;
  (void)c;
  return REPLY_HELP;
}

enum reply verb_quit(struct session *s, const struct command *c)
{
  (void)c;
  session_end(s, REPLY_BYE, "quit");
  return REPLY_NONE;
}

enum reply verb_other(struct session *s, const struct command *c)
{
  (void)s;
  (void)c;
  return REPLY_NOT_IMPLEMENTED;
}
