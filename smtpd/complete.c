/* complete.c - where a header section ends, and the fields it lacks. Pure.
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. The message is hostile bytes. A line
 * that is neither field nor continuation ends the header section (RFC 5322 2.2 has none there):
 * the first one always, a later one where fields are put in. A mailbox's "From " line at the
 * top is let be. */
#include "smtpd/complete.h"

#include <string.h>
#include <strings.h>

struct pass {
  struct complete *c;
  const struct complete_texts *t;
  char *out;
};

static const char *const names[COMPLETE_FIELDS] = {"Date", "Message-ID", "From"};

static void put(struct pass *p, const char *s, size_t n)
{
  memcpy(p->out, s, n);
  p->out += n;
}

static void flush(struct pass *p)
{
  put(p, p->c->hold, p->c->held);
  p->c->held = p->c->name = 0;
}

static int is_wanted(const struct complete_texts *t)
{
  return t->field[COMPLETE_DATE] != NULL;
}

static void put_missing(struct pass *p)
{
  for (size_t i = 0; i < COMPLETE_FIELDS && is_wanted(p->t); i++)
    if (!(p->c->seen & 1U << i))
      put(p, p->t->field[i], strnlen(p->t->field[i], COMPLETE_FIELD_MAX));
}

/* the line at hand belongs to the body */
static void begin_body(struct pass *p)
{
  put_missing(p);
  put(p, "\r\n", 2);
  flush(p);
  p->c->state = COMPLETE_BODY;
}

/* the line at hand is one of the header section */
static void settle(struct pass *p)
{
  flush(p);
  p->c->is_later = 1;
  p->c->state = is_wanted(p->t) ? COMPLETE_REST : COMPLETE_BODY;
}

static int is_mailbox_line(const struct complete *c)
{
  return !c->is_later && ((c->name == 4 && memcmp(c->hold, "From", 4) == 0) ||
                          (c->name == 5 && memcmp(c->hold, ">From", 5) == 0)) && c->held > c->name;
}

static void field(struct pass *p)
{
  for (size_t i = 0; i < COMPLETE_FIELDS; i++)
    if (strlen(names[i]) == p->c->name && strncasecmp(p->c->hold, names[i], p->c->name) == 0)
      p->c->seen |= 1U << i;
  settle(p);
}

static int is_wsp(char c)
{
  return c == ' ' || c == '\t';
}

/* a byte at a line's start: 1, it was taken (held back) */
static int at_start(struct pass *p, char byte)
{
  struct complete *c = p->c;

  if (byte == '\r') {
    c->state = COMPLETE_BLANK;
  } else if (is_wsp(byte)) {
    if (c->is_later)
      settle(p);
    else
      begin_body(p);
    return 0;
  } else {
    c->state = COMPLETE_NAME;
    return 0;
  }
  c->hold[c->held++] = byte;
  return 1;
}

/* a byte that may belong to a name: 1, it was taken */
static int in_name(struct pass *p, char byte)
{
  struct complete *c = p->c;
  int is_name = byte > 32 && byte < 127 && byte != ':' && c->held == c->name;

  if ((is_name || (is_wsp(byte) && c->name > 0)) && c->held < COMPLETE_HOLD) {
    c->hold[c->held++] = byte;
    c->name += (size_t)is_name;
    return 1;
  }
  if (byte == ':' && c->name > 0)
    field(p);
  else if (is_mailbox_line(c))
    settle(p);
  else
    begin_body(p);
  return 0;
}

/* a byte behind a CR at a line's start */
static void after_cr(struct pass *p, char byte)
{
  if (byte != '\n') { /* a bare CR: others refuse it */
    begin_body(p);
    return;
  }
  put_missing(p);
  flush(p);
  p->c->state = COMPLETE_BODY;
}

static size_t rest(struct pass *p, const char *in, size_t len)
{
  const char *lf = p->c->state == COMPLETE_REST ? memchr(in, '\n', len) : NULL;
  size_t n = lf ? (size_t)(lf - in) + 1 : len;

  put(p, in, n);
  if (lf)
    p->c->state = COMPLETE_LINE;
  return n;
}

size_t complete_scan(struct complete *c, const struct complete_texts *t, const char *in, size_t len,
                     char *out)
{
  struct pass p = {c, t, out};
  size_t i = 0;

  while (i < len)
    switch (c->state) {
    case COMPLETE_LINE:
      i += (size_t)at_start(&p, in[i]);
      break;
    case COMPLETE_NAME:
      i += (size_t)in_name(&p, in[i]);
      break;
    case COMPLETE_BLANK:
      after_cr(&p, in[i]);
      break;
    default:
      i += rest(&p, in + i, len - i);
    }
  return (size_t)(p.out - out);
}

size_t complete_end(struct complete *c, const struct complete_texts *t, char *out)
{
  struct pass p = {c, t, out};

  if (c->state == COMPLETE_LINE)
    put_missing(&p);
  flush(&p);
  c->state = COMPLETE_BODY;
  return (size_t)(p.out - out);
}
