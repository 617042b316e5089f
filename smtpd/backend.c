/* backend.c - what can tell whether a login is who it says
 *
 * Runs in heloise-auth: user hlauth. */
#include "smtpd/backend.h"

#include <string.h>

#include "common/settings.h"

static const unsigned int at_best[BACKEND_COUNT] = {
#define X(name, word, can) can,
  BACKENDS(X)
#undef X
};

static const struct backend *const table[BACKEND_COUNT] = {
  [BACKEND_USERS] = &backend_users,
  [BACKEND_PAM] = &backend_pam,
  [BACKEND_DOVECOT] = &backend_dovecot,
};

/* the setting, read anew each time: it is a handful of words */
static size_t read_list(enum backend_name list[BACKEND_COUNT])
{
  size_t n;

  return settings.auth_backends &&
             backends_read(settings.auth_backends, strlen(settings.auth_backends), list, &n) == 0
           ? n
           : 0;
}

const struct backend *backend_at(size_t n)
{
  enum backend_name list[BACKEND_COUNT];

  size_t many = read_list(list);

  return n < many ? table[list[n]] : NULL;
}

int backend_is_used(enum backend_name b)
{
  const struct backend *at;

  for (size_t n = 0; (at = backend_at(n)); n++)
    if (at == table[b])
      return 1;
  return 0;
}

unsigned int backend_mechanisms(void)
{
  enum backend_name list[BACKEND_COUNT];
  unsigned int any = 0, all = MECHANISMS_ALL, wanted;
  size_t many = read_list(list);

  for (size_t n = 0; n < many; n++) {
    unsigned int can = table[list[n]]->mechanisms();
    if (can == 0)
      continue;
    any |= at_best[list[n]];
    all &= can;
  }
  if (mechanisms_read(settings.auth_mechanisms, strlen(settings.auth_mechanisms), &wanted) == 0 && wanted)
    return any & wanted;
  return any & all;
}
