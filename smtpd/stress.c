/* stress.c - many of the sessions that may be open are: clients that may not relay get less time
 *
 * Runs in heloise-smtpd. */
#include "smtpd/stress.h"

#include "common/log.h"
#include "common/settings.h"
#include "smtpd/census.h"

static int is_on;

/* it ends some way below where it begins, so that it does not flutter */
int stress_look(void)
{
  uint64_t total = census_total(), begin = settings.session_limit * settings.stress_share / 100;
  int was_on = is_on;

  if (settings.stress_share >= 100)
    is_on = 0;
  else
    is_on = total > (is_on ? begin * 9 / 10 : begin);
  if (is_on && !was_on)
    log_stress("smtpd", log_num(total));
  else if (!is_on && was_on)
    log_stress_over("smtpd", log_num(total));
  return is_on && !was_on;
}

int stress_is_on(void)
{
  return is_on;
}

int stress_concerns(const struct session *s)
{
  return !s->is_unlimited && !s->mail.is_relay && s->login.len == 0;
}

uint64_t stress_errors(const struct session *s, uint64_t usual)
{
  return is_on && stress_concerns(s) && settings.stress_error_limit < usual
           ? settings.stress_error_limit
           : usual;
}
