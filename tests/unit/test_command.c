/* test_command.c - one command line taken apart */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/command.h"

static int same(const char *s, size_t len, const char *want)
{
  return len == strlen(want) && memcmp(s, want, len) == 0;
}

static void lines(void **state)
{
  static const struct {
    const char *line, *verb, *arg;
  } cases[] = {
    {"NOOP", "NOOP", ""},
    {"ehlo  a.example ", "ehlo", "a.example"},
    {"MAIL FROM:<a@b> SIZE=1", "MAIL", "FROM:<a@b> SIZE=1"},
    {" QUIT", "QUIT", ""},
    {"\tQUIT\t", "QUIT", ""},
    {"", "", ""},
    {"   ", "", ""},
  };
  struct command c;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    command_parse(cases[i].line, strlen(cases[i].line), &c);
    assert_true(same(c.verb, c.verblen, cases[i].verb));
    assert_true(same(c.arg, c.arglen, cases[i].arg));
  }
  command_parse("eHLo", 4, &c);
  assert_true(command_is(&c, "EHLO"));
  assert_false(command_is(&c, "EHLOX"));
  assert_false(command_is(&c, "EH"));
}

static void paths(void **state)
{
  static const struct {
    const char *line, *rest; /* NULL: not so */
  } cases[] = {
    {"MAIL FROM:<a@b>", "<a@b>"},   {"MAIL from: <a@b>", "<a@b>"}, {"MAIL FROM :<a@b>", "<a@b>"},
    {"MAIL FROM:", ""},             {"MAIL FROM", NULL},           {"MAIL", NULL},
    {"MAIL FROM <a@b>", NULL},      {"MAIL TO:<a@b>", NULL},
  };
  struct command c;
  const char *rest;
  size_t len;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    command_parse(cases[i].line, strlen(cases[i].line), &c);
    assert_int_equal(command_after(&c, "FROM", &rest, &len), cases[i].rest ? 0 : -1);
    if (cases[i].rest)
      assert_true(same(rest, len, cases[i].rest));
  }
}

static void parameters(void **state)
{
  static const struct {
    const char *text, *key, *value; /* key NULL: malformed */
    int has_value;
  } cases[] = {
    {" SIZE=100", "SIZE", "100", 1}, {"BODY=8BITMIME ", "BODY", "8BITMIME", 1},
    {"SMTPUTF8", "SMTPUTF8", "", 0}, {"ORCPT=rfc822;a+2Bb@c", "ORCPT", "rfc822;a+2Bb@c", 1},
    {"SIZE=", NULL, NULL, 0},        {"=1", NULL, NULL, 0},
    {"-A=1", NULL, NULL, 0},         {"A=b=c", NULL, NULL, 0},
    {"A=\xc3\xbc", "A", "\xc3\xbc", 1},   {"A,B", NULL, NULL, 0},
    {"<a@b>", NULL, NULL, 0},
  };
  struct command_param p;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const char *s = cases[i].text;
    size_t len = strlen(s);
    int r = command_param(&s, &len, &p);
    assert_int_equal(r, cases[i].key ? 1 : -1);
    if (r < 0)
      continue;
    assert_true(same(p.key, p.keylen, cases[i].key));
    assert_true(same(p.value, p.valuelen, cases[i].value));
    assert_int_equal(p.has_value, cases[i].has_value);
    assert_int_equal(command_param(&s, &len, &p), 0);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(lines),
    cmocka_unit_test(paths),
    cmocka_unit_test(parameters),
  };

  return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
