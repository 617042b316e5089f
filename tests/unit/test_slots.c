/* test_slots.c - numbers for open questions: unique, and a late answer finds nobody */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "smtpd/slots.h"

static void numbers(void **state)
{
  struct slots s = {0};
  uint64_t n[500], again;
  int owner[500];

  (void)state;
  assert_null(slots_find(&s, 0));
  for (size_t i = 0; i < 500; i++)
    assert_int_equal(slots_take(&s, &owner[i], &n[i]), 0);
  for (size_t i = 0; i < 500; i++) {
    assert_ptr_equal(slots_find(&s, n[i]), &owner[i]);
    for (size_t k = 0; k < i; k++)
      assert_true(n[i] != n[k]);
  }
  slots_free(&s, n[7]);
  assert_null(slots_find(&s, n[7]));
  for (size_t i = 0; i < 100; i++)
    assert_int_equal(slots_take(&s, &owner[0], &again), 0);
  assert_null(slots_find(&s, n[7]));
  slots_free(&s, n[7]); /* a slot in use again is not freed by its old number */
  assert_ptr_equal(slots_find(&s, again), &owner[0]);
  assert_null(slots_find(&s, UINT64_MAX));
  free(s.slot);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(numbers),
  };

  return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
