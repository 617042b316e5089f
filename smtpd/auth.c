/* auth.c - heloise-auth: does a local user exist, and is a client who it says?
 *
 * Runs as hlauth; reads the user database, the compiled tables, and the table users, which
 * nobody else is handed. */
#include <string.h>

#include "common/confine.h"
#include "common/program.h"
#include "smtpd/authlink.h"
#include "smtpd/backend_pam.h"
#include "smtpd/backend_users.h"
#include "smtpd/dovecot.h"
#include "smtpd/scram.h"

static int is_serving;

static int take_table(const struct table *t)
{
  (void)t;
  if (is_serving)
    dovecot_settle();
  authlink_offer(); /* other settings, perhaps */
  return 0;
}

static int take_logins(int fd)
{
  if (backend_users_table(fd) != 0)
    return -1;
  authlink_offer();
  return 0;
}

static int take_channel(const char *peer, int fd)
{
  return strcmp(peer, "pam") == 0 ? backend_pam_channel(fd) : authlink_channel(peer, fd);
}

static int start(void)
{
  if (scram_library() != 0 || confine_program("auth", NULL, 0) != 0)
    return -1;
  is_serving = 1;
  dovecot_settle();
  return 0;
}

int main(int argc, char **argv)
{
  static const struct program auth = {.name = "auth", .table = take_table, .logins = take_logins,
                                      .channel = take_channel, .start = start};

  return program_main(&auth, argc, argv);
}
