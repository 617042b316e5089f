/* test_verdict.c - the spellings of a verdict */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/verdict.h"

static void test_words(void **state)
{
  static const char *const none[] = {"", "o", "okay", "OK", "temporary", "permperm"};
  enum verdict v;

  (void)state;
  for (int i = V_OK; i <= V_PERM; i++) {
    const char *word = verdict_word((enum verdict)i);
    v = V_OK;
    assert_int_equal(verdict_read(word, strlen(word), &v), 0);
    assert_int_equal(v, i);
  }
  for (size_t i = 0; i < sizeof none / sizeof *none; i++)
    assert_int_equal(verdict_read(none[i], strlen(none[i]), &v), -1);
  assert_int_equal(verdict_read("ok\0", 3, &v), -1);
}

/* whatever is no 2yz or 5yz is temporary: the sender still has the mail */
static void test_replies(void **state)
{
  static const struct {
    unsigned int code;
    enum verdict want;
  } rows[] = {{200, V_OK}, {250, V_OK}, {299, V_OK}, {300, V_TEMP}, {354, V_TEMP}, {421, V_TEMP}, {499, V_TEMP},
              {500, V_PERM}, {599, V_PERM}, {600, V_TEMP}, {0, V_TEMP}, {199, V_TEMP}, {25, V_TEMP},
              {5500, V_TEMP}, {4294967295U, V_TEMP}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (verdict_of_reply(rows[i].code) != rows[i].want)
      fail_msg("%u", rows[i].code);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_words), cmocka_unit_test(test_replies)};

  return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
