/* tls_trust.c - the certificates this system trusts, where they cost forks nothing
 *
 * Runs in stems, before they are confined, and in attempts. The file is the administrator's; whose
 * certificate is looked for is the peer's choice. */
#include "common/tls_trust.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#define MOST 4096         /* certificates; a system has 150 */
#define ROOM (8UL << 20)  /* bytes of them all; pages not needed are never there */

/* in shared memory */
static struct trust {
  size_t n, used;
  struct {
    unsigned long subject; /* X509_NAME_hash_ex() */
    uint32_t at, len;
  } one[MOST];
  unsigned char der[ROOM];
} *trust;

/* ---- reading */

static void keep(struct trust *t, X509 *x)
{
  int ok = 0, len = i2d_X509(x, NULL);
  unsigned long subject = X509_NAME_hash_ex(X509_get_subject_name(x), NULL, NULL, &ok);
  unsigned char *to = t->der + t->used;

  if (!ok || len <= 0 || t->n == MOST || (size_t)len > ROOM - t->used)
    return;
  t->one[t->n].subject = subject;
  t->one[t->n].at = (uint32_t)t->used;
  t->one[t->n].len = (uint32_t)len;
  i2d_X509(x, &to);
  t->used += (size_t)len;
  t->n++;
}

static void read_file(struct trust *t)
{
  const char *chosen = secure_getenv(X509_get_default_cert_file_env());
  BIO *in = BIO_new_file(chosen ? chosen : X509_get_default_cert_file(), "r");
  X509 *x;

  while (in && (x = PEM_read_bio_X509_AUX(in, NULL, NULL, NULL))) {
    keep(t, x);
    X509_free(x);
  }
  BIO_free(in);
}

/* another process reads: what that leaves behind in memory is gone with it */
int tls_trust_load(void)
{
  struct trust *t;
  pid_t pid;

  if (trust)
    return 0;
  t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (t == MAP_FAILED)
    return -1;
  pid = fork();
  if (pid == 0) {
    read_file(t);
    _exit(0);
  }
  while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
    ;
  if (pid < 0 || mprotect(t, sizeof *t, PROT_READ) != 0) {
    munmap(t, sizeof *t);
    return -1;
  }
  trust = t;
  return 0;
}

/* ---- looking up */

/* puts those of this name into the store, as a directory of hashed names would do it */
static int by_subject(X509_LOOKUP *lookup, X509_LOOKUP_TYPE type, const X509_NAME *name, X509_OBJECT *found)
{
  int ok = 0, is_found = 0;
  unsigned long subject = X509_NAME_hash_ex(name, NULL, NULL, &ok);

  for (size_t i = 0; ok && type == X509_LU_X509 && i < trust->n; i++) {
    const unsigned char *der = trust->der + trust->one[i].at;
    X509 *x;
    if (trust->one[i].subject != subject || !(x = d2i_X509(NULL, &der, trust->one[i].len)))
      continue;
    if (X509_NAME_cmp(X509_get_subject_name(x), name) == 0) {
      X509_STORE_add_cert(X509_LOOKUP_get_store(lookup), x);
      is_found |= !is_found && X509_OBJECT_set1_X509(found, x);
    }
    X509_free(x);
  }
  return is_found;
}

int tls_trust_add(SSL_CTX *c)
{
  static X509_LOOKUP_METHOD *method;

  if (!method && (!(method = X509_LOOKUP_meth_new("the system's certificates")) ||
                  X509_LOOKUP_meth_set_get_by_subject(method, by_subject) != 1))
    return -1;
  return X509_STORE_add_lookup(SSL_CTX_get_cert_store(c), method) ? 0 : -1;
}
