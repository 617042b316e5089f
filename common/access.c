/* access.c - values of table `access`. Pure.
 *
 *   value = [ "helo=" policy ] [ action ]        at least one of them
 *   action = "accept" / "relay" / "reject" [ TEXT ] / "defer" [ TEXT ] */
#include "common/access.h"

#include <string.h>

#define TEXT_MAX 400 /* fits one reply line with its codes */

static const char *const keys[ACCESS_KEYS] = {"client", "helo", "sender", "rcpt"};

static const struct {
  const char *word;
  enum access_action action;
  int has_text;
} actions[] = {
  {"accept", ACCESS_ACCEPT, 0},
  {"relay", ACCESS_RELAY, 0},
  {"reject", ACCESS_REJECT, 1},
  {"defer", ACCESS_DEFER, 1},
};

static int is(const char *s, size_t len, const char *word)
{
  return strlen(word) == len && memcmp(s, word, len) == 0;
}

int access_key_read(const char *s, size_t len, enum access_key *key)
{
  for (size_t i = 0; i < ACCESS_KEYS; i++)
    if (is(s, len, keys[i])) {
      *key = (enum access_key)i;
      return 0;
    }
  return -1;
}

/* takes a word and the spaces around it off the front of s; returns its length */
static size_t next_word(const char **s, size_t *len, const char **word)
{
  size_t n = 0;

  while (*len > 0 && (**s == ' ' || **s == '\t')) {
    (*s)++;
    (*len)--;
  }
  *word = *s;
  while (n < *len && (*s)[n] != ' ' && (*s)[n] != '\t')
    n++;
  *s += n;
  *len -= n;
  return n;
}

static int take_text(struct access_rule *r, const char *s, size_t len, const char **why)
{
  while (len > 0 && (s[0] == ' ' || s[0] == '\t')) {
    s++;
    len--;
  }
  while (len > 0 && (s[len - 1] == ' ' || s[len - 1] == '\t'))
    len--;
  *why = "expected a text of at most 400 printable ASCII characters";
  if (len > TEXT_MAX)
    return -1;
  for (size_t i = 0; i < len; i++)
    if (s[i] < 32 || s[i] > 126)
      return -1;
  r->text = s;
  r->textlen = len;
  return 0;
}

static int take_helo(enum access_key key, struct access_rule *r, const char *word, size_t n,
                     const char **why)
{
  *why = "helo= is for client: keys";
  if (key != ACCESS_CLIENT)
    return -1;
  *why = "expected helo=junk, helo=normal or helo=strict, once";
  if (r->has_helo_policy || hello_policy_read(word + 5, n - 5, &r->helo_policy) != 0)
    return -1;
  r->has_helo_policy = 1;
  return 0;
}

static int find_action(const char *word, size_t n, size_t *row)
{
  for (*row = 0; *row < sizeof actions / sizeof *actions; (*row)++)
    if (is(word, n, actions[*row].word))
      return 0;
  return -1;
}

int access_parse(enum access_key key, const char *value, size_t len, struct access_rule *r,
                 const char **why)
{
  static const char expected[] = "expected relay, accept, reject TEXT or defer TEXT";
  const char *word;
  size_t n, row;

  *r = (struct access_rule){.action = ACCESS_NONE, .text = ""};
  while ((n = next_word(&value, &len, &word)) > 0) {
    if (n > 5 && memcmp(word, "helo=", 5) == 0) {
      if (take_helo(key, r, word, n, why) != 0)
        return -1;
      continue;
    }
    *why = expected;
    if (r->action != ACCESS_NONE || find_action(word, n, &row) != 0)
      return -1;
    r->action = actions[row].action;
    *why = "relay is not for helo: and sender: keys: a client can say any name there";
    if (r->action == ACCESS_RELAY && (key == ACCESS_HELO || key == ACCESS_SENDER))
      return -1;
    if (actions[row].has_text)
      return take_text(r, value, len, why);
  }
  *why = expected;
  return r->action != ACCESS_NONE || r->has_helo_policy ? 0 : -1;
}
