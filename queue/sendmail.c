/* sendmail.c - the traditional command; also mailq and newaliases
 *
 * Runs as its caller, installed setgid hldrop: all that group may do is put a file into
 * queue/drop. Everything is hostile: arguments, environment, descriptors, limits, input.
 * It needs no daemon and no tables. sendmail(8) */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/instance.h"
#include "common/verdict.h"
#include "queue/handin.h"

static int fail(int code, const char *why)
{
  fprintf(stderr, "sendmail: %s\n", why);
  return code;
}

/* descriptors 0 to 2 are open afterwards, so that no file of ours becomes one of them */
static int fill_descriptors(void)
{
  int fd;

  do
    fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= 2);
  return fd < 0 ? -1 : close(fd);
}

/* becomes the heloise command beside this one, without the group */
static int become_heloise(char *const argv[])
{
  static char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "heloise");
  char *slash;

  if (setresgid(getgid(), getgid(), getgid()) != 0 || n < 0)
    return fail(EXIT_OSERR, strerror(errno));
  path[n] = 0;
  slash = strrchr(path, '/');
  strcpy(slash ? slash + 1 : path, "heloise");
  execv(path, argv);
  return fail(EXIT_UNAVAILABLE, "the command heloise is not beside sendmail");
}

static int list(void)
{
  return become_heloise((char *[]){"heloise", "queue", "mailq", NULL});
}

static int rebuild(void)
{
  return become_heloise((char *[]){"heloise", "reload", NULL});
}

static int retry(void)
{
  return become_heloise((char *[]){"heloise", "queue", "retry", "all", NULL});
}

static int refuse(void)
{
  return fail(EXIT_UNAVAILABLE, "this mode is not available; mail comes in over SMTP through "
                                "heloise run, or with sendmail RECIPIENT");
}

static int (*const modes[])(void) = {
  [MODE_LIST] = list, [MODE_ALIASES] = rebuild, [MODE_RETRY] = retry, [MODE_UNKNOWN] = refuse};

int main(int argc, char **argv)
{
  struct arguments a;
  struct instance i;
  struct identity id;
  const char *why;

  (void)argc;
  if (fill_descriptors() != 0)
    return EXIT_OSERR;
  signal(SIGXFSZ, SIG_IGN); /* a write past the limit is an error, not the end */
  signal(SIGPIPE, SIG_IGN);
  umask(077);
  if (arguments_parse(&a, argv, &why) != 0)
    return fail(EXIT_USAGE, why);
  if (a.mode != MODE_SUBMIT)
    return modes[a.mode]();
  if (instance_find(&i, NULL) != 0 || identity_find(&id, &i, a.full_name) != 0)
    return fail(EXIT_TEMPFAIL, strerror(errno));
  return handin(0, &a, &id, i.queue);
}
