/* trust.c - which context answers: the one that validates, or, where that cannot work, none
 *
 * Runs in heloise-resolve. Some name servers pass no DNSSEC on: stub resolvers, home
 * routers. Behind them every answer fails to validate and no mail would leave the host. So
 * the root's own keys are asked for first. Once they have validated, validation stays in
 * force until the next reload, and a bogus answer is a failure. While they cannot be had,
 * answers count as insecure, an administrator is told, and the keys are asked for again. */
#include "resolve/trust.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/loop.h"
#include "resolve/askers.h"

#define PATIENCE_MS 3000       /* questions wait this long for the root's keys */
#define AGAIN_MS (2 * 60 * 1000)

static struct {
  struct lookup *in_use, *strict, *plain;
  struct lookup_query probe;
  struct loop_timer timer;
  char *servers;
} trust;

/* the context before is retired, but for the strict one, which is asked again */
static void use(struct lookup *l)
{
  struct lookup *old = trust.in_use;

  if (l == old)
    return;
  trust.in_use = l;
  askers_use(l);
  if (old != trust.strict)
    lookup_retire(old);
}

static void fall_back(void)
{
  struct lookup_config c = {.servers = trust.servers};
  const char *why;

  if (trust.plain)
    return;
  trust.plain = lookup_open(&c, &why);
  if (!trust.plain) {
    log_failed("resolve", "a context without DNSSEC", why);
    use(trust.strict);
    return;
  }
  log_warning("resolve", "DNSSEC: the name servers do not give the root's keys; answers count as "
                         "insecure (set dnssec no to expect that)");
  use(trust.plain);
}

static void probe(void)
{
  if (lookup_keys(trust.strict, &trust.probe) != 0)
    fall_back();
}

static void fire(struct loop_timer *t)
{
  if (trust.probe.in)
    fall_back();
  else
    probe();
  loop_timer_in(t, AGAIN_MS);
}

static void probed(struct lookup_query *q, const struct lookup_result *r)
{
  (void)q;
  if (r->status != ASK_OK || r->security != ASK_SECURE) {
    fall_back();
    loop_timer_in(&trust.timer, AGAIN_MS);
    return;
  }
  loop_timer_stop(&trust.timer);
  if (trust.plain)
    log_warning("resolve", "DNSSEC: the root's keys are there; answers are validated");
  use(trust.strict);
  trust.plain = NULL;
}

/* what an earlier call made; the context in use stays until another one takes its place */
static void forget(void)
{
  lookup_cancel(&trust.probe);
  loop_timer_stop(&trust.timer);
  if (trust.strict != trust.in_use)
    lookup_retire(trust.strict);
  trust.strict = trust.plain = NULL;
}

int trust_begin(const char *servers, const char *anchor, const char **why)
{
  struct lookup_config c = {.servers = servers, .anchor = anchor};
  struct lookup *l = lookup_open(&c, why);
  char *copy = strdup(servers);

  if (!l || !copy) {
    lookup_retire(l);
    free(copy);
    return -1;
  }
  forget();
  free(trust.servers);
  trust.servers = copy;
  if (!anchor) {
    use(l);
    return 0;
  }
  trust.strict = l;
  trust.probe.done = probed;
  trust.timer.fire = fire;
  loop_timer_in(&trust.timer, PATIENCE_MS);
  probe();
  return 0;
}
