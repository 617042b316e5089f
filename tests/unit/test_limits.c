/* test_limits.c - counts for client networks, alone and shared by processes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/settings.h"
#include "smtpd/limits.h"

static struct ip ip_of(const char *s)
{
  struct ip ip;

  assert_int_equal(ip_parse(s, strlen(s), &ip), 0);
  return ip;
}

static int shared = -1;

static int setup(void **state)
{
  (void)state;
  settings.client_ipv4_prefix = 24;
  settings.client_ipv6_prefix = 64;
  shared = limits_make();
  return shared >= 0 && limits_join("limits.3", dup(shared)) == 0 ? 0 : -1;
}

static void rate(void **state)
{
  struct ip a = ip_of("192.0.2.1"), same = ip_of("192.0.2.200"), other = ip_of("192.0.3.1");

  (void)state;
  for (int i = 0; i < 5; i++)
    assert_int_equal(limits_count(&a, LIMIT_MESSAGES, 5, 60000, 1000), 0);
  assert_int_equal(limits_is_over(&a, LIMIT_MESSAGES, 5, 60000, 1000), 1);
  assert_int_equal(limits_count(&same, LIMIT_MESSAGES, 5, 60000, 1000), 1);
  assert_int_equal(limits_count(&other, LIMIT_MESSAGES, 5, 60000, 1000), 0);
  assert_int_equal(limits_count(&a, LIMIT_ERRORS, 5, 60000, 1000), 0);
  assert_int_equal(limits_count(&a, LIMIT_MESSAGES, 0, 0, 1000), 0); /* no bound */
  /* one who keeps trying gets the rate, not nothing */
  assert_int_equal(limits_count(&a, LIMIT_MESSAGES, 5, 60000, 12000), 1);
  assert_int_equal(limits_count(&a, LIMIT_MESSAGES, 5, 60000, 13001), 0);
  assert_int_equal(limits_count(&a, LIMIT_MESSAGES, 5, 60000, 13002), 1);
  for (int i = 0; i < 5; i++)
    assert_int_equal(limits_count(&a, LIMIT_MESSAGES, 5, 60000, 999000), 0);
  assert_int_equal(limits_count(&a, LIMIT_MESSAGES, 5, 60000, 999000), 1);
}

/* over a long time no more than the rate gets through, however it is spread */
static void rate_holds(void **state)
{
  static const unsigned int steps[] = {1, 7, 10, 100, 999};

  (void)state;
  for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
    struct ip a = ip_of("198.51.100.1");
    unsigned int taken = 0;
    a.bytes[2] = (unsigned char)(a.bytes[2] + k);
    for (uint64_t t = 1; t < 600000; t += steps[k])
      taken += !limits_count(&a, LIMIT_RECIPIENTS, 30, 60000, t);
    assert_in_range(taken, 300 * 9 / 10, 300 + 31);
  }
}

static void networks(void **state)
{
  struct ip a = ip_of("2001:db8:1:2:3::1"), b = ip_of("2001:db8:1:2:ffff::9"), c = ip_of("2001:db8:1:3::1");
  struct ip net = limits_network(&a), other = limits_network(&b);

  (void)state;
  assert_true(ip_equal(&net, &other));
  other = limits_network(&c);
  assert_false(ip_equal(&net, &other));
}

static void sessions(void **state)
{
  struct ip a = ip_of("203.0.113.1");
  uint64_t ticket[4];

  (void)state;
  for (int i = 0; i < 3; i++)
    assert_int_equal(limits_enter(&a, 3, 1000, &ticket[i]), 0);
  assert_int_equal(limits_enter(&a, 3, 1000, &ticket[3]), 1);
  settings.client_ipv4_prefix = 32; /* meanwhile: what was entered still leaves */
  for (int i = 0; i < 4; i++)
    limits_leave(ticket[i]);
  limits_leave(ticket[0]); /* more than there are */
  limits_leave(0);
  settings.client_ipv4_prefix = 24;
  assert_int_equal(limits_enter(&a, 1, 1000, &ticket[0]), 0);
  limits_leave(ticket[0]);
}

/* another process counts in the same table; when it dies, run takes its sessions away */
static void processes(void **state)
{
  struct ip a = ip_of("203.0.114.1");
  uint64_t ticket;
  pid_t pid = fork();
  int status;

  (void)state;
  if (pid == 0) {
    int bad = limits_join("limits.4", dup(shared)) != 0;
    for (int i = 0; i < 5; i++)
      bad |= limits_enter(&a, 0, 1000, &ticket) || limits_count(&a, LIMIT_CONNECTIONS, 5, 60000, 1000);
    _exit(bad);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(limits_count(&a, LIMIT_CONNECTIONS, 5, 60000, 1000), 1);
  assert_int_equal(limits_enter(&a, 5, 1000, &ticket), 1);
  limits_forget(shared, 4);
  assert_int_equal(limits_enter(&a, 5, 1000, &ticket), 0);
  limits_forget(shared, 99);
}

/* whoever fills the table makes it forget those longest unheard of; one with sessions stays */
static void flood(void **state)
{
  struct ip a = ip_of("203.0.115.1"), x = ip_of("2001:db8::");
  uint64_t ticket, other;

  (void)state;
  assert_int_equal(limits_enter(&a, 1, 1000, &ticket), 0);
  for (unsigned int i = 0; i < 400000; i++) {
    memcpy(x.bytes + 4, &i, 4);
    limits_count(&x, LIMIT_CONNECTIONS, 100, 60000, 2000 + i / 100);
  }
  assert_int_equal(limits_enter(&a, 1, 9000, &other), 1);
  assert_int_equal(limits_count(&x, LIMIT_CONNECTIONS, 1, 60000, 6000), 1); /* the last is known */
}

static void bad_names(void **state)
{
  (void)state;
  assert_int_equal(limits_join("limits.32", dup(shared)), -1);
  assert_int_equal(limits_join("limits.", dup(shared)), -1);
  assert_int_equal(limits_join("census.1", dup(shared)), -1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(rate),      cmocka_unit_test(rate_holds), cmocka_unit_test(networks), cmocka_unit_test(sessions),
    cmocka_unit_test(processes), cmocka_unit_test(flood),      cmocka_unit_test(bad_names),
  };

  return cmocka_run_group_tests_name("limits", tests, setup, NULL);
}
