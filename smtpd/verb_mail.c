/* verb_mail.c - MAIL FROM: a transaction begins
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The argument is hostile bytes until
 * address_path() and the parameter readers took it. RFC 5321 4.1.1.2; RFC 1870 (SIZE),
 * RFC 6152 (BODY), RFC 3461 4.3, 4.4 (RET, ENVID), RFC 6531 3.4 (SMTPUTF8). */
#include <string.h>
#include <strings.h>

#include "common/address.h"
#include "common/settings.h"
#include "common/units.h"
#include "common/verbs.h"
#include "common/xtext.h"
#include "smtpd/decide.h"
#include "smtpd/sender.h"
#include "smtpd/verb.h"

#define ENVID_MAX 100 /* RFC 3461 4.4 */

static int value_is(const struct command_param *p, const char *word)
{
  return strlen(word) == p->valuelen && strncasecmp(p->value, word, p->valuelen) == 0;
}

static enum reply take_size(struct session *s, const struct command_param *p)
{
  uint64_t size;

  s->argument = "SIZE=number of bytes";
  if (p->valuelen > 20 || units_number(p->value, p->valuelen, &size) != 0)
    return REPLY_PARAMETER_VALUE;
  if (size <= settings.message_size_limit)
    return REPLY_NONE;
  session_argument(s, settings.message_size_limit);
  return REPLY_TOO_BIG;
}

static enum reply take_body(struct session *s, const struct command_param *p)
{
  s->argument = "BODY=7BIT or BODY=8BITMIME";
  s->mail.is_8bit = value_is(p, "8BITMIME");
  return s->mail.is_8bit || value_is(p, "7BIT") ? REPLY_NONE : REPLY_PARAMETER_VALUE;
}

static enum reply take_ret(struct session *s, const struct command_param *p)
{
  s->argument = "RET=FULL or RET=HDRS";
  s->mail.ret = value_is(p, "FULL") ? "FULL" : value_is(p, "HDRS") ? "HDRS" : "";
  return *s->mail.ret ? REPLY_NONE : REPLY_PARAMETER_VALUE;
}

static enum reply take_envid(struct session *s, const struct command_param *p)
{
  s->argument = "ENVID=xtext of printable text, at most 100 bytes";
  if (p->valuelen == 0 || p->valuelen > ENVID_MAX || !xtext_is_printable(p->value, p->valuelen))
    return REPLY_PARAMETER_VALUE;
  return stralloc_copyb(&s->mail.envid, p->value, p->valuelen) && stralloc_0(&s->mail.envid)
           ? REPLY_NONE
           : REPLY_NO_MEMORY;
}

static enum reply take_smtputf8(struct session *s, const struct command_param *p)
{
  s->argument = "SMTPUTF8 without a value";
  s->mail.is_utf8 = !p->has_value;
  return s->mail.is_utf8 ? REPLY_NONE : REPLY_PARAMETER_VALUE;
}

static const struct {
  const char *name;
  uint32_t verb; /* it belongs to this one; not taken when that is not offered */
  enum reply (*take)(struct session *s, const struct command_param *p);
} parameters[] = {
  {"SIZE", VERB_SIZE, take_size},
  {"BODY", VERB_8BITMIME, take_body},
  {"RET", VERB_DSN, take_ret},
  {"ENVID", VERB_DSN, take_envid},
  {"SMTPUTF8", VERB_SMTPUTF8, take_smtputf8},
};

#define PARAMETERS (sizeof parameters / sizeof *parameters)

static enum reply take_parameter(struct session *s, const struct command_param *p,
                                 unsigned int *seen)
{
  for (size_t i = 0; i < PARAMETERS; i++) {
    if (!command_param_is(p, parameters[i].name) || (s->verbs_off & parameters[i].verb))
      continue;
    s->argument = parameters[i].name;
    if (*seen & 1U << i)
      return REPLY_PARAMETER_TWICE;
    *seen |= 1U << i;
    return parameters[i].take(s, p);
  }
  return verb_unknown_parameter(s, p);
}

static enum reply take_parameters(struct session *s, const char *rest, size_t len)
{
  struct command_param p;
  unsigned int seen = 0;
  int more;

  while ((more = command_param(&rest, &len, &p)) > 0) {
    enum reply r = take_parameter(s, &p, &seen);
    if (r != REPLY_NONE)
      return r;
  }
  return more == 0 ? REPLY_NONE : REPLY_PARAMETER_SYNTAX;
}

static int complete(struct address *a)
{
  return stralloc_cats(&a->text, "@") && stralloc_cats(&a->text, verb_own_domain()) &&
         stralloc_0(&a->text) && (a->text.len--, 1);
}

/* who may send here, and as whom */
static enum reply check_login(struct session *s, const char *sender)
{
  s->decided = "service";
  if (s->login.len == 0)
    return s->service->needs_login && !s->mail.is_relay ? REPLY_LOGIN_FIRST : REPLY_NONE;
  s->decided = "senders";
  if (!settings.sender_check || sender_is_allowed(s->world->table(), s->login.s, sender, verb_own_domain()))
    return REPLY_NONE;
  s->argument = s->login.s;
  return REPLY_NOT_YOUR_SENDER;
}

static enum reply take_sender(struct session *s, struct address *a)
{
  enum reply r;

  if (a->is_utf8 && verb_lacks_utf8(s, s->mail.is_utf8))
    return REPLY_SENDER_UTF8;
  s->argument = "the domain is no international name";
  if (!verb_is_domain(a->domain))
    return REPLY_SENDER_BAD;
  r = decide_mail(s, a->text.s);
  if (r != REPLY_NONE)
    return r;
  if (a->text.len > 0 && !*a->domain) {
    if (!s->mail.is_relay)
      return REPLY_SENDER_NO_DOMAIN;
    if (!complete(a))
      return REPLY_NO_MEMORY;
  }
  r = check_login(s, a->text.s);
  if (r != REPLY_NONE)
    return r;
  return stralloc_copyb(&s->mail.from, a->text.s, a->text.len + 1) ? REPLY_NONE : REPLY_NO_MEMORY;
}

static enum reply take(struct session *s, const struct command *c, struct address *a)
{
  const char *path, *why;
  size_t len, used;
  enum reply r;

  if (command_after(c, "FROM", &path, &len) != 0)
    return REPLY_MAIL_SYNTAX;
  if (address_path(path, len, 1, a, &used, &why) != 0) {
    s->argument = why;
    return verb_no_memory(why) ? REPLY_NO_MEMORY : REPLY_SENDER_BAD;
  }
  if (used < len && path[used] != ' ' && path[used] != '\t')
    return REPLY_PARAMETER_SYNTAX;
  r = take_parameters(s, path + used, len - used);
  return r == REPLY_NONE ? take_sender(s, a) : r;
}

enum reply verb_mail(struct session *s, const struct command *c)
{
  struct address a = {0};
  enum reply r;

  if (s->messages >= settings.session_message_limit)
    return REPLY_TOO_MANY_MESSAGES;
  session_reset(s);
  r = take(s, c, &a);
  stralloc_free(&a.text);
  if (r != REPLY_NONE) {
    session_reset(s);
    return r;
  }
  s->order = HAVE_FROM;
  return REPLY_SENDER_OK;
}
