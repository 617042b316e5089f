/* enddata.c - where a message ends: only at CR LF . CR LF. Pure.
 *
 * Runs in heloise-smtpd: user hlsmtpd, no file access. All input is hostile: an attacker
 * would have us end a message where other systems do not (SMTP smuggling), so only the
 * one sequence of RFC 5321 4.1.1.4 ends it. */
#include "smtpd/enddata.h"

#include <string.h>

/* one pass over the input; `in` and `out` move on */
struct pass {
  const char *in, *end;
  char *out, *full;
};

static void put(struct enddata *e, struct pass *p, const char *s, size_t n)
{
  memcpy(p->out, s, n);
  p->out += n;
  e->size += n;
}

static void end_line(struct enddata *e)
{
  if (e->line > e->longest)
    e->longest = e->line;
  e->line = 0;
  e->state = ENDDATA_START;
}

/* a bare LF that is taken */
static void take_lf(struct enddata *e, struct pass *p)
{
  put(e, p, "\r\n", 2);
  p->in++;
  end_line(e);
  e->after_lf = 1;
}

/* takes the bytes up to the next CR or LF at once */
static void text(struct enddata *e, struct pass *p)
{
  size_t n = (size_t)(p->end - p->in), room = (size_t)(p->full - p->out) - 2;
  const char *stop;

  if (n > room)
    n = room;
  stop = memchr(p->in, '\r', n);
  if (stop)
    n = (size_t)(stop - p->in);
  stop = memchr(p->in, '\n', n);
  if (stop)
    n = (size_t)(stop - p->in) + !e->takes_lf;
  if (stop && !e->takes_lf)
    e->has_bare_lf = 1;
  if (memchr(p->in, 0, n))
    e->has_nul = 1;
  put(e, p, p->in, n);
  p->in += n;
  e->line += n;
  e->state = ENDDATA_TEXT;
  if (stop && e->takes_lf)
    take_lf(e, p);
}

/* a byte after CR */
static void after_cr(struct enddata *e, struct pass *p)
{
  if (*p->in == '\n') {
    put(e, p, p->in++, 1);
    e->line--;
    end_line(e);
    e->after_lf = 0;
    return;
  }
  e->has_bare_cr = 1;
  e->state = ENDDATA_TEXT;
}

/* a byte after a dot at a line's start: the dot was stuffed, when it is not alone */
static void after_dot(struct enddata *e, struct pass *p)
{
  e->state = *p->in == '\r' ? ENDDATA_DOT_CR : ENDDATA_TEXT;
  if (*p->in == '\r')
    p->in++;
  else if (*p->in == '\n' && e->takes_lf) {
    put(e, p, ".", 1);
    e->line = 1;
    take_lf(e, p);
  }
}

/* a byte after a dot and CR at a line's start */
static void after_dot_cr(struct enddata *e, struct pass *p)
{
  if (*p->in == '\n' && !e->after_lf) {
    p->in++;
    e->is_over = 1;
    return;
  }
  if (*p->in == '\n') {
    put(e, p, ".\r\n", 3);
    p->in++;
    e->line = 1;
    end_line(e);
    e->after_lf = 0;
    return;
  }
  put(e, p, "\r", 1);
  e->line++;
  e->has_bare_cr = 1;
  e->state = ENDDATA_TEXT;
}

/* what is to be done with the byte at p->in; each step takes a byte or changes the state */
static void step(struct enddata *e, struct pass *p)
{
  char c = *p->in;

  switch (e->state) {
  case ENDDATA_START:
    e->state = c == '.' && !e->is_counted ? ENDDATA_DOT : ENDDATA_TEXT;
    p->in += e->state == ENDDATA_DOT;
    break;
  case ENDDATA_DOT:
    after_dot(e, p);
    break;
  case ENDDATA_DOT_CR:
    after_dot_cr(e, p);
    break;
  case ENDDATA_CR:
    after_cr(e, p);
    break;
  case ENDDATA_TEXT:
    if (c != '\r') {
      text(e, p);
      break;
    }
    put(e, p, p->in++, 1);
    e->line++;
    e->state = ENDDATA_CR;
  }
}

size_t enddata_scan(struct enddata *e, const char *in, size_t len, char *out, size_t room,
                    size_t *written)
{
  struct pass p = {in, in + len, out, out + room};

  while (p.in < p.end && p.full - p.out >= 4 && !e->is_over)
    step(e, &p);
  *written = (size_t)(p.out - out);
  return (size_t)(p.in - in);
}

size_t enddata_close(struct enddata *e, char *out)
{
  struct pass p = {out, out, out, out + 2};

  if (e->state == ENDDATA_CR)
    e->has_bare_cr = 1;
  if (e->state != ENDDATA_START) {
    put(e, &p, "\r\n", 2);
    end_line(e);
  }
  e->is_over = 1;
  return (size_t)(p.out - out);
}
