/* test_received.c - the Received field */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "smtpd/received.h"

static void fields(void **state)
{
  static const struct {
    const char *helo, *said, *ip, *rcpt, *want;
  } cases[] = {
    {"sub2.example.org", "sub2", "192.0.2.1", "user@example.org",
     "Received: from sub2.example.org (HELO sub2) ([192.0.2.1])\r\n"
     "\tby mx.example.org (Heloise) with ESMTP id 1.2\r\n"
     "\tfor <user@example.org>; Sat, 31 Jan 2026 09:00:00 +0000\r\n"},
    {"a.example", "", "2001:db8::1", NULL,
     "Received: from a.example ([IPv6:2001:db8::1])\r\n"
     "\tby mx.example.org (Heloise) with ESMTP id 1.2; Sat, 31 Jan 2026 09:00:00 +0000\r\n"},
    {"a);(b.example", "x) by evil\r\nX: (y", "192.0.2.1", NULL,
     "Received: from a???b.example (HELO x? by evil??X: ?y) ([192.0.2.1])\r\n"
     "\tby mx.example.org (Heloise) with ESMTP id 1.2; Sat, 31 Jan 2026 09:00:00 +0000\r\n"},
  };
  stralloc out = {0};
  struct ip ip;

  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct received r = {.helo = cases[i].helo, .said = cases[i].said, .ip = &ip,
                         .hostname = "mx.example.org", .protocol = "ESMTP", .id = "1.2",
                         .rcpt = cases[i].rcpt, .time = 1769850000};
    assert_int_equal(ip_parse(cases[i].ip, strlen(cases[i].ip), &ip), 0);
    assert_int_equal(received_make(&out, &r), 0);
    assert_true(stralloc_0(&out));
    assert_string_equal(out.s, cases[i].want);
  }
  stralloc_free(&out);
}

static void bounded(void **state)
{
  char big[2000];
  stralloc out = {0};
  struct ip ip;
  struct received r = {.helo = big, .said = big, .ip = &ip, .hostname = "mx.example.org",
                       .protocol = "ESMTP", .id = "1.2", .rcpt = NULL, .time = 0};

  (void)state;
  memset(big, 'x', sizeof big);
  big[sizeof big - 1] = 0;
  assert_int_equal(ip_parse("192.0.2.1", 9, &ip), 0);
  assert_int_equal(received_make(&out, &r), 0);
  assert_true(out.len < RECEIVED_MAX);
  stralloc_free(&out);
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(fields),
    cmocka_unit_test(bounded),
  };

  return cmocka_run_group_tests_name("received", tests, NULL, NULL);
}
