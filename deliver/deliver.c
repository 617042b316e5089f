/* deliver.c - heloise-deliver: has one attempt made for each remote delivery
 *
 * Runs as hldeliver; sole writer of peer memory in state/peers. It has no way into the queue:
 * the manager hands it each message as a descriptor. It starts heloise-stem, from which attempts are
 * cloned, and nothing else. heloise-deliver(8). */
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/program.h"
#include "deliver/relay.h"
#include "deliver/spawn.h"
#include "deliver/stems.h"

static int state_fd = -1, libexec_fd = -1;

static int dir(const char *name, int fd)
{
  int *keep = strcmp(name, "state") == 0 ? &state_fd : strcmp(name, "libexec") == 0 ? &libexec_fd
                                                                                    : NULL;

  if (!keep)
    return close(fd);
  *keep = fd;
  if (keep != &state_fd)
    return 0;
  stems_state(fd);
  return relay_state(fd);
}

static int channel(const char *peer, int fd)
{
  if (strcmp(peer, "queue") == 0)
    return spawn_manager(fd);
  if (strcmp(peer, "resolve") == 0)
    return spawn_resolver(fd);
  return close(fd);
}

static int table(const struct table *t)
{
  (void)t;
  return spawn_table();
}

static int start(void)
{
  const int dirs[] = {state_fd, libexec_fd};
  size_t from = state_fd < 0, to = libexec_fd < 0 ? 1 : 2;

  if (confine_program("deliver", dirs + from, to > from ? to - from : 0) != 0)
    return -1;
  stems_begin();
  return 0;
}

int main(int argc, char **argv)
{
  static const struct program p = {.name = "deliver", .dir = dir, .channel = channel,
                                   .table = table, .start = start, .stop = spawn_stop};

  return program_main(&p, argc, argv);
}
