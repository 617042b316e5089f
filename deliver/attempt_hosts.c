/* attempt_hosts.c - the hosts of a next hop, and their addresses
 *
 * Runs in attempts. DNS answers are hostile. */
#include "deliver/attempt_hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/settings.h"
#include "deliver/attempt_results.h"
#include "deliver/targets.h"

static int add_own(void *arg, const char *key, size_t len, const struct table_value *v)
{
  struct attempt_own *own = arg;
  size_t i = own->n;

  (void)v;
  if (i == ATTEMPT_OWN)
    return 1;
  if (ip_port_parse(key, len, &own->at[i].ip, &own->at[i].port) == 0) {
    struct ip any = {.family = own->at[i].ip.family};
    own->at[i].is_any = ip_equal(&own->at[i].ip, &any);
    own->n++;
  }
  return 0;
}

void attempt_own_find(const struct table *t, struct attempt_own *own)
{
  own->n = 0;
  table_each(t, "listen", add_own, own);
}

/* whether an address is one of this host: the kernel would send to it from itself */
static int is_local(const struct ip *ip, uint16_t port)
{
  struct sockaddr_storage ss;
  socklen_t len = ip_to_sockaddr(ip, port, &ss);
  struct ip from;
  uint16_t ignored;
  int fd, yes = 0;

  if (ip_is_loopback(ip))
    return 1;
  fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return 0;
  if (connect(fd, (struct sockaddr *)&ss, len) == 0) {
    len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
        ip_from_sockaddr(&ss, &from, &ignored) == 0)
      yes = ip_equal(&from, ip);
  }
  close(fd);
  return yes;
}

int attempt_is_own(const struct attempt_own *own, const struct ip *ip, uint16_t port)
{
  for (size_t i = 0; i < own->n; i++) {
    if (own->at[i].port != port || own->at[i].ip.family != ip->family)
      continue;
    if (ip_equal(&own->at[i].ip, ip) || (own->at[i].is_any && is_local(ip, port)))
      return 1;
  }
  return 0;
}

/* the addresses of a host in targets (room for MX_ADDRESSES_MAX); how many */
static size_t resolve(struct attempt *a, const char *host, unsigned int preference,
                      struct target *targets)
{
  struct ip ip[MX_ADDRESSES_MAX];
  const char *status = "4.4.3";
  uint16_t port = a->hop.port ? a->hop.port : (uint16_t)settings.smtp_port;
  stralloc why = {0};
  size_t n = 0;
  enum verdict v = mx_addresses(a->given->ask, host, (int)settings.timeout_dns, ip, &n, &status,
                                &why);

  if (v != V_OK) {
    n = 0;
    attempt_record(a, v == V_TEMP ? FINAL_DEFER : FINAL_BOUNCE, status, &why, REPORT_UNREACHED);
  }
  for (size_t i = 0; i < n; i++) {
    struct peers_card card;
    peers_card(a->given->peers, &ip[i], port, &card);
    targets[i] = (struct target){.ip = ip[i], .port = port, .preference = (uint16_t)preference};
    targets_judge(a, &card, &targets[i]);
    snprintf(targets[i].host, sizeof targets[i].host, "%s", host);
  }
  free(why.s);
  return n;
}

/* drops the preference of the first own address and all worse (LADDER.md A9) */
static size_t drop_own(struct attempt *a, struct target *t, size_t n)
{
  static const char loop[] = "this host itself is the mail exchanger: the mail would loop";
  stralloc why = {0};
  size_t keep = n;

  for (size_t i = 0; i < n && keep == n; i++)
    if (attempt_is_own(a->given->own, &t[i].ip, t[i].port))
      for (keep = 0; t[keep].preference < t[i].preference; keep++)
        ;
  if (keep < n && stralloc_copys(&why, loop))
    attempt_record(a, FINAL_LOOP, "5.4.6", &why, REPORT_ANSWERED);
  free(why.s);
  return keep;
}

size_t attempt_targets(struct attempt *a, const struct mx_list *list, struct target *t,
                       size_t room)
{
  size_t n = 0;

  for (size_t i = 0; i < list->n && n + MX_ADDRESSES_MAX <= room; i++) {
    if (n >= settings.attempt_addresses && list->host[i].preference > t[n - 1].preference)
      break;
    n += resolve(a, list->host[i].name, list->host[i].preference, t + n);
  }
  n = drop_own(a, t, n);
  targets_order(t, n);
  return n;
}

int attempt_hosts(struct attempt *a, struct mx_list *list)
{
  const char *status = "4.4.3";
  stralloc why = {0};
  enum verdict v;

  if (a->hop.kind == HOP_HOST) {
    list->n = 1;
    list->host[0].preference = 0;
    snprintf(list->host[0].name, sizeof list->host[0].name, "%s", a->hop.host);
    return 0;
  }
  v = mx_find(a->given->ask, a->hop.host, (int)settings.timeout_dns, list, &status, &why);
  if (v != V_OK)
    /* a domain that does not exist, or takes no mail, is no host that is down */
    attempt_settle_rest(a, v, status, stralloc_0(&why) ? why.s : "",
                        v == V_PERM ? REPORT_ANSWERED : REPORT_UNREACHED);
  free(why.s);
  return v == V_OK ? 0 : -1;
}
