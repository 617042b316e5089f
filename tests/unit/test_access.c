/* test_access.c - values of table access */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "common/access.h"

static void keys(void **state)
{
  enum access_key k;

  (void)state;
  assert_int_equal(access_key_read("client", 6, &k), 0);
  assert_int_equal(k, ACCESS_CLIENT);
  assert_int_equal(access_key_read("rcpt", 4, &k), 0);
  assert_int_equal(k, ACCESS_RCPT);
  assert_int_equal(access_key_read("recipient", 9, &k), -1);
  assert_int_equal(access_key_read("host", 4, &k), -1);
  assert_int_equal(access_key_read("", 0, &k), -1);
}

static void values(void **state)
{
  static const struct {
    enum access_key key;
    const char *value;
    int r;
    enum access_action action;
    const char *text;
    int policy; /* -1: none */
  } cases[] = {
    {ACCESS_CLIENT, "relay", 0, ACCESS_RELAY, "", -1},
    {ACCESS_CLIENT, "accept", 0, ACCESS_ACCEPT, "", -1},
    {ACCESS_CLIENT, "reject", 0, ACCESS_REJECT, "", -1},
    {ACCESS_CLIENT, "reject go away ", 0, ACCESS_REJECT, "go away", -1},
    {ACCESS_SENDER, "defer  later, please", 0, ACCESS_DEFER, "later, please", -1},
    {ACCESS_CLIENT, "helo=strict", 0, ACCESS_NONE, "", HELLO_STRICT},
    {ACCESS_CLIENT, "relay helo=junk", 0, ACCESS_RELAY, "", HELLO_JUNK},
    {ACCESS_CLIENT, "helo=normal reject helo=junk", 0, ACCESS_REJECT, "helo=junk", HELLO_NORMAL},
    {ACCESS_RCPT, "relay", 0, ACCESS_RELAY, "", -1},
    {ACCESS_HELO, "relay", -1, 0, "", -1},
    {ACCESS_SENDER, "relay", -1, 0, "", -1},
    {ACCESS_HELO, "helo=strict", -1, 0, "", -1},
    {ACCESS_CLIENT, "helo=lax", -1, 0, "", -1},
    {ACCESS_CLIENT, "helo=junk helo=junk", -1, 0, "", -1},
    {ACCESS_CLIENT, "relay accept", -1, 0, "", -1},
    {ACCESS_CLIENT, "RELAY", -1, 0, "", -1},
    {ACCESS_CLIENT, "", -1, 0, "", -1},
    {ACCESS_CLIENT, "reject a\rb", -1, 0, "", -1},
    {ACCESS_CLIENT, "reject \xc3\xbc", -1, 0, "", -1},
  };
  struct access_rule r;
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    print_message("# row %zu\n", i);
    assert_int_equal(access_parse(cases[i].key, cases[i].value, strlen(cases[i].value), &r, &why),
                     cases[i].r);
    if (cases[i].r != 0) {
      assert_non_null(why);
      continue;
    }
    assert_int_equal(r.action, cases[i].action);
    assert_int_equal(r.textlen, strlen(cases[i].text));
    assert_memory_equal(r.text, cases[i].text, r.textlen);
    assert_int_equal(r.has_helo_policy ? (int)r.helo_policy : -1, cases[i].policy);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(keys),
    cmocka_unit_test(values),
  };

  return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
