/* tls_names.c - our certificates and keys, by the name that a client asks for
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The name is hostile until
 * tls_names_clean() took it; `heloise run` is trusted. */
#include "smtpd/tls_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "common/log.h"
#include "common/program.h"
#include "common/settings.h"
#include "common/table.h"
#include "common/tls.h"

#define VALUE_MAX 8200 /* a line of a table */
#define BUNDLE_MAX (64 * 1024 * 1024)

struct pair {
  char *value; /* in table `certificates` */
  X509 *certificate;
  STACK_OF(X509) *chain;
  EVP_PKEY *key;
};

static struct pair *pairs; /* by value */
static size_t npairs;

/* ---- reading */

static void free_pair(struct pair *p)
{
  free(p->value);
  X509_free(p->certificate);
  sk_X509_pop_free(p->chain, X509_free);
  EVP_PKEY_free(p->key);
  *p = (struct pair){0};
}

static void free_pairs(struct pair *p, size_t n)
{
  for (size_t i = 0; i < n; i++)
    free_pair(&p[i]);
  free(p);
}

/* the first certificate is ours, the others lead to its root */
static int read_chain(struct pair *p, BIO *b)
{
  X509 *x;

  p->certificate = PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL);
  p->chain = sk_X509_new_null();
  if (!p->certificate || !p->chain)
    return -1;
  while ((x = PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL)))
    if (sk_X509_push(p->chain, x) == 0) {
      X509_free(x);
      return -1;
    }
  ERR_clear_error(); /* the end of the file */
  return 0;
}

static int read_pair(struct pair *p, const char *chain, size_t chainlen, const char *key, size_t keylen)
{
  BIO *c = BIO_new_mem_buf(chain, (int)chainlen), *k = BIO_new_mem_buf(key, (int)keylen);
  int r = -1;

  if (c && k && read_chain(p, c) == 0 &&
      (p->key = PEM_read_bio_PrivateKey(k, NULL, tls_no_passphrase, NULL)) &&
      X509_check_private_key(p->certificate, p->key) == 1)
    r = 0;
  BIO_free(c);
  BIO_free(k);
  ERR_clear_error();
  return r;
}

/* the pair that begins at `at`; returns where the next one does, 0 when it is malformed */
static size_t next_pair(const char *s, size_t len, size_t at, struct pair *p)
{
  const char *value = s + at, *line, *end;
  size_t chain, key, head;

  *p = (struct pair){0};
  if (!(end = memchr(value, '\n', len - at)) || end - value > VALUE_MAX ||
      !(line = end + 1, end = memchr(line, '\n', len - (size_t)(line - s))) ||
      sscanf(line, "%zu %zu", &chain, &key) != 2)
    return 0;
  head = (size_t)(end + 1 - s);
  if (chain > len - head || key > len - head - chain)
    return 0;
  p->value = strndup(value, (size_t)(line - 1 - value));
  if (!p->value || read_pair(p, s + head, chain, s + head + chain, key) != 0) {
    log_failed("smtpd", "certificate", p->value ? p->value : "out of memory");
    free_pair(p);
  }
  return head + chain + key;
}

static int compare(const void *a, const void *b)
{
  return strcmp(((const struct pair *)a)->value, ((const struct pair *)b)->value);
}

static int take(const char *s, size_t len)
{
  struct pair *fresh = NULL;
  size_t n = 0, at = 0;

  while (at < len) {
    struct pair p, *bigger;
    if ((at = next_pair(s, len, at, &p)) == 0)
      break;
    if (!p.value)
      continue;
    bigger = reallocarray(fresh, n + 1, sizeof *fresh); /* bound: one per pair in the table */
    if (!bigger) {
      free_pair(&p);
      break;
    }
    fresh = bigger;
    fresh[n++] = p;
  }
  if (n > 0)
    qsort(fresh, n, sizeof *fresh, compare);
  free_pairs(pairs, npairs);
  pairs = fresh;
  npairs = n;
  return n > 0 ? 0 : -1;
}

int tls_names_load(int fd)
{
  struct stat st;
  char *s = NULL;
  size_t len = 0, got = 0;
  int r = -1;

  if (fstat(fd, &st) == 0 && st.st_size >= 0 && st.st_size <= BUNDLE_MAX)
    s = malloc((len = (size_t)st.st_size) + 1);
  while (s && got < len) { /* the file's place is shared with other processes */
    ssize_t n = pread(fd, s + got, len - got, (off_t)got);
    if (n <= 0)
      break;
    got += (size_t)n;
  }
  close(fd);
  if (s && got == len) {
    s[len] = 0;
    r = take(s, len);
  }
  if (s)
    explicit_bzero(s, len);
  free(s);
  return r;
}

int tls_names_any(void)
{
  return npairs > 0;
}

/* ---- choosing */

int tls_names_clean(const char *said, char out[TLS_NAME_MAX])
{
  size_t len = said ? strnlen(said, TLS_NAME_MAX) : 0;

  if (len == 0 || len >= TLS_NAME_MAX)
    return -1;
  for (size_t i = 0; i <= len; i++) {
    char c = said[i];
    if (c >= 'A' && c <= 'Z')
      c = (char)(c + 32);
    if (c && !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
      return -1;
    out[i] = c;
  }
  return 0;
}

static const struct pair *pair_of(const char *name)
{
  struct table_value v;
  struct pair wanted;

  if (!table_domain(program_table(), "certificates", name, strlen(name), &v))
    return NULL;
  wanted.value = (char *)(uintptr_t)v.s;
  return bsearch(&wanted, pairs, npairs, sizeof *pairs, compare);
}

/* a client that asks for a name we do not have, or for none, gets a certificate all the same: most
 * of mail's TLS is better than none, and the others look for themselves */
int tls_names_choose(SSL *ssl)
{
  const char *said = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  const struct pair *p = NULL;
  char name[TLS_NAME_MAX];

  if (said && tls_names_clean(said, name) == 0)
    p = pair_of(name);
  if (!p)
    p = pair_of("*");
  if (!p)
    p = pair_of(settings.hostname);
  if (!p && npairs > 0)
    p = pairs;
  return p && SSL_use_cert_and_key(ssl, p->certificate, p->key, p->chain, 1) == 1 ? 0 : -1;
}
