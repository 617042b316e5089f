/* selfsigned.c - the certificate that `heloise init` makes
 *
 * Runs in `heloise init`, as the caller. It protects from those who only listen, which is all that
 * most of mail's TLS does; clients that look at names need one of a known authority. */
#include "conf/selfsigned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#define VALID_S (3650L * 86400)
#define EARLY_S 86400L /* clocks of clients */

static int add_name(X509 *x, const char *hostname)
{
  X509_NAME *name = X509_get_subject_name(x);
  char alternative[300];
  X509_EXTENSION *e;
  int ok;

  /* a common name has 64 bytes at most (RFC 5280); what clients look at is the other one */
  snprintf(alternative, sizeof alternative, "%.64s", hostname);
  if (X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)alternative, -1, -1,
                                 0) != 1)
    return -1;
  snprintf(alternative, sizeof alternative, "DNS:%s", hostname);
  e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternative);
  ok = e && X509_add_ext(x, e, -1) == 1 && X509_set_issuer_name(x, name) == 1;
  X509_EXTENSION_free(e);
  return ok ? 0 : -1;
}

static int set_serial(X509 *x)
{
  unsigned char random[16];
  BIGNUM *n;
  int ok;

  if (RAND_bytes(random, sizeof random) != 1)
    return -1;
  random[0] &= 0x7f;
  n = BN_bin2bn(random, sizeof random, NULL);
  ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));
  BN_free(n);
  return ok ? 0 : -1;
}

static X509 *make_certificate(const char *hostname, EVP_PKEY *key)
{
  X509 *x = X509_new();

  if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) == 0 &&
      X509_gmtime_adj(X509_getm_notBefore(x), -EARLY_S) &&
      X509_gmtime_adj(X509_getm_notAfter(x), VALID_S) && X509_set_pubkey(x, key) == 1 &&
      add_name(x, hostname) == 0 && X509_sign(x, key, EVP_sha256()) > 0)
    return x;
  X509_free(x);
  return NULL;
}

/* a new file, flushed, as stdio: 0, or -1 with errno */
static int write_file(int dir, const char *path, mode_t mode, X509 *x, EVP_PKEY *key)
{
  int fd = openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode), ok;
  FILE *f = fd < 0 ? NULL : fdopen(fd, "w");

  if (!f) {
    if (fd >= 0)
      close(fd);
    return -1;
  }
  ok = x ? PEM_write_X509(f, x) : PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
  ok = ok == 1 && fflush(f) == 0 && fchmod(fd, mode) == 0 && fsync(fd) == 0;
  return fclose(f) == 0 && ok ? 0 : -1;
}

static int flush_dir(int control)
{
  int fd = openat(control, SELFSIGNED_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int r = fd >= 0 && fsync(fd) == 0 && fsync(control) == 0 ? 0 : -1;

  if (fd >= 0)
    close(fd);
  return r;
}

int selfsigned_make(int control, const char *hostname)
{
  EVP_PKEY *key = EVP_EC_gen("P-256");
  X509 *x = key ? make_certificate(hostname, key) : NULL;
  int r = -1;

  errno = 0;
  if (x && (mkdirat(control, SELFSIGNED_DIR, 0700) == 0 || errno == EEXIST) &&
      (unlinkat(control, SELFSIGNED_KEY, 0) == 0 || errno == ENOENT) &&
      (unlinkat(control, SELFSIGNED_CERTIFICATE, 0) == 0 || errno == ENOENT) &&
      write_file(control, SELFSIGNED_KEY, 0600, NULL, key) == 0 &&
      write_file(control, SELFSIGNED_CERTIFICATE, 0644, x, NULL) == 0 && flush_dir(control) == 0)
    r = 0;
  X509_free(x);
  EVP_PKEY_free(key);
  return r;
}
