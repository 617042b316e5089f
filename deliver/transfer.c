/* transfer.c - content transfer encodings: quoted-printable and base64
 *
 * Runs in an attempt. Pure but for the sink it writes to. */
#include "deliver/transfer.h"

#include <string.h>

#define LINE_MAX_QP 75 /* and "=" makes 76 (RFC 2045 6.7 (5)) */
#define LINE_MAX_B64 76

void transfer_start(struct transfer_out *o, const struct sevenbit_sink *sink)
{
  o->sink = sink;
  o->count = 0;
  o->failed = 0;
  o->n = 0;
}

int transfer_flush(struct transfer_out *o)
{
  if (o->n > 0 && !o->failed && o->sink && o->sink->write(o->sink->arg, o->buf, o->n) != 0)
    o->failed = 1;
  o->n = 0;
  return o->failed ? -1 : 0;
}

void transfer_put(struct transfer_out *o, const char *s, size_t len)
{
  o->count += len;
  while (o->sink && len > 0) {
    size_t n = sizeof o->buf - o->n < len ? sizeof o->buf - o->n : len;
    memcpy(o->buf + o->n, s, n);
    o->n += n;
    s += n;
    len -= n;
    if (o->n == sizeof o->buf && transfer_flush(o) != 0)
      return;
  }
}

/* ---- quoted-printable */

static int is_hex(char c)
{
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* whether s may be the beginning of `word`, as far as it goes; more may follow unless
 * is_end */
static int may_begin(const char *s, size_t len, const char *word, int is_end)
{
  size_t n = strlen(word);

  return len >= n ? memcmp(s, word, n) == 0 : !is_end && memcmp(s, word, len) == 0;
}

/* what must not begin a line: a dot (SMTP), "--" (a boundary), "From " (mbox) */
static int is_unsafe_start(const char *s, size_t len, int is_end)
{
  return *s == '.' || may_begin(s, len, "--", is_end) || may_begin(s, len, "From ", is_end);
}

static int is_literal(const char *s, size_t len)
{
  unsigned char c = (unsigned char)*s;

  if (c == ' ' || c == '\t')
    return len > 1; /* not at a piece's end: the line may end there */
  return c > 32 && c < 127 && c != '=';
}

/* one token, never split */
static void token(struct transfer_qp *q, const char *s, size_t len)
{
  transfer_put(q->out, s, len);
  q->col += len;
}

static void escape(struct transfer_qp *q, char c)
{
  static const char hex[] = "0123456789ABCDEF";
  char t[3] = {'=', hex[(unsigned char)c >> 4], hex[(unsigned char)c & 15]};

  token(q, t, 3);
}

/* soft line break unless `size` more bytes fit */
static void make_room(struct transfer_qp *q, size_t size)
{
  if (q->col + size <= LINE_MAX_QP)
    return;
  transfer_put(q->out, "=\r\n", 3);
  q->col = 0;
}

void transfer_qp_piece(struct transfer_qp *q, const char *s, size_t len, int is_end)
{
  for (; len > 0; s++, len--) {
    int literal = is_literal(s, len);
    make_room(q, literal ? 1 : 3);
    if (literal && !(q->col == 0 && is_unsafe_start(s, len, is_end)))
      token(q, s, 1);
    else
      escape(q, *s);
  }
}

/* whether only white space follows the "=" at s: a soft line break */
static int is_soft_break(const char *s, size_t len)
{
  size_t n = 1;

  while (n < len && (s[n] == ' ' || s[n] == '\t'))
    n++;
  return n == len;
}

void transfer_qp_repair(struct transfer_qp *q, const char *s, size_t len, int is_end)
{
  while (is_end && len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
    len--; /* not data: RFC 2045 6.7 (3) */
  while (len > 0) {
    int is_triple = *s == '=' && len > 2 && is_hex(s[1]) && is_hex(s[2]);
    size_t n = is_triple ? 3 : 1;
    if (*s == '=' && !is_triple && is_soft_break(s, len)) {
      token(q, s, len);
      return;
    }
    make_room(q, is_triple ? 3 : (unsigned char)*s >= 128 || *s == '=' ? 3 : 1);
    if (!is_triple && ((unsigned char)*s >= 128 || *s == '=' ||
                       (q->col == 0 && is_unsafe_start(s, len, is_end))))
      escape(q, *s);
    else
      token(q, s, n);
    s += n;
    len -= n;
  }
}

void transfer_qp_line(struct transfer_qp *q)
{
  transfer_put(q->out, "\r\n", 2);
  q->col = 0;
}

/* ---- base64 */

static void quad(struct transfer_base64 *b)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  unsigned int v = (unsigned int)b->held[0] << 16 | (unsigned int)b->held[1] << 8 | b->held[2];
  char t[4] = {digits[v >> 18], digits[v >> 12 & 63], b->have > 1 ? digits[v >> 6 & 63] : '=',
               b->have > 2 ? digits[v & 63] : '='};

  if (b->col == LINE_MAX_B64) {
    transfer_put(b->out, "\r\n", 2);
    b->col = 0;
  }
  transfer_put(b->out, t, 4);
  b->col += 4;
  b->have = 0;
  memset(b->held, 0, sizeof b->held);
}

void transfer_base64_bytes(struct transfer_base64 *b, const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++) {
    b->held[b->have++] = (unsigned char)s[i];
    if (b->have == 3)
      quad(b);
  }
}

void transfer_base64_end(struct transfer_base64 *b)
{
  if (b->have > 0)
    quad(b);
}

size_t transfer_base64_repair(struct transfer_out *o, size_t col, const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++) {
    if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'A' && s[i] <= 'Z') ||
          (s[i] >= 'a' && s[i] <= 'z') || s[i] == '+' || s[i] == '/' || s[i] == '='))
      continue;
    if (col == LINE_MAX_B64) {
      transfer_put(o, "\r\n", 2);
      col = 0;
    }
    transfer_put(o, s + i, 1);
    col++;
  }
  return col;
}

uint64_t transfer_base64_size(uint64_t n)
{
  uint64_t chars = (n + 2) / 3 * 4;

  return chars == 0 ? 0 : chars + (chars - 1) / LINE_MAX_B64 * 2;
}
