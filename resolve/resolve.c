/* resolve.c - heloise-resolve: DNS for the attempts, and about clients for heloise-smtpd
 *
 * Runs as hlresolve; may do DNS, and read its configuration. The answers of name servers
 * are hostile bytes for libunbound to parse. Questions come from attempts, which may have
 * been taken over: each has a channel of its own and a bound on what is under way. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/confine.h"
#include "common/log.h"
#include "common/program.h"
#include "common/settings.h"
#include "resolve/askers.h"
#include "resolve/trust.h"

static const char *const anchors[] = {"/usr/share/dns/root.key", "/var/lib/unbound/root.key",
                                      "/etc/unbound/root.key"};

static int has_started;

static const char *find_anchor(void)
{
  static int has_warned;

  for (size_t i = 0; i < sizeof anchors / sizeof *anchors; i++)
    if (access(anchors[i], R_OK) == 0)
      return anchors[i];
  if (!has_warned)
    log_warning("resolve", "DNSSEC: no trust anchor is installed (package dns-root-data); "
                           "answers count as insecure");
  has_warned = 1;
  return NULL;
}

static int use_settings(void)
{
  const char *why;

  if (trust_begin(settings.dns_servers, settings.dnssec ? find_anchor() : NULL, &why) != 0)
    program_die("name servers", why);
  return 0;
}

/* new tables: new servers for new questions. The first ones wait for start(), because
 * libunbound makes a thread, which must be confined as well. */
static int take_table(const struct table *t)
{
  (void)t;
  return has_started ? use_settings() : 0;
}

/* peer names, kept for complaints: there are as many as processes of heloise-smtpd */
static const char *kept(const char *peer)
{
  static char names[32][32];

  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!names[i][0])
      snprintf(names[i], sizeof names[i], "%s", peer);
    if (strcmp(names[i], peer) == 0)
      return names[i];
  }
  return "smtpd";
}

static int take_channel(const char *peer, int fd)
{
  return strncmp(peer, "smtpd", 5) == 0 ? askers_program(kept(peer), fd) : askers_spawner(fd);
}

static int start(void)
{
  if (confine_program("resolve", NULL, 0) != 0)
    return -1;
  has_started = 1;
  return use_settings();
}

int main(int argc, char **argv)
{
  static const struct program resolve = {
    .name = "resolve", .channel = take_channel, .table = take_table, .start = start};

  return program_main(&resolve, argc, argv);
}
