/* test_conn.c - a connection to a peer: how it begins and ends */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reset_at_once)};

  return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
