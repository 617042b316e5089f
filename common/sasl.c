/* sasl.c - the words of logging in: mechanisms, back ends, outcomes. Pure. */
#include "common/sasl.h"

#include <string.h>
#include <strings.h>

static const struct mechanism_row mechanisms[MECHANISM_COUNT] = {
#define X(name, word, password, scram, bound) {word, password, scram, bound},
  MECHANISMS(X)
#undef X
};

static const char *const backends[BACKEND_COUNT] = {
#define X(name, word, can) word,
  BACKENDS(X)
#undef X
};

static const char *const outcomes[OUTCOME_COUNT] = {
#define X(name, word) word,
  OUTCOMES(X)
#undef X
};

/* the next word of a list: 1, or 0 at its end */
static int next_word(const char **s, size_t *len, const char **word, size_t *n)
{
  *n = 0;
  if (*len == 0) /* s may be NULL */
    return 0;
  while (*len > 0 && (**s == ' ' || **s == '\t')) {
    ++*s;
    --*len;
  }
  *word = *s;
  while (*n < *len && (*s)[*n] != ' ' && (*s)[*n] != '\t')
    ++*n;
  *s += *n;
  *len -= *n;
  return *n > 0;
}

const struct mechanism_row *mechanism_row(enum mechanism m)
{
  return &mechanisms[m];
}

int mechanism_find(const char *s, size_t len, enum mechanism *m)
{
  for (size_t i = 0; i < MECHANISM_COUNT; i++)
    if (strlen(mechanisms[i].word) == len && strncasecmp(mechanisms[i].word, s, len) == 0) {
      *m = (enum mechanism)i;
      return 0;
    }
  return -1;
}

int mechanisms_read(const char *s, size_t len, unsigned int *set)
{
  const char *word;
  size_t n;
  enum mechanism m;

  *set = 0;
  while (next_word(&s, &len, &word, &n)) {
    if (mechanism_find(word, n, &m) != 0)
      return -1;
    *set |= MECHANISM_BIT(m);
  }
  return 0;
}

int mechanisms_format(stralloc *out, unsigned int set)
{
  for (unsigned int m = 0; m < MECHANISM_COUNT; m++)
    if ((set & MECHANISM_BIT(m)) &&
        (!stralloc_cats(out, " ") || !stralloc_cats(out, mechanisms[m].word)))
      return -1;
  return 0;
}

static int find(const char *const *words, size_t count, const char *s, size_t len)
{
  for (size_t i = 0; i < count; i++)
    if (strlen(words[i]) == len && memcmp(words[i], s, len) == 0)
      return (int)i;
  return -1;
}

int backends_read(const char *s, size_t len, enum backend_name list[BACKEND_COUNT], size_t *n)
{
  const char *word;
  size_t wordlen;
  unsigned int seen = 0;

  *n = 0;
  while (next_word(&s, &len, &word, &wordlen)) {
    int i = find(backends, BACKEND_COUNT, word, wordlen);
    if (i < 0 || (seen & 1U << i))
      return -1;
    seen |= 1U << i;
    list[(*n)++] = (enum backend_name)i;
  }
  return 0;
}

const char *outcome_word(enum outcome o)
{
  return outcomes[o];
}

int outcome_read(const char *s, size_t len, enum outcome *o)
{
  int i = find(outcomes, OUTCOME_COUNT, s, len);

  *o = i < 0 ? OUTCOME_TEMP : (enum outcome)i;
  return i < 0 ? -1 : 0;
}

int sasl_login(const char *s, size_t len, stralloc *out)
{
  out->len = 0;
  if (len == 0 || len > SASL_LOGIN_MAX || !stralloc_copyb(out, s, len) || !stralloc_0(out))
    return -1;
  out->len--;
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)s[i];
    if (c < 32 || c == 127)
      return -1;
    if (c >= 'A' && c <= 'Z')
      out->s[i] = (char)(c + 32);
  }
  return 0;
}

/* message = [authzid] UTF8NUL authcid UTF8NUL passwd; RFC 4616 2 */
int sasl_plain_read(const char *s, size_t len, struct sasl_plain *p)
{
  const char *end = s + len, *nul = memchr(s, 0, len), *second;

  if (!nul)
    return -1;
  second = memchr(nul + 1, 0, (size_t)(end - nul - 1));
  if (!second || memchr(second + 1, 0, (size_t)(end - second - 1)))
    return -1;
  p->authzid = s;
  p->authzidlen = (size_t)(nul - s);
  p->login = nul + 1;
  p->loginlen = (size_t)(second - nul - 1);
  p->password = second + 1;
  p->passwordlen = (size_t)(end - second - 1);
  return p->loginlen > 0 && p->passwordlen > 0 ? 0 : -1;
}
