/* test_route.c - routes and next hops: what is understood, and that a next hop's text is read back */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/route.h"

static const char *format(const struct nexthop *hop)
{
  static stralloc out;

  assert_true(stralloc_copys(&out, ""));
  assert_int_equal(nexthop_format(&out, hop), 0);
  assert_true(stralloc_0(&out));
  return out.s;
}

/* value for domain -> text of the next hop, NULL: refused */
static void test_routes(void **state)
{
  static const struct {
    const char *value, *domain, *want;
  } rows[] = {
    {"mx", "Example.ORG", "mx:example.org"},
    {"[mail.example]:26", "x.example", "host:[mail.example]:26"},
    {"[MAIL.example]", "x.example", "host:[mail.example]"},
    {"[192.0.2.1]:2525", "x.example", "host:[192.0.2.1]:2525"},
    {"[2001:DB8::1]:25", "x.example", "host:[2001:db8::1]:25"},
    {"[2001:db8::1]", "x.example", "host:[2001:db8::1]"},
    {"mail.example", "x.example", "mx:mail.example"},
    {"mail.example:2525", "x.example", "mx:mail.example:2525"},
    {"hold", "x.example", "hold"},
    {"error:5.7.1 go away", "x.example", "error:5.7.1 go away"},
    {"error:", "x.example", NULL},
    {"", "x.example", NULL},
    {"192.0.2.1", "x.example", NULL},
    {"192.0.2.1:25", "x.example", NULL},
    {"2001:db8::1", "x.example", NULL},
    {"mail.example:0", "x.example", NULL},
    {"mail.example:65536", "x.example", NULL},
    {"mail.example:", "x.example", NULL},
    {"mail.example:25:25", "x.example", NULL},
    {"mail.example 25", "x.example", NULL},
    {"mail example", "x.example", NULL},
    {":25", "x.example", NULL},
    {"[]", "x.example", NULL},
    {"[]:25", "x.example", NULL},
    {"[mail.example", "x.example", NULL},
    {"[mail.example]25", "x.example", NULL},
    {"[mail.example]:", "x.example", NULL},
    {"[mail.example]:x", "x.example", NULL},
    {"[mail.example]:25 ", "x.example", NULL},
    {"[mail/example]:25", "x.example", NULL},
    {"mail.ex\xc3\xa4mple", "x.example", NULL},
    {"lmtp:/run/lmtp", "x.example", NULL},
    {"lmtp:[::1]:24", "x.example", NULL},
    /* a domain that cannot be asked for mail exchangers */
    {"mx", "", NULL},
    {"mx", "192.0.2.1", NULL},
    {"mx", "a:25", NULL},
    {"mx", "[192.0.2.1]", NULL},
    {"mx", "a b", NULL},
  };

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct nexthop hop, back;
    const char *why = NULL;
    int r = route_parse(rows[i].value, strlen(rows[i].value), rows[i].domain, strlen(rows[i].domain), &hop, &why);
    if ((r == 0) != (rows[i].want != NULL))
      fail_msg("\"%s\" for %s: %d", rows[i].value, rows[i].domain, r);
    if (r != 0) {
      assert_true(why && *why);
      continue;
    }
    assert_string_equal(format(&hop), rows[i].want);
    assert_int_equal(nexthop_parse(rows[i].want, strlen(rows[i].want), &back), 0);
    assert_int_equal(back.kind, hop.kind);
    assert_string_equal(back.host, hop.host);
    assert_int_equal(back.port, hop.port);
    assert_int_equal(back.textlen, hop.textlen);
  }
}

/* an address without brackets is the likely mistake, and is told so */
static void test_bracket_hint(void **state)
{
  struct nexthop hop;
  const char *why;

  (void)state;
  assert_int_equal(route_parse("192.0.2.1:25", 12, "x", 1, &hop, &why), -1);
  assert_non_null(strstr(why, "[brackets]"));
  assert_int_equal(route_parse("smtp://x", 8, "x", 1, &hop, &why), -1);
  assert_null(strstr(why, "[brackets]"));
}

static void test_host_length(void **state)
{
  char value[HOP_HOST_MAX + 8];
  struct nexthop hop;
  const char *why;

  (void)state;
  memset(value, 'a', sizeof value);
  assert_int_equal(route_parse(value, HOP_HOST_MAX, "x", 1, &hop, &why), 0);
  assert_int_equal(strlen(hop.host), HOP_HOST_MAX);
  assert_int_equal(route_parse(value, HOP_HOST_MAX + 1, "x", 1, &hop, &why), -1);
  value[0] = '[';
  value[HOP_HOST_MAX + 1] = ']';
  assert_int_equal(route_parse(value, HOP_HOST_MAX + 2, "x", 1, &hop, &why), 0);
  value[HOP_HOST_MAX + 1] = 'a';
  value[HOP_HOST_MAX + 2] = ']';
  assert_int_equal(route_parse(value, HOP_HOST_MAX + 3, "x", 1, &hop, &why), -1);
  assert_int_equal(route_parse("mx\0x", 4, "x", 1, &hop, &why), -1);
}

static void test_nexthops(void **state)
{
  static const char *const bad[] = {"", "loca", "locals", "mx:", "mx", "mx:192.0.2.1", "mx:a:0", "mx:a b", "host:a:25",
                                    "host:[a", "host:[]", "host:[a]:99999", "host:", "error:", "holding", "lmtp:/x",
                                    "MX:a", "mx:a:25:25", "mx:[192.0.2.1]"};
  struct nexthop hop;

  (void)state;
  assert_int_equal(nexthop_parse("local", 5, &hop), 0);
  assert_int_equal(hop.kind, HOP_LOCAL);
  assert_string_equal(format(&hop), "local");
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (nexthop_parse(bad[i], strlen(bad[i]), &hop) != -1)
      fail_msg("\"%s\"", bad[i]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_routes),
    cmocka_unit_test(test_bracket_hint),
    cmocka_unit_test(test_host_length),
    cmocka_unit_test(test_nexthops),
  };
  return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
