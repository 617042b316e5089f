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

/* takes the bytes up to the next CR or LF at once */
static void text(struct enddata *e, struct pass *p)
{
  size_t n = (size_t)(p->end - p->in), room = (size_t)(p->full - p->out);
  const char *stop;

  if (n > room)
    n = room;
  stop = memchr(p->in, '\r', n);
  if (stop)
    n = (size_t)(stop - p->in);
  stop = memchr(p->in, '\n', n);
  if (stop) {
    n = (size_t)(stop - p->in) + 1;
    e->has_bare_lf = 1;
  }
  if (memchr(p->in, 0, n))
    e->has_nul = 1;
  put(e, p, p->in, n);
  p->in += n;
  e->line += n;
  e->state = ENDDATA_TEXT;
}

/* a byte after CR */
static void after_cr(struct enddata *e, struct pass *p)
{
  if (*p->in == '\n') {
    put(e, p, p->in++, 1);
    e->line--;
    end_line(e);
    return;
  }
  e->has_bare_cr = 1;
  e->state = ENDDATA_TEXT;
}

/* a byte after a dot and CR at a line's start */
static void after_dot_cr(struct enddata *e, struct pass *p)
{
  if (*p->in == '\n') {
    p->in++;
    e->is_over = 1;
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
    e->state = c == '.' ? ENDDATA_DOT : ENDDATA_TEXT;
    p->in += c == '.';
    break;
  case ENDDATA_DOT:
    e->state = c == '\r' ? ENDDATA_DOT_CR : ENDDATA_TEXT;
    p->in += c == '\r';
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

  while (p.in < p.end && p.full - p.out >= 2 && !e->is_over)
    step(e, &p);
  *written = (size_t)(p.out - out);
  return (size_t)(p.in - in);
}
