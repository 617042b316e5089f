/* resolve.c - heloise-resolve: DNS for the attempts
 *
 * Runs as hlresolve; may do DNS, and read its configuration. The answers of name servers
 * are hostile bytes for libunbound to parse. Questions come from attempts, which may have
 * been taken over: each has a channel of its own and a bound on what is under way. */
#include <errno.h>
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

static int take_channel(const char *peer, int fd)
{
  (void)peer;
  return askers_spawner(fd);
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
