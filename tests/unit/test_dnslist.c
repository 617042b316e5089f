/* test_dnslist.c - table dnslists, names of questions, what answers weigh, and how they are read */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "common/dnslist.h"
#include "resolve/answer.h"
#include "smtpd/dnsanswers.h"

static struct ip ip_of(const char *s)
{
  struct ip ip;

  assert_int_equal(ip_parse(s, strlen(s), &ip), 0);
  return ip;
}

static void values(void **state)
{
  static const char *const good[] = {
    "5", "-5", " 5  txt ", "127.0.0.2=5", "127.0.0.2-11=5 127.0.0.4=1", "127.0.*.3=-4", "*.*.*.*=1",
    "127.0.0.0/8=1000", "1 url=https://check.example/%a", "1 txt url=http://x",
  };
  static const char *const bad[] = {
    "", "txt", "0", "1001", "-", "127.0.0=5", "127.0.0.2.3=5", "127.0.0.256=5", "127.0.0.9-2=5",
    "127.0.0.1/8=5", "::1/128=5", "=5", "127.0.0.2=", "5 txt txt", "5 url=", "5 url=x", "5 url=http://a url=http://b",
    "5 5x", "127.0.0.-2=5", "127.0.0.2-=5", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
  };
  struct dnslist l;
  const char *why;

  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    print_message("# %s\n", good[i]);
    assert_int_equal(dnslist_parse(good[i], strlen(good[i]), &l, &why), 0);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    print_message("# %s\n", bad[i]);
    why = NULL;
    assert_int_equal(dnslist_parse(bad[i], strlen(bad[i]), &l, &why), -1);
    assert_non_null(why);
  }
}

static void weights(void **state)
{
  static const struct {
    const char *value, *answer[3];
    int weight;
  } cases[] = {
    {"5", {"127.0.0.2"}, 5},
    {"5", {NULL}, 0},
    {"5", {"127.0.0.2", "127.0.0.3"}, 5},
    {"5", {"192.0.2.1"}, 0}, /* a zone that somebody else answers for */
    {"5", {"127.255.255.254"}, 0},
    {"*.*.*.*=5", {"127.255.255.1"}, 0},
    {"127.0.0.2-9=5 127.0.0.10-11=3", {"127.0.0.2", "127.0.0.11"}, 8},
    {"127.0.0.2-9=5 127.0.0.10-11=3", {"127.0.0.12"}, 0},
    {"127.0.*.1-3=-4", {"127.0.17.3"}, -4},
    {"127.0.*.1-3=-4", {"127.1.17.3"}, 0},
    {"127.0.0.64/26=7", {"127.0.0.127"}, 7},
    {"127.0.0.64/26=7", {"127.0.0.128"}, 0},
    {"127.0.0.0/24=1 127.0.0.2=5", {"127.0.0.2"}, 6},
    {"5", {"::1"}, 0},
  };

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct ip answer[3];
    struct dnslist l;
    const char *why;
    size_t n = 0;
    for (; n < 3 && cases[i].answer[n]; n++)
      answer[n] = ip_of(cases[i].answer[n]);
    print_message("# row %zu\n", i);
    assert_int_equal(dnslist_parse(cases[i].value, strlen(cases[i].value), &l, &why), 0);
    assert_int_equal(dnslist_weigh(&l, answer, n), cases[i].weight);
  }
}

static void names(void **state)
{
  char name[DNSLIST_NAME_MAX + 1], zone[300];
  struct ip ip = ip_of("192.0.2.1");

  (void)state;
  assert_int_equal(dnslist_name(name, &ip, "list.example"), 0);
  assert_string_equal(name, "1.2.0.192.list.example");
  ip = ip_of("2001:db8::f:1");
  assert_int_equal(dnslist_name(name, &ip, "ip6.arpa"), 0);
  assert_string_equal(name, "1.0.0.0.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
  memset(zone, 'z', sizeof zone);
  zone[184] = 0;
  assert_int_equal(dnslist_name(name, &ip, zone), -1);
  zone[183] = 0;
  assert_int_equal(dnslist_name(name, &ip, zone), 0);
}

static void text_is(const char *rdata, size_t len, const char *wanted)
{
  char text[DNSANSWERS_TEXT];
  stralloc records = {0};

  assert_int_equal(answer_add(&records, rdata, len), 0);
  dnsanswers_text(records.s, records.len, text);
  assert_string_equal(text, wanted);
  stralloc_free(&records);
}

static void texts(void **state)
{
  char long_one[512], wanted[DNSANSWERS_TEXT];

  (void)state;
  text_is("\5hello", 6, "hello");
  text_is("\5hello\6 world", 13, "hello world");
  text_is("\5a\r\n\0b", 6, "a???b");
  text_is("\11short", 6, "");
  text_is("", 0, "");
  for (int i = 0; i < 2; i++) {
    long_one[i * 256] = (char)255;
    memset(long_one + i * 256 + 1, 'x', 255);
  }
  memset(wanted, 'x', sizeof wanted);
  wanted[sizeof wanted - 1] = 0;
  text_is(long_one, sizeof long_one, wanted);
}

static void hosts(void **state)
{
  char out[DNSANSWERS_NAMES][ASK_NAME_MAX + 1];
  stralloc records = {0};
  struct ip ip[2];

  (void)state;
  assert_int_equal(answer_add(&records, "\1A\7example\0", 11), 0);
  assert_int_equal(answer_add(&records, "\1\n\7example\0", 11), 0);
  assert_int_equal(answer_add(&records, "\0", 1), 0);
  for (int i = 0; i < 5; i++)
    assert_int_equal(answer_add(&records, "\1b\7example\0", 11), 0);
  assert_int_equal(dnsanswers_names(records.s, records.len, out), 4);
  assert_string_equal(out[0], "a.example");
  assert_string_equal(out[1], "b.example");
  records.len = 0;
  for (int i = 0; i < 3; i++)
    assert_int_equal(answer_add(&records, "\177\0\0\2", 4), 0);
  assert_int_equal(dnsanswers_addresses(records.s, records.len, ip, 2), 2);
  stralloc_free(&records);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(values), cmocka_unit_test(weights), cmocka_unit_test(names),
    cmocka_unit_test(texts),  cmocka_unit_test(hosts),
  };

  return cmocka_run_group_tests_name("dnslist", tests, NULL, NULL);
}
