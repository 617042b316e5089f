/* test_rate.c - so many in so long, whichever stretch is looked at */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/rate.h"

static void test_no_limit(void **state)
{
  struct rate r = {0};

  (void)state;
  for (uint64_t t = 0; t < 100; t++) {
    assert_int_equal(rate_wait(&r, 5), 0);
    rate_take(&r, 5);
  }
  assert_false(rate_counts(&r, 5));
}

static void test_three_in_a_second(void **state)
{
  struct rate r = {0};

  (void)state;
  assert_int_equal(rate_set(&r, 3, 1000), 0);
  for (uint64_t t = 10; t < 40; t += 10) {
    assert_int_equal(rate_wait(&r, t), 0);
    rate_take(&r, t);
  }
  assert_int_equal(rate_wait(&r, 40), 970);
  assert_int_equal(rate_wait(&r, 1009), 1);
  assert_int_equal(rate_wait(&r, 1010), 0);
  rate_take(&r, 1010);
  assert_int_equal(rate_wait(&r, 1010), 10);
  assert_true(rate_counts(&r, 2009));
  assert_false(rate_counts(&r, 2010));
  assert_int_equal(rate_set(&r, 3, 1000), 0); /* the same: what was taken counts */
  assert_int_equal(rate_wait(&r, 1010), 10);
  assert_int_equal(rate_set(&r, 4, 1000), 0); /* another: from the beginning */
  assert_int_equal(rate_wait(&r, 1010), 0);
  assert_int_equal(rate_set(&r, 0, 0), 0);
  assert_int_equal(rate_wait(&r, 1010), 0);
  rate_free(&r);
}

/* sent as fast as allowed, no stretch of the length sees more */
static void test_no_stretch_sees_more(void **state)
{
  static uint64_t at[3000];
  struct rate r = {0};
  uint64_t now = 0;

  (void)state;
  assert_int_equal(rate_set(&r, 100, 60000), 0);
  for (size_t i = 0; i < 3000; i++) {
    now += rate_wait(&r, now);
    rate_take(&r, now);
    at[i] = now;
    if (i >= 100)
      assert_true(at[i] - at[i - 100] >= 60000);
    now += i % 7 * 311;
  }
  rate_free(&r);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_limit),
                                     cmocka_unit_test(test_three_in_a_second),
                                     cmocka_unit_test(test_no_stretch_sees_more)};

  return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
