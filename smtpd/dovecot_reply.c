/* dovecot_reply.c - lines of Dovecot's authentication service. Pure.
 *
 *   VERSION <major> <minor>     MECH <name> <properties>...     SPID CUID COOKIE ...     DONE
 *   OK <id> [user=<login>] ...
 *   CONT <id> <base64>
 *   FAIL <id> [temp] [user=<login>] [reason=...] ... */
#include "smtpd/dovecot_reply.h"

#include <string.h>

#include "common/units.h"

static const char *const words[] = {"VERSION", "MECH", "DONE", "OK", "CONT", "FAIL"};

/* the next word, tabs between: 1, or 0 at the end */
static int next(const char **s, const char *end, const char **word, size_t *n)
{
  const char *tab;

  if (!*s)
    return 0;
  *word = *s;
  tab = memchr(*s, '\t', (size_t)(end - *s));
  *n = (size_t)((tab ? tab : end) - *s);
  *s = tab ? tab + 1 : NULL;
  return 1;
}

static int is(const char *s, size_t n, const char *word)
{
  return strlen(word) == n && memcmp(s, word, n) == 0;
}

static enum dovecot_word word_of(const char *s, size_t n)
{
  size_t i = 0;

  while (i < sizeof words / sizeof *words && !is(s, n, words[i]))
    i++;
  return i < sizeof words / sizeof *words ? (enum dovecot_word)i : DOVECOT_OTHER;
}

static int read_id(const char **s, const char *end, uint32_t *id)
{
  const char *word;
  size_t n;
  uint64_t v;

  if (!next(s, end, &word, &n) || units_number(word, n, &v) != 0 || v > UINT32_MAX)
    return -1;
  *id = (uint32_t)v;
  return 0;
}

static void read_properties(const char *s, const char *end, struct dovecot_reply *r)
{
  const char *word;
  size_t n;

  while (next(&s, end, &word, &n)) {
    if (n >= 5 && memcmp(word, "user=", 5) == 0) {
      r->value = word + 5;
      r->valuelen = n - 5;
    } else if (is(word, n, "temp")) {
      r->is_temporary = 1;
    }
  }
}

int dovecot_reply_read(const char *line, size_t len, struct dovecot_reply *r)
{
  const char *end = line + len, *s = line, *word = line;
  size_t n = 0;

  *r = (struct dovecot_reply){.value = ""};
  next(&s, end, &word, &n);
  r->word = word_of(word, n);
  switch (r->word) {
  case DOVECOT_VERSION:
  case DOVECOT_MECH:
    return next(&s, end, &r->value, &r->valuelen) ? 0 : -1;
  case DOVECOT_CONT:
    return read_id(&s, end, &r->id) == 0 ? (next(&s, end, &r->value, &r->valuelen), 0) : -1;
  case DOVECOT_OK:
  case DOVECOT_FAIL:
    if (read_id(&s, end, &r->id) != 0)
      return -1;
    read_properties(s, end, r);
    return 0;
  default:
    return 0;
  }
}
