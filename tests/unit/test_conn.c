/* test_conn.c - whose fault a connection is that could not be made */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>

#include <cmocka.h>

#include "deliver/conn.h"

static const struct {
  int error, family;
  enum saw saw;
} cases[] = {
  {ECONNREFUSED, 4, SAW_REFUSED},      {ECONNRESET, 6, SAW_REFUSED},
  {ETIMEDOUT, 4, SAW_NO_ANSWER},       {ENETUNREACH, 6, SAW_UNREACHABLE},
  {EHOSTUNREACH, 4, SAW_UNREACHABLE},  {EAFNOSUPPORT, 6, SAW_UNREACHABLE},
  {EMFILE, 4, SAW_LOCAL},              {ENOBUFS, 6, SAW_LOCAL},
  {EADDRNOTAVAIL, 4, SAW_LOCAL},       {EADDRNOTAVAIL, 6, SAW_UNREACHABLE},
};

static void test_error(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(conn_error(cases[i].error, cases[i].family), cases[i].saw);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_error)};

  return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
