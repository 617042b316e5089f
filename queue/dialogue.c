/* dialogue.c - what was said in an attempt: the text of a transcript
 *
 * Pure. Runs in heloise-deliver and the manager (which check lines), and where transcripts are
 * read. Everything read is hostile. */
#include "queue/dialogue.h"

#include <string.h>

#include "common/log.h"
#include "common/units.h"

#define HEAD_MAX 2048

/* the number at *s, at most 19 digits, with the space after it; 0, or -1 */
static int number(const char **s, const char *end, uint64_t *v)
{
  const char *space = memchr(*s, ' ', (size_t)(end - *s));

  if (!space || space - *s > 19 || units_number(*s, (size_t)(space - *s), v) != 0)
    return -1;
  *s = space + 1;
  return 0;
}

static int is_printable(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (s[i] < 32 || s[i] > 126)
      return 0;
  return 1;
}

/* a line without its line feed; the text is from *s on. 0, or -1 */
static int parse_line(const char **s, const char *end, struct dialogue_line *l)
{
  if (end - *s > DIALOGUE_LINE || number(s, end, &l->ms) != 0 || end - *s < 2 || (*s)[1] != ' ')
    return -1;
  l->who = **s;
  *s += 2;
  return (l->who == DIALOGUE_PEER || l->who == DIALOGUE_US || l->who == DIALOGUE_EVENT) &&
             is_printable(*s, (size_t)(end - *s))
           ? 0
           : -1;
}

int dialogue_check(const char *s, size_t len)
{
  const char *end = s + len;

  while (s < end) {
    const char *lf = memchr(s, '\n', (size_t)(end - s));
    struct dialogue_line l;
    if (!lf || parse_line(&s, lf, &l) != 0)
      return -1;
    s = lf + 1;
  }
  return 0;
}

int dialogue_head(stralloc *out, const struct dialogue_attempt *a)
{
  return stralloc_cats(out, "= ") && stralloc_cats(out, a->id) && stralloc_cats(out, " ") &&
             units_format_number(out, a->time) == 0 && stralloc_cats(out, " ") &&
             units_format_number(out, a->number) == 0 && stralloc_cats(out, " ") &&
             log_escape(out, a->nexthop, strlen(a->nexthop)) == 0 && stralloc_cats(out, "\n")
           ? 0
           : -1;
}

/* "ID EPOCH ATTEMPT NEXTHOP" in copy, which is cut up. 1: it is id's; else 0 */
static int parse_head(char *copy, size_t len, const char *id, struct dialogue_attempt *a)
{
  const char *s = copy, *end = copy + len;
  size_t n = strlen(id);
  uint64_t attempt;

  if (len <= n || memcmp(copy, id, n) != 0 || copy[n] != ' ')
    return 0;
  s += n + 1;
  copy[n] = 0;
  if (number(&s, end, &a->time) != 0 || number(&s, end, &attempt) != 0 || attempt > 65535 ||
      !is_printable(s, (size_t)(end - s)))
    return 0;
  a->id = copy;
  a->number = (unsigned int)attempt;
  a->nexthop = s;
  return 1;
}

static int give_head(const char *s, size_t len, const char *id, const struct dialogue_reader *r,
                     int *is_wanted)
{
  struct dialogue_attempt a;
  char copy[HEAD_MAX + 1];

  *is_wanted = 0;
  if (len > HEAD_MAX)
    return 0;
  memcpy(copy, s, len);
  copy[len] = 0;
  *is_wanted = parse_head(copy, len, id, &a);
  return *is_wanted ? r->attempt(r->arg, &a) : 0;
}

static int give_line(const char *s, size_t len, const struct dialogue_reader *r)
{
  struct dialogue_line l;
  const char *text = s;
  char copy[DIALOGUE_LINE + 1];

  if (len > DIALOGUE_LINE || parse_line(&text, s + len, &l) != 0)
    return 0;
  len -= (size_t)(text - s);
  memcpy(copy, text, len);
  copy[len] = 0;
  l.text = copy;
  return r->line(r->arg, &l);
}

int dialogue_each(const char *s, size_t len, const char *id, const struct dialogue_reader *r)
{
  const char *end = s + len, *lf;
  int is_wanted = 0, stop = 0;

  for (; !stop && s < end && (lf = memchr(s, '\n', (size_t)(end - s))); s = lf + 1) {
    if (lf - s > 2 && s[0] == '=' && s[1] == ' ')
      stop = give_head(s + 2, (size_t)(lf - s) - 2, id, r, &is_wanted);
    else if (is_wanted)
      stop = give_line(s, (size_t)(lf - s), r);
  }
  return stop;
}
