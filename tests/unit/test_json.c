/* test_json.c - hostile bytes become legal JSON on one line */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/json.h"

#define R "\xef\xbf\xbd" /* U+FFFD */

static void test_bytes(void **state)
{
  static const struct {
    const char *s, *want;
  } rows[] = {
    {"", ""}, {"plain", "plain"}, {"b\xc3\xbc" "cher", "b\xc3\xbc" "cher"}, {"\xe2\x82\xac", "\xe2\x82\xac"},
    {"\xf0\x9f\x93\xa7", "\xf0\x9f\x93\xa7"}, {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"a\xff" "b", "a" R "b"}, {"\xc3", R}, {"\xc3x", R "x"}, {"\xe2\x82", R R}, {"\x80", R},
    {"\xc0\xaf", R R},                    /* overlong */
    {"\xe0\x80\xaf", R R R},
    {"\xf0\x80\x80\xaf", R R R R},
    {"\xed\xa0\x80", R R R},              /* a surrogate */
    {"\xf4\x90\x80\x80", R R R R},        /* beyond U+10FFFF */
    {"\xf5\x80\x80\x80", R R R R},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    json_t *v = json_bytes(rows[i].s);
    assert_non_null(v);
    assert_string_equal(json_string_value(v), rows[i].want);
    json_decref(v);
  }
}

/* every pair of bytes gives a string that is read back as JSON */
static void test_all_pairs(void **state)
{
  (void)state;
  for (int a = 1; a < 256; a++)
    for (int b = 1; b < 256; b += a < 128 ? 37 : 1) {
      char s[3] = {(char)a, (char)b, 0};
      stralloc out = {0};
      json_t *back;
      assert_int_equal(json_line(&out, json_pack("[o]", json_bytes(s))), 0);
      assert_int_equal(memchr(out.s, '\n', out.len) == out.s + out.len - 1, 1);
      back = json_loadb(out.s, out.len, 0, NULL);
      assert_non_null(back);
      json_decref(back);
      free(out.s);
    }
}

static void test_line(void **state)
{
  stralloc out = {0};

  (void)state;
  assert_int_equal(json_line(&out, json_pack("{s:s}", "a", "x\ny")), 0);
  assert_int_equal(json_line(&out, json_time(1769850000)), -1); /* no object or array */
  assert_int_equal(json_line(&out, json_pack("[o]", json_time(1769850000))), 0);
  assert_int_equal(json_line(&out, NULL), -1);
  assert_true(stralloc_0(&out));
  assert_string_equal(out.s, "{\"a\":\"x\\ny\"}\n[\"2026-01-31T09:00:00Z\"]\n");
  free(out.s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes), cmocka_unit_test(test_all_pairs),
                                     cmocka_unit_test(test_line)};

  return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
