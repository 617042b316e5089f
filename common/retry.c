/* retry.c - the retry schedule: values of table `retry` and their arithmetic
 *
 * Pure, but for retry_clock(). LADDER.md 6: qmail's parabola, capped, with a jitter that a hash
 * decides, so that a schedule can be told in advance and survives a restart. */
#include "common/retry.h"

#include <string.h>
#include <time.h>

#include "common/units.h"

#define FLOOR 300           /* the parabola never tries sooner */
#define EXACT_UNDER 60      /* gaps shorter than this have no jitter */
#define YEARS 315360000ULL  /* ten: the longest duration taken */

/* ---- values */

struct words {
  const char *s;
  size_t len;
};

/* cuts the next word off w; 0 at the end */
static int next_word(struct words *w, struct words *word)
{
  while (w->len && (*w->s == ' ' || *w->s == '\t'))
    w->s++, w->len--;
  word->s = w->s;
  while (w->len && *w->s != ' ' && *w->s != '\t')
    w->s++, w->len--;
  word->len = (size_t)(w->s - word->s);
  return word->len > 0;
}

static int read_duration(const struct words *v, uint64_t min, uint64_t *out)
{
  uint64_t n;

  if (units_duration(v->s, v->len, &n) != 0 || n < min || n > YEARS)
    return -1;
  *out = n;
  return 0;
}

static int read_number(const struct words *v, uint64_t min, uint64_t max, uint64_t *out)
{
  uint64_t n;

  if (units_number(v->s, v->len, &n) != 0 || n < min || n > max)
    return -1;
  *out = n;
  return 0;
}

static int parse_parabola(struct retry *r, const struct words *v)
{
  r->form = RETRY_PARABOLA;
  return read_number(v, 1, 10000, &r->c);
}

/* a gap says its unit: 15 alone would be seconds, and was surely meant as minutes */
static int read_gap(const struct words *v, uint64_t *out)
{
  char last = v->len > 0 ? v->s[v->len - 1] : '0';

  return last >= '0' && last <= '9' ? -1 : read_duration(v, 1, out);
}

static int parse_every(struct retry *r, const struct words *v)
{
  r->form = RETRY_EVERY;
  return read_gap(v, &r->every);
}

static int parse_list(struct retry *r, const struct words *v)
{
  struct words rest = *v;

  r->form = RETRY_LIST;
  r->list_len = 0;
  for (;;) {
    const char *comma = memchr(rest.s, ',', rest.len);
    struct words one = {rest.s, comma ? (size_t)(comma - rest.s) : rest.len};
    if (r->list_len == RETRY_LIST_MAX || read_gap(&one, &r->list[r->list_len++]) != 0)
      return -1;
    if (!comma)
      return 0;
    rest.s = comma + 1;
    rest.len -= one.len + 1;
  }
}

static int parse_cap(struct retry *r, const struct words *v)
{
  return read_duration(v, 1, &r->cap);
}

static int parse_life(struct retry *r, const struct words *v)
{
  return read_duration(v, 1, &r->life);
}

static int parse_bouncelife(struct retry *r, const struct words *v)
{
  return read_duration(v, 1, &r->bouncelife);
}

static int parse_warn(struct retry *r, const struct words *v)
{
  return read_duration(v, 0, &r->warn);
}

static int parse_jitter(struct retry *r, const struct words *v)
{
  return read_number(v, 0, 50, &r->jitter);
}

static int parse_greetsoft(struct retry *r, const struct words *v)
{
  return read_duration(v, 0, &r->greetsoft);
}

enum { IS_FORM = 1, IS_CAP = 2 };

static const struct {
  const char *word;
  int kind;
  int (*parse)(struct retry *r, const struct words *value);
  const char *expected;
} words[] = {
  {"parabola", IS_FORM, parse_parabola, "expected parabola and a number of 1 to 10000"},
  {"every", IS_FORM, parse_every, "expected every and a gap with its unit, at least 1s: every 15m"},
  {"list", IS_FORM, parse_list, "expected list and 1 to 32 gaps, each with its unit and at least 1s: list 15m,30m,60m,240m"},
  {"cap", IS_CAP, parse_cap, "expected cap and the longest gap: cap 3h"},
  {"life", 0, parse_life, "expected life and a time of at least 1s: life 5d"},
  {"bouncelife", 0, parse_bouncelife, "expected bouncelife and a time of at least 1s: bouncelife 1d"},
  {"warn", 0, parse_warn, "expected warn and a time, 0 for never: warn 4h"},
  {"jitter", 0, parse_jitter, "expected jitter and a percentage of 0 to 50: jitter 12"},
  {"greetsoft", 0, parse_greetsoft, "expected greetsoft and a time: greetsoft 4h"},
};
#define WORDS (sizeof words / sizeof *words)

static size_t find_word(const struct words *w)
{
  size_t i;

  for (i = 0; i < WORDS; i++)
    if (strlen(words[i].word) == w->len && memcmp(words[i].word, w->s, w->len) == 0)
      break;
  return i;
}

static const struct retry defaults = {.form = RETRY_PARABOLA, .c = 20, .cap = 3 * 3600,
                                      .life = 5 * 86400, .bouncelife = 86400, .warn = 4 * 3600,
                                      .jitter = 12, .greetsoft = 4 * 3600};

int retry_parse(const char *value, size_t len, struct retry *r, const char **why)
{
  struct words rest = {value, len}, word, v;
  unsigned int seen = 0;
  int forms = 0, has_cap = 0;

  *r = defaults;
  while (next_word(&rest, &word)) {
    size_t i = find_word(&word);
    *why = "expected parabola, every, list, cap, life, bouncelife, warn, jitter or greetsoft";
    if (i == WORDS)
      return -1;
    *why = "a word stands twice";
    if (seen & (1U << i))
      return -1;
    seen |= 1U << i;
    *why = words[i].expected;
    if (!next_word(&rest, &v) || words[i].parse(r, &v) != 0)
      return -1;
    forms += words[i].kind == IS_FORM;
    has_cap |= words[i].kind == IS_CAP;
  }
  *why = "expected a schedule: parabola, every or list, and what goes with it";
  if (seen == 0)
    return -1;
  *why = "expected one of parabola, every and list, not several";
  if (forms > 1)
    return -1;
  *why = "cap goes with parabola only";
  return has_cap && r->form != RETRY_PARABOLA ? -1 : 0;
}

void retry_find(const struct table *t, const char *domain, size_t len, struct retry *r)
{
  struct table_value v;
  const char *why;

  if (!table_domain(t, "retry", domain, len, &v) || retry_parse(v.s, v.len, r, &why) != 0)
    *r = defaults;
}

/* ---- arithmetic */

static uint64_t jittered(const struct retry *r, uint64_t gap)
{
  return gap >= EXACT_UNDER ? gap + gap * r->jitter / 100 : gap;
}

uint64_t retry_longest(const struct retry *r)
{
  uint64_t most = r->form == RETRY_EVERY ? r->every : r->cap;

  if (r->form == RETRY_LIST)
    most = 0;
  for (size_t i = 0; r->form == RETRY_LIST && i < r->list_len; i++)
    if (r->list[i] > most)
      most = r->list[i];
  most = jittered(r, most);
  return r->form == RETRY_PARABOLA && most < FLOOR ? FLOOR : most;
}

static void widen(struct retry_bounds *b, const struct retry *r)
{
  uint64_t longest = retry_longest(r), life = r->life < r->bouncelife ? r->life : r->bouncelife;

  if (longest > b->longest)
    b->longest = longest;
  if (r->warn && r->warn < life)
    life = r->warn;
  if (life < b->look)
    b->look = life;
}

static int look_at_value(void *arg, const char *key, size_t keylen, const struct table_value *v)
{
  struct retry r;
  const char *why;

  (void)key;
  (void)keylen;
  if (retry_parse(v->s, v->len, &r, &why) == 0)
    widen(arg, &r);
  return 0;
}

void retry_bounds(const struct table *t, struct retry_bounds *b)
{
  *b = (struct retry_bounds){0, UINT64_MAX};
  widen(b, &defaults);
  table_each(t, "retry", look_at_value, b);
}

static uint64_t isqrt(uint64_t n)
{
  uint64_t r = 0, bit = 1ULL << 62;

  while (bit > n)
    bit >>= 2;
  for (; bit; bit >>= 2) {
    if (n >= r + bit) {
      n -= r + bit;
      r = (r >> 1) + bit;
    } else
      r >>= 1;
  }
  return r;
}

/* -1000 ... 1000, the same for a message in the same minute of its age */
static int64_t jitter_of(uint64_t key, uint64_t minute)
{
  uint64_t z = key + (minute + 1) * 0x9e3779b97f4a7c15ULL;

  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return (int64_t)((z ^ (z >> 31)) % 2001) - 1000;
}

static uint64_t gap_of(const struct retry *r, const struct retry_message *m, uint64_t age)
{
  uint64_t c = m->is_local ? (r->c + 1) / 2 : r->c, root, step, tries;

  switch (r->form) {
  case RETRY_EVERY:
    return r->every;
  case RETRY_LIST:
    tries = m->tries ? m->tries - 1 : 0;
    return r->list[tries < r->list_len ? tries : r->list_len - 1];
  default:
    root = isqrt(age) + c;
    step = root * root - age;
    return step < r->cap ? step : r->cap;
  }
}

uint64_t retry_end(const struct retry *r, const struct retry_message *m)
{
  return m->birth + (m->has_null_sender ? r->bouncelife : r->life);
}

uint64_t retry_clock(void)
{
  struct timespec t;

  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec + (t.tv_nsec > 0);
}

uint64_t retry_next(const struct retry *r, const struct retry_message *m, uint64_t now)
{
  uint64_t age = now > m->birth ? now - m->birth : 0, end = retry_end(r, m), gap, next;

  if (now >= end)
    return 0;
  gap = gap_of(r, m, age);
  next = now + gap;
  if (gap >= EXACT_UNDER)
    next += (uint64_t)((int64_t)(gap * r->jitter) * jitter_of(m->key, age / 60) / 100000);
  if (r->form == RETRY_PARABOLA && next < now + FLOOR)
    next = now + FLOOR;
  return next < end ? next : end;
}
