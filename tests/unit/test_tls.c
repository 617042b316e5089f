/* test_tls.c - the client's side of TLS against a server in the same process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/tls.h"

static EVP_PKEY *key;
static X509 *trusted, *stranger; /* self-signed; the client knows the first */

static X509 *make_certificate(const char *names)
{
  X509 *x = X509_new();
  X509_NAME *n = X509_get_subject_name(x);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);

  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 3600);
  X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_ASC, (const unsigned char *)names, -1, -1, 0);
  X509_set_issuer_name(x, n);
  X509_set_pubkey(x, key);
  X509_add_ext(x, e, -1);
  X509_EXTENSION_free(e);
  assert_true(X509_sign(x, key, EVP_sha256()) > 0);
  return x;
}

static int setup(void **state)
{
  char path[] = "/tmp/test_tls.XXXXXX";
  FILE *f = fdopen(mkstemp(path), "w");
  const char *why = "";

  (void)state;
  signal(SIGPIPE, SIG_IGN);
  key = EVP_EC_gen("P-256");
  trusted = make_certificate("DNS:mx.example.org,DNS:*.wild.example.org,IP:192.0.2.1");
  stranger = make_certificate("DNS:mx.example.com");
  PEM_write_X509(f, trusted);
  fclose(f);
  setenv("SSL_CERT_FILE", path, 1);
  assert_false(tls_client_is_ready());
  assert_int_equal(tls_client_prepare(&why), 0);
  assert_true(tls_client_is_ready());
  unlink(path);
  return 0;
}

static int teardown(void **state)
{
  (void)state;
  X509_free(trusted);
  X509_free(stranger);
  EVP_PKEY_free(key);
  return 0;
}

struct pair {
  SSL_CTX *ctx;
  SSL *server;
  struct tls *client;
  int fd[2]; /* the client's, the server's */
};

static void pair_open(struct pair *p, X509 *certificate, const char *name, int version)
{
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p->fd), 0);
  p->ctx = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_security_level(p->ctx, 0);
  SSL_CTX_set_min_proto_version(p->ctx, version ? version : TLS1_VERSION);
  SSL_CTX_set_max_proto_version(p->ctx, version);
  SSL_CTX_use_certificate(p->ctx, certificate);
  SSL_CTX_use_PrivateKey(p->ctx, key);
  p->server = SSL_new(p->ctx);
  SSL_set_fd(p->server, p->fd[1]);
  SSL_set_accept_state(p->server);
  p->client = tls_client_start(p->fd[0], name);
  assert_non_null(p->client);
}

static void pair_close(struct pair *p)
{
  tls_end(p->client, 1);
  SSL_free(p->server);
  SSL_CTX_free(p->ctx);
  close(p->fd[0]);
  if (p->fd[1] >= 0)
    close(p->fd[1]);
}

/* both sides in turn, until the client knows */
static enum tls_state shake(struct pair *p)
{
  enum tls_state state = TLS_WAITS;

  for (int i = 0; i < 20 && state == TLS_WAITS; i++) {
    state = tls_handshake(p->client);
    if (state == TLS_WAITS)
      assert_int_equal(tls_wants(p->client), POLLIN);
    SSL_do_handshake(p->server);
  }
  return state;
}

static void test_certificates(void **state)
{
  static const struct {
    int is_stranger;
    const char *name, *why;
  } c[] = {
    {0, "mx.example.org", NULL},
    {0, "MX.Example.ORG", NULL},
    {0, "a.wild.example.org", NULL},
    {0, "192.0.2.1", NULL},
    {0, "mx.example.net", "hostname mismatch"},
    {0, "a.b.wild.example.org", "hostname mismatch"},
    {0, "192.0.2.2", "IP address mismatch"},
    {1, "mx.example.com", "self-signed certificate"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char why[TLS_TEXT];
    struct pair p;
    const char *sni;
    pair_open(&p, c[i].is_stranger ? stranger : trusted, c[i].name, 0);
    assert_int_equal(shake(&p), TLS_DONE);
    assert_int_equal(tls_is_verified(p.client, why), c[i].why == NULL);
    assert_string_equal(why, c[i].why ? c[i].why : "");
    sni = SSL_get_servername(p.server, TLSEXT_NAMETYPE_host_name);
    if (c[i].name[0] == '1')
      assert_null(sni);
    else
      assert_string_equal(sni, c[i].name);
    pair_close(&p);
  }
}

static void test_versions(void **state)
{
  static const struct {
    int version;
    enum tls_state state;
    const char *text; /* what it begins with */
  } c[] = {
    {TLS1_3_VERSION, TLS_DONE, "TLSv1.3 TLS_"},
    {TLS1_2_VERSION, TLS_DONE, "TLSv1.2 ECDHE-ECDSA-"},
    {TLS1_1_VERSION, TLS_FAILED, "tlsv1 alert protocol version"},
    {TLS1_VERSION, TLS_FAILED, "tlsv1 alert protocol version"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char text[TLS_TEXT];
    struct pair p;
    pair_open(&p, trusted, "mx.example.org", c[i].version);
    assert_int_equal(shake(&p), c[i].state);
    if (c[i].state == TLS_DONE)
      tls_describe(p.client, text);
    else
      snprintf(text, sizeof text, "%s", tls_why(p.client));
    if (strncmp(text, c[i].text, strlen(c[i].text)) != 0)
      fail_msg("%s instead of %s", text, c[i].text);
    pair_close(&p);
  }
}

/* what comes instead of a handshake */
static void test_no_handshake(void **state)
{
  static const struct {
    const char *bytes;
    size_t len;
    enum tls_state state;
  } c[] = {
    {"", 0, TLS_ENDED},
    {"500 what?\r\n", 11, TLS_FAILED},
    {"\x15\x03\x03\x00\x02\x02\x28", 7, TLS_FAILED}, /* an alert */
    {"\x16\x03\x03\x40\x00", 5, TLS_ENDED},          /* half a record */
    {"\x16\x03\x03\xff\xff\0\0", 7, TLS_FAILED},     /* a record too long */
    {"\0\0\0\0\0\0\0\0", 8, TLS_FAILED},
  };

  (void)state;
  for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
    char hello[4096];
    struct pair p;
    enum tls_state got;
    pair_open(&p, trusted, "mx.example.org", 0);
    assert_int_equal(tls_handshake(p.client), TLS_WAITS);
    assert_true(read(p.fd[1], hello, sizeof hello) > 50);
    assert_int_equal(write(p.fd[1], c[i].bytes, c[i].len), c[i].len);
    close(p.fd[1]);
    p.fd[1] = -1;
    got = tls_handshake(p.client);
    if (got != c[i].state || (got == TLS_FAILED) != (tls_why(p.client)[0] != 0))
      fail_msg("case %zu: %d, %s", i, (int)got, tls_why(p.client));
    pair_close(&p);
  }
}

/* more than the socket takes: some of it goes, then it waits, and nothing is lost */
/* "hello request" in a record of its own, which a client in a handshake passes over: OpenSSL does so
 * without end, and must not keep us from our clock */
static void test_flood(void **state)
{
  static const char record[9] = {22, 3, 3, 0, 4};
  static char flood[9 * 12000];
  int size = sizeof flood, left;
  struct pair p;
  ssize_t sent;

  (void)state;
  for (size_t i = 0; i < sizeof flood; i += sizeof record)
    memcpy(flood + i, record, sizeof record);
  pair_open(&p, trusted, "mx.example.org", 0);
  setsockopt(p.fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  assert_int_equal(tls_handshake(p.client), TLS_WAITS);
  sent = write(p.fd[1], flood, sizeof flood);
  assert_true(sent > 80000);
  assert_int_equal(tls_handshake(p.client), TLS_WAITS);
  assert_int_equal(tls_wants(p.client), POLLIN);
  assert_int_equal(ioctl(p.fd[0], FIONREAD, &left), 0);
  assert_in_range(left, sent - 70000, sent - 1);
  assert_int_equal(tls_handshake(p.client), TLS_WAITS); /* the rest */
  assert_int_equal(ioctl(p.fd[0], FIONREAD, &left), 0);
  assert_int_equal(left, 0);
  pair_close(&p);
}

static void test_stream(void **state)
{
  static char out[300000], in[300000];
  size_t sent = 0, got = 0, n;
  struct pair p;
  int waited = 0;

  (void)state;
  for (size_t i = 0; i < sizeof out; i++)
    out[i] = (char)(i * 7 + i / 256);
  pair_open(&p, trusted, "mx.example.org", 0);
  assert_int_equal(shake(&p), TLS_DONE);
  while (got < sizeof in) {
    enum tls_state s = TLS_DONE;
    while (s == TLS_DONE && sent < sizeof out) {
      s = tls_write(p.client, out + sent, sizeof out - sent, &n);
      sent += n;
    }
    if (s == TLS_WAITS) {
      waited = 1;
      assert_int_equal(tls_wants(p.client), POLLOUT);
    }
    while (SSL_read_ex(p.server, in + got, sizeof in - got, &n) == 1)
      got += n;
  }
  assert_true(waited);
  assert_memory_equal(in, out, sizeof in);
  assert_int_equal(tls_read(p.client, in, sizeof in, &n), TLS_WAITS);
  assert_int_equal(SSL_write(p.server, "250 ok\r\n", 8), 8);
  assert_int_equal(tls_read(p.client, in, sizeof in, &n), TLS_DONE);
  assert_int_equal(n, 8);
  pair_close(&p);
}

/* with a farewell or without (T16): it is over; what came before is read first */
static void test_ends(void **state)
{
  (void)state;
  for (int says_bye = 0; says_bye < 2; says_bye++) {
    struct pair p;
    char in[64];
    size_t n;
    pair_open(&p, trusted, "mx.example.org", 0);
    assert_int_equal(shake(&p), TLS_DONE);
    assert_int_equal(SSL_write(p.server, "221 bye\r\n", 9), 9);
    if (says_bye)
      SSL_shutdown(p.server);
    close(p.fd[1]);
    p.fd[1] = -1;
    assert_int_equal(tls_read(p.client, in, sizeof in, &n), TLS_DONE);
    assert_int_equal(n, 9);
    assert_int_equal(tls_read(p.client, in, sizeof in, &n), TLS_ENDED);
    assert_int_equal(n, 0);
    assert_int_not_equal(tls_write(p.client, "QUIT\r\n", 6, &n), TLS_DONE);
    pair_close(&p);
  }
}

int main(void)
{
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_certificates), cmocka_unit_test(test_versions),
    cmocka_unit_test(test_no_handshake), cmocka_unit_test(test_stream),
    cmocka_unit_test(test_flood),
    cmocka_unit_test(test_ends)};

  return cmocka_run_group_tests_name("tls", tests, setup, teardown);
}
