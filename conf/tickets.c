/* tickets.c - the keys of TLS session tickets
 *
 * Runs in `heloise run`. */
#include "conf/tickets.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "smtpd/tls_tickets.h"

static struct {
  char key[TICKET_KEYS][TICKET_KEY_TEXT]; /* the newest first; "": none yet */
} services[SERVICE_COUNT];
static struct loop_timer timer;
static void (*told)(const struct service *s, const char *key);

static int rotate(enum service_number n)
{
  char(*key)[TICKET_KEY_TEXT] = services[n].key;
  unsigned char fresh[TICKET_KEY_BYTES];

  if (getrandom(fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
    return -1;
  memmove(key[1], key[0], sizeof key[0] * (TICKET_KEYS - 1));
  for (size_t i = 0; i < sizeof fresh; i++)
    snprintf(key[0] + 2 * i, 3, "%02x", fresh[i]);
  explicit_bzero(fresh, sizeof fresh);
  return 0;
}

static void on_timer(struct loop_timer *t)
{
  for (int n = 0; n < SERVICE_COUNT; n++)
    if (rotate((enum service_number)n) != 0)
      log_failed("run", "ticket keys", strerror(errno));
    else
      told(service_row((enum service_number)n), services[n].key[0]);
  loop_timer_in(t, settings.tls_ticket_rotation);
}

int tickets_start(void (*fresh)(const struct service *s, const char *key))
{
  told = fresh;
  timer.fire = on_timer;
  for (int n = 0; n < SERVICE_COUNT; n++)
    if (rotate((enum service_number)n) != 0)
      return -1;
  return loop_timer_in(&timer, settings.tls_ticket_rotation);
}

void tickets_each(const struct service *s, void (*f)(void *arg, const struct service *s, const char *key),
                  void *arg)
{
  for (int i = TICKET_KEYS - 1; i >= 0; i--)
    if (services[s->number].key[i][0])
      f(arg, s, services[s->number].key[i]);
}
