/* identity.c - who calls sendmail(8), and what completes addresses
 *
 * Runs in sendmail, with its caller's user and group hldrop. */
#include "queue/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#include "common/settings.h"
#include "common/table.h"
#include "common/units.h"

#define NAME_LEN_MAX 253
#define FULL_NAME_MAX 200

static int set(stralloc *out, const char *s, size_t len)
{
  int ok = stralloc_copyb(out, s, len) && stralloc_0(out);

  errno = ENOMEM;
  return ok ? 0 : -1;
}

static size_t name_span(const char *s)
{
  return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
}

/* 1 when the instance's tables say; they may be absent or not readable for this user */
static int domain_of_tables(struct identity *id, const struct instance *i)
{
  int fd = instance_open_tables(i), found = 0;
  struct table *t = fd >= 0 ? table_open(fd) : NULL;
  const char *name, *bad;

  if (t && settings_load(t, &bad) == 0) {
    name = *settings.domain ? settings.domain : settings.hostname;
    id->size_limit = settings.message_size_limit;
    found = set(&id->domain, name, strlen(name)) == 0;
  }
  table_close(t);
  if (fd >= 0)
    close(fd);
  return found;
}

static int domain_of_mailname(struct identity *id)
{
  int fd = open("/etc/mailname", O_RDONLY | O_CLOEXEC);
  char buf[NAME_LEN_MAX + 2];
  ssize_t n = fd >= 0 ? read(fd, buf, sizeof buf - 1) : -1;
  size_t len;

  if (fd >= 0)
    close(fd);
  if (n <= 0)
    return 0;
  buf[n] = 0;
  len = name_span(buf);
  return len > 0 && len <= NAME_LEN_MAX && set(&id->domain, buf, len) == 0;
}

static int domain_of_host(struct identity *id)
{
  char buf[NAME_LEN_MAX + 1] = "";

  if (gethostname(buf, sizeof buf - 1) != 0 || buf[0] == 0 || buf[name_span(buf)] != 0)
    strcpy(buf, "localhost");
  return set(&id->domain, buf, strlen(buf));
}

static int set_address(struct identity *id, const struct passwd *pw)
{
  char uid[UNITS_DIGITS + 4] = "uid";

  units_digits(uid + 3, getuid());
  if (stralloc_copys(&id->address, pw ? pw->pw_name : uid) && stralloc_cats(&id->address, "@") &&
      stralloc_cats(&id->address, id->domain.s) && stralloc_0(&id->address))
    return 0;
  errno = ENOMEM;
  return -1;
}

/* the first field of GECOS; "&" stands for the user's name with a capital letter */
static int set_gecos(struct identity *id, const struct passwd *pw)
{
  const char *s = pw->pw_gecos ? pw->pw_gecos : "";
  size_t len = strcspn(s, ",");
  int ok = stralloc_copys(&id->full_name, "");

  for (size_t i = 0; i < len && i < FULL_NAME_MAX && ok; i++) {
    size_t at = id->full_name.len;
    if (s[i] != '&') {
      ok = stralloc_append(&id->full_name, s + i);
      continue;
    }
    ok = stralloc_cats(&id->full_name, pw->pw_name);
    if (ok && at < id->full_name.len && id->full_name.s[at] >= 'a' && id->full_name.s[at] <= 'z')
      id->full_name.s[at] -= 32;
  }
  errno = ENOMEM;
  return ok && stralloc_0(&id->full_name) ? 0 : -1;
}

int identity_find(struct identity *id, const struct instance *i, const char *full_name)
{
  const struct passwd *pw = getpwuid(getuid());

  memset(id, 0, sizeof *id);
  if (!domain_of_tables(id, i) && !domain_of_mailname(id) && domain_of_host(id) != 0)
    return -1;
  if (!full_name)
    full_name = getenv("NAME");
  if (full_name && set(&id->full_name, full_name, strnlen(full_name, FULL_NAME_MAX)) != 0)
    return -1;
  if (!full_name && pw && set_gecos(id, pw) != 0)
    return -1;
  if (!full_name && !pw && set(&id->full_name, "", 0) != 0)
    return -1;
  return set_address(id, pw);
}
