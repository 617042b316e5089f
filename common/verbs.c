/* verbs.c - ESMTP verbs (EHLO keywords) as sets with names, and IIS masks. Pure. */
#include "common/verbs.h"

#include <string.h>
#include <strings.h>

#include "common/units.h"

/* documented for TURN and ATRN, which we never offer: no verb of ours, but not unknown */
#define IIS_TURN 0x400U

static const struct {
  const char *word, *keyword;
  uint32_t iis;
} rows[] = {
#define X(name, word, keyword, iis) {word, keyword, iis},
  VERBS(X)
#undef X
};

const char *verb_word(enum verb_number n)
{
  return rows[n].word;
}

const char *verb_keyword(enum verb_number n)
{
  return rows[n].keyword;
}

static int is(const char *s, size_t len, const char *name)
{
  return strlen(name) == len && strncasecmp(s, name, len) == 0;
}

int verb_find_word(const char *s, size_t len, enum verb_number *n)
{
  for (size_t i = 0; i < VERB_COUNT; i++)
    if (is(s, len, rows[i].word)) {
      *n = (enum verb_number)i;
      return 0;
    }
  return -1;
}

int verb_find_keyword(const char *s, size_t len, enum verb_number *n)
{
  for (size_t i = 0; i < VERB_COUNT; i++)
    if (is(s, len, rows[i].keyword)) {
      *n = (enum verb_number)i;
      return 0;
    }
  return -1;
}

static void from_mask(uint32_t mask, uint32_t *off, uint32_t *unknown)
{
  uint32_t known = IIS_TURN;

  for (size_t i = 0; i < VERB_COUNT; i++) {
    known |= rows[i].iis;
    if (rows[i].iis && !(mask & rows[i].iis))
      *off |= 1U << i;
  }
  if (unknown)
    *unknown = mask & ~known;
}

static size_t word_at(const char *s, size_t len)
{
  size_t n = 0;

  while (n < len && s[n] != ' ' && s[n] != '\t')
    n++;
  return n;
}

int verbs_parse(const char *value, size_t len, uint32_t *off, uint32_t *unknown, const char **why)
{
  uint64_t mask;
  int some = 0;

  *off = 0;
  if (unknown)
    *unknown = 0;
  if (units_number(value, len, &mask) == 0) {
    *why = "expected a mask of at most 32 bits, such as 7697601";
    if (mask > UINT32_MAX)
      return -1;
    from_mask((uint32_t)mask, off, unknown);
    return 0;
  }
  *why = "expected words such as -8bitmime -chunking, or a decimal mask such as 7697601";
  for (size_t i = 0; i < len;) {
    size_t n = word_at(value + i, len - i);
    enum verb_number verb;
    if (n > 0) {
      if (value[i] != '-')
        return -1;
      if (verb_find_word(value + i + 1, n - 1, &verb) != 0) {
        *why = "expected a verb after the -: size pipelining 8bitmime dsn etrn "
               "enhancedstatuscodes starttls auth smtputf8 chunking binarymime limits vrfy help";
        return -1;
      }
      *off |= 1U << verb;
      some = 1;
    }
    i += n + 1;
  }
  return some ? 0 : -1;
}

uint32_t verbs_to_mask(uint32_t off)
{
  uint32_t mask = VERBS_IIS_DEFAULT;

  for (size_t i = 0; i < VERB_COUNT; i++)
    if (off & 1U << i)
      mask &= ~rows[i].iis; /* not a subtraction: that would borrow from other bits */
  return mask;
}

int verbs_format(stralloc *out, uint32_t set)
{
  int some = 0;

  for (size_t i = 0; i < VERB_COUNT; i++)
    if (set & 1U << i) {
      if ((some && !stralloc_cats(out, " ")) || !stralloc_cats(out, rows[i].word))
        return -1;
      some = 1;
    }
  return 0;
}
