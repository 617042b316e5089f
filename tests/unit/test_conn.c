/* test_conn.c - a connection to a peer: how it begins and ends */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "deliver/conn.h"

static int listener = -1;
static SSL *server; /* a peer within TLS */
static unsigned int hello_requests; /* that it sends whenever we look */

int __real_poll(struct pollfd *p, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout);

/* the peer is faster than we are */
int __wrap_poll(struct pollfd *p, nfds_t n, int timeout)
{
  struct linger at_once = {1, 0};
  int fd;

  if (server)
    SSL_do_handshake(server);
  for (unsigned int i = 0; i < hello_requests; i++) {
    SSL_renegotiate(server);
    SSL_do_handshake(server);
  }
  fd = listener >= 0 ? accept(listener, NULL, NULL) : -1;

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

static X509 *make_certificate(EVP_PKEY *key)
{
  X509 *x = X509_new();

  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_set_pubkey(x, key);
  assert_true(X509_sign(x, key, EVP_sha256()) > 0);
  return x;
}

/* a peer that does not read and sends what TLS 1.2 passes over does not keep us busy: of that only so
 * much is read for one block written, or one reply waited for */
static void test_hello_requests(void **state)
{
  static char big[4000000];
  SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *certificate = make_certificate(key);
  static struct conn c;
  const char *why = "";
  struct reply r;
  uint64_t before;
  int pair[2];

  (void)state;
  signal(SIGPIPE, SIG_IGN);
  assert_int_equal(tls_client_prepare(&why), 0);
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
  SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
  SSL_CTX_use_certificate(ctx, certificate);
  SSL_CTX_use_PrivateKey(ctx, key);
  server = SSL_new(ctx);
  SSL_set_fd(server, pair[1]);
  SSL_set_accept_state(server);
  c.fd = pair[0];
  assert_int_equal(conn_starttls(&c, "mx.example.org", conn_clock() + 60000), SAW_REPLY);
  hello_requests = 500;
  before = tls_taken(c.tls);
  assert_int_equal(conn_reply(&c, &r, conn_clock() + 3000), SAW_SILENCE);
  assert_in_range(tls_taken(c.tls) - before, 1, 1200000);
  before = tls_taken(c.tls);
  assert_int_equal(conn_write(&c, big, sizeof big, 3000), -1);
  assert_int_equal(errno, ETIMEDOUT);
  assert_in_range(tls_taken(c.tls) - before, 1, 1200000);
  hello_requests = 0;
  SSL_free(server);
  server = NULL;
  SSL_CTX_free(ctx);
  X509_free(certificate);
  EVP_PKEY_free(key);
  conn_abort(&c);
  close(pair[1]);
}

int main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_reset_at_once), cmocka_unit_test(test_error),
                                     cmocka_unit_test(test_deadline),
                                     cmocka_unit_test(test_hello_requests)};

  return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
