/* password.c - what is kept of a password, and whether one fits
 *
 * Runs in heloise-auth's threads and in `heloise user`. Passwords are hostile bytes; what is
 * kept of them is the administrator's. libcrypt makes and checks hashes, GNU SASL the keys
 * of SCRAM, so that both are what clients expect. */
#include "smtpd/password.h"

#include <crypt.h>
#include <gsasl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/secret.h"
#include "common/units.h"

#define SALT_BYTES 16
#define KEY_BYTES 32
#define ITERATIONS_MIN 4096 /* RFC 7677 4 */
#define ITERATIONS_MAX 10000000
#define SCRAM_PREFIX "{SCRAM-SHA-256}"

_Static_assert(sizeof ((struct password *)0)->crypt >= CRYPT_OUTPUT_SIZE, "room for any hash");

/* ---- reading */

/* base64 of least to most bytes, as a text of its own */
static int take_base64(const char *s, size_t len, size_t least, size_t most, char *out)
{
  stralloc bytes = {0};
  int r = base64_decode(s, len, &bytes) == 0 && bytes.len >= least && bytes.len <= most ? 0 : -1;

  stralloc_free(&bytes);
  if (r == 0) {
    memcpy(out, s, len);
    out[len] = 0;
  }
  return r;
}

/* iterations "," salt "," stored "," server */
static int read_scram(const char *s, size_t len, struct password_scram *p)
{
  const char *field[4];
  size_t n[4];
  uint64_t iterations;

  for (int i = 0; i < 4; i++) {
    const char *comma = memchr(s, ',', len);
    field[i] = s;
    n[i] = comma ? (size_t)(comma - s) : len;
    if (!comma != (i == 3))
      return -1;
    s += n[i] + 1;
    len -= comma ? n[i] + 1 : len;
  }
  if (units_number(field[0], n[0], &iterations) != 0 || iterations < ITERATIONS_MIN ||
      iterations > ITERATIONS_MAX || take_base64(field[1], n[1], 8, 64, p->salt) != 0 ||
      take_base64(field[2], n[2], KEY_BYTES, KEY_BYTES, p->stored) != 0 ||
      take_base64(field[3], n[3], KEY_BYTES, KEY_BYTES, p->server) != 0)
    return -1;
  p->iterations = (unsigned int)iterations;
  return 0;
}

static int read_crypt(const char *s, size_t len, char out[384])
{
  if (len >= CRYPT_OUTPUT_SIZE)
    return -1;
  memcpy(out, s, len);
  out[len] = 0;
  return crypt_checksalt(out) == CRYPT_SALT_OK ? 0 : -1;
}

static int read_word(const char *s, size_t len, struct password *p, const char **why)
{
  const size_t prefix = strlen(SCRAM_PREFIX);

  if (len > prefix && memcmp(s, SCRAM_PREFIX, prefix) == 0) {
    *why = "expected {SCRAM-SHA-256}iterations,salt,stored key,server key: at least 4096 "
           "iterations, once";
    return p->scram.iterations == 0 ? read_scram(s + prefix, len - prefix, &p->scram) : -1;
  }
  *why = "expected a hash such as $y$..., $2b$... or $6$..., a SCRAM key as {SCRAM-SHA-256}..., or "
         "one of each; `heloise user passwd` makes them";
  return p->crypt[0] == 0 ? read_crypt(s, len, p->crypt) : -1;
}

int password_read(const char *value, size_t len, struct password *p, const char **why)
{
  *p = (struct password){.crypt = ""};
  *why = "expected a hash or a SCRAM key after the login; `heloise user passwd` makes them";
  for (size_t at = 0; at < len;) {
    size_t n = 0;
    while (at + n < len && value[at + n] != ' ' && value[at + n] != '\t')
      n++;
    if (n > 0 && read_word(value + at, n, p, why) != 0)
      return -1;
    at += n + 1;
  }
  return p->crypt[0] || p->scram.iterations ? 0 : -1;
}

/* ---- making */

/* as clients prepare it (RFC 4013), to be freed; a text that is no UTF-8 stays as it is. NULL:
 * memory is out. */
static char *prepare(const char *password)
{
  char *out = NULL;

  if (gsasl_saslprep(password, 0, &out, NULL) == GSASL_OK)
    return out;
  return strdup(password);
}

static void forget(char *password)
{
  if (password)
    explicit_bzero(password, strlen(password));
  free(password);
}

static int make_crypt(const char *password, stralloc *out)
{
  struct crypt_data *d = calloc(1, sizeof *d);
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  const char *hash = NULL;
  int r;

  if (d && crypt_gensalt_rn(NULL, 0, NULL, 0, setting, sizeof setting))
    hash = crypt_r(password, setting, d);
  r = hash && hash[0] != '*' && stralloc_cats(out, hash) ? 0 : -1;
  if (d)
    explicit_bzero(d, sizeof *d);
  free(d);
  return r;
}

/* the keys of a prepared password; 0, or -1 */
static int scram_keys(const char *password, unsigned int iterations, const char *salt,
                      char stored[KEY_BYTES], char server[KEY_BYTES])
{
  char salted[KEY_BYTES], client[KEY_BYTES];
  int r = gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, password, iterations, salt, SALT_BYTES,
                                            salted, client, server, stored);

  explicit_bzero(salted, sizeof salted);
  explicit_bzero(client, sizeof client);
  return r == GSASL_OK ? 0 : -1;
}

static int make_scram(const char *password, stralloc *out)
{
  char salt[SALT_BYTES], stored[KEY_BYTES], server[KEY_BYTES];

  return gsasl_nonce(salt, sizeof salt) == GSASL_OK &&
             scram_keys(password, PASSWORD_ITERATIONS, salt, stored, server) == 0 &&
             stralloc_cats(out, SCRAM_PREFIX) && units_format_number(out, PASSWORD_ITERATIONS) == 0 &&
             stralloc_cats(out, ",") && base64_encode(out, salt, sizeof salt) == 0 &&
             stralloc_cats(out, ",") && base64_encode(out, stored, sizeof stored) == 0 &&
             stralloc_cats(out, ",") && base64_encode(out, server, sizeof server) == 0
           ? 0
           : -1;
}

int password_make(const char *password, stralloc *out, const char **why)
{
  char *prepared;
  int r;

  *why = "expected a password of 1 to 1024 bytes";
  if (!*password || strlen(password) > PASSWORD_MAX || strpbrk(password, "\r\n"))
    return -1;
  *why = "expected a password in UTF-8 and of characters that RFC 4013 allows";
  prepared = prepare(password);
  out->len = 0;
  r = prepared && *prepared && make_crypt(prepared, out) == 0 && stralloc_cats(out, " ") &&
          make_scram(prepared, out) == 0 && stralloc_0(out)
        ? 0
        : -1;
  forget(prepared);
  return r;
}

/* ---- checking */

static int check_crypt(const char *hash, const char *password)
{
  struct crypt_data *d = calloc(1, sizeof *d);
  const char *got = d ? crypt_r(password, hash, d) : NULL;
  int r = -1;

  if (got && got[0] != '*')
    r = strlen(got) == strlen(hash) && CRYPTO_memcmp(got, hash, strlen(hash)) == 0;
  if (d)
    explicit_bzero(d, sizeof *d);
  free(d);
  return r;
}

static int check_scram(const struct password_scram *s, const char *password)
{
  char salted[KEY_BYTES], client[KEY_BYTES], server[KEY_BYTES], stored[KEY_BYTES];
  stralloc salt = {0}, want = {0};
  int r = -1;

  if (base64_decode(s->salt, strlen(s->salt), &salt) == 0 &&
      base64_decode(s->stored, strlen(s->stored), &want) == 0 && want.len == KEY_BYTES &&
      gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, password, s->iterations, salt.s, salt.len,
                                        salted, client, server, stored) == GSASL_OK)
    r = CRYPTO_memcmp(stored, want.s, KEY_BYTES) == 0;
  explicit_bzero(salted, sizeof salted);
  explicit_bzero(client, sizeof client);
  stralloc_free(&salt);
  stralloc_free(&want);
  return r;
}

int password_check(const struct password *p, const char *password)
{
  char *prepared;
  int r = 0;

  if (strlen(password) > PASSWORD_MAX)
    return 0;
  prepared = prepare(password);
  if (!prepared)
    return -1;
  r = p->crypt[0] ? check_crypt(p->crypt, prepared) : check_scram(&p->scram, prepared);
  forget(prepared);
  return r;
}

/* ---- decoys */

int password_decoy(const char *name, const char *secret, size_t secretlen, unsigned int iterations,
                   struct password_scram *s)
{
  unsigned char mac[KEY_BYTES];
  unsigned int n = 0;
  char key[KEY_BYTES];
  stralloc text = {0};
  int r = -1;

  if (HMAC(EVP_sha256(), secret, (int)secretlen, (const unsigned char *)name, strlen(name), mac, &n) &&
      n == sizeof mac && gsasl_nonce(key, sizeof key) == GSASL_OK &&
      base64_encode(&text, (const char *)mac, SALT_BYTES) == 0 && stralloc_0(&text)) {
    strcpy(s->salt, text.s); /* 24 bytes */
    text.len = 0;
    if (base64_encode(&text, key, sizeof key) == 0 && stralloc_0(&text)) {
      strcpy(s->stored, text.s);
      strcpy(s->server, text.s);
      s->iterations = iterations;
      r = 0;
    }
  }
  stralloc_free(&text);
  return r;
}
