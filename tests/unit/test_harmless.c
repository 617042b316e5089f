/* test_harmless.c - what a stranger's text becomes on a terminal, in pieces of every size */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "queue/harmless.h"

static const struct {
  const char *in;
  size_t len;
  const char *out;
} rows[] = {
#define ROW(in, out) {in, sizeof in - 1, out}
  ROW("", ""),
  ROW("plain text\twith a tab\n", "plain text\twith a tab\n"),
  ROW("one\r\ntwo\r\n", "one\ntwo\n"),
  ROW("a\rb\r", "a\\x0db\\x0d"),
  ROW("\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f"),
  ROW("a\0b", "a\\x00b"),
  ROW("gr\xc3\xbc\xc3\x9f\x65 \xe2\x82\xac \xf0\x9f\x93\xa7", "gr\xc3\xbc\xc3\x9f\x65 \xe2\x82\xac \xf0\x9f\x93\xa7"),
  ROW("\x9b" "31m\xff\xfe", "\\x9b31m\\xff\\xfe"),
  ROW("\xc2\x9b" "31m\xc2\x85", "\\xc2\\x9b31m\\xc2\\x85"),         /* C1 as UTF-8 */
  ROW("\xe2\x80\xae" "evil\xe2\x81\xa6", "\\xe2\\x80\\xaeevil\\xe2\\x81\\xa6"), /* directions */
  ROW("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", "\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80"),
  ROW("\xe2\x82", "\\xe2\\x82"),
  ROW("\xe2\x82x", "\\xe2\\x82x"),
  ROW("\xf0\x9f\x93", "\\xf0\\x9f\\x93"),
  ROW("\xf0\xf0\x9f\x93\xa7", "\\xf0\xf0\x9f\x93\xa7"),
#undef ROW
};

static void test_pieces(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t size = 1; size <= rows[i].len + 1; size++) {
      struct harmless h = {{0}, 0};
      stralloc out = {0};
      for (size_t at = 0; at < rows[i].len; at += size)
        assert_int_equal(harmless_feed(&h, &out, rows[i].in + at, rows[i].len - at < size ? rows[i].len - at : size), 0);
      assert_int_equal(harmless_end(&h, &out), 0);
      assert_true(stralloc_0(&out));
      if (strcmp(out.s, rows[i].out) != 0)
        fail_msg("row %zu in pieces of %zu: '%s'", i, size, out.s);
      stralloc_free(&out);
    }
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces)};

  return cmocka_run_group_tests_name("harmless", tests, NULL, NULL);
}
