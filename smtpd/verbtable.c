/* verbtable.c - the verbs: which, in what order they are legal, who does them
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The command is hostile bytes; its
 * order is checked here and nowhere else. RFC 5321 4.1.4. */
#include "smtpd/verb.h"

#include <string.h>

#include "common/idna.h"
#include "common/settings.h"
#include "common/verbs.h"
#include "smtpd/verb_auth.h"

#define ANY (HAVE_NOTHING | HAVE_HELLO | HAVE_FROM | HAVE_RCPT | HAVE_CHUNK)

static const struct verb {
  const char *name;
  unsigned int order;  /* when it is legal */
  enum reply missing;  /* what to say when it is not */
  int has_argument;    /* may be followed by something */
  uint32_t bit;        /* common/verbs.h: refused when switched off for the client */
  enum reply (*run)(struct session *s, const struct command *c);
} verbs[] = {
  {"MAIL", HAVE_HELLO, REPLY_HELLO_FIRST, 1, 0, verb_mail},
  {"RCPT", HAVE_FROM | HAVE_RCPT, REPLY_MAIL_FIRST, 1, 0, verb_rcpt},
  {"DATA", HAVE_RCPT, REPLY_RCPT_FIRST, 0, 0, verb_data},
  {"BDAT", HAVE_RCPT | HAVE_CHUNK, REPLY_RCPT_FIRST, 1, VERB_CHUNKING, verb_bdat},
  {"EHLO", ANY, REPLY_NONE, 1, 0, verb_ehlo},
  {"LHLO", ANY, REPLY_NONE, 1, 0, verb_ehlo},
  {"HELO", ANY, REPLY_NONE, 1, 0, verb_helo},
  {"RSET", ANY, REPLY_NONE, 0, 0, verb_rset},
  {"QUIT", ANY, REPLY_NONE, 0, 0, verb_quit},
  {"NOOP", ANY, REPLY_NONE, 1, 0, verb_noop},
  {"VRFY", ANY, REPLY_NONE, 1, VERB_VRFY, verb_vrfy},
  {"HELP", ANY, REPLY_NONE, 1, VERB_HELP, verb_help},
  {"EXPN", ANY, REPLY_NONE, 1, 0, verb_other},
  {"STARTTLS", HAVE_NOTHING | HAVE_HELLO, REPLY_TLS_IN_MAIL, 0, VERB_STARTTLS, verb_starttls},
  {"XCLIENT", HAVE_NOTHING | HAVE_HELLO, REPLY_XCLIENT_IN_MAIL, 1, VERB_XCLIENT, verb_xclient},
  {"AUTH", HAVE_HELLO, REPLY_AUTH_IN_MAIL, 1, VERB_AUTH, verb_auth},
  {"ETRN", ANY, REPLY_NONE, 1, 0, verb_other},
  {"ATRN", ANY, REPLY_NONE, 1, 0, verb_other},
  {"TURN", ANY, REPLY_NONE, 1, 0, verb_other},
};

/* LMTP has a greeting of its own, and no other (RFC 2033 4.1) */
static int is_known(const struct session *s, const struct verb *v)
{
  int is_hello = v->run == verb_ehlo || v->run == verb_helo;

  return !is_hello || (v->name[0] == 'L') == (s->service->is_lmtp != 0);
}

static enum reply hello_first(struct session *s)
{
  s->argument = s->service->is_lmtp ? "LHLO" : "EHLO or HELO";
  return REPLY_HELLO_FIRST;
}

/* a command out of its order: what has to come first */
static enum reply misplaced(struct session *s, const struct verb *v)
{
  if (s->order == HAVE_NOTHING)
    return hello_first(s);
  if (s->order == HAVE_CHUNK)
    return REPLY_CHUNK_FIRST;
  if (v->run == verb_mail)
    return REPLY_MAIL_TWICE;
  if ((v->run == verb_data || v->run == verb_bdat) && !s->service->is_lmtp) /* LMTP: 503, RFC 2033 4.2 */
    return s->order == HAVE_FROM ? REPLY_NO_RCPT : REPLY_MAIL_FIRST;
  return v->missing;
}

static const struct verb *find(const struct command *c)
{
  for (const struct verb *v = verbs; v < verbs + sizeof verbs / sizeof *verbs; v++)
    if (command_is(c, v->name))
      return v;
  return NULL;
}

/* REPLY_NONE when the verb may run */
static enum reply objection(struct session *s, const struct verb *v, const struct command *c)
{
  if (!is_known(s, v)) {
    s->argument = s->service->is_lmtp ? "LMTP: say LHLO" : "SMTP: say EHLO";
    return REPLY_OTHER_DIALOGUE;
  }
  if (s->verbs_off & v->bit)
    return REPLY_NOT_IMPLEMENTED;
  if (!(s->order & v->order))
    return misplaced(s, v);
  return !v->has_argument && c->arglen > 0 ? REPLY_NO_ARGUMENT : REPLY_NONE;
}

enum reply verb_run(struct session *s, const struct command *c)
{
  const struct verb *v;
  enum reply r;

  if (c->verblen == 0)
    return REPLY_EMPTY;
  v = find(c);
  if (!v)
    return REPLY_UNKNOWN;
  s->argument = v->name;
  r = objection(s, v, c);
  if (r == REPLY_NONE)
    return v->run(s, c);
  return v->run == verb_bdat ? chunk_drop(s, c, r) : r;
}

/* whether a command of this kind would be taken now */
static int is_offered(struct session *s, const struct verb *v)
{
  return v->run != verb_other && is_known(s, v) && verb_offers(s, v->bit) && (s->order & v->order);
}

enum reply verb_help(struct session *s, const struct command *c)
{
  static char text[256]; /* all names are 80 bytes */

  (void)c;
  text[0] = 0;
  for (const struct verb *v = verbs; v < verbs + sizeof verbs / sizeof *verbs; v++)
    if (is_offered(s, v))
      strcat(strcat(text, *text ? " " : ""), v->name);
  s->argument = text;
  return REPLY_HELP;
}

int verb_no_memory(const char *why)
{
  return strcmp(why, "out of memory") == 0;
}

enum reply verb_unknown_parameter(struct session *s, const struct command_param *p)
{
  size_t n = p->keylen < sizeof s->number ? p->keylen : sizeof s->number - 1;

  memcpy(s->number, p->key, n);
  s->number[n] = 0;
  s->argument = s->number;
  return REPLY_PARAMETER_UNKNOWN;
}

int verb_offers(struct session *s, uint32_t bit)
{
  return !(s->verbs_off & bit) && (bit != VERB_STARTTLS || verb_can_starttls(s)) &&
         (bit != VERB_AUTH || auth_offered(s)) && (bit != VERB_XCLIENT || verb_can_xclient(s));
}

int verb_lacks_utf8(struct session *s, int is_asked)
{
  if (!verb_offers(s, VERB_SMTPUTF8))
    s->argument = "SMTPUTF8 is not offered here: use an ASCII local part and an xn-- domain";
  else
    s->argument = "say SMTPUTF8 behind the address of MAIL or VRFY";
  return !is_asked;
}

int verb_is_domain(const char *domain)
{
  char ascii[IDNA_MAX + 1];
  size_t len = strlen(domain);

  return !idna_is_needed(domain, len) || idna_ascii(domain, len, ascii) > 0;
}

const char *verb_own_domain(void)
{
  return *settings.domain ? settings.domain : settings.hostname;
}
