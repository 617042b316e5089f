/* ehlo.c - what a peer offers in its answer to EHLO
 *
 *   ehlo-line = keyword *( SP param )
 *
 * Pure; runs in attempts. All input is hostile. */
#include "deliver/ehlo.h"

#include <string.h>

#include "common/units.h"
#include "common/verbs.h"

static int is_cut(char c)
{
  return c == ' ' || c == '\t' || c == '=';
}

/* the next word of the line [s, end): its length, 0 at the end */
static size_t next_word(const char **s, const char *end)
{
  size_t n = 0;

  while (*s < end && is_cut(**s))
    ++*s;
  while (*s + n < end && !is_cut((*s)[n]))
    n++;
  return n;
}

static void take_least(uint64_t *least, const char *s, size_t len)
{
  uint64_t n;

  if (units_number(s, len, &n) == 0 && n > 0 && (*least == 0 || n < *least))
    *least = n;
}

/* "MAILMAX=100 RCPTMAX=10": cut at = like everything here, so name and value alternate */
static void take_limits(struct ehlo *e, const char *s, const char *end)
{
  size_t n;

  while ((n = next_word(&s, end)) > 0) {
    uint64_t *which = NULL;
    if (n == 7 && strncasecmp(s, "MAILMAX", n) == 0)
      which = &e->mail_max;
    else if (n == 7 && strncasecmp(s, "RCPTMAX", n) == 0)
      which = &e->rcpt_max;
    else if (n == 13 && strncasecmp(s, "RCPTDOMAINMAX", n) == 0)
      which = &e->domain_max;
    s += n;
    if (which && (n = next_word(&s, end)) > 0) {
      take_least(which, s, n);
      s += n;
    }
  }
}

static void take_line(struct ehlo *e, const char *s, const char *end)
{
  size_t n = next_word(&s, end);
  enum verb_number verb;

  if (n == 0 || verb_find_keyword(s, n, &verb) != 0)
    return;
  e->verbs |= 1U << verb;
  s += n;
  if (verb == VERBN_SIZE) {
    n = next_word(&s, end);
    take_least(&e->size, s, n);
  } else if (verb == VERBN_LIMITS)
    take_limits(e, s, end);
}

void ehlo_parse(const char *text, size_t len, struct ehlo *e)
{
  const char *end = text + len, *lf;

  memset(e, 0, sizeof *e);
  lf = memchr(text, '\n', len);
  while (lf) {
    const char *line = lf + 1;
    lf = memchr(line, '\n', (size_t)(end - line));
    take_line(e, line, lf ? lf : end);
  }
}
