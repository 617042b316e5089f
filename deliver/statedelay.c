/* statedelay.c - replies that say when to come back
 *
 *   delay = [ word ] ( number unit *( [","] ["and"] number unit ) / [H]H:MM:SS / MM:SS )
 *
 * Pure; runs in attempts. The text is hostile. A delay counts when the words before it say that
 * it is one ("try again in", "greylisted for", "retry after"), or, for a number with a unit, when
 * some word of the text speaks of waiting. Numbers without either are left alone: limits, ports,
 * rates ("5 connections per 60 seconds", "too many in 60 seconds"), times of the day ("after 15:30"). */
#include "deliver/statedelay.h"

#include <string.h>

#define LEADS 40 /* bytes before a delay that are looked at */

static const struct {
  const char *word;
  uint32_t seconds;
} units[] = {
  {"s", 1},       {"sec", 1},      {"secs", 1},    {"second", 1},  {"seconds", 1},
  {"m", 60},      {"min", 60},     {"mins", 60},   {"minute", 60}, {"minutes", 60},
  {"h", 3600},    {"hr", 3600},    {"hrs", 3600},  {"hour", 3600}, {"hours", 3600},
  {"d", 86400},   {"day", 86400},  {"days", 86400},
};

/* what stands before a time of the day as well: there a clock's digits are a delay only when they
 * have seconds and no hours */
static const char *const moments[] = {"after", "until", "again", "later", "next", "retry"};

/* what a rate speaks of */
static const char *const rates[] = {"too many", "more than", "limit", "exceed", "rate", "maximum"};

/* what must stand before it */
static const char *const leads[] = {"in", "after", "for", "within", "least", "wait", "another",
                                    "about", "approximately", "next", "again", "delay", "remaining",
                                    "left", "time", "retry", "until", "expires", "later"};

/* what the text must be about */
static const char *const topics[] = {"again", "retry", "re-try", "greylist", "graylist", "grey list",
                                     "gray list", "grey-list", "gray-list", "come back", "wait", "later",
                                     "resend", "reconnect", "delay"};

static int is_digit(char c)
{
  return c >= '0' && c <= '9';
}

static char lower(char c)
{
  return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static int is_letter(char c)
{
  return lower(c) >= 'a' && lower(c) <= 'z';
}

static int is_same(const char *s, const char *word, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (lower(s[i]) != word[i])
      return 0;
  return 1;
}

/* one after the place where the last of the words occurs in the text; 0: none does */
static size_t last_of(const char *s, size_t len, const char *const *word, size_t words)
{
  size_t last = 0;

  for (size_t w = 0; w < words; w++)
    for (size_t i = len + 1 - strlen(word[w]); len >= strlen(word[w]) && i-- > last;)
      if (is_same(s + i, word[w], strlen(word[w])))
        last = i + 1;
  return last;
}

static size_t last_topic(const char *s, size_t len)
{
  return last_of(s, len, topics, sizeof topics / sizeof *topics);
}

static int is_word(const char *s, size_t len, const char *word)
{
  return strlen(word) == len && is_same(s, word, len);
}

/* the last word before `at`, at most LEADS bytes before it; signs between them do not count.
 * Where it begins; its length is 0 when there is none */
static size_t word_before(const char *s, size_t at, size_t *len)
{
  size_t end = at, start;

  while (end > 0 && at - end < LEADS && !is_letter(s[end - 1]) && !is_digit(s[end - 1]))
    end--;
  for (start = end; start > 0 && is_letter(s[start - 1]); start--)
    ;
  *len = end - start;
  return start;
}

/* whether the word before `at` leads to a delay; "timed out after" tells of one that is over */
static int is_led(const char *s, size_t at)
{
  size_t len, start = word_before(s, at, &len), before_len, before = word_before(s, start, &before_len);

  if (is_word(s + start, len, "after") &&
      (is_word(s + before, before_len, "out") || is_word(s + before, before_len, "timeout")))
    return 0;
  for (size_t i = 0; i < sizeof leads / sizeof *leads; i++)
    if (is_word(s + start, len, leads[i]))
      return 1;
  return 0;
}

/* whether the word before `at` may lead to a time of the day too */
static int is_moment(const char *s, size_t at)
{
  size_t len, start = word_before(s, at, &len);

  for (size_t i = 0; i < sizeof moments / sizeof *moments; i++)
    if (is_word(s + start, len, moments[i]))
      return 1;
  return 0;
}

/* "too many connections in", "5 messages within": the time before which it is not over, but in
 * which it happened. "Too many connections, try again in" is a wish */
static int is_rate(const char *s, size_t at)
{
  size_t len, start = word_before(s, at, &len), noun_len, noun;

  if (!is_word(s + start, len, "in") && !is_word(s + start, len, "within"))
    return 0;
  if (last_of(s, start, rates, sizeof rates / sizeof *rates) > last_topic(s, start))
    return 1;
  noun = word_before(s, start, &noun_len);
  return noun_len > 0 && noun > 1 && s[noun - 1] == ' ' && is_digit(s[noun - 2]) &&
         !last_topic(s + noun, noun_len);
}

/* digits at *at; 0, or -1: none, or too many */
static int number(const char *s, size_t len, size_t *at, uint64_t *n)
{
  size_t from = *at;

  for (*n = 0; *at < len && is_digit(s[*at]) && *at - from < 8; ++*at)
    *n = *n * 10 + (uint64_t)(s[*at] - '0');
  return *at > from && (*at == len || !is_digit(s[*at])) ? 0 : -1;
}

/* "seconds" at *at, after spaces or a hyphen: how many seconds it has, 0 when it is no unit */
static uint32_t unit(const char *s, size_t len, size_t *at)
{
  size_t from = *at, end;

  while (from < len && (s[from] == ' ' || s[from] == '-' || s[from] == '(') && from - *at < 2)
    from++;
  for (end = from; end < len && is_letter(s[end]); end++)
    ;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++)
    if (is_word(s + from, end - from, units[i].word)) {
      *at = end;
      return units[i].seconds;
    }
  return 0;
}

/* "00:05:00" or "04:59" at `at`, whose first number has been read: seconds, 0 when it is none */
static uint64_t clock_time(const char *s, size_t len, size_t *at, uint64_t first)
{
  uint64_t part, total = first;
  size_t parts = 1, i = *at;

  while (parts < 3 && i + 2 < len && s[i] == ':' && is_digit(s[i + 1]) && is_digit(s[i + 2])) {
    i++;
    if (number(s, len, &i, &part) != 0 || part > 59)
      return 0;
    total = total * 60 + part;
    parts++;
  }
  if (parts < 2 || (i < len && s[i] == ':'))
    return 0;
  *at = i;
  return total;
}

/* "1 hour, 5 minutes and 3 seconds" at *at: seconds, 0 when it is none */
static uint64_t sum_of_units(const char *s, size_t len, size_t *at, uint64_t first)
{
  uint64_t total = 0, n = first;

  for (;;) {
    uint32_t each = unit(s, len, at);
    size_t next;
    if (each == 0)
      return total;
    total += n * each;
    for (next = *at; next < len && (s[next] == ' ' || s[next] == ','); next++)
      ;
    if (next + 4 <= len && is_same(s + next, "and ", 4))
      next += 4;
    if (number(s, len, &next, &n) != 0)
      return total;
    *at = next;
  }
}

/* "60 seconds" of a rate: "per 60 seconds", "5/60 seconds" */
static int is_part_of_more(const char *s, size_t at)
{
  return at > 0 && (is_letter(s[at - 1]) || strchr("./:-_@#", s[at - 1]));
}

uint64_t statedelay_find(const char *text, size_t len)
{
  int waits = last_topic(text, len) > 0;
  size_t at = 0;

  while (waits && at < len) {
    size_t from = at, end;
    uint64_t n, delay;
    if (!is_digit(text[at])) {
      at++;
      continue;
    }
    if (number(text, len, &at, &n) != 0) {
      while (at < len && is_digit(text[at]))
        at++;
      continue;
    }
    end = at;
    delay = clock_time(text, len, &end, n);
    if (delay == 0)
      delay = sum_of_units(text, len, &end, n);
    else if (is_moment(text, from) && (n > 0 || end - at < sizeof ":MM:SS" - 1))
      delay = 0;
    if (delay > 0 && delay <= STATEDELAY_MOST && !is_part_of_more(text, from) &&
        is_led(text, from) && !is_rate(text, from))
      return delay;
    at = end;
  }
  return 0;
}
