/* table.c - the compiled control tables: one cdb file for all of them
 *
 * The only file that includes tinycdb. libowfat has functions of the same names and
 * other structs, so libcdb is linked ahead of it; tests/unit/test_table.c guards that.
 *
 * Keys: NAME NUL KEY. Values end with a NUL that is not counted. One record with an
 * empty key holds FORMAT; NAME NUL NUL PREFIX lists the prefix lengths of networks. */
#include "common/table.h"

#include <cdb.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stralloc.h>

#include "common/idna.h"

#define FORMAT "heloise-tables 1"
#define KEY_MAX 1024

struct table {
  struct cdb cdb;
  int fd; /* our own descriptor of the file */
};

/* which network sizes a table has: one byte each, IPv6 ones + 128 + 1 above IPv4's */
#define SIZES 162 /* 0..32 IPv4, 33..161 IPv6 */

struct sizes {
  struct sizes *next;
  stralloc key;
  unsigned char has[SIZES];
};

struct table_maker {
  struct cdb_make cdb;
  int fd;
  struct sizes *sizes;
};

static size_t raw_key(char out[KEY_MAX], const char *name, const char *a, size_t alen,
                      const char *b, size_t blen)
{
  size_t n = strlen(name) + 1;

  if (n + alen + blen > KEY_MAX)
    return 0;
  memcpy(out, name, n);
  memcpy(out + n, a, alen);
  memcpy(out + n + alen, b, blen);
  return n + alen + blen;
}

/* cdb_find() works on the struct it is given: a copy makes look-ups const */
static int find(const struct table *t, const char *key, size_t len, struct table_value *v)
{
  struct cdb c = t->cdb;
  const char *data;

  if (len == 0 || cdb_find(&c, key, (unsigned int)len) <= 0 || cdb_datalen(&c) == 0)
    return 0;
  data = cdb_getdata(&c);
  if (!data || data[cdb_datalen(&c) - 1] != 0)
    return 0;
  v->s = data;
  v->len = cdb_datalen(&c) - 1;
  return 1;
}

struct table *table_open(int fd)
{
  struct table *t = calloc(1, sizeof *t);
  struct table_value v;

  if (!t)
    return NULL;
  t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 10);
  if (t->fd < 0 || cdb_init(&t->cdb, t->fd) != 0) {
    if (t->fd >= 0)
      close(t->fd);
    free(t);
    return NULL;
  }
  if (!find(t, "format", 7, &v) || strcmp(v.s, FORMAT) != 0) {
    table_close(t);
    errno = EINVAL;
    return NULL;
  }
  return t;
}

void table_close(struct table *t)
{
  if (!t)
    return;
  cdb_free(&t->cdb);
  close(t->fd);
  free(t);
}

int table_dup(const struct table *t)
{
  return fcntl(t->fd, F_DUPFD_CLOEXEC, 10);
}

long table_raw_length(const struct table *t, const char *key, size_t len)
{
  struct cdb c = t->cdb;

  return cdb_find(&c, key, (unsigned int)len) > 0 ? (long)cdb_datalen(&c) : -1;
}

int table_get(const struct table *t, const char *name, const char *key, size_t len,
              struct table_value *v)
{
  char raw[KEY_MAX];

  return t ? find(t, raw, raw_key(raw, name, key, len, "", 0), v) : 0;
}

int table_has_lines(const struct table *t, const char *name)
{
  struct table_value v;

  return table_get(t, TABLE_OF_TABLES, name, strlen(name), &v);
}

int table_domain(const struct table *t, const char *name, const char *domain, size_t len,
                 struct table_value *v)
{
  char lower[IDNA_MAX + 1] = "";

  len = idna_ascii(domain, len, lower);
  if (len == 0)
    return table_get(t, name, "*", 1, v);
  if (table_get(t, name, lower, len, v))
    return 1;
  for (size_t i = 1; i < len; i++)
    if (lower[i] == '.' && table_get(t, name, lower + i, len - i, v))
      return 1;
  return table_get(t, name, "*", 1, v);
}

static size_t size_index(const struct ip *ip, unsigned int bits)
{
  return ip->family == 4 ? bits : 33 + bits;
}

static size_t net_key(char out[IP_TEXT + 4], const struct ip *ip, unsigned int bits)
{
  size_t n = ip_format(out, ip);

  out[n++] = '/';
  if (bits >= 100)
    out[n++] = (char)('0' + bits / 100);
  if (bits >= 10)
    out[n++] = (char)('0' + bits / 10 % 10);
  out[n++] = (char)('0' + bits % 10);
  return n;
}

int table_net_key(const struct table *t, const char *name, const char *prefix, const struct ip *ip,
                  struct table_value *v, char net[TABLE_NET_KEY])
{
  char raw[KEY_MAX];
  struct table_value sizes;
  unsigned int all = ip->family == 4 ? 32 : 128, bits = all;
  size_t plen = strlen(prefix);

  if (!t)
    return 0;
  if (find(t, raw, raw_key(raw, name, "", 1, prefix, plen), &sizes) && sizes.len == SIZES)
    do {
      struct ip masked = ip_mask(ip, bits);
      if (sizes.s[size_index(ip, bits)] &&
          find(t, raw, raw_key(raw, name, prefix, plen, net, net_key(net, &masked, bits)), v)) {
        net[bits == all ? ip_format(net, &masked) : net_key(net, &masked, bits)] = 0;
        return 1;
      }
    } while (bits-- > 0);
  strcpy(net, "*");
  return find(t, raw, raw_key(raw, name, prefix, plen, "*", 1), v);
}

int table_net(const struct table *t, const char *name, const char *prefix, const struct ip *ip,
              struct table_value *v)
{
  char net[TABLE_NET_KEY];

  return table_net_key(t, name, prefix, ip, v, net);
}

int table_each(const struct table *t, const char *name,
               int (*f)(void *arg, const char *key, size_t keylen, const struct table_value *v),
               void *arg)
{
  struct cdb c;
  unsigned int at;
  size_t n = strlen(name) + 1;

  if (!t)
    return 0;
  c = t->cdb;
  cdb_seqinit(&at, &c);
  while (cdb_seqnext(&at, &c) > 0) {
    const char *key = cdb_getkey(&c), *data = cdb_getdata(&c);
    size_t keylen = cdb_keylen(&c), len = cdb_datalen(&c);
    struct table_value v = {data, len - 1};
    int r;
    if (keylen <= n || memcmp(key, name, n) != 0 || key[n] == 0 || len == 0 || data[len - 1] != 0)
      continue;
    r = f(arg, key + n, keylen - n, &v);
    if (r != 0)
      return r;
  }
  return 0;
}

/* ---- making */

static int add(struct table_maker *m, const char *key, size_t len, const char *value,
               size_t valuelen)
{
  stralloc v = {0};
  int r = -1;

  errno = ENOMEM;
  if (stralloc_copyb(&v, value, valuelen) && stralloc_0(&v))
    r = cdb_make_put(&m->cdb, key, (unsigned int)len, v.s, (unsigned int)v.len, CDB_PUT_INSERT);
  free(v.s);
  return r < 0 ? -1 : r > 0;
}

struct table_maker *table_maker_start(int fd)
{
  struct table_maker *m = calloc(1, sizeof *m);

  if (!m)
    return NULL;
  m->fd = fd;
  if (cdb_make_start(&m->cdb, fd) != 0) {
    free(m);
    return NULL;
  }
  if (add(m, "format", 7, FORMAT, strlen(FORMAT)) != 0) {
    table_maker_finish(m);
    return NULL;
  }
  return m;
}

int table_maker_add(struct table_maker *m, const char *name, const char *key, size_t keylen,
                    const char *value, size_t valuelen)
{
  char raw[KEY_MAX];
  size_t n = raw_key(raw, name, key, keylen, "", 0);

  if (n == 0 || keylen == 0 || key[0] == 0) {
    errno = EINVAL;
    return -1;
  }
  return add(m, raw, n, value, valuelen);
}

static struct sizes *sizes_of(struct table_maker *m, const char *raw, size_t len)
{
  struct sizes *s;

  for (s = m->sizes; s; s = s->next)
    if (s->key.len == len && memcmp(s->key.s, raw, len) == 0)
      return s;
  s = calloc(1, sizeof *s);
  if (!s || !stralloc_copyb(&s->key, raw, len)) {
    free(s);
    return NULL;
  }
  s->next = m->sizes;
  m->sizes = s;
  return s;
}

int table_maker_add_net(struct table_maker *m, const char *name, const char *prefix,
                        const struct ip_net *net, const char *value, size_t valuelen)
{
  char raw[KEY_MAX], text[IP_TEXT + 4];
  size_t plen = strlen(prefix);
  size_t n = raw_key(raw, name, prefix, plen, text, net_key(text, &net->ip, net->bits));
  struct sizes *s;
  int r = n ? add(m, raw, n, value, valuelen) : -1;

  if (r != 0)
    return r;
  s = sizes_of(m, raw, raw_key(raw, name, "", 1, prefix, plen));
  if (!s)
    return -1;
  s->has[size_index(&net->ip, net->bits)] = 1;
  return 0;
}

int table_maker_finish(struct table_maker *m)
{
  int r = 0;

  while (m->sizes) {
    struct sizes *s = m->sizes;
    m->sizes = s->next;
    if (add(m, s->key.s, s->key.len, (const char *)s->has, SIZES) != 0)
      r = -1;
    free(s->key.s);
    free(s);
  }
  if (cdb_make_finish(&m->cdb) != 0 || fsync(m->fd) != 0)
    r = -1;
  free(m);
  return r;
}
