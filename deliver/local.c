/* local.c - heloise-local: delivers to mailboxes on this host
 *
 * Runs as root in a privileged instance, because its children become the recipients; in
 * an ordinary user's instance as that user. Nothing comes from the network. */
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/program.h"
#include "deliver/forward.h"
#include "deliver/localspawn.h"

static int take_dir(const char *name, int fd)
{
  if (strcmp(name, "mail") == 0)
    localspawn_mail(fd);
  else
    close(fd);
  return 0;
}

static int take_channel(const char *peer, int fd)
{
  return strcmp(peer, "intake") == 0 ? forward_channel(fd) : localspawn_manager(fd);
}

static int start(void)
{
  if (localspawn_start() != 0)
    return -1;
  return confine_program("local", NULL, 0);
}

static void stop(void)
{
  localspawn_stop(1200);
}

int main(int argc, char **argv)
{
  static const struct program local = {
    .name = "local", .dir = take_dir, .channel = take_channel, .start = start, .stop = stop};

  return program_main(&local, argc, argv);
}
