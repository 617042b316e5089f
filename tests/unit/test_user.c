/* test_user.c - edits of control/users keep what is not theirs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "conf/user_command.h"

static void edits(void **state)
{
  static const struct {
    const char *text, *login, *value, *want;
  } cases[] = {
    {"", "alice", "$6$x", "alice  $6$x\n"},
    {"# mine\n", "alice", "$6$x", "# mine\nalice  $6$x\n"},
    {"# mine", "alice", "$6$x", "# mine\nalice  $6$x\n"},
    {"# a\nbob $1\nAlice $old # no\n# z\n", "alice", "$new", "# a\nbob $1\nalice  $new\n# z\n"},
    {"# a\nbob $1\nalice $old\n# z\n", "alice", NULL, "# a\nbob $1\n# z\n"},
    {"alice $old", "alice", NULL, ""},
    {"alice $old", "alice", "$new", "alice  $new\n"},
    {"#alice $old\nalicex $y\n", "alice", "$new", "#alice $old\nalicex $y\nalice  $new\n"},
  };
  stralloc text = {0}, out = {0};

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_true(stralloc_copys(&text, cases[i].text));
    assert_int_equal(user_edit(&text, cases[i].login, cases[i].value, &out), 0);
    assert_true(stralloc_0(&out));
    assert_string_equal(out.s, cases[i].want);
  }
  stralloc_free(&text);
  stralloc_free(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(edits)};

  return cmocka_run_group_tests_name("user", tests, NULL, NULL);
}
