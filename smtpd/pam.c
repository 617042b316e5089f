/* pam.c - heloise-pam: asks the system's PAM about passwords
 *
 * Root in a privileged instance, since modules read what only root may read; else the
 * instance's owner. Runs only while setting auth-backends names pam. heloise-auth asks it,
 * and nobody else; each question gets a process of its own, with a clock, because modules
 * wait as long as they please. */
#include "common/confine.h"
#include "common/program.h"
#include "smtpd/pam_children.h"

static int start(void)
{
  return confine_program("pam", NULL, 0);
}

static int take_channel(const char *peer, int fd)
{
  (void)peer;
  return pam_children_channel(fd);
}

int main(int argc, char **argv)
{
  static const struct program pam = {.name = "pam", .channel = take_channel, .start = start};

  return program_main(&pam, argc, argv);
}
