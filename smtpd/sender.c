/* sender.c - may this login send as this sender? Table senders
 *
 * Runs in heloise-smtpd. The sender is the client's, parsed; the login was proved. The most
 * specific line decides: the address, its @domain, then *. */
#include "smtpd/sender.h"

#include <string.h>
#include <strings.h>

#include "common/address.h"

/* whether a list of logins names this one, or all */
static int names(const struct table_value *v, const char *login)
{
  const char *s = v->s, *end = v->s + v->len;

  while (s < end) {
    size_t n = strcspn(s, " \t");
    if ((n == 1 && *s == '*') || (n == strlen(login) && strncasecmp(s, login, n) == 0))
      return 1;
    s += n + (s + n < end);
  }
  return 0;
}

static int is_own(const char *login, const char *address, const char *at, const char *domain)
{
  size_t local = (size_t)(at - address);

  if (strchr(login, '@'))
    return strcmp(login, address) == 0;
  return strlen(login) == local && memcmp(login, address, local) == 0 && strcasecmp(at + 1, domain) == 0;
}

int sender_is_allowed(const struct table *t, const char *login, const char *sender, const char *domain)
{
  char lower[ADDRESS_MAX + 1];
  size_t len = strnlen(sender, ADDRESS_MAX);
  const char *at;
  struct table_value v;

  for (size_t i = 0; i < len; i++)
    lower[i] = sender[i] >= 'A' && sender[i] <= 'Z' ? (char)(sender[i] + 32) : sender[i];
  lower[len] = 0;
  at = strrchr(lower, '@');
  if (len == 0 || !at || !table_has_lines(t, "senders"))
    return 1;
  if (table_get(t, "senders", lower, len, &v) || table_get(t, "senders", at, strlen(at), &v))
    return names(&v, login);
  if (is_own(login, lower, at, domain))
    return 1;
  return table_get(t, "senders", "*", 1, &v) && names(&v, login);
}
