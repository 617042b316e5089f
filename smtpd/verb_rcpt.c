/* verb_rcpt.c - RCPT TO: accept or refuse one recipient
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The argument is hostile bytes until
 * address_path() and the parameter readers took it. Local users are heloise-auth's to know.
 * RFC 5321 4.1.1.3; RFC 3461 4.1, 4.2 (NOTIFY, ORCPT); RFC 6531, RFC 6533 3 (UTF-8). */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/address.h"
#include "common/settings.h"
#include "common/verbs.h"
#include "common/xtext.h"
#include "smtpd/decide.h"
#include "smtpd/verb.h"

/* a recipient being judged */
struct rcpt {
  struct address address;
  char notify[32]; /* "", "NEVER", or the list in upper case and one order */
  stralloc orcpt; /* empty: not given. Bound: XTEXT_ORCPT_ROOM */
};

/* ---- parameters */

static const char *const notify_words[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY"};

static int notify_word(const char *s, size_t len)
{
  for (int i = 0; i < 4; i++)
    if (strlen(notify_words[i]) == len && strncasecmp(s, notify_words[i], len) == 0)
      return i;
  return -1;
}

/* notify = "NEVER" / 1#( "SUCCESS" / "FAILURE" / "DELAY" ) */
static int read_notify(const char *s, size_t len, char out[32])
{
  unsigned int set = 0;

  for (;;) {
    const char *comma = memchr(s, ',', len);
    size_t n = comma ? (size_t)(comma - s) : len;
    int word = notify_word(s, n);
    if (word < 0)
      return -1;
    set |= 1U << word;
    if (!comma)
      break;
    s += n + 1;
    len -= n + 1;
  }
  if ((set & 1) && set != 1)
    return -1;
  out[0] = 0;
  for (int i = 0; i < 4; i++)
    if (set & 1U << i) {
      if (out[0])
        strcat(out, ",");
      strcat(out, notify_words[i]); /* all of them are 21 bytes */
    }
  return 0;
}

/* bytes of the addr-type, an atom, that ORCPT's value begins with; 0: none, or nothing follows */
static size_t orcpt_type(const char *s, size_t len)
{
  const char *semicolon = memchr(s, ';', len);
  size_t type = semicolon ? (size_t)(semicolon - s) : 0;

  if (len > XTEXT_ORCPT_MAX || type + 1 == len)
    return 0;
  for (size_t i = 0; i < type; i++)
    if (s[i] <= 32 || s[i] >= 127 || strchr("()<>@,:\\\".[]", s[i]))
      return 0;
  return type;
}

/* orcpt = addr-type ";" xtext; with type utf-8 what RFC 6533 3 says, kept in its 7-bit form */
static enum reply read_orcpt(const struct session *s, const struct command_param *p, stralloc *out)
{
  size_t type = orcpt_type(p->value, p->valuelen), n = p->valuelen - type - 1;
  const char *text = p->value + type + 1;

  if (type == 0)
    return REPLY_PARAMETER_VALUE;
  if (!stralloc_copyb(out, p->value, type + 1))
    return REPLY_NO_MEMORY;
  if (type == 5 && strncasecmp(p->value, "utf-8", 5) == 0) {
    if (xtext_utf8(out, text, n, s->mail.is_utf8) != 0)
      return errno == ENOMEM ? REPLY_NO_MEMORY : REPLY_PARAMETER_VALUE;
  } else {
    if (!xtext_is_printable(text, n))
      return REPLY_PARAMETER_VALUE;
    if (!stralloc_catb(out, text, n))
      return REPLY_NO_MEMORY;
  }
  return REPLY_NONE;
}

static enum reply take_parameter(struct session *s, const struct command_param *p, struct rcpt *r)
{
  if (s->verbs_off & VERB_DSN)
    return verb_unknown_parameter(s, p);
  if (command_param_is(p, "NOTIFY")) {
    s->argument = "NOTIFY";
    if (r->notify[0])
      return REPLY_PARAMETER_TWICE;
    s->argument = "NOTIFY=NEVER, or SUCCESS, FAILURE and DELAY with commas between";
    return read_notify(p->value, p->valuelen, r->notify) == 0 ? REPLY_NONE : REPLY_PARAMETER_VALUE;
  }
  if (command_param_is(p, "ORCPT")) {
    s->argument = "ORCPT";
    if (r->orcpt.len > 0)
      return REPLY_PARAMETER_TWICE;
    s->argument = "ORCPT=type;xtext of printable text, at most 500 bytes";
    return read_orcpt(s, p, &r->orcpt);
  }
  return verb_unknown_parameter(s, p);
}

static enum reply take_parameters(struct session *s, const char *rest, size_t len, struct rcpt *r)
{
  struct command_param p;
  int more;

  while ((more = command_param(&rest, &len, &p)) > 0) {
    enum reply reply = take_parameter(s, &p, r);
    if (reply != REPLY_NONE)
      return reply;
  }
  return more == 0 ? REPLY_NONE : REPLY_PARAMETER_SYNTAX;
}

/* ---- may it pass? */

/* more than a hundred with the longest parameters (RFC 5321 4.5.3.1.8); who may relay has only
 * recipient-limit */
#define RCPTS_MAX 524288

static enum reply add(struct session *s)
{
  if (!s->mail.is_relay && s->mail.rcpts.len + s->asked.len > RCPTS_MAX)
    return REPLY_TOO_MANY_RCPTS;
  if (!stralloc_catb(&s->mail.rcpts, s->asked.s, s->asked.len))
    return REPLY_NO_MEMORY;
  s->mail.nrcpt++;
  s->order = HAVE_RCPT;
  return REPLY_RCPT_OK;
}

enum reply verb_rcpt_known(struct session *s, enum verdict v)
{
  return v == V_OK ? add(s) : v == V_PERM ? REPLY_NO_SUCH_USER : REPLY_USER_UNSURE;
}

/* address NUL notify NUL orcpt NUL, where it waits for its answer */
static int keep(struct session *s, const struct rcpt *r)
{
  return stralloc_copyb(&s->asked, r->address.text.s, r->address.text.len + 1) &&
         stralloc_catb(&s->asked, r->notify, strlen(r->notify) + 1) &&
         stralloc_catb(&s->asked, r->orcpt.s, r->orcpt.len) && stralloc_0(&s->asked);
}

static enum reply ask(struct session *s)
{
  s->doing = ASKED;
  if (s->world->ask(s, s->asked.s) == 0)
    return REPLY_NONE;
  s->doing = COMMAND;
  return REPLY_USER_UNSURE;
}

/* an address without a domain: postmaster is ours always, others get our domain when the
 * client is one of us */
static enum reply complete(struct session *s, struct address *a, int *is_postmaster)
{
  *is_postmaster = strcasecmp(a->text.s, "postmaster") == 0;
  if (!*is_postmaster && !s->mail.is_relay)
    return REPLY_RCPT_NO_DOMAIN;
  if (!stralloc_cats(&a->text, "@") ||
      !stralloc_cats(&a->text, *is_postmaster ? settings.hostname : verb_own_domain()) ||
      !stralloc_0(&a->text))
    return REPLY_NO_MEMORY;
  a->text.len--;
  a->domain = a->text.s + a->local_len + 1;
  return REPLY_NONE;
}

/* taken, and given to nobody */
static enum reply drop(struct session *s)
{
  s->mail.ndropped++;
  s->order = HAVE_RCPT;
  return REPLY_RCPT_OK;
}

static enum reply pass(struct session *s, struct rcpt *r)
{
  enum judge_way way;
  int is_postmaster = 0;
  enum reply reply = REPLY_NONE;

  if (!*r->address.domain)
    reply = complete(s, &r->address, &is_postmaster);
  if (reply != REPLY_NONE)
    return reply;
  if (!keep(s, r))
    return REPLY_NO_MEMORY;
  reply = decide_rcpt(s, r->address.text.s, r->address.domain, is_postmaster, &way);
  if (reply != REPLY_NONE)
    return reply;
  return way == JUDGE_ASK ? ask(s) : way == JUDGE_DROP ? drop(s) : add(s);
}

static enum reply take(struct session *s, const struct command *c, struct rcpt *r)
{
  const char *path, *why;
  size_t len, used;
  enum reply reply;

  if (command_after(c, "TO", &path, &len) != 0)
    return REPLY_RCPT_SYNTAX;
  if (address_path(path, len, 0, &r->address, &used, &why) != 0) {
    s->argument = why;
    return verb_no_memory(why) ? REPLY_NO_MEMORY : REPLY_RCPT_BAD;
  }
  if (used < len && path[used] != ' ' && path[used] != '\t')
    return REPLY_PARAMETER_SYNTAX;
  if (r->address.is_utf8 && verb_lacks_utf8(s, s->mail.is_utf8))
    return REPLY_RCPT_UTF8;
  s->argument = "the domain is no international name";
  if (!verb_is_domain(r->address.domain))
    return REPLY_RCPT_BAD;
  reply = take_parameters(s, path + used, len - used, r);
  return reply == REPLY_NONE ? pass(s, r) : reply;
}

enum reply verb_rcpt(struct session *s, const struct command *c)
{
  struct rcpt r = {0};
  enum reply reply;

  if (s->mail.nrcpt + s->mail.ndropped >= settings.recipient_limit)
    return REPLY_TOO_MANY_RCPTS;
  reply = take(s, c, &r);
  stralloc_free(&r.address.text);
  stralloc_free(&r.orcpt);
  return reply;
}
