/* wire.c - encode and decode messages between programs
 *
 * Runs in every program. wire_decode() gets hostile bytes: the program at the
 * other end may have been taken over. */
#include "common/wire.h"

#include <errno.h>
#include <string.h>

#include "common/units.h"

static const struct {
  const char *name;
  enum wire_link link;
  enum wire_side sender;
  size_t min, max, bytes;
  int needs_fd;
} types[] = {
#define WIRE_LINK(link, low, high)
#define WIRE(type, link, sender, min, max, bytes, fd) \
  {#type, LINK_##link, WIRE_##sender, min, max, bytes, fd},
#include "common/wire.def"
#undef WIRE_LINK
#undef WIRE
};

const char *wire_name(enum wire_type t)
{
  return types[t].name;
}

int wire_needs_fd(enum wire_type t)
{
  return types[t].needs_fd;
}

void wire_start(struct wire_out *o, enum wire_type t)
{
  o->type = t;
  o->n = 0;
}

void wire_bytes(struct wire_out *o, const char *s, size_t len)
{
  if (o->n < WIRE_FIELDS) {
    o->f[o->n].s = s;
    o->f[o->n].len = len;
  }
  o->n++;
}

void wire_str(struct wire_out *o, const char *s)
{
  wire_bytes(o, s, strlen(s));
}

void wire_num(struct wire_out *o, uint64_t v)
{
  if (o->n < WIRE_FIELDS)
    wire_bytes(o, o->digits[o->n], units_digits(o->digits[o->n], v));
  else
    o->n++;
}

/* as fmt_netstring(), which Debian's libowfat 0.32 has without the length (units_digits() says
 * why) */
static size_t put_netstring(char *out, const char *s, size_t len)
{
  char digits[UNITS_DIGITS];
  size_t n = units_digits(digits, len);

  memcpy(out, digits, n);
  out[n++] = ':';
  if (len > 0) /* an empty field may be NULL */
    memcpy(out + n, s, len);
  out[n + len] = ',';
  return n + len + 1;
}

int wire_encode(const struct wire_out *o, stralloc *out)
{
  char digits[UNITS_DIGITS];
  size_t need = 8, n;

  if (o->n < types[o->type].min || o->n > types[o->type].max) {
    errno = EMSGSIZE;
    return -1;
  }
  for (size_t i = 0; i < o->n; i++)
    need += o->f[i].len + 8;
  if (need > types[o->type].bytes) {
    errno = EMSGSIZE;
    return -1;
  }
  if (!stralloc_ready(out, need)) {
    errno = ENOMEM;
    return -1;
  }
  n = put_netstring(out->s, digits, units_digits(digits, o->type));
  for (size_t i = 0; i < o->n; i++)
    n += put_netstring(out->s + n, o->f[i].s, o->f[i].len);
  out->len = n;
  return 0;
}

/* one netstring at buf; returns the bytes used, 0 when it is none. Leading zeroes
 * are refused, so that a message has one spelling only. */
static size_t netstring(const char *buf, size_t len, struct wire_field *f)
{
  size_t n = 0, i = 0;

  while (i < len && i < 6 && buf[i] >= '0' && buf[i] <= '9')
    n = n * 10 + (size_t)(buf[i++] - '0');
  if (i == 0 || (i > 1 && buf[0] == '0') || i >= len || buf[i] != ':')
    return 0;
  i++;
  if (len - i <= n || buf[i + n] != ',')
    return 0;
  f->s = buf + i;
  f->len = n;
  return i + n + 1;
}

static int number(const struct wire_field *f, uint64_t max, uint64_t *v)
{
  uint64_t n = 0;

  if (f->len == 0 || f->len > 20 || (f->len > 1 && f->s[0] == '0'))
    return -1;
  for (size_t i = 0; i < f->len; i++) {
    unsigned int d = (unsigned char)f->s[i] - '0';
    if (d > 9 || n > (UINT64_MAX - d) / 10)
      return -1;
    n = n * 10 + d;
  }
  if (n > max)
    return -1;
  *v = n;
  return 0;
}

int wire_decode(const char *buf, size_t len, enum wire_link link, enum wire_side sender,
                struct wire_msg *m, const char **why)
{
  struct wire_field first;
  uint64_t type;
  size_t at = netstring(buf, len, &first);

  m->fd = -1;
  m->n = 0;
  *why = "does not begin with a message type";
  if (at == 0 || number(&first, WIRE_TYPES - 1, &type) != 0)
    return -1;
  m->type = (enum wire_type)type;
  *why = "message is not legal on this channel";
  if (types[type].link != link || types[type].sender != sender)
    return -1;
  *why = "message is longer than its limit";
  if (len > types[type].bytes)
    return -1;
  while (at < len) {
    size_t used;
    *why = "too many fields";
    if (m->n == types[type].max)
      return -1;
    *why = "a field is not a netstring";
    used = netstring(buf + at, len - at, &m->f[m->n]);
    if (used == 0)
      return -1;
    m->n++;
    at += used;
  }
  *why = "too few fields";
  return m->n < types[type].min ? -1 : 0;
}

int wire_get_num(const struct wire_msg *m, size_t i, uint64_t max, uint64_t *v)
{
  return i < m->n ? number(&m->f[i], max, v) : -1;
}

int wire_get_text(const struct wire_msg *m, size_t i, size_t max, stralloc *out)
{
  if (i >= m->n || m->f[i].len > max || memchr(m->f[i].s, 0, m->f[i].len))
    return -1;
  return stralloc_copyb(out, m->f[i].s, m->f[i].len) && stralloc_0(out) ? (out->len--, 0) : -1;
}

int wire_is(const struct wire_msg *m, size_t i, const char *word)
{
  return i < m->n && m->f[i].len == strlen(word) && memcmp(m->f[i].s, word, m->f[i].len) == 0;
}
