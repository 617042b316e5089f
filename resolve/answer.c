/* answer.c - DNS records as they pass from the resolver to those who asked
 *
 * Runs in heloise-resolve and in attempts. Pure. Records and names are hostile bytes. */
#include "resolve/answer.h"

#include <errno.h>
#include <string.h>

#define LABEL_MAX 63
#define NAME_MAX_TEXT 253 /* RFC 1035 3.1: 255 bytes in wire form */

static const struct {
  const char *word;
  int number;
} types[] = {
  [ANSWER_A] = {"A", 1},        [ANSWER_AAAA] = {"AAAA", 28}, [ANSWER_MX] = {"MX", 15},
  [ANSWER_TLSA] = {"TLSA", 52}, [ANSWER_TXT] = {"TXT", 16},   [ANSWER_PTR] = {"PTR", 12},
};
#define TYPES (sizeof types / sizeof *types)

static const char *const statuses[] = {
  [ASK_OK] = "ok", [ASK_NODATA] = "nodata", [ASK_NXDOMAIN] = "nxdomain", [ASK_FAILED] = "failed"};
#define STATUSES (sizeof statuses / sizeof *statuses)

static const char *const securities[] = {
  [ASK_INSECURE] = "insecure", [ASK_SECURE] = "secure", [ASK_BOGUS] = "bogus"};
#define SECURITIES (sizeof securities / sizeof *securities)

static int is_word(const char *s, size_t len, const char *word)
{
  return len == strlen(word) && memcmp(s, word, len) == 0;
}

int answer_type_read(const char *s, size_t len, enum answer_type *t)
{
  for (size_t i = 0; i < TYPES; i++)
    if (is_word(s, len, types[i].word)) {
      *t = (enum answer_type)i;
      return 0;
    }
  return -1;
}

const char *answer_type_word(enum answer_type t)
{
  return types[t].word;
}

int answer_type_number(enum answer_type t)
{
  return types[t].number;
}

int answer_status_read(const char *s, size_t len, enum ask_status *st)
{
  for (size_t i = 0; i < STATUSES; i++)
    if (is_word(s, len, statuses[i])) {
      *st = (enum ask_status)i;
      return 0;
    }
  return -1;
}

const char *ask_status_word(enum ask_status s)
{
  return statuses[s];
}

int answer_security_read(const char *s, size_t len, enum ask_security *sec)
{
  for (size_t i = 0; i < SECURITIES; i++)
    if (is_word(s, len, securities[i])) {
      *sec = (enum ask_security)i;
      return 0;
    }
  return -1;
}

const char *answer_security_word(enum ask_security s)
{
  return securities[s];
}

int answer_add(stralloc *out, const void *rdata, size_t len)
{
  char head[2] = {(char)(len >> 8), (char)len};

  errno = EMSGSIZE;
  if (len > 0xffff || out->len + 2 + len > ANSWER_RECORDS_MAX)
    return -1;
  errno = ENOMEM;
  if (!stralloc_readyplus(out, 2 + len))
    return -1;
  stralloc_catb(out, head, 2);
  stralloc_catb(out, rdata, len);
  return 0;
}

int answer_next(const char *records, size_t len, size_t *at, struct answer_record *r)
{
  const unsigned char *p = (const unsigned char *)records + *at;
  size_t left = len - *at;

  if (left == 0)
    return 0;
  if (left < 2)
    return -1;
  r->len = (size_t)p[0] << 8 | p[1];
  r->data = p + 2;
  if (left - 2 < r->len)
    return -1;
  *at += 2 + r->len;
  return 1;
}

static int is_digit(char c)
{
  return c >= '0' && c <= '9';
}

/* c in lower case when it may stand in a label, else 0 */
static char label_byte(unsigned char c)
{
  if (c >= 'A' && c <= 'Z')
    return (char)(c + 32);
  return (c >= 'a' && c <= 'z') || is_digit((char)c) || c == '-' || c == '_' ? (char)c : 0;
}

/* an address written as a name (MX 10 192.0.2.1.) ends in a label of digits alone, which
 * no top-level domain is: it must not be taken for an address later */
static int ends_in_digits(const char *name)
{
  const char *dot = strrchr(name, '.'), *label = dot ? dot + 1 : name;

  return *label != 0 && label[strspn(label, "0123456789")] == 0;
}

int answer_host(const unsigned char *wire, size_t len, char name[ASK_NAME_MAX + 1])
{
  size_t at = 0, n = 0;

  while (at < len && wire[at] != 0) {
    size_t label = wire[at++];
    if (label > LABEL_MAX || label >= len - at || n + label + 1 > NAME_MAX_TEXT + 1)
      return -1;
    if (n > 0)
      name[n++] = '.';
    for (size_t i = 0; i < label; i++) {
      char c = label_byte(wire[at + i]);
      if (c == 0)
        return -1;
      name[n++] = c;
    }
    at += label;
  }
  if (at + 1 != len) /* no end, or bytes after it */
    return -1;
  name[n] = 0;
  return n > NAME_MAX_TEXT || ends_in_digits(name) ? -1 : 0;
}

int answer_mx(const struct answer_record *r, uint16_t *preference, char name[ASK_NAME_MAX + 1])
{
  if (r->len < 3)
    return -1;
  *preference = (uint16_t)(r->data[0] << 8 | r->data[1]);
  return answer_host(r->data + 2, r->len - 2, name);
}

int answer_ip(const struct answer_record *r, struct ip *ip)
{
  static const unsigned char unspecified[16], mapped[12] = {[10] = 255, [11] = 255};

  /* connecting to 0.0.0.0 or :: reaches this host itself, and an IPv4 address in IPv6
   * clothes may: both would go round the check for loops */
  if ((r->len != 4 && r->len != 16) || memcmp(r->data, unspecified, r->len) == 0 ||
      (r->len == 16 && memcmp(r->data, mapped, sizeof mapped) == 0))
    return -1;
  memset(ip, 0, sizeof *ip);
  ip->family = r->len == 4 ? 4 : 6;
  memcpy(ip->bytes, r->data, r->len);
  return 0;
}

int answer_name(const char *s, size_t len, char name[ASK_NAME_MAX + 1])
{
  size_t label = 0;

  if (len > 0 && s[len - 1] == '.')
    len--;
  if (len == 0 || len > NAME_MAX_TEXT)
    return -1;
  for (size_t i = 0; i < len; i++) {
    name[i] = s[i] == '.' ? '.' : label_byte((unsigned char)s[i]);
    if (name[i] == 0 || (s[i] == '.' && label == 0))
      return -1;
    label = s[i] == '.' ? 0 : label + 1;
    if (label > LABEL_MAX)
      return -1;
  }
  name[len] = 0;
  return label == 0 ? -1 : 0;
}
