/* command.c - one command line of SMTP, taken apart. Pure.
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The line is hostile bytes.
 *
 *   esmtp-param   = esmtp-keyword [ "=" esmtp-value ]
 *   esmtp-keyword = ( ALPHA / DIGIT ) *( ALPHA / DIGIT / "-" )
 *   esmtp-value   = 1*( %d33-60 / %d62-126 / UTF8-non-ascii )      (RFC 6531 3.3)
 */
#include "smtpd/command.h"

#include <string.h>
#include <strings.h>

static int is_space(char c)
{
  return c == ' ' || c == '\t';
}

static void skip_spaces(const char **s, size_t *len)
{
  while (*len > 0 && is_space(**s)) {
    (*s)++;
    (*len)--;
  }
}

void command_parse(const char *line, size_t len, struct command *c)
{
  skip_spaces(&line, &len);
  c->verb = line;
  c->verblen = 0;
  while (c->verblen < len && !is_space(line[c->verblen]))
    c->verblen++;
  c->arg = line + c->verblen;
  c->arglen = len - c->verblen;
  skip_spaces(&c->arg, &c->arglen);
  while (c->arglen > 0 && is_space(c->arg[c->arglen - 1]))
    c->arglen--;
}

int command_is(const struct command *c, const char *verb)
{
  return strlen(verb) == c->verblen && strncasecmp(c->verb, verb, c->verblen) == 0;
}

int command_after(const struct command *c, const char *word, const char **rest, size_t *len)
{
  size_t n = strlen(word);

  if (c->arglen < n || strncasecmp(c->arg, word, n) != 0)
    return -1;
  *rest = c->arg + n;
  *len = c->arglen - n;
  skip_spaces(rest, len);
  if (*len == 0 || **rest != ':')
    return -1;
  (*rest)++;
  (*len)--;
  skip_spaces(rest, len);
  return 0;
}

static int is_key_char(char c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static int is_value_char(char c)
{
  return (c >= 33 && c <= 126 && c != '=') || (unsigned char)c >= 128;
}

int command_param(const char **s, size_t *len, struct command_param *p)
{
  size_t n = 0;

  skip_spaces(s, len);
  if (*len == 0)
    return 0;
  *p = (struct command_param){.key = *s, .value = ""};
  while (n < *len && is_key_char((*s)[n]))
    n++;
  if (n == 0 || (*s)[0] == '-')
    return -1;
  p->keylen = n;
  if (n < *len && (*s)[n] == '=') {
    p->has_value = 1;
    p->value = *s + ++n;
    while (n < *len && is_value_char((*s)[n]))
      n++;
    p->valuelen = (size_t)(*s + n - p->value);
    if (p->valuelen == 0)
      return -1;
  }
  if (n < *len && !is_space((*s)[n]))
    return -1;
  *s += n;
  *len -= n;
  return 1;
}

int command_param_is(const struct command_param *p, const char *key)
{
  return strlen(key) == p->keylen && strncasecmp(p->key, key, p->keylen) == 0;
}
