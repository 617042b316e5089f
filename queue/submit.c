/* submit.c - a message as users write it becomes one as the queue wants it
 *
 * Runs in sendmail, with its caller's user and group hldrop. Pure. */
#include "queue/submit.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/header.h"
#include "common/units.h"
#include "deliver/encodedword.h"

/* ---- text to wire form */

static int text_byte(struct submit_text *t, stralloc *out, char c)
{
  int skip = c == '\n' && t->after_cr;

  t->after_cr = c == '\r';
  if (skip)
    return 1;
  if (t->after_dot) {
    t->after_dot = 0;
    t->ended = c == '\n' || c == '\r';
    t->in_line = !t->ended;
    if (t->ended)
      return 1;
    if (!stralloc_append(out, "."))
      return 0;
  } else if (c == '.' && !t->in_line && !t->dot_is_text) {
    t->after_dot = t->in_line = 1;
    return 1;
  }
  t->in_line = c != '\n' && c != '\r';
  return t->in_line ? stralloc_append(out, c ? &c : " ") : stralloc_catb(out, "\r\n", 2);
}

/* bytes up to the next one that text_byte() must see */
static size_t plain_span(const struct submit_text *t, const char *s, size_t len)
{
  const char *at, stops[] = {'\n', '\r', 0};

  if (t->after_dot || !t->in_line)
    return 0;
  for (size_t i = 0; i < sizeof stops; i++)
    if ((at = memchr(s, stops[i], len)) != NULL)
      len = (size_t)(at - s);
  return len;
}

int submit_text(struct submit_text *t, stralloc *out, const char *s, size_t len)
{
  int ok = 1;

  if (!s) {
    ok = !t->in_line || t->after_dot || stralloc_catb(out, "\r\n", 2);
    t->in_line = 0;
  }
  while (s && ok && len > 0 && !t->ended) {
    size_t n = plain_span(t, s, len);
    ok = n > 0 ? stralloc_catb(out, s, n) : text_byte(t, out, *s);
    n += n == 0;
    s += n;
    len -= n;
  }
  if (!ok)
    errno = ENOMEM;
  return ok ? 0 : -1;
}

/* ---- the header */

static size_t line_len(const char *s, size_t len)
{
  const char *lf = len ? memchr(s, '\n', len) : NULL;

  return lf ? (size_t)(lf - s) + 1 : 0;
}

int submit_split(const char *s, size_t len, int is_all, struct submit_parts *p)
{
  size_t at = 0, n;

  p->header_at = 0;
  for (; (n = line_len(s + at, len - at)) > 0; at += n) {
    int continues = at > p->header_at && (s[at] == ' ' || s[at] == '\t');
    if (at == 0 && n > 5 && memcmp(s, "From ", 5) == 0) {
      p->header_at = n;
      continue;
    }
    if (n == 2 || (!continues && header_name(s + at, n) == 0)) {
      p->header_len = at - p->header_at;
      p->body_at = n == 2 ? at + 2 : at;
      return 1;
    }
  }
  p->header_len = at - p->header_at;
  p->body_at = at;
  return is_all;
}

/* length of the field that begins at s, with its folded lines */
static size_t field_len(const char *s, size_t len)
{
  size_t at = line_len(s, len);

  while (at < len && (s[at] == ' ' || s[at] == '\t'))
    at += line_len(s + at, len - at);
  return at ? at : len;
}

/* ---- addresses */

struct list {
  stralloc addr;
  int in_angle, was_angle, gap; /* gap: white space after a word: two words are no address */
};

/* a quoted string, or a domain literal, as it stands; 0 when it is not closed */
static size_t closed_span(const char *s, size_t len, char close)
{
  for (size_t n = 1; n < len; n++) {
    if (s[n] == '\\')
      n++;
    else if (s[n] == close)
      return n + 1;
  }
  return 0;
}

static size_t comment_span(const char *s, size_t len)
{
  size_t depth = 0;

  for (size_t n = 0; n < len; n++) {
    if (s[n] == '\\')
      n++;
    else if (s[n] == '(')
      depth++;
    else if (s[n] == ')' && --depth == 0)
      return n + 1;
  }
  return len;
}

/* bytes of an address; after white space only a dot or an at sign goes on, or follows */
static int add_word(struct list *l, const char *s, size_t len)
{
  const char *last = l->addr.len ? l->addr.s + l->addr.len - 1 : "@";
  int joins = strchr(".@:,", *last) || (*s && strchr(".@", *s));

  if (l->was_angle)
    return 0; /* what follows <...> is no part of it */
  if (l->gap && !joins && !stralloc_append(&l->addr, " "))
    return -1;
  l->gap = 0;
  return stralloc_catb(&l->addr, s, len) ? 0 : -1;
}

static int finish(struct list *l, int (*f)(void *, const char *, size_t), void *arg)
{
  int r = l->addr.len || l->was_angle ? f(arg, l->addr.s, l->addr.len) : 0;

  l->addr.len = 0;
  l->in_angle = l->was_angle = l->gap = 0;
  return r;
}

/* the byte at s outside of words: 1 when it was a separator, 0 when it is part of a word */
static int separator(struct list *l, char c)
{
  switch (c) {
  case '<':
    l->addr.len = 0;
    l->in_angle = 1;
    l->was_angle = l->gap = 0;
    return 1;
  case '>':
    l->was_angle = l->in_angle;
    l->in_angle = 0;
    return 1;
  case ':': /* a group's name; in <...> the end of a source route */
    l->addr.len = 0;
    l->gap = 0;
    return 1;
  case ' ':
  case '\t':
  case '\r':
  case '\n':
    l->gap = l->addr.len > 0;
    return 1;
  default:
    return 0;
  }
}

int submit_addresses(const char *s, size_t len, int (*f)(void *arg, const char *s, size_t len),
                     void *arg)
{
  struct list l = {0};
  int r = 0;

  while (len > 0 && r == 0) {
    size_t n = 1;
    if (*s == '(')
      n = comment_span(s, len);
    else if ((*s == ',' && !l.in_angle) || *s == ';')
      r = finish(&l, f, arg);
    else if (!separator(&l, *s)) {
      if (*s == '"' || *s == '[')
        n = closed_span(s, len, *s == '"' ? '"' : ']');
      n = n ? n : len;
      r = add_word(&l, s, n);
    }
    s += n;
    len -= n;
  }
  if (r == 0)
    r = finish(&l, f, arg);
  stralloc_free(&l.addr);
  return r;
}

static int has_resent(const char *header, size_t len)
{
  for (size_t at = 0, n; at < len; at += n) {
    n = field_len(header + at, len - at);
    if (header_is(header + at, n, "Resent-To") || header_is(header + at, n, "Resent-Cc") ||
        header_is(header + at, n, "Resent-Bcc"))
      return 1;
  }
  return 0;
}

int submit_recipient_fields(const char *header, size_t len,
                            int (*f)(void *arg, const char *value, size_t len), void *arg)
{
  static const char *const plain[] = {"To", "Cc", "Bcc"};
  static const char *const resent[] = {"Resent-To", "Resent-Cc", "Resent-Bcc"};
  const char *const *names = has_resent(header, len) ? resent : plain;
  int r = 0;

  for (size_t at = 0, n; at < len && r == 0; at += n) {
    const char *field = header + at;
    size_t value;
    n = field_len(field, len - at);
    value = header_value(field, n);
    for (size_t i = 0; i < 3 && r == 0; i++)
      if (header_is(field, n, names[i]))
        r = f(arg, field + value, n - value);
  }
  return r;
}

/* ---- what is missing */

/* the name in front of <address>: a quoted string unless it is made of atoms and blanks */
static int put_name(stralloc *out, const char *s)
{
  static const char atoms[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "!#$%&'*+-/=?^_`{|}~ ";
  int quotes = s[strspn(s, atoms)] != 0;

  if (quotes && !stralloc_append(out, "\""))
    return 0;
  for (; *s; s++) {
    const char *c = (unsigned char)*s < 32 || *s == 127 ? " " : s;
    if ((*c == '"' || *c == '\\') && !stralloc_append(out, "\\"))
      return 0;
    if (!stralloc_append(out, c))
      return 0;
  }
  return stralloc_cats(out, quotes ? "\" " : " ");
}

static int put_from(stralloc *out, const struct submit_origin *o)
{
  stralloc field = {0};
  int ok = stralloc_cats(&field, "From: ") &&
           (*o->full_name == 0 || put_name(&field, o->full_name)) && stralloc_cats(&field, "<") && stralloc_cats(&field, o->address) &&
           stralloc_cats(&field, ">\r\n") && encodedword_field(out, field.s, field.len) == 0;

  stralloc_free(&field);
  return ok;
}

static int put_date(stralloc *out, const struct submit_origin *o)
{
  return stralloc_cats(out, "Date: ") && units_format_date(out, o->now) == 0 &&
         stralloc_cats(out, "\r\n");
}

static int put_message_id(stralloc *out, const struct submit_origin *o)
{
  return stralloc_cats(out, "Message-ID: <") && stralloc_cats(out, o->message_id) &&
         stralloc_cats(out, ">\r\n");
}

static const struct {
  const char *name;
  int (*put)(stralloc *out, const struct submit_origin *o);
} wanted[] = {{"From", put_from}, {"Date", put_date}, {"Message-ID", put_message_id}};
#define WANTED (sizeof wanted / sizeof *wanted)

int submit_header(stralloc *out, const char *header, size_t len, const struct submit_origin *o)
{
  int has[WANTED] = {0}, ok = 1;

  for (size_t at = 0, n; at < len && ok; at += n) {
    const char *field = header + at;
    n = field_len(field, len - at);
    for (size_t i = 0; i < WANTED; i++)
      has[i] |= header_is(field, n, wanted[i].name);
    if (o->removes_bcc && (header_is(field, n, "Bcc") || header_is(field, n, "Resent-Bcc")))
      continue;
    ok = stralloc_catb(out, field, n);
  }
  for (size_t i = 0; i < WANTED && ok && !o->is_gateway; i++)
    ok = has[i] || wanted[i].put(out, o);
  if (ok && stralloc_cats(out, "\r\n"))
    return 0;
  errno = ENOMEM;
  return -1;
}
