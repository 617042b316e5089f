/* verb_other.c - RSET, NOOP, VRFY, QUIT, and the verbs we do not offer
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. RFC 5321 4.1.1.5 to 4.1.1.10. */
#include <string.h>
#include <strings.h>

#include "common/idna.h"
#include "common/settings.h"
#include "common/verbs.h"
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

/* whether the parameter SMTPUTF8 stands at the end, behind something else (RFC 6531 3.7.4.2) */
static int asks_utf8(const struct command *c)
{
  static const char word[] = "SMTPUTF8";
  size_t n = sizeof word - 1;
  const char *at = c->arg + c->arglen - n;

  return c->arglen > n && strncasecmp(at, word, n) == 0 && (at[-1] == ' ' || at[-1] == '\t');
}

/* says nothing about users: RCPT does, where it is counted */
enum reply verb_vrfy(struct session *s, const struct command *c)
{
  if (c->arglen == 0)
    return REPLY_VRFY_WHAT;
  s->argument = "SMTPUTF8";
  if (asks_utf8(c) && !verb_offers(s, VERB_SMTPUTF8))
    return REPLY_PARAMETER_UNKNOWN;
  if (idna_is_needed(c->arg, c->arglen) && verb_lacks_utf8(s, asks_utf8(c)))
    return REPLY_VRFY_UTF8;
  return REPLY_VRFY;
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
