/* units.c - numbers with units, as people write them in control files. Pure. */
#include "common/units.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct unit {
  const char *name;
  uint64_t factor;
};

static const struct unit time_units[] = {{"ms", 1},         {"s", 1000},      {"m", 60000},
                                         {"h", 3600000},    {"d", 86400000},  {"w", 604800000},
                                         {"", 1000},        {NULL, 0}};
static const struct unit size_units[] = {{"k", 1024}, {"m", 1048576}, {"g", 1073741824},
                                         {"", 1},     {NULL, 0}};

int units_number(const char *s, size_t len, uint64_t *n)
{
  uint64_t v = 0;

  if (len == 0)
    return -1;
  for (size_t i = 0; i < len; i++) {
    unsigned int d = (unsigned char)s[i] - '0';
    if (d > 9 || v > (UINT64_MAX - d) / 10)
      return -1;
    v = v * 10 + d;
  }
  *n = v;
  return 0;
}

int units_rate(const char *s, size_t len, uint64_t *n, uint64_t *ms)
{
  const char *slash = memchr(s, '/', len), *time = slash ? slash + 1 : s;
  size_t left = slash ? len - (size_t)(time - s) : 0;
  uint64_t bare;

  if (left == 0 || units_number(s, len - left - 1, n) != 0 || *n < 1 || *n > 1000000)
    return -1;
  return units_number(time, left, &bare) != 0 && units_duration_ms(time, left, ms) == 0 &&
             *ms >= 1000 && *ms <= 86400000
           ? 0
           : -1;
}

size_t units_digits(char out[UNITS_DIGITS], uint64_t v)
{
  char reversed[UNITS_DIGITS];
  size_t n = 0, len;

  do
    reversed[n++] = (char)('0' + v % 10);
  while ((v /= 10) > 0);
  len = n;
  for (size_t i = 0; i < len; i++)
    out[i] = reversed[--n];
  out[len] = 0;
  return len;
}

static size_t span(const char *s, size_t len, int digits)
{
  size_t n = 0;

  while (n < len && (s[n] >= '0' && s[n] <= '9') == digits)
    n++;
  return n;
}

static const struct unit *find(const struct unit *u, const char *s, size_t len)
{
  for (; u->name; u++)
    if (strlen(u->name) == len && strncasecmp(u->name, s, len) == 0)
      return u;
  return NULL;
}

/* digits unit [digits unit ...] */
static int sum(const struct unit *units, const char *s, size_t len, uint64_t max, uint64_t *out)
{
  uint64_t total = 0;

  if (len == 0)
    return -1;
  while (len > 0) {
    size_t digits = span(s, len, 1), letters = span(s + digits, len - digits, 0);
    const struct unit *u = find(units, s + digits, letters);
    uint64_t n;
    if (!u || units_number(s, digits, &n) != 0 || n > (max - total) / u->factor)
      return -1;
    total += n * u->factor;
    s += digits + letters;
    len -= digits + letters;
  }
  *out = total;
  return 0;
}

int units_duration_ms(const char *s, size_t len, uint64_t *ms)
{
  return sum(time_units, s, len, (uint64_t)UINT32_MAX * 1000, ms);
}

int units_duration(const char *s, size_t len, uint64_t *seconds)
{
  uint64_t ms;

  if (units_duration_ms(s, len, &ms) != 0 || ms % 1000)
    return -1;
  *seconds = ms / 1000;
  return 0;
}

int units_size(const char *s, size_t len, uint64_t *bytes)
{
  size_t digits = span(s, len, 1);

  if (digits == 0 || span(s + digits, len - digits, 0) != len - digits)
    return -1;
  return sum(size_units, s, len, INT64_MAX, bytes);
}

int units_format_number(stralloc *out, uint64_t v)
{
  char digits[UNITS_DIGITS];

  return stralloc_catb(out, digits, units_digits(digits, v)) ? 0 : -1;
}

int units_format_duration(stralloc *out, uint64_t seconds)
{
  static const struct {
    char name;
    uint64_t s;
  } parts[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
  int some = 0;

  for (size_t i = 0; i < 4; i++) {
    char buf[UNITS_DIGITS + 1];
    size_t n;
    if (seconds < parts[i].s && !(i == 3 && !some))
      continue;
    n = units_digits(buf, seconds / parts[i].s);
    buf[n++] = parts[i].name;
    if (!stralloc_catb(out, buf, n))
      return -1;
    seconds %= parts[i].s;
    some = 1;
    if (seconds == 0)
      break;
  }
  return 0;
}

static int format(stralloc *out, uint64_t epoch, const char *how)
{
  time_t t = (time_t)epoch;
  struct tm tm;
  char buf[64];
  size_t n;

  if (!gmtime_r(&t, &tm))
    return stralloc_cats(out, "-") ? 0 : -1;
  n = strftime(buf, sizeof buf, how, &tm);
  return stralloc_catb(out, buf, n) ? 0 : -1;
}

int units_format_time(stralloc *out, uint64_t epoch)
{
  return format(out, epoch, "%Y-%m-%dT%H:%M:%SZ");
}

int units_format_date(stralloc *out, uint64_t epoch)
{
  return format(out, epoch, "%a, %d %b %Y %H:%M:%S +0000");
}
