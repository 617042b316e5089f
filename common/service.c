/* service.c - the services of heloise-smtpd, as table `listen` names them. Pure. */
#include "common/service.h"

#include <string.h>

static const struct service rows[SERVICE_COUNT] = {
#define X(name, word, tls, login, completes, lmtp) {SERVICE_##name, word, tls, login, completes, lmtp},
  SERVICES(X)
#undef X
};

const struct service *service_find(const char *word, size_t len)
{
  for (size_t i = 0; i < SERVICE_COUNT; i++)
    if (strlen(rows[i].word) == len && memcmp(rows[i].word, word, len) == 0)
      return &rows[i];
  return NULL;
}

const char *service_prefix(const struct service *s)
{
  static const char *const prefixes[SERVICE_COUNT] = {
#define X(name, word, tls, login, completes, lmtp) word ":",
    SERVICES(X)
#undef X
  };

  return prefixes[s->number];
}

const struct service *service_row(enum service_number n)
{
  return &rows[n];
}
