/* test_getset.c - changing control/settings without losing a comment */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "common/settings.h"
#include "conf/getset.h"
#include "conf/lines.h"

static const struct {
  const char *text, *name, *value, *expected;
} edits[] = {
  {"", "domain", "a.example", "domain a.example\n"},
  {"x", "domain", "a.example", "x\ndomain a.example\n"},
  {"hostname a.example\n", "hostname", "b.example", "hostname b.example\n"},
  {"# h\n  hostname\ta.example  \nx 1\n", "hostname", "b.example", "# h\nhostname b.example\nx 1\n"},
  {"hostname a.example", "hostname", "b.example", "hostname b.example\n"},
  {"#hostname is here\n#domain\n#smtp-port 25\n\nx 1\n", "smtp-port", "26",
   "#hostname is here\n#domain\n#smtp-port 25\nsmtp-port 26\n\nx 1\n"},
  {"#smtp-portal 25\n", "smtp-port", "26", "#smtp-portal 25\nsmtp-port 26\n"},
  {"domain a.example\n", "domain", "", "domain\n"},
  {"smtp-port 1\nsmtp-port 2\n", "smtp-port", "3", "smtp-port 1\nsmtp-port 3\n"},
};

static void test_edit(void **state)
{
  stralloc text = {0}, out = {0};

  (void)state;
  for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
    assert_true(stralloc_copys(&text, edits[i].text));
    assert_int_equal(getset_edit(&text, edits[i].name, edits[i].value, &out), 0);
    assert_true(stralloc_0(&out));
    assert_string_equal(out.s, edits[i].expected);
  }
  stralloc_free(&text);
  stralloc_free(&out);
}

/* init's settings show every setting with its default; set finds its place by that */
static void test_template(void **state)
{
  const char *const set[] = {"hostname", "mx.example.org", NULL};
  stralloc text = {0}, out = {0};
  struct lines ls;
  struct line l;
  const char *why;
  size_t keys = 0;

  (void)state;
  assert_int_equal(getset_template(set, &text), 0);
  lines_start(&ls, &text);
  while (lines_next(&ls, &l, &why) > 0)
    keys += l.keylen > 0;
  assert_int_equal(keys, 1);
  for (size_t i = 0; i < settings_count(); i++)
    assert_non_null(memmem(text.s, text.len, settings_row(i)->help, strlen(settings_row(i)->help)));
  assert_int_equal(getset_edit(&text, "smtp-port", "26", &out), 0);
  assert_non_null(memmem(out.s, out.len, "\n#smtp-port 25\nsmtp-port 26\n", 28));
  stralloc_free(&text);
  stralloc_free(&out);
}

static void test_lines(void **state)
{
  static const char text[] = " key \t a value \r\n#c\n\n\tonly\nbad\x01\n";
  static const struct {
    int got;
    const char *key, *value;
  } expected[] = {{1, "key", "a value"}, {1, "", ""}, {1, "", ""}, {1, "only", ""}, {-1, "bad\x01", ""}};
  stralloc s = {0};
  struct lines ls;
  struct line l;
  const char *why;

  (void)state;
  assert_true(stralloc_copys(&s, text));
  lines_start(&ls, &s);
  for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
    assert_int_equal(lines_next(&ls, &l, &why), expected[i].got);
    assert_int_equal(l.number, i + 1);
    assert_int_equal(l.keylen, strlen(expected[i].key));
    assert_int_equal(l.valuelen, strlen(expected[i].value));
    if (l.keylen > 0)
      assert_memory_equal(l.key, expected[i].key, l.keylen);
    if (l.valuelen > 0)
      assert_memory_equal(l.value, expected[i].value, l.valuelen);
  }
  assert_int_equal(lines_next(&ls, &l, &why), 0);
  stralloc_free(&s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_edit),
    cmocka_unit_test(test_template),
    cmocka_unit_test(test_lines),
  };

  return cmocka_run_group_tests_name("getset", tests, NULL, NULL);
}
