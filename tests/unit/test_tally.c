/* test_tally.c - counters of the last minute, the last hour, and since the start */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/clock.h"
#include "queue/tally.h"

static int64_t ms = 1800000000000;

static void wait_seconds(int64_t n)
{
  ms += n * 1000;
  clock_feed(ms, ms);
}

static void expect(uint64_t minute, uint64_t hour, uint64_t total)
{
  struct tally_sums s;

  tally_sums(TALLY_DELIVERED, &s);
  assert_int_equal(s.minute, minute);
  assert_int_equal(s.hour, hour);
  assert_int_equal(s.total, total);
}

static void test_windows(void **state)
{
  struct tally_sums other;

  (void)state;
  wait_seconds(0);
  tally_start();
  expect(0, 0, 0);
  tally_count(TALLY_DELIVERED, 3);
  wait_seconds(59);
  tally_count(TALLY_DELIVERED, 1);
  expect(4, 4, 4);
  wait_seconds(1);
  expect(1, 4, 4);
  wait_seconds(3000);
  expect(0, 4, 4);
  tally_count(TALLY_DELIVERED, 10);
  expect(10, 14, 14);
  wait_seconds(600);
  expect(0, 10, 14);
  wait_seconds(100000000);
  expect(0, 0, 14);
  tally_sums(TALLY_BOUNCED, &other);
  assert_int_equal(other.total, 0);
}

static void test_every_minute(void **state)
{
  (void)state;
  tally_start();
  for (int i = 0; i < 7200; i++) {
    tally_count(TALLY_DELIVERED, 1);
    wait_seconds(1);
  }
  expect(59, 3580, 7200); /* a second, and 40 of a minute, began just now */
}

/* somebody sets the clock: nothing is counted twice or lost */
static void test_clock_is_set(void **state)
{
  int64_t wall = ms;

  (void)state;
  tally_start();
  tally_count(TALLY_DELIVERED, 5);
  for (int i = 0; i < 30; i++) {
    wall += i == 10 ? 7200000 : i == 20 ? -86400000 : 1000;
    ms += 1000;
    clock_feed(wall, ms);
    expect(5, 5, 5);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_windows),
    cmocka_unit_test(test_every_minute),
    cmocka_unit_test(test_clock_is_set),
  };

  return cmocka_run_group_tests(tests, NULL, NULL);
}
