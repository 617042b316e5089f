/* verb_xclient.c - XCLIENT: a filter or proxy in front of us says in whose name it speaks
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. Only hosts of setting xclient-networks may,
 * by the address they came from. As Postfix has it (its XCLIENT_README):
 *
 *   XCLIENT 1*( SP ( NAME / ADDR / PORT / PROTO / HELO / LOGIN / DESTADDR / DESTPORT ) "=" xtext )
 *
 * A value may be [UNAVAILABLE] or [TEMPUNAVAIL]. The session begins anew: with the banner, for the
 * client that was named. HELO and PROTO are looked at, and left to the EHLO that follows. */
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/settings.h"
#include "common/units.h"
#include "common/xtext.h"
#include "smtpd/verb.h"

#define VALUE_MAX 255

/* what was said; texts are NUL-terminated */
struct claim {
  struct ip ip;
  uint16_t port;
  int has_ip, has_port;
  stralloc name, login; /* bound: VALUE_MAX */
  int has_login;
};

static int is_text(const stralloc *v, const char *text)
{
  return v->len == strlen(text) && strncasecmp(v->s, text, v->len) == 0;
}

static int is_unavailable(const stralloc *v)
{
  return is_text(v, "[UNAVAILABLE]") || is_text(v, "[TEMPUNAVAIL]");
}

static int is_printable(const stralloc *v)
{
  for (size_t i = 0; i < v->len; i++)
    if (v->s[i] < 33 || v->s[i] > 126)
      return 0;
  return 1;
}

/* an address that is not known is nobody's: it must not have the rights of the host that speaks */
static int take_addr(struct claim *c, const stralloc *v)
{
  const size_t prefix = v->len > 5 && strncasecmp(v->s, "IPV6:", 5) == 0 ? 5 : 0;

  c->has_ip = 1;
  c->ip = (struct ip){.family = 4};
  return is_unavailable(v) || ip_parse(v->s + prefix, v->len - prefix, &c->ip) == 0 ? 0 : -1;
}

static int take_port(struct claim *c, const stralloc *v)
{
  uint64_t n = 0;

  if (!is_unavailable(v) && (units_number(v->s, v->len, &n) != 0 || n > 65535))
    return -1;
  c->has_port = 1;
  c->port = (uint16_t)n;
  return 0;
}

static int keep(stralloc *to, const stralloc *v)
{
  if (is_unavailable(v))
    return stralloc_copys(to, "") ? 0 : -1;
  return is_printable(v) && stralloc_copy(to, v) && stralloc_0(to) ? 0 : -1;
}

static int take_name(struct claim *c, const stralloc *v)
{
  return keep(&c->name, v);
}

static int take_login(struct claim *c, const stralloc *v)
{
  c->has_login = 1;
  return keep(&c->login, v);
}

static int take_proto(struct claim *c, const stralloc *v)
{
  (void)c;
  return is_unavailable(v) || is_text(v, "SMTP") || is_text(v, "ESMTP") ? 0 : -1;
}

static int take_any(struct claim *c, const stralloc *v)
{
  (void)c;
  return is_unavailable(v) || is_printable(v) ? 0 : -1;
}

static const struct {
  const char *name;
  int (*take)(struct claim *c, const stralloc *value);
} attributes[] = {
  {"NAME", take_name},   {"ADDR", take_addr}, {"PORT", take_port},    {"PROTO", take_proto},
  {"HELO", take_any},    {"LOGIN", take_login}, {"DESTADDR", take_any}, {"DESTPORT", take_any},
};

/* one "NAME=xtext": 0, or -1 */
static int take_attribute(struct claim *c, const char *s, size_t len)
{
  const char *is = memchr(s, '=', len);
  size_t n = is ? (size_t)(is - s) : 0;
  stralloc value = {0};
  int r = -1;

  if (!is || xtext_decode(is + 1, len - n - 1, &value) != 0 || value.len == 0 || value.len > VALUE_MAX)
    goto done;
  for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
    if (strlen(attributes[i].name) == n && strncasecmp(s, attributes[i].name, n) == 0)
      r = attributes[i].take(c, &value);
done:
  stralloc_free(&value);
  return r;
}

static int take_all(struct claim *c, const char *s, size_t len)
{
  size_t at = 0;

  while (at < len) {
    size_t n = 0;
    while (at + n < len && s[at + n] != ' ' && s[at + n] != '\t')
      n++;
    if (n > 0 && take_attribute(c, s + at, n) != 0)
      return -1;
    at += n + 1;
  }
  return 0;
}

int verb_can_xclient(const struct session *s)
{
  return s->may_xclient;
}

enum reply verb_xclient(struct session *s, const struct command *c)
{
  struct claim claim = {0};
  char by[IP_PORT_TEXT];
  enum reply r = REPLY_NONE;

  if (!verb_can_xclient(s))
    return REPLY_NOT_IMPLEMENTED;
  if (c->arglen == 0 || take_all(&claim, c->arg, c->arglen) != 0) {
    r = REPLY_XCLIENT_SYNTAX;
  } else {
    memcpy(by, s->client, sizeof by);
    session_rename(s, claim.has_ip ? &claim.ip : &s->ip, claim.has_port ? claim.port : 0,
                   claim.has_login && claim.login.len > 0 ? claim.login.s : NULL);
    log_renamed(s->client, by, claim.name.len > 0 ? claim.name.s : NULL,
                s->login.len > 0 ? s->login.s : NULL);
  }
  stralloc_free(&claim.name);
  stralloc_free(&claim.login);
  return r;
}
