/* smtpd.c - heloise-smtpd: takes mail by SMTP
 *
 * User hlsmtpd; opens no file, sees no other message, runs nothing. Listening sockets,
 * tables, and the channels to heloise-intake and heloise-auth come from `heloise run`. */
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/program.h"
#include "common/settings.h"
#include "smtpd/asklink.h"
#include "smtpd/census.h"
#include "smtpd/clientdns.h"
#include "smtpd/connection.h"
#include "smtpd/handoff.h"
#include "smtpd/limits.h"
#include "smtpd/listener.h"
#include "smtpd/tls_names.h"
#include "smtpd/tls_server.h"
#include "smtpd/tls_tickets.h"
#include "smtpd/userslink.h"

#define FINISH_MS 2000 /* for messages under way when we are asked to stop */

static int take_dir(const char *name, int fd)
{
  if (strncmp(name, "census", 6) == 0)
    return census_join(name, fd);
  return strncmp(name, "limits", 6) == 0 ? limits_join(name, fd) : close(fd);
}

static int take_listener(const char *addr, const char *service, int fd)
{
  return listener_add(addr, service, fd);
}

static int take_channel(const char *peer, int fd)
{
  if (strcmp(peer, "intake") == 0)
    return handoff_channel(fd);
  if (strcmp(peer, "auth") == 0)
    return userslink_channel(fd);
  if (strcmp(peer, "resolve") == 0)
    return asklink_channel(fd);
  return close(fd);
}

static int take_certificates(int fd)
{
  if (tls_names_load(fd) != 0)
    log_warning("smtpd", "there is no certificate: STARTTLS is not offered");
  return 0;
}

static int take_ticket_key(const char *service, const char *key)
{
  return tls_tickets_add(service, key);
}

static int take_table(const struct table *t)
{
  listener_prune(t);
  return clientdns_tables(t);
}

static int start(void)
{
  const char *why;

  if (tls_server_prepare(&why) != 0)
    log_failed("smtpd", "TLS", why);
  confine_descriptors((unsigned long)settings.session_limit + 64);
  if (confine_program("smtpd", NULL, 0) != 0)
    return -1;
  return listener_start();
}

static void on_time_up(struct loop_timer *t)
{
  (void)t;
  program_done();
}

static void stop(void)
{
  static struct loop_timer timer = {.fire = on_time_up};

  listener_stop_all();
  if (loop_timer_in(&timer, FINISH_MS) != 0)
    program_done();
  connection_stop_all(program_done);
}

int main(int argc, char **argv)
{
  static const struct program smtpd = {
    .name = "smtpd", .dir = take_dir, .listen = take_listener, .channel = take_channel, .table = take_table,
    .certificates = take_certificates, .ticket_key = take_ticket_key, .start = start, .stop = stop,
  };

  return program_main(&smtpd, argc, argv);
}
