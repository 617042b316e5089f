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

/* letters, digits and .-_, not beginning with a dot */
static int is_file_name(const char *s, size_t len)
{
  if (len == 0 || len > SERVICE_SOCKET_MAX || s[0] == '.')
    return 0;
  for (size_t i = 0; i < len; i++)
    if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
          (s[i] >= '0' && s[i] <= '9') || s[i] == '.' || s[i] == '-' || s[i] == '_'))
      return 0;
  return 1;
}

const char *service_socket(const char *key, size_t len)
{
  static const char *const ours[] = {"control", "lock", "status"};
  const size_t prefix = strlen(SERVICE_SOCKET);

  if (len <= prefix || memcmp(key, SERVICE_SOCKET, prefix) != 0 ||
      !is_file_name(key + prefix, len - prefix))
    return NULL;
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (strlen(ours[i]) == len - prefix && memcmp(key + prefix, ours[i], len - prefix) == 0)
      return NULL;
  return key + prefix;
}
