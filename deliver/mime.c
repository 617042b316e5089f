/* mime.c - what a MIME entity's header says about its body. Pure; the bytes are hostile. */
#include "deliver/mime.h"

#include <string.h>
#include <strings.h>

#include "common/header.h"
#include "deliver/parameter.h"

static const struct {
  const char *word, *field;
} encodings[] = {
  [CTE_NONE] = {"", NULL},
  [CTE_7BIT] = {"7bit", "Content-Transfer-Encoding: 7bit\r\n"},
  [CTE_8BIT] = {"8bit", "Content-Transfer-Encoding: 8bit\r\n"},
  [CTE_BINARY] = {"binary", "Content-Transfer-Encoding: binary\r\n"},
  [CTE_QP] = {"quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n"},
  [CTE_BASE64] = {"base64", "Content-Transfer-Encoding: base64\r\n"},
};

const char *mime_cte_field(enum mime_cte c)
{
  return encodings[c].field;
}

int mime_is_identity(enum mime_cte c)
{
  return c == CTE_NONE || c == CTE_7BIT || c == CTE_8BIT || c == CTE_BINARY || c == CTE_UNKNOWN;
}

/* a value being read */
struct cursor {
  const char *s, *end;
};

/* [CFWS]: white space, folds and comments */
static void skip_cfws(struct cursor *c)
{
  int depth = 0;

  for (; c->s < c->end; c->s++) {
    if (*c->s == '(')
      depth++;
    else if (depth > 0 && *c->s == ')')
      depth--;
    else if (depth > 0 && *c->s == '\\' && c->s + 1 < c->end)
      c->s++;
    else if (depth == 0 && !(*c->s == ' ' || *c->s == '\t' || *c->s == '\r' || *c->s == '\n'))
      return;
  }
}

/* token := 1*<any CHAR except SPACE, CTLs, or tspecials> */
static size_t take_token(struct cursor *c, const char **token)
{
  *token = c->s;
  while (c->s < c->end && *c->s > 32 && *c->s < 127 && !strchr("()<>@,;:\\\"/[]?=", *c->s))
    c->s++;
  return (size_t)(c->s - *token);
}

static int take_char(struct cursor *c, char want)
{
  skip_cfws(c);
  if (c->s == c->end || *c->s != want)
    return 0;
  c->s++;
  skip_cfws(c);
  return 1;
}

static int is(const char *s, size_t len, const char *word)
{
  return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

/* value := token / quoted-string, into out without quotes; its length, 0 when it is none,
 * too long or not plain text. Outside quotes all but white space, ";" and "(" is taken:
 * senders forget the quotes. */
static size_t take_value(struct cursor *c, char out[MIME_BOUNDARY_MAX])
{
  size_t n = 0;
  int quoted = c->s < c->end && *c->s == '"', good = 1;

  for (c->s += quoted; c->s < c->end; c->s++) {
    if (quoted ? *c->s == '"' : (unsigned char)*c->s <= 32 || *c->s == ';' || *c->s == '(')
      break;
    if (quoted && *c->s == '\\' && c->s + 1 < c->end)
      c->s++;
    if ((unsigned char)*c->s < 32 || (unsigned char)*c->s >= 127 || n == MIME_BOUNDARY_MAX)
      good = 0;
    else
      out[n++] = *c->s;
  }
  if (quoted && c->s == c->end)
    return 0;
  c->s += quoted;
  while (n > 0 && out[n - 1] == ' ')
    n--;
  return good ? n : 0;
}

/* *(";" attribute "=" value); what is malformed is passed over */
static void take_boundary(struct mime *m, struct cursor *c)
{
  for (int is_open = 0;;) {
    char value[MIME_BOUNDARY_MAX];
    const char *name;
    size_t len;
    c->s += parameter_span(c->s, (size_t)(c->end - c->s), &is_open);
    if (!take_char(c, ';'))
      return;
    len = take_token(c, &name);
    if (!is(name, len, "boundary") || !take_char(c, '='))
      continue;
    len = take_value(c, value);
    memcpy(m->boundary, value, len);
    m->boundary_len = len;
    return;
  }
}

static void take_type(struct mime *m, struct cursor *c)
{
  const char *type, *subtype;
  size_t tlen, slen;

  skip_cfws(c);
  tlen = take_token(c, &type);
  if (!take_char(c, '/'))
    return;
  slen = take_token(c, &subtype);
  if (is(type, tlen, "text"))
    m->kind = MIME_TEXT;
  else if (is(type, tlen, "message") &&
           (is(subtype, slen, "rfc822") || is(subtype, slen, "external-body")))
    m->kind = MIME_MESSAGE;
  else if (is(type, tlen, "multipart")) {
    m->kind = MIME_MULTIPART;
    m->is_digest = is(subtype, slen, "digest");
    m->is_signed = is(subtype, slen, "signed");
    take_boundary(m, c);
  }
}

static void take_cte(struct mime *m, struct cursor *c)
{
  const char *token;
  size_t len;

  skip_cfws(c);
  len = take_token(c, &token);
  skip_cfws(c);
  m->cte = CTE_UNKNOWN;
  for (size_t i = CTE_7BIT; i <= CTE_BASE64 && c->s == c->end; i++)
    if (is(token, len, encodings[i].word))
      m->cte = (enum mime_cte)i;
}

void mime_field(struct mime *m, const char *field, size_t len)
{
  struct cursor c = {field + header_value(field, len), field + len};

  if (header_is(field, len, "Content-Type") && !m->has_type) {
    m->has_type = 1;
    m->kind = MIME_LEAF;
    take_type(m, &c);
  } else if (header_is(field, len, "Content-Transfer-Encoding") && !m->has_cte) {
    m->has_cte = 1;
    take_cte(m, &c);
  } else if (header_is(field, len, "MIME-Version"))
    m->has_version = 1;
}

int mime_delimiter(const struct mime *m, const char *line, size_t len)
{
  size_t n = m->boundary_len + 2;
  int close = 0;

  if (m->boundary_len == 0 || len < n || memcmp(line, "--", 2) != 0 ||
      memcmp(line + 2, m->boundary, m->boundary_len) != 0)
    return 0;
  if (len >= n + 2 && memcmp(line + n, "--", 2) == 0) {
    close = 1;
    n += 2;
  }
  while (n < len && (line[n] == ' ' || line[n] == '\t'))
    n++;
  return n == len || (len - n == 2 && memcmp(line + n, "\r\n", 2) == 0) ? 1 + close : 0;
}
