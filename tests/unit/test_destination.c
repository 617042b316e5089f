/* test_destination.c - where mail for an address goes: local domains, routes, literals, DNS */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "queue/destination.h"

static const char *const entries[][3] = {
  {"domains", "here.example", "local"},
  {"domains", ".inside.example", "local"},
  {"domains", "out.inside.example", "relay"},
  {"routes", "here.example", "[192.0.2.9]:25"}, /* never overrides a local domain */
  {"routes", "a.example", "[192.0.2.1]:2525"},
  {"routes", ".a.example", "gate.example:26"},
  {"routes", "b.example", "mx"},
  {"routes", "no.example", "error:5.7.1 not from here"},
  {"routes", "wait.example", "hold"},
  {"routes", "broken.example", "lmtp:/x"},
  {"routes", "[192.0.2.8]", "hold"},
};

static struct table *tables(void)
{
  int fd = memfd_create("tables", MFD_CLOEXEC);
  struct table_maker *m = table_maker_start(fd);
  struct table *t;

  for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
    assert_int_equal(table_maker_add(m, entries[i][0], entries[i][1], strlen(entries[i][1]), entries[i][2],
                                     strlen(entries[i][2])), 0);
  assert_int_equal(table_maker_finish(m), 0);
  t = table_open(fd);
  close(fd);
  assert_non_null(t);
  return t;
}

static const struct {
  const char *address, *want, *rule;
} rows[] = {
  {"u@here.example", "local", "table domains says that here.example is local"},
  {"u@HERE.example", "local", "is local"},
  {"u@x.inside.example", "local", "is local"},
  {"u@inside.example", "mx:inside.example", "no route names"},
  {"u@out.inside.example", "mx:out.inside.example", "no route names"},
  {"u", "local", "it has no domain"},
  {"u@", "local", "it has no domain"},
  {"u@a.example", "host:[192.0.2.1]:2525", "table routes says: [192.0.2.1]:2525"},
  {"u@x.a.example", "mx:gate.example:26", "table routes says"},
  {"\"x@a.example\"@b.example", "mx:b.example", "table routes says: mx"},
  {"u@no.example", "error:5.7.1 not from here", "table routes says"},
  {"u@wait.example", "hold", "table routes says: hold"},
  {"u@broken.example", "error:5.3.5 the route for this domain does not parse", ""},
  {"u@else.example", "mx:else.example", "no route names else.example"},
  {"u@[192.0.2.7]", "host:[192.0.2.7]", "its domain is an address"},
  {"u@[192.0.2.8]", "hold", "table routes says"},
  {"u@[IPv6:2001:DB8::1]", "host:[2001:db8::1]", "its domain is an address"},
  {"u@[ipv6:::1]", "host:[::1]", "its domain is an address"},
  {"u@[x]", "error:5.1.2 the domain of this address is no host name", ""},
  {"u@[]", "error:5.1.2 the domain of this address is no host name", ""},
  {"u@192.0.2.7", "error:5.1.2 the domain of this address is no host name", ""},
  {"u@a:25", "error:5.1.2 the domain of this address is no host name", ""},
};

static void test_rows(void **state)
{
  struct table *t = tables();
  stralloc text = {0}, rule = {0};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct nexthop hop, back;
    assert_int_equal(destination_of(t, rows[i].address, &hop, &text, &rule), 0);
    assert_int_equal(strlen(text.s), text.len);
    assert_string_equal(text.s, rows[i].want);
    if (*rows[i].rule && !strstr(rule.s, rows[i].rule))
      fail_msg("%s: %s", rows[i].address, rule.s);
    assert_int_equal(destination_of(t, rows[i].address, &hop, &text, NULL), 0);
    assert_int_equal(nexthop_parse(text.s, text.len, &back), 0); /* those who get it understand it */
    assert_int_equal(back.kind, hop.kind);
  }
  free(text.s);
  free(rule.s);
  table_close(t);
}

static void test_no_tables(void **state)
{
  stralloc text = {0};
  struct nexthop hop;

  (void)state;
  assert_int_equal(destination_of(NULL, "u@here.example", &hop, &text, NULL), 0);
  assert_string_equal(text.s, "mx:here.example");
  free(text.s);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_no_tables)};

  return cmocka_run_group_tests_name("destination", tests, NULL, NULL);
}
