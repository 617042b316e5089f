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
#include "resolve/lookup.h"

static const char *const anchors[] = {"/usr/share/dns/root.key", "/var/lib/unbound/root.key",
                                      "/etc/unbound/root.key"};

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

/* new tables: a new context for new questions */
static int take_table(const struct table *t)
{
  struct lookup_config c = {.servers = settings.dns_servers};
  struct lookup *l;
  const char *why;

  (void)t;
  if (settings.dnssec)
    c.anchor = find_anchor();
  l = lookup_open(&c, &why);
  if (!l)
    program_die("name servers", why);
  askers_use(l);
  return 0;
}

static int take_channel(const char *peer, int fd)
{
  (void)peer;
  return askers_spawner(fd);
}

static int start(void)
{
  return confine_program("resolve", NULL, 0);
}

int main(int argc, char **argv)
{
  static const struct program resolve = {
    .name = "resolve", .channel = take_channel, .table = take_table, .start = start};

  return program_main(&resolve, argc, argv);
}
