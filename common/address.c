/* address.c - mail addresses of SMTP, parsed and put in normal form. Pure.
 *
 * Gets hostile bytes. RFC 5321 4.1.2, and UTF-8 by RFC 6531 3.3:
 *
 *   Path          = "<" [ A-d-l ":" ] Mailbox ">"
 *   A-d-l         = "@" Domain *( "," "@" Domain )
 *   Mailbox       = Local-part "@" ( Domain / address-literal )
 *   Local-part    = Dot-string / Quoted-string
 *   Quoted-string = DQUOTE *( qtext / "\" %d32-126 ) DQUOTE
 *
 * Taken besides: dots anywhere in an unquoted local part, underscores in a domain, one
 * dot at its end (dropped): all three are in use. */
#include "common/address.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "common/ip.h"

#define LABEL_MAX 63

/* what is being read */
struct input {
  const char *s;
  size_t len, at;
  const char **why;
};

static int fail(struct input *in, const char *why)
{
  *in->why = why;
  return -1;
}

static int peek(const struct input *in)
{
  return in->at < in->len ? (unsigned char)in->s[in->at] : -1;
}

static int put(struct address *a, const char *s, size_t n, struct input *in)
{
  if (a->text.len + n > ADDRESS_MAX)
    return fail(in, "address is longer than 320 bytes");
  return stralloc_catb(&a->text, s, n) ? 0 : fail(in, "out of memory");
}

static int is_alnum(int c)
{
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int is_atext(int c)
{
  return c > 0 && c < 128 && (is_alnum(c) || strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* bytes of the UTF-8 character at s, 2 to 4; 0: not legal (overlong, surrogate, beyond
 * U+10FFFF, or a control character U+0080..9F) */
static size_t utf8_span(const char *s, size_t len)
{
  static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
  unsigned char c = len ? (unsigned char)s[0] : 0;
  size_t n = c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
  uint32_t v;

  if (n == 0 || n > len)
    return 0;
  v = c & (0xffU >> (n + 1));
  for (size_t i = 1; i < n; i++) {
    if (((unsigned char)s[i] & 0xc0) != 0x80)
      return 0;
    v = v << 6 | ((unsigned char)s[i] & 0x3f);
  }
  return v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) ? 0 : n;
}

static int put_utf8(struct input *in, struct address *a)
{
  size_t n = utf8_span(in->s + in->at, in->len - in->at);

  if (n == 0)
    return fail(in, "non-ASCII bytes that are not UTF-8");
  a->is_utf8 = 1;
  in->at += n;
  return put(a, in->s + in->at - n, n, in);
}

/* ---- local part */

/* whether s may stand without quotes: atoms with single dots between them */
static int is_dot_string(const char *s, size_t len)
{
  char before = '.';

  for (size_t i = 0; i < len; i++) {
    if (s[i] == '.' ? before == '.' : !is_atext(s[i]) && !((unsigned char)s[i] & 0x80))
      return 0;
    before = s[i];
  }
  return before != '.';
}

static int requote(struct address *a, size_t from, struct input *in)
{
  char plain[ADDRESS_MAX];
  size_t n = a->text.len - from;

  if (is_dot_string(a->text.s + from, n))
    return 0;
  memcpy(plain, a->text.s + from, n);
  a->text.len = from;
  if (put(a, "\"", 1, in) != 0)
    return -1;
  for (size_t i = 0; i < n; i++) {
    if ((plain[i] == '"' || plain[i] == '\\') && put(a, "\\", 1, in) != 0)
      return -1;
    if (put(a, plain + i, 1, in) != 0)
      return -1;
  }
  return put(a, "\"", 1, in);
}

static int quoted_string(struct input *in, struct address *a)
{
  size_t from = a->text.len;

  in->at++;
  for (;;) {
    int c = peek(in);
    if (c >= 128) {
      if (put_utf8(in, a) != 0)
        return -1;
      continue;
    }
    if (c == '"')
      break;
    if (c == '\\') {
      in->at++;
      c = peek(in);
    }
    if (c < 0)
      return fail(in, "a quoted local part has no closing quote");
    if (c < 32 || c > 126)
      return fail(in, "control bytes or a quoted non-ASCII byte in a local part");
    if (put(a, in->s + in->at++, 1, in) != 0)
      return -1;
  }
  in->at++;
  return requote(a, from, in);
}

static int local_part(struct input *in, struct address *a)
{
  if (peek(in) == '"') {
    if (quoted_string(in, a) != 0)
      return -1;
  } else {
    for (;;) {
      int c = peek(in);
      if (c >= 128) {
        if (put_utf8(in, a) != 0)
          return -1;
        continue;
      }
      if (!is_atext(c) && c != '.')
        break;
      if (put(a, in->s + in->at++, 1, in) != 0)
        return -1;
    }
  }
  a->local_len = a->text.len;
  if (a->local_len == 0)
    return fail(in, "expected local-part@domain");
  return a->local_len > ADDRESS_LOCAL_MAX ? fail(in, "local part is longer than 255 bytes") : 0;
}

/* ---- domain */

static int literal(struct input *in, struct address *a)
{
  const char *s = in->s + in->at + 1, *end = memchr(s, ']', in->len - in->at - 1);
  size_t len = end ? (size_t)(end - s) : 0, tag;
  char text[IP_TEXT];
  struct ip ip;

  tag = len > 5 && strncasecmp(s, "IPv6:", 5) == 0 ? 5 : 0;
  if (len == 0 || ip_parse(s + tag, len - tag, &ip) != 0 ||
      (memchr(s + tag, ':', len - tag) != NULL) != (tag > 0))
    return fail(in, "expected an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]");
  in->at += len + 2;
  a->is_literal = 1;
  ip_format(text, &ip);
  return put(a, ip.family == 6 ? "[IPv6:" : "[", ip.family == 6 ? 6 : 1, in) != 0 ||
             put(a, text, strlen(text), in) != 0 || put(a, "]", 1, in) != 0
           ? -1
           : 0;
}

/* labels are not empty, not longer than 63 bytes, and have no hyphen at their ends */
static int check_labels(const char *s, size_t len, struct input *in)
{
  for (;;) {
    const char *dot = memchr(s, '.', len);
    size_t label = dot ? (size_t)(dot - s) : len;
    if (label == 0 || label > LABEL_MAX)
      return fail(in, "a label of the domain is empty or longer than 63 bytes");
    if (s[0] == '-' || s[label - 1] == '-')
      return fail(in, "a label of the domain begins or ends with a hyphen");
    if (!dot)
      return 0;
    s += label + 1;
    len -= label + 1;
  }
}

static int domain_name(struct input *in, struct address *a)
{
  size_t from = a->text.len;

  for (;;) {
    int c = peek(in);
    char lower = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (c >= 128) {
      if (put_utf8(in, a) != 0)
        return -1;
      continue;
    }
    if (!is_alnum(c) && c != '-' && c != '_' && c != '.')
      break;
    if (put(a, &lower, 1, in) != 0)
      return -1;
    in->at++;
  }
  if (a->text.len - from > 1 && a->text.s[a->text.len - 1] == '.')
    a->text.len--;
  if (a->text.len == from)
    return fail(in, "expected a domain after the @");
  if (a->text.len - from > ADDRESS_DOMAIN_MAX)
    return fail(in, "domain is longer than 255 bytes");
  return check_labels(a->text.s + from, a->text.len - from, in);
}

static int mailbox(struct input *in, struct address *a)
{
  if (local_part(in, a) != 0)
    return -1;
  if (peek(in) != '@')
    return 0;
  in->at++;
  if (put(a, "@", 1, in) != 0)
    return -1;
  return peek(in) == '[' ? literal(in, a) : domain_name(in, a);
}

/* "@one,@two:" is read over: a source route says nothing we use (RFC 5321 App. C) */
static int skip_route(struct input *in, struct address *a)
{
  while (peek(in) == '@') {
    in->at++;
    a->had_route = 1;
    while (is_alnum(peek(in)) || (peek(in) > 0 && strchr("-_.[]", peek(in))))
      in->at++;
    if (peek(in) == ':') {
      in->at++;
      return 0;
    }
    if (peek(in) != ',')
      return fail(in, "a source route before the address is not well formed");
    in->at++;
  }
  return a->had_route ? fail(in, "a source route before the address is not well formed") : 0;
}

static int begin(struct address *a)
{
  a->local_len = 0;
  a->domain = "";
  a->is_literal = a->is_utf8 = a->had_route = 0;
  return stralloc_copys(&a->text, "") ? 0 : -1;
}

static int finish(struct input *in, struct address *a)
{
  if (!stralloc_0(&a->text))
    return fail(in, "out of memory");
  a->text.len--;
  a->domain = a->local_len < a->text.len ? a->text.s + a->local_len + 1 : a->text.s + a->text.len;
  return 0;
}

int address_path(const char *s, size_t len, int allow_null, struct address *a, size_t *used,
                 const char **why)
{
  struct input in = {s, len, 0, why};

  if (begin(a) != 0)
    return fail(&in, "out of memory");
  while (peek(&in) == ' ')
    in.at++;
  if (peek(&in) != '<')
    return fail(&in, "expected an address in angle brackets: <local-part@domain>");
  in.at++;
  if (peek(&in) == '>' && allow_null) {
    in.at++;
    *used = in.at;
    return finish(&in, a);
  }
  if (skip_route(&in, a) != 0 || mailbox(&in, a) != 0)
    return -1;
  if (peek(&in) != '>')
    return fail(&in, "a character that cannot stand there in an address, or no closing >");
  *used = in.at + 1;
  return finish(&in, a);
}

int address_parse(const char *s, size_t len, int allow_null, struct address *a, const char **why)
{
  struct input in = {s, len, 0, why};

  if (begin(a) != 0)
    return fail(&in, "out of memory");
  if (len == 0 && allow_null)
    return finish(&in, a);
  if (skip_route(&in, a) != 0 || mailbox(&in, a) != 0)
    return -1;
  if (in.at != len)
    return fail(&in, "a character that cannot stand there in an address");
  return finish(&in, a);
}
