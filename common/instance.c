/* instance.c - where an instance keeps its things, and who owns it */
#include "common/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

static char *absolute(const char *dir)
{
  char *cwd, *path = NULL;

  if (dir[0] == '/')
    return strdup(dir);
  cwd = getcwd(NULL, 0);
  if (cwd && asprintf(&path, "%s/%s", cwd, dir) < 0)
    path = NULL;
  free(cwd);
  return path;
}

static char *under(const char *dir, const char *name)
{
  char *path;

  return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

int instance_find(struct instance *i, const char *dir)
{
  memset(i, 0, sizeof *i);
  if (!dir && !getauxval(AT_SECURE))
    dir = getenv("HELOISE_DIR");
  if (dir && *dir) {
    i->dir = absolute(dir);
    if (!i->dir)
      return -1;
    i->control = under(i->dir, "control");
    i->queue = under(i->dir, "queue");
    i->state = under(i->dir, "state");
    i->run = under(i->dir, "run");
    i->mail = under(i->dir, "mail");
  } else {
    i->control = strdup("/etc/heloise");
    i->queue = strdup("/var/spool/heloise");
    i->state = strdup("/var/lib/heloise");
    i->run = strdup("/run/heloise");
    i->mail = strdup("/var/lib/heloise/mail");
  }
  return i->control && i->queue && i->state && i->run && i->mail ? 0 : -1;
}

static int open_under(const char *dir, const char *name)
{
  char *path = under(dir, name);
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

  free(path);
  return fd;
}

int instance_open_tables(const struct instance *i)
{
  return open_under(i->control, INSTANCE_TABLES);
}

int instance_open_logins(const struct instance *i)
{
  return open_under(i->control, INSTANCE_LOGINS);
}

const char *instance_libexec(void)
{
  static char path[PATH_MAX];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "libexec");

  if (n < 0)
    return NULL;
  path[n] = 0;
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(path, '/');
    if (!slash) {
      errno = ENOENT;
      return NULL;
    }
    *slash = 0;
  }
  strcat(path, "/libexec");
  return path;
}
