/* test_bdat.c - the argument of BDAT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/bdat.h"

static void arguments(void **state)
{
  static const struct {
    const char *arg;
    int is_good, is_last;
    uint64_t size;
  } cases[] = {
    {"0", 1, 0, 0}, {"0 LAST", 1, 1, 0}, {"12 last", 1, 1, 12}, {"12 \t Last", 1, 1, 12}, {"007", 1, 0, 7},
    {"18446744073709551615", 1, 0, UINT64_MAX}, {"18446744073709551616", 0, 0, 0},
    {"99999999999999999999999999999999", 0, 0, 0}, {"18446744073709551615 LAST", 1, 1, UINT64_MAX},
    {"", 0, 0, 0}, {"LAST", 0, 0, 0}, {"+1", 0, 0, 0}, {"-1", 0, 0, 0}, {"1x", 0, 0, 0}, {"0x10", 0, 0, 0},
    {"1 LAS", 0, 0, 0}, {"1 LASTS", 0, 0, 0}, {"1LAST", 0, 0, 0}, {"1 2", 0, 0, 0}, {"1 LAST 2", 0, 0, 0}, {"1 ", 0, 0, 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint64_t size;
    int is_last, r = bdat_parse(cases[i].arg, strlen(cases[i].arg), &size, &is_last);
    assert_int_equal(r, cases[i].is_good ? 0 : -1);
    if (r != 0)
      continue;
    assert_true(size == cases[i].size);
    assert_int_equal(is_last, cases[i].is_last);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(arguments)};

  return cmocka_run_group_tests_name("bdat", tests, NULL, NULL);
}
