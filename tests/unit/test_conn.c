/* test_conn.c - a connection to a peer: how it begins and ends */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "deliver/conn.h"

static int listener = -1;

int __real_poll(struct pollfd *p, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout);

/* the peer is faster than we are */
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout)
{
  struct linger at_once = {1, 0};
  int fd = listener >= 0 ? accept(listener, NULL, NULL) : -1;

  if (fd >= 0) {
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
    close(listener);
    listener = -1;
  }
  return __real_poll(p, n, timeout);
}

/* a reset that is there before we look came from one who had taken the connection */
static void test_reset_at_once(void **state)
{
  struct sockaddr_storage ss;
  socklen_t len = sizeof ss;
  static struct conn c;
  static struct reply r;
  struct ip ip;
  uint16_t port;

  (void)state;
  assert_int_equal(ip_parse("127.0.0.1", 9, &ip), 0);
  len = ip_to_sockaddr(&ip, 0, &ss);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(listener, (struct sockaddr *)&ss, len), 0);
  assert_int_equal(listen(listener, 1), 0);
  len = sizeof ss;
  assert_int_equal(getsockname(listener, (struct sockaddr *)&ss, &len), 0);
  assert_int_equal(ip_from_sockaddr(&ss, &ip, &port), 0);
  assert_int_equal(conn_open(&c, &ip, port, 10000), SAW_REPLY);
  assert_int_equal(listener, -1);
  assert_int_equal(conn_reply(&c, &r, conn_clock() + 10000), SAW_RESET);
  conn_close(&c);
  assert_int_equal(conn_open(&c, &ip, port, 10000), SAW_REFUSED); /* nobody listens any more */
}

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
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reset_at_once), cmocka_unit_test(test_error),
                                     cmocka_unit_test(test_deadline)};

  return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
