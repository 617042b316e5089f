/* test_conn.c - whose fault a connection is that could not be made */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "deliver/conn.h"

static const struct {
  int error, family;
  enum saw saw;
} cases[] = {
  {ECONNREFUSED, 4, SAW_REFUSED},      {ECONNRESET, 6, SAW_RESET},
  {ETIMEDOUT, 4, SAW_NO_ANSWER},       {ENETUNREACH, 6, SAW_UNREACHABLE},
  {EHOSTUNREACH, 4, SAW_UNREACHABLE},  {EAFNOSUPPORT, 6, SAW_UNREACHABLE},
  {EMFILE, 4, SAW_LOCAL},              {ENOBUFS, 6, SAW_LOCAL},
  {EADDRNOTAVAIL, 4, SAW_LOCAL},       {EADDRNOTAVAIL, 6, SAW_UNREACHABLE},
};

static void test_error(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_int_equal(conn_error(cases[i].error, cases[i].family), cases[i].saw);
}

/* who waits for one of many replies has one clock for all, however fast they come */
static void test_deadline(void **state)
{
  static const char replies[] = "550 no\r\n550 no\r\n250 ok\r\n";
  static struct conn c;
  struct reply r;
  int pair[2];

  (void)state;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  assert_int_equal(write(pair[1], replies, sizeof replies - 1), sizeof replies - 1);
  c.fd = pair[0];
  assert_int_equal(conn_reply(&c, &r, conn_clock() + 60000), SAW_REPLY);
  assert_int_equal(r.code, 550);
  assert_int_equal(conn_reply(&c, &r, conn_clock()), SAW_SILENCE);
  assert_int_equal(conn_reply(&c, &r, conn_clock() + 60000), SAW_REPLY);
  assert_int_equal(conn_reply(&c, &r, conn_clock() + 60000), SAW_REPLY);
  assert_int_equal(r.code, 250);
  conn_close(&c);
  close(pair[1]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_error), cmocka_unit_test(test_deadline)};

  return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
