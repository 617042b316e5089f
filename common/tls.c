/* tls.c - TLS on a connected socket, with OpenSSL
 *
 * Runs in attempts, user hldeliver, and in heloise-smtpd, user hlsmtpd; no files. What comes in is
 * hostile. The client's context is made by heloise-deliver before it gives up its rights; attempts
 * inherit it by fork, and OpenSSL seeds its random numbers anew after one (getrandom). */
#include "common/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/ip.h"
#include "common/tls_trust.h"

/* 80 bits: weak keys are still better than none where the other choice is clear text */
#define SECURITY_LEVEL 1

/* bytes that one call reads at most: OpenSSL goes on within a call for as long as there comes what
 * it may ignore, and the caller's clock shall count for a peer that never stops */
#define CALL_READS 65536

struct tls {
  SSL *ssl;
  size_t may_read; /* bytes, of this call */
  uint64_t taken;
  short wants;
  int is_over; /* OpenSSL must not be asked again */
  char why[TLS_TEXT];
};

static SSL_CTX *client;

/* the oldest error in OpenSSL's queue */
static const char *reason(void)
{
  const char *s = ERR_reason_error_string(ERR_peek_error());

  return s ? s : "unknown error";
}

/* ---- the context */

static SSL_CTX *make_client(void)
{
  SSL_CTX *c = SSL_CTX_new(TLS_client_method());

  if (!c)
    return NULL;
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                        SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_security_level(c, SECURITY_LEVEL);
  SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
  if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_max_proto_version(c, 0) == 1 && tls_trust_load() == 0 && tls_trust_add(c) == 0)
    return c;
  SSL_CTX_free(c);
  return NULL;
}

int tls_client_prepare(const char **why)
{
  unsigned char seed;

  if (client)
    return 0;
  ERR_clear_error();
  if (RAND_bytes(&seed, 1) == 1)
    client = make_client();
  if (client)
    return 0;
  *why = reason();
  return -1;
}

int tls_client_is_ready(void)
{
  return client != NULL;
}

/* ---- one connection */

/* whom the certificate must name; a name is said in the hello too, an address is not (RFC 6066) */
static int set_name(SSL *ssl, const char *name)
{
  X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
  struct ip ip;

  if (ip_parse(name, strlen(name), &ip) == 0)
    return X509_VERIFY_PARAM_set1_ip_asc(p, name) == 1 ? 0 : -1;
  X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(p, name, 0) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1
           ? 0
           : -1;
}

/* around each read from the socket */
static long count_read(BIO *b, int what, const char *buf, size_t len, int argi, long argl, int r,
                       size_t *n)
{
  struct tls *t = (struct tls *)BIO_get_callback_arg(b);

  (void)buf;
  (void)len;
  (void)argi;
  (void)argl;
  if (what == BIO_CB_READ && t->may_read == 0) {
    BIO_set_retry_read(b);
    return -1;
  }
  if (what == (BIO_CB_READ | BIO_CB_RETURN) && r > 0) {
    t->may_read -= *n < t->may_read ? *n : t->may_read;
    t->taken += *n;
  }
  return r;
}

struct tls *tls_wrap(SSL *ssl, int fd)
{
  struct tls *t = calloc(1, sizeof *t);

  if (!t || SSL_set_fd(ssl, fd) != 1) {
    SSL_free(ssl);
    free(t);
    return NULL;
  }
  t->ssl = ssl;
  BIO_set_callback_ex(SSL_get_rbio(ssl), count_read);
  BIO_set_callback_arg(SSL_get_rbio(ssl), (char *)t);
  return t;
}

SSL *tls_ssl(const struct tls *t)
{
  return t->ssl;
}

struct tls *tls_client_start(int fd, const char *name)
{
  SSL *ssl = client ? SSL_new(client) : NULL;

  if (!ssl)
    return NULL;
  if (set_name(ssl, name) != 0) {
    SSL_free(ssl);
    return NULL;
  }
  SSL_set_connect_state(ssl);
  return tls_wrap(ssl, fd);
}

void tls_end(struct tls *t, int says_bye)
{
  if (!t)
    return;
  if (says_bye && !t->is_over && SSL_is_init_finished(t->ssl)) {
    ERR_clear_error();
    SSL_shutdown(t->ssl);
  }
  SSL_free(t->ssl);
  free(t);
}

static void before_call(struct tls *t)
{
  t->may_read = CALL_READS;
  ERR_clear_error();
  errno = 0;
}

/* what a call of OpenSSL's that returned r has come to; error is errno after it */
static enum tls_state outcome(struct tls *t, int r, int error)
{
  switch (SSL_get_error(t->ssl, r)) {
  case SSL_ERROR_NONE:
    return TLS_DONE;
  case SSL_ERROR_WANT_READ:
    t->wants = POLLIN;
    return TLS_WAITS;
  case SSL_ERROR_WANT_WRITE:
    t->wants = POLLOUT;
    return TLS_WAITS;
  case SSL_ERROR_ZERO_RETURN:
    return TLS_ENDED;
  case SSL_ERROR_SYSCALL:
    t->is_over = 1;
    return error == ECONNRESET || error == EPIPE ? TLS_RESET : TLS_ENDED;
  default:
    t->is_over = 1;
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
      return TLS_ENDED;
    snprintf(t->why, sizeof t->why, "%s", reason());
    return TLS_FAILED;
  }
}

enum tls_state tls_handshake(struct tls *t)
{
  int r;

  before_call(t);
  r = SSL_do_handshake(t->ssl);
  return outcome(t, r, errno);
}

enum tls_state tls_read(struct tls *t, char *buf, size_t len, size_t *n)
{
  int r;

  *n = 0;
  before_call(t);
  r = SSL_read_ex(t->ssl, buf, len, n);
  return outcome(t, r, errno);
}

enum tls_state tls_write(struct tls *t, const char *s, size_t len, size_t *n)
{
  int r;

  *n = 0;
  before_call(t);
  r = SSL_write_ex(t->ssl, s, len, n);
  return outcome(t, r, errno);
}

uint64_t tls_taken(const struct tls *t)
{
  return t->taken;
}

short tls_wants(const struct tls *t)
{
  return t->wants;
}

const char *tls_why(const struct tls *t)
{
  return t->why;
}

/* ---- what was agreed on */

void tls_describe(const struct tls *t, char out[TLS_TEXT])
{
  snprintf(out, TLS_TEXT, "%s %s", SSL_get_version(t->ssl), SSL_get_cipher_name(t->ssl));
}

int tls_is_verified(const struct tls *t, char out[TLS_TEXT])
{
  X509 *certificate = SSL_get0_peer_certificate(t->ssl);
  long result = SSL_get_verify_result(t->ssl);

  if (certificate && result == X509_V_OK) {
    *out = 0;
    return 1;
  }
  snprintf(out, TLS_TEXT, "%s",
           certificate ? X509_verify_cert_error_string(result) : "no certificate");
  return 0;
}

int tls_no_passphrase(char *buf, int size, int is_writing, void *arg)
{
  (void)buf;
  (void)size;
  (void)is_writing;
  (void)arg;
  return 0;
}
