/* parameter.c - 8-bit values of MIME parameters, spelled in ASCII
 *
 * Runs in an attempt. Pure. The field is hostile. RFC 2231:
 *
 *   extended-parameter := attribute "*" ["0*"] "=" charset "'" [language] "'" value
 *   ext-octet          := "%" 2(DIGIT / "A" / "B" / "C" / "D" / "E" / "F") */
#include "deliver/parameter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/header.h"

#define SECTION_MAX 60 /* characters of one section of a long value */
#define FIELD_MAX 8192 /* of a longer field all 8-bit bytes become question marks */

struct parameter {
  const char *name, *value; /* value: with its quotes */
  size_t name_len, value_len;
  int is_malformed;
};

/* attribute-char := <any CHAR except SPACE, CTLs, "*", "'", "%", or tspecials> */
static int is_attribute_char(char c)
{
  return c > 32 && c < 127 && !strchr("*'%()<>@,;:\\\"/[]?=", c);
}

static size_t blanks(const char *s, size_t len)
{
  size_t n = 0;

  while (n < len && strchr(" \t\r\n", s[n]) && s[n])
    n++;
  return n;
}

/* length of the comment at s, 0 when it is never closed */
static size_t comment_span(const char *s, size_t len)
{
  size_t depth = 0;

  for (size_t i = 0; i < len; i++)
    if (s[i] == '\\')
      i++;
    else if (s[i] == '(')
      depth++;
    else if (s[i] == ')' && --depth == 0)
      return i + 1;
  return 0;
}

/* length of the quoted string at s; len when it is never closed */
static size_t quoted_span(const char *s, size_t len)
{
  size_t i = 1;

  while (i < len && s[i] != '"')
    i += s[i] == '\\' ? 2 : 1;
  return i < len ? i + 1 : len;
}

size_t parameter_span(const char *s, size_t len, int *is_open)
{
  size_t i = 0, n;

  while (i < len && s[i] != ';') {
    n = 1;
    if (s[i] == '"')
      n = quoted_span(s + i, len - i);
    else if (s[i] == '(' && !*is_open) {
      n = comment_span(s + i, len - i);
      *is_open = n == 0;
    }
    i += n ? n : 1;
  }
  return i;
}

/* reads attribute "=" value at s, all of it: 1, or 0 when it is something else */
static int read_parameter(const char *s, size_t len, struct parameter *p)
{
  size_t n = blanks(s, len);

  p->is_malformed = 0;
  p->name = s + n;
  while (n < len && is_attribute_char(s[n]))
    n++;
  p->name_len = (size_t)(s + n - p->name);
  n += blanks(s + n, len - n);
  if (p->name_len == 0 || n == len || s[n] != '=')
    return 0;
  n++;
  n += blanks(s + n, len - n);
  p->value = s + n;
  if (n < len && s[n] == '"') {
    const char *end = s + n + 1;
    while (end < s + len && *end != '"')
      end += *end == '\\' && end + 1 < s + len ? 2 : 1;
    p->value_len = (size_t)(end - p->value) + 1;
    return end < s + len;
  }
  while (n < len && s[n] != '(') /* senders forget the quotes: white space is the value's */
    n++;
  while (s + n > p->value && blanks(s + n - 1, 1))
    n--;
  p->value_len = (size_t)(s + n - p->value);
  p->is_malformed = memchr(p->value, '"', p->value_len) != NULL;
  return 1;
}

/* whether the field has the parameter in extended form too: its whole name before a star */
static int has_extended(const char *field, size_t len, const struct parameter *p)
{
  const char *end = field + len, *star = field + p->name_len;

  while (star < end && (star = memchr(star, '*', (size_t)(end - star)))) {
    const char *name = star - p->name_len;
    if (name > field && !is_attribute_char(name[-1]) && strncasecmp(name, p->name, p->name_len) == 0)
      return 1;
    star++;
  }
  return 0;
}

static int put(stralloc *out, char c)
{
  return stralloc_append(out, (unsigned char)c >= 128 ? "?" : &c);
}

/* copies with question marks for 8-bit bytes outside comments; after one that is_open there
 * are none */
static int hide(stralloc *out, const char *s, size_t len, int is_open)
{
  int ok = 1;

  while (len > 0 && ok) {
    size_t comment = *s == '(' && !is_open ? comment_span(s, len) : 0, n = comment ? comment : 1;
    if (comment)
      ok = stralloc_catb(out, s, n);
    else {
      n = *s == '"' ? quoted_span(s, len) : 1;
      for (size_t i = 0; i < n && ok; i++)
        ok = put(out, s[i]);
    }
    s += n;
    len -= n;
  }
  return ok;
}

/* the value in sections, each on a line of its own when there are several */
static int extend(stralloc *out, const struct parameter *p, const char *value, size_t len)
{
  static const char hex[] = "0123456789ABCDEF";
  const char *charset = header_is_utf8(value, len) ? "utf-8''" : "unknown-8bit''";
  size_t size = 0;
  int is_long, ok = 1;

  for (size_t i = 0; i < len; i++)
    size += is_attribute_char(value[i]) ? 1 : 3;
  is_long = size > SECTION_MAX;
  for (size_t i = 0, section = 0; i < len && ok; section++) {
    char number[32] = "*=";
    size_t used = 0;
    if (is_long)
      snprintf(number, sizeof number, "*%zu*=", section);
    ok = (section == 0 || stralloc_cats(out, ";\r\n ")) &&
         stralloc_catb(out, p->name, p->name_len) && stralloc_cats(out, number) &&
         (section > 0 || stralloc_cats(out, charset));
    for (; i < len && used < SECTION_MAX && ok; i++) {
      unsigned char c = (unsigned char)value[i];
      char octet[3] = {'%', hex[c >> 4], hex[c & 15]};
      int plain = is_attribute_char(value[i]);
      ok = stralloc_catb(out, plain ? value + i : octet, plain ? 1 : 3);
      used += plain ? 1 : 3;
    }
  }
  return ok;
}

/* the value's bytes: without quotes, backslashes and folds */
static int unquote(stralloc *value, const struct parameter *p)
{
  size_t quoted = p->value[0] == '"';

  for (size_t i = quoted; i + quoted < p->value_len; i++) {
    if (p->value[i] == '\r' || p->value[i] == '\n')
      continue;
    if (quoted && p->value[i] == '\\' && i + 1 + quoted < p->value_len)
      i++;
    if (!stralloc_append(value, p->value + i))
      return 0;
  }
  return 1;
}

struct whole {
  const char *s;
  size_t len;
  int is_open; /* a comment was found that never closes */
};

/* ";" and what follows it, up to the next one */
static int segment(stralloc *out, const char *s, size_t len, const struct whole *field)
{
  struct parameter p;
  stralloc value = {0};
  const char *end;
  int ok;

  if (!read_parameter(s + 1, len - 1, &p))
    return hide(out, s, len, field->is_open);
  end = p.value + p.value_len;
  if (!header_has_8bit(p.value, p.value_len) || /* the boundary is in the body too */
      (p.name_len == 8 && strncasecmp(p.name, "boundary", 8) == 0))
    ok = stralloc_catb(out, s, (size_t)(end - s));
  else if (p.is_malformed || has_extended(field->s, field->len, &p))
    ok = stralloc_catb(out, s, (size_t)(p.value - s)) && hide(out, p.value, p.value_len, field->is_open);
  else
    ok = stralloc_catb(out, s, (size_t)(p.name - s)) && unquote(&value, &p) &&
         extend(out, &p, value.s, value.len);
  stralloc_free(&value);
  return ok && hide(out, end, (size_t)(s + len - end), field->is_open);
}

int parameter_field(stralloc *out, const char *field, size_t len)
{
  struct whole whole = {field, len, 0};
  size_t at = parameter_span(field, len, &whole.is_open);
  int ok = 1;

  for (size_t i = 0; i < len && ok && len > FIELD_MAX; i++)
    ok = put(out, field[i]);
  if (len > FIELD_MAX)
    at = len;
  else
    ok = hide(out, field, at, whole.is_open);
  while (at < len && ok) {
    size_t n = 1 + parameter_span(field + at + 1, len - at - 1, &whole.is_open);
    ok = segment(out, field + at, n, &whole);
    at += n;
  }
  if (!ok)
    errno = ENOMEM;
  return ok ? 0 : -1;
}
