/* certificates.c - the certificates and keys that table `certificates` names
 *
 * Runs in `heloise build`, as the caller, and in `heloise run`, as root in a privileged instance.
 * The files are the administrator's. Keys leave here only in memory that is handed to
 * heloise-smtpd, and are wiped when they are replaced. */
#include "conf/certificates.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/log.h"
#include "common/tls.h"
#include "common/units.h"

#define SOON (14 * 86400) /* before the end of a certificate: time to say so */

static const char *const what[] = {"the certificate", "the key"};

/* ---- one pair */

int certificates_files(const char *value, size_t len, char file[2][PATH_MAX])
{
  size_t at = 0;

  for (int i = 0; i < 2; i++) {
    size_t n = 0;
    while (at < len && (value[at] == ' ' || value[at] == '\t'))
      at++;
    while (at + n < len && value[at + n] != ' ' && value[at + n] != '\t')
      n++;
    if (n == 0 || n >= PATH_MAX)
      return -1;
    memcpy(file[i], value + at, n);
    file[i][n] = 0;
    at += n;
  }
  return at == len ? 0 : -1;
}

static void wipe(stralloc *sa)
{
  if (sa->s)
    explicit_bzero(sa->s, sa->a);
  stralloc_free(sa);
  *sa = (stralloc){0};
}

void certificates_free(struct certificate *c)
{
  wipe(&c->chain);
  wipe(&c->key);
}

/* 0, or -1 with errno; bytes and a NUL after them */
static int read_file(int dir, const char *path, stralloc *out)
{
  int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = -1;
  struct stat st;

  if (fd < 0)
    return -1;
  if (fstat(fd, &st) != 0)
    goto done;
  errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
  if (!S_ISREG(st.st_mode) || st.st_size > CERTIFICATE_FILE_MAX)
    goto done;
  errno = ENOMEM;
  if (!stralloc_ready(out, (size_t)st.st_size + 1))
    goto done;
  out->len = 0;
  while (out->len < (size_t)st.st_size) {
    ssize_t n = read(fd, out->s + out->len, (size_t)st.st_size - out->len);
    if (n < 0)
      goto done;
    if (n == 0)
      break;
    out->len += (size_t)n;
  }
  out->s[out->len] = 0;
  r = 0;
done:
  close(fd);
  return r;
}

static int complain(stralloc *why, const char *a, const char *b, const char *c)
{
  if (!stralloc_copys(why, a) || !stralloc_cats(why, b) || !stralloc_cats(why, c))
    why->len = 0;
  return -1;
}

static X509 *parse_certificate(const stralloc *pem)
{
  BIO *b = BIO_new_mem_buf(pem->s, (int)pem->len);
  X509 *x = b ? PEM_read_bio_X509(b, NULL, tls_no_passphrase, NULL) : NULL;

  BIO_free(b);
  return x;
}

static EVP_PKEY *parse_key(const stralloc *pem)
{
  BIO *b = BIO_new_mem_buf(pem->s, (int)pem->len);
  EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, tls_no_passphrase, NULL) : NULL;

  BIO_free(b);
  return k;
}

static time_t time_of(const ASN1_TIME *t)
{
  struct tm tm;

  return ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
}

static int judge(struct certificate *c, char file[2][PATH_MAX], stralloc *why)
{
  X509 *x = parse_certificate(&c->chain);
  EVP_PKEY *k = parse_key(&c->key);
  int r = 0;

  if (!x)
    r = complain(why, file[0], " holds no certificate in PEM", "");
  else if (!k)
    r = complain(why, file[1], " holds no key in PEM, or one with a passphrase", "");
  else if (X509_check_private_key(x, k) != 1)
    r = complain(why, file[1], " is not the key of the certificate in ", file[0]);
  else if (EVP_PKEY_get_security_bits(k) < 112)
    r = complain(why, file[1], " is too weak a key; RSA needs 2048 bits", "");
  if (r == 0) {
    c->from = time_of(X509_get0_notBefore(x));
    c->until = time_of(X509_get0_notAfter(x));
  }
  X509_free(x);
  EVP_PKEY_free(k);
  ERR_clear_error();
  return r;
}

int certificates_read(int control, const char *value, size_t len, struct certificate *c, stralloc *why)
{
  stralloc *to[2] = {&c->chain, &c->key};
  char file[2][PATH_MAX];

  if (certificates_files(value, len, file) != 0)
    return complain(why, "expected two files: CERTIFICATE KEY", "", "");
  for (int i = 0; i < 2; i++)
    if (read_file(control, file[i], to[i]) != 0) {
      const char *error = strerror(errno);
      char text[PATH_MAX + 64];
      snprintf(text, sizeof text, "%s in %s cannot be read: ", what[i], file[i]);
      return complain(why, text, error, "");
    }
  return judge(c, file, why);
}

/* whether it names this host, or what is below the domain for ".domain" */
static int is_of(X509 *x, const char *name)
{
  char host[300];

  if (strcmp(name, "*") == 0)
    return 1;
  snprintf(host, sizeof host, "%s%s", name[0] == '.' ? "mail" : "", name);
  return X509_check_host(x, host, 0, 0, NULL) == 1;
}

int certificates_warn(const struct certificate *c, const char *name, stralloc *why)
{
  time_t now = time(NULL);
  stralloc when = {0};
  X509 *x;
  int is_named, r = 1;

  if (c->until <= now + SOON || c->from > now) {
    const char *words = c->from > now ? "is not valid before " : c->until <= now ? "expired on " : "expires on ";
    units_format_time(&when, (uint64_t)(c->from > now ? c->from : c->until));
    r = stralloc_0(&when) ? 1 : 0;
    complain(why, "the certificate ", words, r ? when.s : "");
    stralloc_free(&when);
    return r;
  }
  x = parse_certificate(&c->chain);
  is_named = !x || is_of(x, name);
  X509_free(x);
  if (is_named)
    return 0;
  complain(why, "the certificate is not one of ", name, "; clients that look at names will refuse it");
  return 1;
}

/* ---- those that are in force */

static struct loaded {
  struct loaded *next;
  char *value;
  struct certificate certificate;
  int is_wanted;
} *loaded; /* bound: one per pair of files in the table */
static int bundle = -1;

static struct loaded *find(const char *value)
{
  struct loaded *l = loaded;

  while (l && strcmp(l->value, value) != 0)
    l = l->next;
  return l;
}

static struct loaded *new_one(const char *value)
{
  struct loaded *l = calloc(1, sizeof *l);

  if (l && !(l->value = strdup(value))) {
    free(l);
    return NULL;
  }
  if (l) {
    l->next = loaded;
    loaded = l;
  }
  return l;
}

/* a pair of the table, once */
static int load_one(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  const int *control = arg;
  struct certificate fresh = {0};
  struct loaded *l = find(v->s);
  stralloc why = {0};

  (void)key;
  (void)keylen;
  if (l && l->is_wanted)
    return 0;
  if (certificates_read(*control, v->s, v->len, &fresh, &why) == 0 && (l || (l = new_one(v->s)))) {
    certificates_free(&l->certificate);
    l->certificate = fresh;
  } else {
    certificates_free(&fresh);
    log_failed("run", "certificate", stralloc_0(&why) ? why.s : "out of memory");
  }
  if (l)
    l->is_wanted = 1; /* as it was, when it cannot be read now */
  stralloc_free(&why);
  return 0;
}

static void forget_unwanted(void)
{
  for (struct loaded **p = &loaded; *p;) {
    struct loaded *l = *p;
    if (l->is_wanted) {
      p = &l->next;
      continue;
    }
    *p = l->next;
    certificates_free(&l->certificate);
    free(l->value);
    free(l);
  }
}

static int put(int fd, const char *s, size_t len)
{
  while (len > 0) {
    ssize_t n = write(fd, s, len);
    if (n <= 0)
      return -1;
    s += n;
    len -= (size_t)n;
  }
  return 0;
}

/* "VALUE\n" "CHAINLEN KEYLEN\n", and the bytes of both, for each */
static int put_all(int fd)
{
  for (const struct loaded *l = loaded; l; l = l->next) {
    const struct certificate *c = &l->certificate;
    char lengths[64];
    int n = snprintf(lengths, sizeof lengths, "\n%zu %zu\n", c->chain.len, c->key.len);
    if (put(fd, l->value, strlen(l->value)) != 0 || put(fd, lengths, (size_t)n) != 0 ||
        put(fd, c->chain.s, c->chain.len) != 0 || put(fd, c->key.s, c->key.len) != 0)
      return -1;
  }
  return fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

void certificates_load(const struct table *t, int control)
{
  int fd;

  for (struct loaded *l = loaded; l; l = l->next)
    l->is_wanted = 0;
  table_each(t, "certificates", load_one, &control);
  forget_unwanted();
  fd = memfd_create("certificates", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || put_all(fd) != 0) {
    log_failed("run", "certificates", strerror(errno));
    if (fd >= 0)
      close(fd);
    return; /* the old ones stay in force */
  }
  if (bundle >= 0)
    close(bundle);
  bundle = fd;
}

int certificates_descriptor(void)
{
  return bundle;
}

struct each {
  void (*f)(void *arg, const char *name, time_t until);
  void *arg;
};

static int each_one(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  const struct each *e = arg;
  const struct loaded *l = find(v->s);
  char name[256];

  if (!l || keylen >= sizeof name)
    return 0;
  memcpy(name, key, keylen);
  name[keylen] = 0;
  e->f(e->arg, name, l->certificate.until);
  return 0;
}

void certificates_each(const struct table *t, void (*f)(void *arg, const char *name, time_t until),
                       void *arg)
{
  struct each e = {f, arg};

  table_each(t, "certificates", each_one, &e);
}
