/* test_address.c - mail addresses */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "common/address.h"

static const struct {
  const char *path, *text; /* NULL: refused */
  const char *domain;
  int is_literal, is_utf8, had_route;
} paths[] = {
  {"<user@example.org>", "user@example.org", "example.org", 0, 0, 0},
  {" <user@example.org>", "user@example.org", "example.org", 0, 0, 0},
  {"<User@EXAMPLE.org>", "User@example.org", "example.org", 0, 0, 0},
  {"<user+ext/x=y@example.org>", "user+ext/x=y@example.org", "example.org", 0, 0, 0},
  {"<>", "", "", 0, 0, 0},
  {"<user>", "user", "", 0, 0, 0},
  {"<Postmaster>", "Postmaster", "", 0, 0, 0},
  {"<@one.example,@two.example:user@example.org>", "user@example.org", "example.org", 0, 0, 1},
  {"<@one.example:user@example.org>", "user@example.org", "example.org", 0, 0, 1},
  {"<\"user\"@example.org>", "user@example.org", "example.org", 0, 0, 0},
  {"<\"two words\"@example.org>", "\"two words\"@example.org", "example.org", 0, 0, 0},
  {"<\"a\\\\b\"@example.org>", "\"a\\\\b\"@example.org", "example.org", 0, 0, 0},
  {"<\"a\\b\"@example.org>", "ab@example.org", "example.org", 0, 0, 0},
  {"<\"a>b@c\"@example.org>", "\"a>b@c\"@example.org", "example.org", 0, 0, 0},
  {"<\"\"@example.org>", "\"\"@example.org", "example.org", 0, 0, 0},
  {"<a..b@example.org>", "a..b@example.org", "example.org", 0, 0, 0},
  {"<a.@example.org>", "a.@example.org", "example.org", 0, 0, 0},
  {"<\"a..b\"@example.org>", "\"a..b\"@example.org", "example.org", 0, 0, 0},
  {"<user@example.org.>", "user@example.org", "example.org", 0, 0, 0},
  {"<user@my_host.example>", "user@my_host.example", "my_host.example", 0, 0, 0},
  {"<user@[192.0.2.1]>", "user@[192.0.2.1]", "[192.0.2.1]", 1, 0, 0},
  {"<user@[ipv6:2001:DB8::1]>", "user@[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]", 1, 0, 0},
  {"<m\xc3\xbcller@example.org>", "m\xc3\xbcller@example.org", "example.org", 0, 1, 0},
  {"<user@m\xc3\xbcller.example>", "user@m\xc3\xbcller.example", "m\xc3\xbcller.example", 0, 1, 0},
  {"user@example.org", NULL, NULL, 0, 0, 0},
  {"", NULL, NULL, 0, 0, 0},
  {"<", NULL, NULL, 0, 0, 0},
  {"<user@example.org", NULL, NULL, 0, 0, 0},
  {"<user@>", NULL, NULL, 0, 0, 0},
  {"<@example.org>", NULL, NULL, 0, 0, 0},
  {"<@example.org:>", NULL, NULL, 0, 0, 0},
  {"<us er@example.org>", NULL, NULL, 0, 0, 0},
  {"<user@exa mple.org>", NULL, NULL, 0, 0, 0},
  {"<user@a..b>", NULL, NULL, 0, 0, 0},
  {"<user@.b>", NULL, NULL, 0, 0, 0},
  {"<user@.>", NULL, NULL, 0, 0, 0},
  {"<user@-a.b>", NULL, NULL, 0, 0, 0},
  {"<user@[300.0.2.1]>", NULL, NULL, 0, 0, 0},
  {"<user@[2001:db8::1]>", NULL, NULL, 0, 0, 0},
  {"<user@[192.0.2.1>", NULL, NULL, 0, 0, 0},
  {"<user@one@two>", NULL, NULL, 0, 0, 0},
  {"<\"open@example.org>", NULL, NULL, 0, 0, 0},
  {"<\"open\\", NULL, NULL, 0, 0, 0},
  {"<a\rb@example.org>", NULL, NULL, 0, 0, 0},
  {"<\"a\nb\"@example.org>", NULL, NULL, 0, 0, 0},
  {"<\"a\\\nb\"@example.org>", NULL, NULL, 0, 0, 0},
  {"<a\xc3@example.org>", NULL, NULL, 0, 0, 0},
  {"<a\xc0\xaf@example.org>", NULL, NULL, 0, 0, 0},
  {"<a\xed\xa0\x80@example.org>", NULL, NULL, 0, 0, 0},
  {"<a\xc2\x85@example.org>", NULL, NULL, 0, 0, 0},
};

static void path(void **state)
{
  struct address a = {0};
  const char *why;
  size_t used;

  (void)state;
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    size_t len = strlen(paths[i].path);
    int r = address_path(paths[i].path, len, 1, &a, &used, &why);
    print_message("# row %zu\n", i);
    assert_int_equal(r, paths[i].text ? 0 : -1);
    if (r != 0) {
      assert_non_null(why);
      continue;
    }
    assert_int_equal(used, len);
    assert_string_equal(a.text.s, paths[i].text);
    assert_int_equal(a.text.len, strlen(paths[i].text));
    assert_string_equal(a.domain, paths[i].domain);
    assert_int_equal(a.is_literal, paths[i].is_literal);
    assert_int_equal(a.is_utf8, paths[i].is_utf8);
    assert_int_equal(a.had_route, paths[i].had_route);
    /* the normal form is its own normal form */
    assert_int_equal(address_parse(paths[i].text, strlen(paths[i].text), 1, &a, &why), 0);
    assert_string_equal(a.text.s, paths[i].text);
  }
  stralloc_free(&a.text);
}

static void parameters_follow(void **state)
{
  struct address a = {0};
  const char *why;
  size_t used;

  (void)state;
  assert_int_equal(address_path("<a@b.example> SIZE=1", 20, 0, &a, &used, &why), 0);
  assert_int_equal(used, 13);
  assert_int_equal(address_path("<> BODY=7BIT", 12, 0, &a, &used, &why), -1);
  assert_int_equal(address_parse("", 0, 0, &a, &why), -1);
  assert_int_equal(address_parse("", 0, 1, &a, &why), 0);
  assert_int_equal(address_parse("<a@b.example>", 13, 1, &a, &why), -1);
  assert_int_equal(address_parse("a@b.example\0c", 13, 1, &a, &why), -1);
  stralloc_free(&a.text);
}

static void lengths(void **state)
{
  struct address a = {0};
  char text[600];
  const char *why;

  (void)state;
  memset(text, 'x', sizeof text);
  memcpy(text + 255, "@b.example", 10);
  assert_int_equal(address_parse(text, 265, 0, &a, &why), 0);
  memset(text, 'x', sizeof text);
  memcpy(text + 256, "@b.example", 10);
  assert_int_equal(address_parse(text, 266, 0, &a, &why), -1);
  memset(text, 'x', sizeof text);
  text[0] = 'a';
  text[1] = '@';
  for (int i = 2; i < 600; i += 50)
    text[i + 49 < 600 ? i + 49 : 599] = '.';
  assert_int_equal(address_parse(text, 2 + 255, 0, &a, &why), 0);
  assert_int_equal(address_parse(text, 2 + 256, 0, &a, &why), -1);
  assert_int_equal(address_parse(text, 599, 0, &a, &why), -1);
  stralloc_free(&a.text);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(path),
    cmocka_unit_test(parameters_follow),
    cmocka_unit_test(lengths),
  };

  return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
