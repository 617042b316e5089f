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
  for (size_t i = 0; i < ACCESS_KEYS; i++) {
    const char *word = access_key_word((enum access_key)i);
    assert_int_equal(access_key_read(word, strlen(word), &k), 0);
    assert_int_equal(k, i);
  }
  assert_int_equal(access_key_read("hos", 3, &k), -1);
  assert_int_equal(access_key_read("", 0, &k), -1);
}

static void more_values(void **state)
{
  static const struct {
    enum access_key key;
    const char *value;
    int r;
    enum access_action action;
    enum access_fate fate;
    uint64_t delay, rate, per;
  } cases[] = {
    {ACCESS_CLIENT, "hold", 0, ACCESS_NONE, FATE_HOLD, 0, 0, 0},
    {ACCESS_CLIENT, "relay hold", 0, ACCESS_RELAY, FATE_HOLD, 0, 0, 0},
    {ACCESS_SENDER, "discard accept", 0, ACCESS_ACCEPT, FATE_DISCARD, 0, 0, 0},
    {ACCESS_CLIENT, "hold discard", -1, 0, 0, 0, 0, 0},
    {ACCESS_CLIENT, "hold reject no", -1, 0, 0, 0, 0, 0},
    {ACCESS_CLIENT, "reject hold", 0, ACCESS_REJECT, FATE_QUEUE, 0, 0, 0},
    {ACCESS_CLIENT, "discard defer", -1, 0, 0, 0, 0, 0},
    {ACCESS_CLIENT, "delay=10s", 0, ACCESS_NONE, FATE_QUEUE, 10000, 0, 0},
    {ACCESS_HELO, "delay=500ms accept", 0, ACCESS_ACCEPT, FATE_QUEUE, 500, 0, 0},
    {ACCESS_CLIENT, "delay=4m", 0, ACCESS_NONE, FATE_QUEUE, 240000, 0, 0},
    {ACCESS_CLIENT, "delay=5m", -1, 0, 0, 0, 0, 0},
    {ACCESS_CLIENT, "delay=", -1, 0, 0, 0, 0, 0},
    {ACCESS_CLIENT, "delay=1 delay=1", -1, 0, 0, 0, 0, 0},
    {ACCESS_LOGIN, "rate=100/1h", 0, ACCESS_NONE, FATE_QUEUE, 0, 100, 3600000},
    {ACCESS_LOGIN, "rate=100/1h rate=1/1s", -1, 0, 0, 0, 0, 0},
    {ACCESS_LOGIN, "rate=100/60", -1, 0, 0, 0, 0, 0},
    {ACCESS_LOGIN, "rate=0/1m", -1, 0, 0, 0, 0, 0},
    {ACCESS_LOGIN, "rate=1/2d", -1, 0, 0, 0, 0, 0},
    {ACCESS_LOGIN, "rate=1000001/1d", -1, 0, 0, 0, 0, 0},
    {ACCESS_LOGIN, "rate=/1d", -1, 0, 0, 0, 0, 0},
    {ACCESS_HOST, "relay", 0, ACCESS_RELAY, FATE_QUEUE, 0, 0, 0},
    {ACCESS_TLS, "relay", -1, 0, 0, 0, 0, 0},
    {ACCESS_HOST, "helo=junk", -1, 0, 0, 0, 0, 0},
    {ACCESS_RCPT, "  rate=1/1s\thold  delay=1s ", 0, ACCESS_NONE, FATE_HOLD, 1000, 1, 1000},
  };
  struct access_rule r;
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    print_message("# row %zu\n", i);
    assert_int_equal(access_parse(cases[i].key, cases[i].value, strlen(cases[i].value), &r, &why),
                     cases[i].r);
    if (cases[i].r != 0)
      continue;
    assert_int_equal(r.action, cases[i].action);
    assert_int_equal(r.fate, cases[i].fate);
    assert_int_equal(r.delay, cases[i].delay);
    assert_int_equal(r.has_delay, cases[i].delay != 0);
    assert_int_equal(r.rate, cases[i].rate);
    assert_int_equal(r.per, cases[i].per);
  }
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
    cmocka_unit_test(more_values),
  };

  return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
