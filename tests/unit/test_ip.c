/* test_ip.c - addresses, networks and ADDR:PORT: read, written, masked */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/ip.h"

/* text, and how it is written back; NULL: refused */
struct row {
  const char *s, *want;
};

static void test_parse(void **state)
{
  static const struct row rows[] = {
    {"192.0.2.1", "192.0.2.1"}, {"0.0.0.0", "0.0.0.0"}, {"255.255.255.255", "255.255.255.255"},
    {"2001:db8::1", "2001:db8::1"}, {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"}, {"::", "::"},
    {"::ffff:192.0.2.1", "192.0.2.1"}, {"::ffff:c000:201", "192.0.2.1"}, {"", NULL},
    {"::192.0.2.1", "::192.0.2.1"}, {"192.0.2", NULL}, {"192.0.2.256", NULL}, {"192.0.2.01", NULL},
    {"192.0.2.1 ", NULL}, {" 192.0.2.1", NULL}, {"[::1]", NULL}, {"fe80::1%eth0", NULL}, {"::1::", NULL},
    {"1:2:3:4:5:6:7:8:9", NULL}, {"localhost", NULL}, {"0x7f.1", NULL}, {"2130706433", NULL},
    {"2001:0db8:0000:0000:0000:0000:0000:0000:0000:0001", NULL}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ip ip;
    char text[IP_TEXT];
    int r = ip_parse(rows[i].s, strlen(rows[i].s), &ip);
    if ((r == 0) != (rows[i].want != NULL))
      fail_msg("\"%s\": %d", rows[i].s, r);
    if (r != 0)
      continue;
    assert_int_equal(ip_format(text, &ip), strlen(rows[i].want));
    assert_string_equal(text, rows[i].want);
  }
  assert_int_equal(ip_parse("192.0.2.1\0x", 11, &(struct ip){0}), -1);
  assert_int_equal(ip_parse("192.0.2.123", 9, &(struct ip){0}), 0); /* len decides */
}

static void test_net(void **state)
{
  static const struct {
    const char *s;
    int bits; /* -1: refused */
  } rows[] = {{"192.0.2.0/24", 24}, {"192.0.2.1", 32}, {"0.0.0.0/0", 0}, {"2001:db8::/32", 32},
              {"::/0", 0}, {"::1", 128}, {"192.0.2.1/24", -1}, {"192.0.2.0/33", -1}, {"::/129", -1},
              {"192.0.2.0/", -1}, {"/24", -1}, {"192.0.2.0/-1", -1}, {"192.0.2.0/2 4", -1},
              {"192.0.2.0/24/24", -1}, {"192.0.2.0/99999999999999999999", -1}, {"11.0.0.0/7", -1},
              {"2001:db8::/31", 31}, {"2001:db9::/31", -1}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ip_net net;
    int r = ip_net_parse(rows[i].s, strlen(rows[i].s), &net);
    if ((r == 0) != (rows[i].bits >= 0) || (r == 0 && (int)net.bits != rows[i].bits))
      fail_msg("\"%s\": %d", rows[i].s, r);
  }
}

static void test_port(void **state)
{
  static const struct row rows[] = {
    {"192.0.2.1:25", "192.0.2.1:25"}, {"[192.0.2.1]:25", "192.0.2.1:25"}, {"[2001:db8::1]:587", "[2001:db8::1]:587"},
    {"[::ffff:192.0.2.1]:65535", "192.0.2.1:65535"}, {"2001:db8::1:25", NULL}, {"192.0.2.1", NULL},
    {"192.0.2.1:0", NULL}, {"192.0.2.1:65536", NULL}, {"192.0.2.1:", NULL}, {":25", NULL}, {"[]:25", NULL},
    {"[192.0.2.1:25", NULL}, {"192.0.2.1]:25", NULL}, {"[::1]", NULL}, {"", NULL}, {":", NULL}, {"[:25", NULL},
    {"[::1]x:25", NULL}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ip ip;
    uint16_t port;
    char text[IP_PORT_TEXT];
    int r = ip_port_parse(rows[i].s, strlen(rows[i].s), &ip, &port);
    if ((r == 0) != (rows[i].want != NULL))
      fail_msg("\"%s\": %d", rows[i].s, r);
    if (r == 0) {
      ip_port_format(text, &ip, port);
      assert_string_equal(text, rows[i].want);
    }
  }
}

static struct ip ip_of(const char *s)
{
  struct ip ip;

  assert_int_equal(ip_parse(s, strlen(s), &ip), 0);
  return ip;
}

static void test_longest_texts_fit(void **state)
{
  struct ip ip = ip_of("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255");
  char text[IP_PORT_TEXT];

  (void)state;
  assert_true(ip_port_format(text, &ip, 65535) < IP_PORT_TEXT);
  assert_string_equal(text, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void test_in_net(void **state)
{
  static const struct {
    const char *ip, *net;
    int is_in;
  } rows[] = {{"192.0.2.1", "192.0.2.0/24", 1},    {"192.0.3.1", "192.0.2.0/24", 0},
              {"192.0.2.129", "192.0.2.128/25", 1}, {"192.0.2.127", "192.0.2.128/25", 0},
              {"192.0.2.1", "0.0.0.0/0", 1},       {"192.0.2.1", "::/0", 0},
              {"2001:db8::1", "0.0.0.0/0", 0},     {"2001:db8:ffff::1", "2001:db8::/32", 1},
              {"2001:db9::1", "2001:db8::/31", 1}, {"::ffff:192.0.2.9", "192.0.2.0/24", 1},
              {"192.0.2.1", "192.0.2.1", 1}};

  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct ip ip = ip_of(rows[i].ip);
    struct ip_net net;
    assert_int_equal(ip_net_parse(rows[i].net, strlen(rows[i].net), &net), 0);
    if (ip_in_net(&ip, &net) != rows[i].is_in)
      fail_msg("%s in %s", rows[i].ip, rows[i].net);
  }
}

static void test_mask(void **state)
{
  struct ip all = ip_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");

  (void)state;
  for (unsigned int bits = 0; bits <= 128; bits++) {
    struct ip m = ip_mask(&all, bits);
    unsigned int n = 0;
    for (int i = 0; i < 16; i++)
      n += (unsigned int)__builtin_popcount(m.bytes[i]);
    assert_int_equal(n, bits);
  }
}

static void test_loopback(void **state)
{
  static const char *const yes[] = {"127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"};
  static const char *const no[] = {"128.0.0.1", "::2", "::", "0.0.0.0", "7f00::1", "10.0.0.1"};

  (void)state;
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
    assert_true(ip_is_loopback(&(struct ip[]){ip_of(yes[i])}[0]));
  for (size_t i = 0; i < sizeof no / sizeof *no; i++)
    assert_false(ip_is_loopback(&(struct ip[]){ip_of(no[i])}[0]));
}

static void test_sockaddr(void **state)
{
  static const char *const texts[] = {"192.0.2.1", "2001:db8::1"};
  struct sockaddr_storage ss = {.ss_family = AF_UNIX};
  struct ip ip;
  uint16_t port;

  (void)state;
  assert_int_equal(ip_from_sockaddr(&ss, &ip, &port), -1);
  for (size_t i = 0; i < 2; i++) {
    struct ip given = ip_of(texts[i]);
    assert_true(ip_to_sockaddr(&given, 2525, &ss) > 0);
    assert_int_equal(ip_from_sockaddr(&ss, &ip, &port), 0);
    assert_true(ip_equal(&ip, &given));
    assert_int_equal(port, 2525);
  }
}

static void test_list(void **state)
{
  static const char list[] = "192.0.2.0/24  2001:db8::/32\t198.51.100.7 ";
  struct ip ip;

  (void)state;
  assert_int_equal(ip_list_check(list, strlen(list)), 0);
  assert_int_equal(ip_list_check("", 0), 0);
  assert_int_equal(ip_list_check("192.0.2.0/24,198.51.100.7", 25), -1);
  assert_int_equal(ip_list_check("192.0.2.1/24", 12), -1);
  assert_int_equal(ip_parse("192.0.2.9", 9, &ip), 0);
  assert_true(ip_in_list(&ip, list));
  assert_false(ip_in_list(&ip, ""));
  assert_int_equal(ip_parse("198.51.100.8", 12, &ip), 0);
  assert_false(ip_in_list(&ip, list));
  assert_int_equal(ip_parse("2001:db8::1", 11, &ip), 0);
  assert_true(ip_in_list(&ip, list));
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_parse),  cmocka_unit_test(test_net),
    cmocka_unit_test(test_port),   cmocka_unit_test(test_longest_texts_fit),
    cmocka_unit_test(test_in_net), cmocka_unit_test(test_mask),
    cmocka_unit_test(test_loopback), cmocka_unit_test(test_sockaddr),
    cmocka_unit_test(test_list),
  };
  return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
