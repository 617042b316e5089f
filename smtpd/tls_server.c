/* tls_server.c - our side of TLS: one context for all sessions of a process
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access once it serves. What comes in is hostile. */
#include "smtpd/tls_server.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "common/settings.h"
#include "smtpd/tls_names.h"
#include "smtpd/tls_tickets.h"

/* all that TLS 1.2 clients of the last ten years know; each with forward secrecy */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!PSK:!SHA384"

/* the first list that the library knows */
static const char *const groups[] = {"X25519MLKEM768:X25519:P-256:X448:P-384:P-521",
                                     "X25519:P-256:X448:P-384:P-521"};

static SSL_CTX *context;

/* called when the client's hello is read */
static int on_certificate(SSL *ssl, void *arg)
{
  (void)arg;
  return tls_names_choose(ssl) == 0 ? 1 : 0;
}

static int set_groups(SSL_CTX *c)
{
  for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
    if (SSL_CTX_set1_groups_list(c, groups[i]) == 1)
      return 0;
  return -1;
}

static SSL_CTX *make(void)
{
  SSL_CTX *c = SSL_CTX_new(TLS_server_method());

  if (!c)
    return NULL;
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                           SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                        SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(c, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_cert_cb(c, on_certificate, NULL);
  if (SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1 &&
      SSL_CTX_set_max_proto_version(c, 0) == 1 && SSL_CTX_set_cipher_list(c, CIPHERS) == 1 &&
      SSL_CTX_set_max_early_data(c, 0) == 1 && SSL_CTX_set_num_tickets(c, 1) == 1 &&
      set_groups(c) == 0 && tls_tickets_use(c) == 0)
    return c;
  SSL_CTX_free(c);
  return NULL;
}

int tls_server_prepare(const char **why)
{
  unsigned char seed;

  if (context)
    return 0;
  ERR_clear_error();
  if (RAND_bytes(&seed, 1) == 1)
    context = make();
  *why = ERR_reason_error_string(ERR_peek_error());
  return context ? 0 : -1;
}

int tls_server_is_ready(void)
{
  return context && tls_names_any();
}

struct tls *tls_server_start(int fd, const struct service *service)
{
  SSL *ssl = tls_server_is_ready() ? SSL_new(context) : NULL;
  const char *word = service->word;

  if (!ssl)
    return NULL;
  /* a ticket is good for as long as its key, and at its own service */
  SSL_CTX_set_timeout(context, (long)(2 * settings.tls_ticket_rotation / 1000));
  if (SSL_set_app_data(ssl, (void *)(uintptr_t)service) == 1 &&
      SSL_set_session_id_context(ssl, (const unsigned char *)word, (unsigned int)strlen(word)) == 1) {
    SSL_set_accept_state(ssl);
    return tls_wrap(ssl, fd);
  }
  SSL_free(ssl);
  return NULL;
}

void tls_server_name(const struct tls *t, char out[256])
{
  const char *said = SSL_get_servername(tls_ssl(t), TLSEXT_NAMETYPE_host_name);

  if (!said || tls_names_clean(said, out) != 0)
    *out = 0;
}

/* ---- channel binding */

/* RFC 9266 4: TLS 1.2 only with an extended master secret */
static int exporter(SSL *ssl, unsigned char *out)
{
  static const char label[] = "EXPORTER-Channel-Binding";

  if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
    return -1;
  return SSL_export_keying_material(ssl, out, 32, label, sizeof label - 1, NULL, 0, 1) == 1 ? 32 : -1;
}

/* RFC 5929 4.1: hashed as the certificate's signature is, SHA-256 instead of MD5 and SHA-1 */
static int end_point(SSL *ssl, unsigned char *out)
{
  X509 *x = SSL_get_certificate(ssl);
  const EVP_MD *md = NULL;
  unsigned int len = TLS_BINDING_MAX;
  int digest;

  if (!x || X509_get_signature_info(x, &digest, NULL, NULL, NULL) != 1)
    return -1;
  if (digest == NID_undef) /* a signature that is no hash's, such as Ed25519: not defined */
    return -1;
  md = digest == NID_md5 || digest == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(digest);
  return md && X509_digest(x, md, out, &len) == 1 ? (int)len : -1;
}

/* RFC 5929 3.1: the handshake's first Finished, the client's unless the session was resumed; with an
 * extended master secret alone is it unique (RFC 7627), and TLS 1.3 has none */
static int unique(SSL *ssl, unsigned char *out)
{
  size_t n;

  if (SSL_version(ssl) >= TLS1_3_VERSION || SSL_get_extms_support(ssl) != 1)
    return -1;
  n = SSL_session_reused(ssl) ? SSL_get_finished(ssl, out, TLS_BINDING_MAX)
                              : SSL_get_peer_finished(ssl, out, TLS_BINDING_MAX);
  return n > 0 && n <= TLS_BINDING_MAX ? (int)n : -1;
}

int tls_server_binding(const struct tls *t, const char *type, unsigned char out[TLS_BINDING_MAX])
{
  SSL *ssl = t ? tls_ssl(t) : NULL;

  if (!ssl || !SSL_is_init_finished(ssl))
    return -1;
  if (strcmp(type, "tls-exporter") == 0)
    return exporter(ssl, out);
  if (strcmp(type, "tls-unique") == 0)
    return unique(ssl, out);
  if (strcmp(type, "tls-server-end-point") == 0)
    return end_point(ssl, out);
  return -1;
}
