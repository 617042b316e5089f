/* test_authlimit.c - failures counted per network, per login, and where a login is known */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "smtpd/authlimit.h"

#define LIMIT 5

static struct ip of(const char *text)
{
  struct ip ip;

  assert_int_equal(ip_parse(text, strlen(text), &ip), 0);
  return ip;
}

static void fail_times(const char *from, const char *login, unsigned int n, uint64_t now)
{
  struct ip ip = of(from);

  while (n-- > 0)
    authlimit_failed(&ip, login, now);
}

static int is_blocked(const char *from, const char *login, uint64_t now)
{
  struct ip ip = of(from);

  return authlimit_blocks(&ip, login, LIMIT, now) != NULL;
}

static void network(void **state)
{
  struct ip ip = of("192.0.2.1");
  uint64_t now = 1000000;
  char login[32];

  (void)state;
  for (unsigned int i = 1; i <= LIMIT; i++) {
    assert_false(is_blocked("192.0.2.1", "eve", now));
    snprintf(login, sizeof login, "guess%u", i);
    assert_int_equal(authlimit_failed(&ip, login, now), i);
  }
  assert_int_equal(authlimit_failures(&ip, now), LIMIT);
  assert_true(is_blocked("192.0.2.1", "eve", now));
  assert_false(is_blocked("192.0.2.2", "eve", now));
  assert_true(is_blocked("192.0.2.1", "eve", now + AUTHLIMIT_WINDOW - 1));
  assert_false(is_blocked("192.0.2.1", "eve", now + AUTHLIMIT_WINDOW));
}

static void network_of_v6(void **state)
{
  uint64_t now = 2000000;

  (void)state;
  fail_times("2001:db8:1:2::1", "a", 3, now);
  fail_times("2001:db8:1:2:ffff::2", "b", 2, now);
  assert_true(is_blocked("2001:db8:1:2:3:4:5:6", "c", now));
  assert_false(is_blocked("2001:db8:1:3::1", "c", now));
}

/* guesses at a login from everywhere stop, but not for whoever owns it, where it is known */
static void login(void **state)
{
  uint64_t now = 3000000;
  struct ip home = of("198.51.100.1");
  char from[32];

  (void)state;
  authlimit_passed(&home, "alice", now);
  for (int i = 0; i < LIMIT; i++) {
    snprintf(from, sizeof from, "203.0.113.%d", i);
    fail_times(from, "alice", 1, now);
  }
  assert_true(is_blocked("203.0.113.99", "alice", now));
  assert_false(is_blocked("203.0.113.99", "bob", now));
  assert_false(is_blocked("198.51.100.1", "alice", now));
  /* nor for a neighbour's failures; only for those of this login from there */
  fail_times("198.51.100.1", "neighbour", LIMIT, now);
  assert_false(is_blocked("198.51.100.1", "alice", now));
  assert_true(is_blocked("198.51.100.1", "carol", now));
  fail_times("198.51.100.1", "alice", LIMIT, now);
  assert_true(is_blocked("198.51.100.1", "alice", now));
  assert_false(is_blocked("198.51.100.1", "alice", now + AUTHLIMIT_WINDOW));
}

/* memory is what it is: a flood forgets others, but neither crashes nor forgets whom we know */
static void flood(void **state)
{
  uint64_t now = 5000000;
  struct ip home = of("198.51.100.7"), ip = of("10.0.0.0");
  char name[32];

  (void)state;
  authlimit_passed(&home, "dora", now);
  for (unsigned int i = 0; i < 300000; i++) {
    ip.bytes[1] = (unsigned char)(i >> 16);
    ip.bytes[2] = (unsigned char)(i >> 8);
    ip.bytes[3] = (unsigned char)i;
    snprintf(name, sizeof name, "u%u", i);
    authlimit_failed(&ip, name, now + i / 1000);
  }
  fail_times("203.0.113.200", "dora", LIMIT, now + 1000);
  assert_false(is_blocked("198.51.100.7", "dora", now + 1000));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(network),
    cmocka_unit_test(network_of_v6),
    cmocka_unit_test(login),
    cmocka_unit_test(flood),
  };

  return cmocka_run_group_tests_name("authlimit", tests, NULL, NULL);
}
