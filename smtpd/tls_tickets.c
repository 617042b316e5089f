/* tls_tickets.c - the keys with which TLS sessions are resumed
 *
 * Runs in heloise-smtpd. A ticket is hostile until its HMAC is found right, which OpenSSL does. */
#include "smtpd/tls_tickets.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

struct ticket_key {
  unsigned char name[16], seal[32], hmac[32];
  int is_set;
};

static struct ticket_key keys[SERVICE_COUNT][TICKET_KEYS]; /* the newest first */

static int hex(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int tls_tickets_add(const char *service, const char *text)
{
  const struct service *s = service_find(service, strlen(service));
  unsigned char bytes[TICKET_KEY_BYTES];
  struct ticket_key *k;

  if (!s || strlen(text) != 2 * sizeof bytes)
    return -1;
  for (size_t i = 0; i < sizeof bytes; i++) {
    int high = hex(text[2 * i]), low = hex(text[2 * i + 1]);
    if (high < 0 || low < 0)
      return -1;
    bytes[i] = (unsigned char)(high * 16 + low);
  }
  k = keys[s->number];
  memmove(k + 1, k, sizeof *k * (TICKET_KEYS - 1));
  memcpy(k->name, bytes, sizeof k->name);
  memcpy(k->seal, bytes + 16, sizeof k->seal);
  memcpy(k->hmac, bytes + 48, sizeof k->hmac);
  k->is_set = 1;
  OPENSSL_cleanse(bytes, sizeof bytes);
  return 0;
}

static int set_hmac(EVP_MAC_CTX *h, struct ticket_key *k)
{
  OSSL_PARAM p[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->hmac, sizeof k->hmac),
                    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
                    OSSL_PARAM_construct_end()};

  return EVP_MAC_CTX_set_params(h, p) == 1 ? 0 : -1;
}

static int seal(struct ticket_key *k, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c,
                EVP_MAC_CTX *h)
{
  if (!k->is_set)
    return 0; /* no ticket */
  memcpy(name, k->name, sizeof k->name);
  return RAND_bytes(iv, 16) == 1 && EVP_EncryptInit_ex(c, EVP_aes_256_cbc(), NULL, k->seal, iv) == 1 &&
             set_hmac(h, k) == 0
           ? 1
           : -1;
}

/* 0: no key of ours, a full handshake follows; 2: an old one, the client gets a new ticket */
static int open_ticket(struct ticket_key *first, const unsigned char *name, unsigned char *iv,
                       EVP_CIPHER_CTX *c, EVP_MAC_CTX *h)
{
  for (int i = 0; i < TICKET_KEYS; i++) {
    struct ticket_key *k = &first[i];
    if (!k->is_set || CRYPTO_memcmp(name, k->name, sizeof k->name) != 0)
      continue;
    if (EVP_DecryptInit_ex(c, EVP_aes_256_cbc(), NULL, k->seal, iv) != 1 || set_hmac(h, k) != 0)
      return -1;
    return i == 0 ? 1 : 2;
  }
  return 0;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *c,
                     EVP_MAC_CTX *h, int is_sealing)
{
  const struct service *s = SSL_get_app_data(ssl);

  if (!s)
    return 0;
  return is_sealing ? seal(keys[s->number], name, iv, c, h)
                    : open_ticket(keys[s->number], name, iv, c, h);
}

int tls_tickets_use(SSL_CTX *c)
{
  return SSL_CTX_set_tlsext_ticket_key_evp_cb(c, on_ticket) == 1 ? 0 : -1;
}
