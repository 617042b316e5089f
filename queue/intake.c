/* intake.c - program heloise-intake: the only writer of new messages, and of the journal
 *
 * Runs as hlqueue with the queue directory; no network. Its clients (smtpd, local,
 * bounces, and through queue/drop every user of the host) are hostile. heloise-intake(8) */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/program.h"
#include "queue/clients.h"
#include "queue/commit.h"
#include "queue/dropbox.h"
#include "queue/receive.h"

static int queue_fd = -1;

static int take_dir(const char *name, int fd)
{
  if (strcmp(name, "queue") == 0)
    queue_fd = fd;
  return 0;
}

static void after_turn(void)
{
  commit_turn();
  clients_turn();
}

static int start(void)
{
  if (queue_fd < 0 || store_settle(queue_fd) != 0)
    program_die("queue directory", strerror(errno));
  store_sweep(queue_fd);
  if (dropbox_open(queue_fd) != 0)
    program_die("queue/drop", strerror(errno));
  if (confine_program("intake", &queue_fd, 1) != 0) /* threads inherit what holds now */
    return -1;
  if (receive_start(queue_fd) != 0)
    program_die("committing thread", strerror(errno));
  loop_after_turn(after_turn);
  dropbox_scan();
  log_started("intake", "takes new messages");
  return 0;
}

int main(int argc, char **argv)
{
  static const struct program p = {
    .name = "intake", .dir = take_dir, .channel = clients_channel, .start = start, .stop = clients_stop};

  return program_main(&p, argc, argv);
}
