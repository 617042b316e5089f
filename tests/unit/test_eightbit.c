/* test_eightbit.c - what becomes of 8-bit content and over-long lines at one peer */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/eightbit.h"

/* has_8bit, has_long_lines, is_signed, is_offered, has_others, policy */
static const struct {
  struct eightbit_case c;
  enum eightbit_form form;
  const char *reason; /* part of it; "" for none at all */
} rows[] = {
  {{0, 0, 0, 0, 0, EIGHTBIT_OTHER_MX}, FORM_AS_IS, ""},
  {{0, 0, 1, 0, 0, EIGHTBIT_BOUNCE}, FORM_AS_IS, ""},
  {{1, 0, 0, 1, 0, EIGHTBIT_OTHER_MX}, FORM_AS_IS, ""},
  {{1, 0, 0, 0, 0, EIGHTBIT_OTHER_MX}, FORM_7BIT, "converted to 7 bits"},
  {{1, 0, 0, 0, 1, EIGHTBIT_BOUNCE}, FORM_7BIT, "converted to 7 bits"},
  {{1, 1, 0, 0, 0, EIGHTBIT_OTHER_MX}, FORM_7BIT, "converted to 7 bits"},
  {{0, 1, 0, 0, 0, EIGHTBIT_OTHER_MX}, FORM_SHORT_LINES, "lines over 998"},
  {{1, 1, 0, 1, 0, EIGHTBIT_OTHER_MX}, FORM_SHORT_LINES, "lines over 998"},
  {{0, 1, 1, 0, 0, EIGHTBIT_BOUNCE}, FORM_AS_IS, "signed; lines over 998"},
  {{1, 1, 1, 1, 0, EIGHTBIT_OTHER_MX}, FORM_AS_IS, "signed; lines over 998"},
  {{1, 0, 1, 1, 1, EIGHTBIT_BOUNCE}, FORM_AS_IS, ""},
  {{1, 0, 1, 0, 1, EIGHTBIT_OTHER_MX}, FORM_LATER, "signed; no 8BITMIME here: other hosts"},
  {{1, 0, 1, 0, 0, EIGHTBIT_OTHER_MX}, FORM_7BIT, "signed; no host with 8BITMIME was left"},
  {{1, 0, 1, 0, 1, EIGHTBIT_CONVERT}, FORM_7BIT, "eightbit-signed convert"},
  {{1, 0, 1, 0, 0, EIGHTBIT_CONVERT}, FORM_7BIT, "eightbit-signed convert"},
  {{1, 0, 1, 0, 1, EIGHTBIT_SEND}, FORM_8BIT_BARE, "eightbit-signed send"},
  {{1, 0, 1, 0, 0, EIGHTBIT_BOUNCE}, FORM_BARRED, "eightbit-signed bounce"},
};

static void test_choice(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *reason = eightbit_reason(&rows[i].c);
    if (eightbit_choose(&rows[i].c) != rows[i].form)
      fail_msg("row %zu: form %d", i, eightbit_choose(&rows[i].c));
    if (*rows[i].reason ? !strstr(reason, rows[i].reason) : *reason != 0)
      fail_msg("row %zu: %s", i, reason);
    assert_true(strlen(reason) < 128); /* of a step's event */
  }
}

static void test_words(void **state)
{
  static const char *const words[] = {"other-mx", "convert", "send", "bounce"};
  enum eightbit_policy p;

  (void)state;
  for (size_t i = 0; i < 4; i++) {
    assert_int_equal(eightbit_policy_read(words[i], strlen(words[i]), &p), 0);
    assert_int_equal(p, i);
  }
  assert_int_equal(eightbit_policy_read("", 0, &p), -1);
  assert_int_equal(eightbit_policy_read("sen", 3, &p), -1);
  assert_int_equal(eightbit_policy_read("Send", 4, &p), -1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_choice), cmocka_unit_test(test_words)};

  return cmocka_run_group_tests_name("eightbit", tests, NULL, NULL);
}
