/* body.c - a message on its way to the wire
 *
 * Runs in attempts. The last bytes are held back until the dot is known to follow, so that
 * message end and dot go in one segment: peers that acknowledge late cost nothing, and boxes
 * that look for CR LF . CR LF in one segment find it (LADDER.md X7). */
#include "deliver/body.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/settings.h"
#include "deliver/sevenbit.h"
#include "deliver/spoken.h"

#define BLOCK 65536
#define PIECE 8192      /* written at once: the clock of a block runs for so many bytes */
#define LEAST_RATE 64   /* bytes a second */
#define TAIL 512        /* bytes that go with the dot when all must be in one segment */
#define DRAIN 10000     /* ms to wait until what came before has arrived */

struct writer {
  struct conn *conn;
  uint64_t timeout_ms;
  uint64_t since, sent; /* of the stretch whose rate is measured */
  int is_one_segment;
  int does_stuff, is_at_line, is_broken;
  size_t len;
  char out[BLOCK + 8];
};

/* a peer that takes so little for so long will never have it all */
static int is_too_slow(struct writer *w)
{
  uint64_t now = conn_clock(), took = now - w->since;
  int yes = w->sent * 1000 < took * LEAST_RATE;

  if (took < settings.timeout_slow)
    return 0;
  w->since = now;
  w->sent = 0;
  return yes;
}

static int write_out(struct writer *w, const char *s, size_t len)
{
  for (size_t n; len > 0; s += n, len -= n) {
    uint64_t limit = w->timeout_ms < settings.timeout_slow ? w->timeout_ms : settings.timeout_slow;
    n = len < 2 * PIECE ? len : PIECE; /* a last piece takes the rest */
    w->is_broken = conn_write(w->conn, s, n, limit) != 0;
    w->sent += n;
    if (!w->is_broken && is_too_slow(w)) {
      w->is_broken = 1;
      errno = ETIMEDOUT;
    }
    if (w->is_broken)
      return -1;
  }
  return 0;
}

static int flush(struct writer *w)
{
  int r = write_out(w, w->out, w->len);

  w->len = 0;
  return r;
}

/* until all that was written has been acknowledged, or some seconds have passed */
static void drain(const struct conn *c)
{
  uint64_t deadline = conn_clock() + DRAIN;
  int waiting = 0;

  while (c->fd >= 0 && conn_clock() < deadline && ioctl(c->fd, SIOCOUTQ, &waiting) == 0 && waiting > 0)
    poll(NULL, 0, 20);
}

/* a full buffer is written only when more comes: its end may be the message's */
static int put(struct writer *w, const char *s, size_t len)
{
  while (len > 0) {
    size_t n = BLOCK - w->len;
    if (n == 0) {
      if (flush(w) != 0)
        return -1;
      continue;
    }
    if (n > len)
      n = len;
    memcpy(w->out + w->len, s, n);
    w->len += n;
    s += n;
    len -= n;
  }
  return 0;
}

static int write_plain(struct writer *w, const char *s, size_t len)
{
  if (len > 0)
    w->is_at_line = s[len - 1] == '\n';
  return put(w, s, len);
}

static int write_stuffed(struct writer *w, const char *s, size_t len)
{
  while (len > 0) {
    const char *lf = memchr(s, '\n', len);
    size_t n = lf ? (size_t)(lf - s) + 1 : len;
    if (w->is_at_line && *s == '.' && put(w, ".", 1) != 0)
      return -1;
    if (put(w, s, n) != 0)
      return -1;
    w->is_at_line = lf != NULL;
    s += n;
    len -= n;
  }
  return 0;
}

static int write_some(void *arg, const char *s, size_t len)
{
  struct writer *w = arg;

  return w->does_stuff ? write_stuffed(w, s, len) : write_plain(w, s, len);
}

static int write_dot(struct writer *w)
{
  const char *end = w->is_at_line ? ".\r\n" : "\r\n.\r\n";
  size_t n = strlen(end);

  memcpy(w->out + w->len, end, n); /* BLOCK + 8 holds it */
  w->len += n;
  if (!w->is_one_segment)
    return flush(w);
  n = w->len < TAIL ? w->len : TAIL;
  if (write_out(w, w->out, w->len - n) != 0)
    return -1;
  drain(w->conn);
  return write_out(w, w->out + w->len - n, n);
}

/* ---- the message's bytes */

static ssize_t read_at(void *arg, char *buf, size_t len, uint64_t at)
{
  const struct body *b = arg;
  ssize_t n;

  if (at >= b->len)
    return 0;
  if (len > b->len - at)
    len = (size_t)(b->len - at);
  do
    n = pread(b->fd, buf, len, b->at + (off_t)at);
  while (n < 0 && errno == EINTR);
  if (n == 0) {
    errno = EIO; /* the file is shorter than it says */
    return -1;
  }
  return n;
}

static int copy(const struct body *b, struct writer *w)
{
  static char buf[BLOCK]; /* one per process; on the stack all its pages would be touched */

  for (uint64_t at = 0; at < b->len;) {
    ssize_t n = read_at((void *)b, buf, sizeof buf, at);
    if (n < 0 || write_some(w, buf, (size_t)n) != 0)
      return -1;
    at += (uint64_t)n;
  }
  return 0;
}

static int is_converted(const struct body *b)
{
  return b->form == FORM_7BIT || b->form == FORM_SHORT_LINES;
}

static int convert(const struct body *b, int (*write)(void *arg, const char *s, size_t len),
                   void *arg)
{
  struct sevenbit_source source = {read_at, (void *)b, b->len};
  struct sevenbit_sink sink = {write, arg};

  return sevenbit_convert(&source, &sink, b->form == FORM_SHORT_LINES);
}

enum body_end body_send(struct conn *c, const struct body *b, uint64_t timeout_ms)
{
  static struct writer w;
  int r;

  w.conn = c;
  w.timeout_ms = timeout_ms;
  w.does_stuff = b->has_dots || is_converted(b);
  w.is_one_segment = b->is_one_segment;
  w.since = conn_clock();
  w.sent = 0;
  w.is_at_line = 1;
  w.is_broken = 0;
  w.len = 0;
  spoken_data(c->spoken, 1);
  r = is_converted(b) ? convert(b, write_some, &w) : copy(b, &w);
  if (r == 0)
    r = write_dot(&w);
  spoken_data(c->spoken, 0);
  if (r != 0)
    return w.is_broken ? BODY_BROKEN : BODY_UNREADABLE;
  return BODY_SENT;
}

static int count(void *arg, const char *s, size_t len)
{
  (void)s;
  *(uint64_t *)arg += len;
  return 0;
}

int body_size(const struct body *b, uint64_t *size)
{
  *size = b->len;
  if (!is_converted(b))
    return 0;
  *size = 0;
  return convert(b, count, size);
}

/* whether the message bears a DKIM-Signature (RFC 6376) */
static int is_signed(const struct body *b)
{
  struct sevenbit_source source = {read_at, (void *)b, b->len};

  return sevenbit_has_field(&source, "DKIM-Signature");
}

/* a signature is looked for only when something would have to be converted */
void body_eightbit(const struct body *b, const struct envelope *e, struct eightbit_case *c)
{
  const char *policy = settings.eightbit_signed;

  c->has_8bit = (e->content & (CONTENT_8BIT_HEADER | CONTENT_8BIT_BODY)) != 0;
  c->has_long_lines = e->longest > EIGHTBIT_LINE_MAX;
  c->is_signed = (c->has_8bit || c->has_long_lines) && is_signed(b);
  if (policy)
    eightbit_policy_read(policy, strlen(policy), &c->policy);
}
