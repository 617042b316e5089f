/* test_hello.c - names in greetings: the table of LADDER.md 4.1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "common/hello.h"

/* policy that refuses at least: what normal says (and strict, when it differs) */
static const struct {
  const char *arg, *name; /* NULL: refused */
  int len;                /* 0: strlen */
  enum hello_kind kind;
  int is_malformed, is_changed;
} rows[] = {
  {"mail.example.org", "mail.example.org", 0, HELLO_NAME, 0, 0},
  {"Mail.Example.ORG", "mail.example.org", 0, HELLO_NAME, 0, 0},
  {"  mail.example.org\t", "mail.example.org", 0, HELLO_NAME, 0, 0},
  {"", NULL, 0, HELLO_NAME, 0, 0},
  {"   ", NULL, 0, HELLO_NAME, 0, 0},
  {"sub2", "sub2", 0, HELLO_HOST_ONLY, 0, 0},
  {"sub2.", "sub2", 0, HELLO_HOST_ONLY, 1, 1},
  {"a.b.", "a.b", 0, HELLO_NAME, 1, 1},
  {"a.b..", "a.b.", 0, HELLO_NAME, 1, 1},
  {".", ".", 0, HELLO_NAME, 1, 0},
  {"a..b", "a..b", 0, HELLO_NAME, 1, 0},
  {".a.b", ".a.b", 0, HELLO_NAME, 1, 0},
  {"my_host.example.org", "my_host.example.org", 0, HELLO_NAME, 1, 0},
  {"-a.example.org", "-a.example.org", 0, HELLO_NAME, 1, 0},
  {"one two three", "one", 0, HELLO_HOST_ONLY, 1, 1},
  {"192.0.2.1", "[192.0.2.1]", 0, HELLO_LITERAL, 0, 1},
  {"2001:DB8::1", "[IPv6:2001:db8::1]", 0, HELLO_LITERAL, 1, 1},
  {"[192.0.2.1]", "[192.0.2.1]", 0, HELLO_LITERAL, 0, 0},
  {"[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]", 0, HELLO_LITERAL, 0, 0},
  {"[ipv6:2001:db8::1]", "[IPv6:2001:db8::1]", 0, HELLO_LITERAL, 0, 0},
  {"[::1]", "[IPv6:::1]", 0, HELLO_LITERAL, 1, 1},
  {"[IPv6:192.0.2.1]", "[192.0.2.1]", 0, HELLO_LITERAL, 1, 1},
  {"[tag:content]", "[tag:content]", 0, HELLO_LITERAL, 0, 0},
  {"[999.1.1.1]", "[999.1.1.1]", 0, HELLO_LITERAL, 1, 0},
  {"[192.0.2.1", "[192.0.2.1", 0, HELLO_LITERAL, 1, 0},
  {"[]", "[]", 0, HELLO_LITERAL, 1, 0},
  {"[", "[", 0, HELLO_LITERAL, 1, 0},
  {"m\xc3\xbcller.example", "m??ller.example", 0, HELLO_NAME, 1, 1},
  {"localhost", "localhost", 0, HELLO_HOST_ONLY, 0, 0},
  {"a\001b", NULL, 0, HELLO_NAME, 0, 0},
  {"a\177b", NULL, 0, HELLO_NAME, 0, 0},
  {"a\0b", NULL, 3, HELLO_NAME, 0, 0},
};

static void judges(void **state)
{
  struct hello h = {0};
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    size_t len = rows[i].len ? (size_t)rows[i].len : strlen(rows[i].arg);
    int r = hello_judge(rows[i].arg, len, HELLO_NORMAL, &h, &why);
    print_message("# row %zu\n", i);
    assert_int_equal(r, rows[i].name ? 0 : -1);
    if (r != 0)
      continue;
    assert_int_equal(h.name.len, strlen(rows[i].name));
    assert_memory_equal(h.name.s, rows[i].name, h.name.len);
    assert_int_equal(h.kind, rows[i].kind);
    assert_int_equal(h.is_malformed, rows[i].is_malformed);
    assert_int_equal(h.is_changed, rows[i].is_changed);
    /* strict refuses exactly what is outside the grammar */
    assert_int_equal(hello_judge(rows[i].arg, len, HELLO_STRICT, &h, &why),
                     rows[i].is_malformed ? -1 : 0);
  }
  stralloc_free(&h.name);
}

static void junk_takes_anything(void **state)
{
  struct hello h = {0};
  const char *why;
  char big[600];

  (void)state;
  memset(big, 'x', sizeof big);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_int_equal(
      hello_judge(rows[i].arg, strlen(rows[i].arg), HELLO_JUNK, &h, &why), 0);
  assert_int_equal(hello_judge(big, sizeof big, HELLO_JUNK, &h, &why), 0);
  assert_int_equal(h.name.len, 255);
  assert_int_equal(hello_judge("a\001b", 3, HELLO_JUNK, &h, &why), 0);
  assert_memory_equal(h.name.s, "a?b", 3);
  stralloc_free(&h.name);
}

static void length(void **state)
{
  struct hello h = {0};
  const char *why;
  char big[256];

  (void)state;
  memset(big, 'x', sizeof big);
  assert_int_equal(hello_judge(big, 255, HELLO_NORMAL, &h, &why), 0);
  assert_int_equal(hello_judge(big, 256, HELLO_NORMAL, &h, &why), -1);
  assert_string_equal(why, "longer than 255 bytes");
  stralloc_free(&h.name);
}

static void completes(void **state)
{
  static const struct {
    const char *arg, *domain, *name;
    int r;
  } cases[] = {
    {"sub2", "your-domain.example", "sub2.your-domain.example", 1},
    {"sub2.", "your-domain.example", "sub2.your-domain.example", 1},
    {"sub2", "", "sub2", 0},
    {"a.b", "your-domain.example", "a.b", 0},
    {"[192.0.2.1]", "your-domain.example", "[192.0.2.1]", 0},
    {"sub_2", "your-domain.example", "sub_2", 0},
  };
  struct hello h = {0};
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(hello_judge(cases[i].arg, strlen(cases[i].arg), HELLO_NORMAL, &h, &why), 0);
    assert_int_equal(hello_complete(&h, cases[i].domain), cases[i].r);
    assert_int_equal(h.name.len, strlen(cases[i].name));
    assert_memory_equal(h.name.s, cases[i].name, h.name.len);
  }
  stralloc_free(&h.name);
}

static void fqdn(void **state)
{
  static const struct {
    const char *s;
    int is;
  } cases[] = {
    {"mail.example.org", 1}, {"a.b", 1},          {"1a.2b", 1},         {"example.org.", 0},
    {"example", 0},          {"", 0},             {".", 0},             {"a..b", 0},
    {".a.b", 0},             {"a_b.c", 0},        {"-a.b", 0},          {"a-.b", 0},
    {"192.0.2.1", 0},        {"example.1", 0},    {"localhost", 0},     {"LocalHost.LocalDomain", 0},
    {"a b.c", 0},            {"xn--a.example", 1}, {"[192.0.2.1]", 0},
  };
  char label[200];

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(hello_is_fqdn(cases[i].s, strlen(cases[i].s)), cases[i].is);
  memset(label, 'x', sizeof label);
  memcpy(label + 63, ".org", 4);
  assert_true(hello_is_fqdn(label, 67));
  memset(label, 'x', sizeof label);
  memcpy(label + 64, ".org", 4);
  assert_false(hello_is_fqdn(label, 68));
}

static void policies(void **state)
{
  enum hello_policy p;

  (void)state;
  assert_int_equal(hello_policy_read("strict", 6, &p), 0);
  assert_int_equal(p, HELLO_STRICT);
  assert_int_equal(hello_policy_read("Junk", 4, &p), -1);
  assert_int_equal(hello_policy_read("", 0, &p), -1);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(judges),    cmocka_unit_test(junk_takes_anything), cmocka_unit_test(length),
    cmocka_unit_test(completes), cmocka_unit_test(fqdn),                cmocka_unit_test(policies),
  };

  return cmocka_run_group_tests_name("hello", tests, NULL, NULL);
}
