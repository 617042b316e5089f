/* test_clock.c - the steady clock goes on whatever is done to the wall clock */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/clock.h"

#define DAY 86400

/* one clock for the file: the tests go on from each other */
static int64_t wall = 1800000000000, boot = 5000;

static int64_t pass(int64_t ms)
{
  wall += ms;
  boot += ms;
  return clock_feed(wall, boot);
}

static void test_no_step(void **state)
{
  (void)state;
  assert_int_equal(pass(0), 0);
  assert_int_equal(clock_wall(), 1800000000);
  assert_int_equal(clock_steady(), 1800000000);
  assert_int_equal(pass(30000), 0);
  wall += 400; /* a correction, not a step */
  assert_int_equal(pass(30000), 0);
  assert_int_equal(clock_steady(), 1800000060);
  assert_int_equal(clock_steps(), 0);
  assert_int_equal(clock_skew(0), 0);
  assert_int_equal(clock_to_steady(1800000100), 1800000100);
}

static void test_forward_and_back(void **state)
{
  uint64_t before = clock_steady(), due = before + 600;
  uint16_t first = clock_steps();

  (void)state;
  wall += 30LL * DAY * 1000;
  assert_int_equal(pass(1000), 30LL * DAY * 1000);
  assert_int_equal(clock_steady(), before + 1);
  assert_int_equal(clock_wall(), before + 1 + 30 * DAY);
  assert_int_equal(clock_skew(first), 30 * DAY); /* what was written then is told later now */
  assert_int_equal(clock_skew(clock_steps()), 0);
  assert_int_equal(clock_to_wall(due), due + 30 * DAY);
  wall -= 400LL * DAY * 1000;
  assert_int_equal(pass(1000), -400LL * DAY * 1000);
  assert_int_equal(clock_steady(), before + 2);
  assert_int_equal(clock_skew(first), -370 * DAY);
  assert_int_equal(clock_skew((uint16_t)(first + 1)), -400 * DAY);
  assert_int_equal(clock_to_steady(clock_to_wall(due)), due);
  assert_int_equal(clock_steps(), first + 2);
}

/* a host that sleeps: both clocks go on */
static void test_sleep(void **state)
{
  uint64_t before = clock_steady();

  (void)state;
  assert_int_equal(pass(3LL * DAY * 1000), 0);
  assert_int_equal(clock_steady(), before + 3 * DAY);
}

/* somebody who sets the clock all the time does not fill the memory, and is followed all the same */
static void test_many(void **state)
{
  uint64_t before = clock_steady();

  (void)state;
  for (int i = 0; i < 70000; i++) {
    wall += i % 2 ? 5000 : -5000;
    pass(0);
  }
  assert_int_equal(clock_steps(), UINT16_MAX);
  assert_int_equal(clock_steady(), before);
  assert_int_equal(clock_skew(UINT16_MAX), 0);
}

/* a clock before 1970 does no harm */
static void test_before_the_epoch(void **state)
{
  uint64_t before = clock_steady();

  (void)state;
  wall = -5000;
  pass(0);
  assert_int_equal(clock_wall(), 0);
  assert_int_equal(clock_steady(), before);
  assert_int_equal(clock_to_wall(0), 0);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_no_step), cmocka_unit_test(test_forward_and_back),
    cmocka_unit_test(test_sleep), cmocka_unit_test(test_many),
    cmocka_unit_test(test_before_the_epoch)};

  return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
