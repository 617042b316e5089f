/* probe_dns.c - a resolver for one probe
 *
 * What heloise-resolve is to attempts: a process of its own, which parses what name servers say
 * and can do nothing else. DNSSEC is not asked for: a probe sends no mail. */
#include "deliver/probe_dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/chan.h"
#include "common/confine.h"
#include "common/loop.h"
#include "common/settings.h"
#include "resolve/askers.h"

static int become_another(void)
{
  struct confine_ids ids;

  if (geteuid() != 0)
    return 0;
  return (confine_ids_find("hlresolve", &ids) == 0 || confine_ids_find("nobody", &ids) == 0) &&
             confine_become(&ids) == 0
           ? 0
           : -1;
}

/* the parent has ended */
static void on_end(struct loop_handler *h, int fd, int events)
{
  (void)h;
  (void)fd;
  (void)events;
  _exit(0);
}

/* keeps two descriptors beside the standard ones: the message is no concern of a resolver */
static void close_others(int a, int b)
{
  unsigned int low = (unsigned int)(a < b ? a : b), high = (unsigned int)(a < b ? b : a);

  if (low > 3)
    close_range(3, low - 1, 0);
  if (high > low + 1)
    close_range(low + 1, high - 1, 0);
  close_range(high + 1, ~0U, 0);
}

/* spawner: where channels come from; life: closed at the other end when the parent ends */
static _Noreturn void serve(int spawner, int life)
{
  static struct loop_handler ending = {on_end};
  const struct lookup_config c = {.servers = settings.dns_servers};
  const char *why = strerror(EPERM);
  struct lookup *l = NULL;

  close_others(spawner, life);
  if (become_another() == 0 && confine_program("resolve", NULL, 0) == 0)
    l = lookup_open(&c, &why);
  if (!l || askers_spawner(spawner) != 0 || loop_add(life, &ending) != 0) {
    fprintf(stderr, "heloise: probe: name servers: %s\n", why);
    _exit(1);
  }
  loop_want(life, LOOP_READ);
  askers_use(l);
  loop_run();
  _exit(0);
}

/* hands the resolver the other end of a channel for questions; ours, or -1 */
static int ask_channel(int spawner)
{
  struct wire_out o;
  int pair[2];

  if (chan_pair(pair) != 0)
    return -1;
  wire_start(&o, WIRE_ASKER);
  if (chan_send_blocking(spawner, &o, pair[1]) != 0) {
    close(pair[0]);
    pair[0] = -1;
  }
  close(pair[1]);
  return pair[0];
}

int probe_dns(void)
{
  int spawner[2], life[2];
  pid_t pid;

  if (chan_pair(spawner) != 0 || chan_pair(life) != 0)
    return -1;
  pid = fork();
  if (pid == 0)
    serve(spawner[1], life[1]);
  close(spawner[1]);
  close(life[1]);
  return pid < 0 ? -1 : ask_channel(spawner[0]); /* ours stay open as long as we live */
}
