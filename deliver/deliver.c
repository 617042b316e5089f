/* deliver.c - heloise-deliver: forks one attempt for each remote delivery
 *
 * Runs as hldeliver; sole writer of peer memory in state/peers. It has no way into the queue:
 * the manager hands it each message as a descriptor. heloise-deliver(8). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "common/tls.h"
#include "deliver/spawn.h"

static int dir(const char *name, int fd)
{
  int r = strcmp(name, "state") == 0 ? spawn_state(fd) : 0;

  close(fd);
  return r;
}

static int channel(const char *peer, int fd)
{
  if (strcmp(peer, "queue") == 0)
    return spawn_manager(fd);
  if (strcmp(peer, "resolve") == 0)
    return spawn_resolver(fd);
  return close(fd);
}

/* TLS first: it reads files */
static int start(void)
{
  const char *why = "";

  if (tls_client_prepare(&why) != 0)
    log_failed("deliver", "TLS, going on without", why);
  return confine_program("deliver", NULL, 0) == 0 ? confine_attempt_prepare() : -1;
}

int main(int argc, char **argv)
{
  static const struct program p = {.name = "deliver", .dir = dir, .channel = channel,
                                   .table = spawn_table, .start = start, .stop = spawn_stop};

  return program_main(&p, argc, argv);
}
