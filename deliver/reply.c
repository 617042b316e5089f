/* reply.c - a peer's reply, read piece by piece
 *
 * Pure; runs in attempts. All input is hostile. */
#include "deliver/reply.h"

#include <string.h>

void reply_start(struct reply *r)
{
  r->code = 0;
  r->lines = r->garbage = r->kept = r->bytes = r->len = r->line_len = 0;
  r->is_mixed = 0;
  r->text[0] = 0;
}

int reply_has_begun(const struct reply *r)
{
  return r->bytes > 0;
}

static int is_digit(char c)
{
  return c >= '0' && c <= '9';
}

/* ---- other protocols: their servers would wait for us for ever */

static const char *const foreign[] = {"SSH-", "HTTP/", "<html", "<!doctype", "* OK", "+OK",
                                      "EHLO ", "HELO ", "RFB 0", "-ERR"};

static int is_foreign_line(const struct reply *r)
{
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    size_t n = strlen(foreign[i]);
    if (r->line_len >= n && strncasecmp(r->line, foreign[i], n) == 0)
      return 1;
  }
  return 0;
}

/* a TLS record: alert, handshake */
static int is_foreign_start(const struct reply *r)
{
  return r->lines == 0 && r->line_len >= 2 && (r->line[0] == 0x15 || r->line[0] == 0x16) &&
         r->line[1] == 0x03;
}

/* ---- lines */

static void keep(struct reply *r, const char *s, size_t len)
{
  if (r->kept++ > 0 && r->len < REPLY_TEXT)
    r->text[r->len++] = '\n';
  for (size_t i = 0; i < len && r->len < REPLY_TEXT; i++)
    r->text[r->len++] = (s[i] >= 0x20 && s[i] < 0x7f) || s[i] == '\t' ? s[i] : '?';
  r->text[r->len] = 0;
}

static enum reply_state take_garbage(struct reply *r)
{
  enum reply_state s = REPLY_MORE;

  r->garbage++;
  if (is_foreign_line(r))
    s = REPLY_FOREIGN;
  else if (r->garbage > REPLY_GARBAGE)
    s = REPLY_GARBLED;
  if (s != REPLY_MORE)
    keep(r, r->line, r->line_len);
  return s;
}

static int has_code(const struct reply *r)
{
  const char *l = r->line;

  return r->line_len >= 3 && is_digit(l[0]) && is_digit(l[1]) && is_digit(l[2]) &&
         (r->line_len == 3 || l[3] == ' ' || l[3] == '-' || l[3] == '\t');
}

/* codes must agree; when they do not, a refusal in the last line counts (E21) */
static enum reply_state judge(const struct reply *r)
{
  if (r->code < 200 || r->code > 599)
    return REPLY_GARBLED;
  return r->is_mixed && r->code < 400 ? REPLY_GARBLED : REPLY_WHOLE;
}

static enum reply_state take_line(struct reply *r)
{
  unsigned int code;

  while (r->line_len > 0 && r->line[r->line_len - 1] == '\r')
    r->line_len--;
  if (++r->lines > REPLY_LINES)
    return REPLY_ENDLESS;
  if (!has_code(r))
    return take_garbage(r);
  code = (unsigned int)((r->line[0] - '0') * 100 + (r->line[1] - '0') * 10 + r->line[2] - '0');
  if (r->code != 0 && r->code != code)
    r->is_mixed = 1;
  r->code = code;
  keep(r, r->line + 4, r->line_len > 4 ? r->line_len - 4 : 0);
  return r->line_len > 3 && r->line[3] == '-' ? REPLY_MORE : judge(r);
}

size_t reply_feed(struct reply *r, const char *s, size_t len, enum reply_state *state)
{
  size_t used = 0;

  *state = REPLY_MORE;
  while (used < len && *state == REPLY_MORE) {
    const char *lf = memchr(s + used, '\n', len - used);
    size_t n = lf ? (size_t)(lf - s) - used : len - used;
    size_t room = REPLY_LINE - r->line_len;
    memcpy(r->line + r->line_len, s + used, n < room ? n : room);
    r->line_len += n < room ? n : room;
    used += n + (lf != NULL);
    r->bytes += n + (lf != NULL);
    if (r->bytes > REPLY_BYTES)
      *state = REPLY_ENDLESS;
    else if (is_foreign_start(r))
      *state = REPLY_FOREIGN;
    else if (lf) {
      *state = take_line(r);
      r->line_len = 0;
    }
  }
  return used;
}

/* ---- what others want to know of it */

int reply_format(stralloc *out, const struct reply *r, size_t max)
{
  size_t start = out->len, n = r->len;
  char code[4] = {(char)('0' + r->code / 100 % 10), (char)('0' + r->code / 10 % 10),
                  (char)('0' + r->code % 10), ' '};

  if (r->code && !stralloc_catb(out, code, n ? 4 : 3))
    return -1;
  if (n > max)
    n = max;
  if (!stralloc_catb(out, r->text, n))
    return -1;
  for (size_t i = start; i < out->len; i++)
    if (out->s[i] == '\n' || out->s[i] == '\t')
      out->s[i] = ' ';
  if (out->len - start > max)
    out->len = start + max;
  return 0;
}

static size_t digits(const char *s)
{
  size_t n = 0;

  while (n < 4 && is_digit(s[n]))
    n++;
  return n;
}

int reply_status(const struct reply *r, char out[REPLY_STATUS])
{
  const char *t = r->text;
  size_t a, b;

  out[0] = 0;
  if (r->code < 200 || t[0] != (char)('0' + r->code / 100) || t[1] != '.')
    return 0;
  a = digits(t + 2);
  if (a == 0 || a > 3 || t[2 + a] != '.')
    return 0;
  b = digits(t + 3 + a);
  if (b == 0 || b > 3 || (t[3 + a + b] != ' ' && t[3 + a + b] != '\n' && t[3 + a + b] != 0))
    return 0;
  memcpy(out, t, 3 + a + b);
  out[3 + a + b] = 0;
  return 1;
}

static int has_any(const char *text, const char *const *words, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (strcasestr(text, words[i]))
      return 1;
  return 0;
}

int reply_may_be_too_many(const struct reply *r)
{
  static const char *const one[] = {"mailbox", "quota", "full", "space", "storage"};
  char status[REPLY_STATUS];

  if (strcasestr(r->text, "too many") && strcasestr(r->text, "recipient"))
    return 1;
  if (reply_status(r, status))
    return strcmp(status + 1, ".5.3") == 0;
  return !has_any(r->text, one, sizeof one / sizeof *one);
}

int reply_names_argument(const struct reply *r, const char *name)
{
  static const char *const words[] = {"hostname", "host name", "domain name", "fqdn", "argument",
                                      "helo name", "ehlo name", "invalid name", "fully qualified",
                                      "fully-qualified", "address literal", "need valid"};

  if (r->code == 501 || r->code == 504)
    return 1;
  if (name[0] && strcasestr(r->text, name))
    return 1;
  return has_any(r->text, words, sizeof words / sizeof *words);
}

int reply_names_pipelining(const struct reply *r)
{
  return r->code / 100 == 5 &&
         (strcasestr(r->text, "pipelin") || strcasestr(r->text, "synchroni"));
}
