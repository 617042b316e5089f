/* intake.c - program heloise-intake: the only writer of new messages
 *
 * Runs as hlqueue with the queue directory; no network. Its clients (smtpd, local,
 * bounces, and through queue/drop every user of the host) are hostile. heloise-intake(8) */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "queue/clients.h"
#include "queue/dropbox.h"
#include "queue/receive.h"
#include "queue/survey.h"

static int queue_fd = -1;

static int take_dir(const char *name, int fd)
{
  if (strcmp(name, "queue") == 0)
    queue_fd = fd;
  return 0;
}

static int start(void)
{
  if (queue_fd < 0 || survey_tidy(queue_fd) != 0)
    program_die("queue directory", strerror(errno));
  store_sweep(queue_fd);
  if (dropbox_open(queue_fd) != 0)
    program_die("queue/drop", strerror(errno));
  if (confine_program("intake", &queue_fd, 1) != 0) /* threads inherit what holds now */
    return -1;
  if (receive_start(queue_fd) != 0)
    program_die("committing thread", strerror(errno));
  dropbox_scan();
  log_started("intake", "takes new messages");
  return 0;
}

int main(int argc, char **argv)
{
  static const struct program p = {
    .name = "intake", .dir = take_dir, .channel = clients_channel, .start = start};

  return program_main(&p, argc, argv);
}
