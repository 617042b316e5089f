/* access.c - values of table `access`. Pure.
 *
 *   value  = word *( SP word )        every word once; at least one
 *   word   = "accept" / "relay" / "reject" [ TEXT ] / "defer" [ TEXT ]    at most one of these
 *          / "hold" / "discard"                                  one of these, where mail is taken
 *          / "helo=" policy / "delay=" DURATION / "rate=" N "/" DURATION
 *
 * TEXT is all that follows. */
#include "common/access.h"

#include <string.h>

#include "common/units.h"

#define TEXT_MAX 400 /* fits one reply line with its codes */

static const char *const keys[ACCESS_KEYS] = {
  [ACCESS_CLIENT] = "client", [ACCESS_HOST] = "host", [ACCESS_LOGIN] = "login",
  [ACCESS_TLS] = "tls",       [ACCESS_HELO] = "helo", [ACCESS_SENDER] = "sender",
  [ACCESS_RCPT] = "rcpt"};

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

const char *access_key_word(enum access_key key)
{
  return keys[key];
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

/* ---- words with a value: what follows the = */

static int take_helo(enum access_key key, struct access_rule *r, const char *s, size_t n,
                     const char **why)
{
  *why = "helo= is for client: keys";
  if (key != ACCESS_CLIENT)
    return -1;
  *why = "expected helo=junk, helo=normal or helo=strict, once";
  if (r->has_helo_policy || hello_policy_read(s, n, &r->helo_policy) != 0)
    return -1;
  r->has_helo_policy = 1;
  return 0;
}

static int take_delay(enum access_key key, struct access_rule *r, const char *s, size_t n,
                      const char **why)
{
  (void)key;
  *why = "expected delay= and a duration of at most 4 minutes, such as delay=10s, once";
  if (r->has_delay || units_duration_ms(s, n, &r->delay) != 0 || r->delay > ACCESS_DELAY_MAX)
    return -1;
  r->has_delay = 1;
  return 0;
}

static int take_rate(enum access_key key, struct access_rule *r, const char *s, size_t n,
                     const char **why)
{
  (void)key;
  *why = "expected rate= and MESSAGES/TIME, such as rate=100/1h; 1 to 1000000 in 1s to 1d, once";
  return r->rate == 0 ? units_rate(s, n, &r->rate, &r->per) : -1;
}

static const struct {
  const char *word;
  int (*take)(enum access_key key, struct access_rule *r, const char *s, size_t n,
              const char **why);
} options[] = {{"helo=", take_helo}, {"delay=", take_delay}, {"rate=", take_rate}};

/* 1: it was one, and is taken; 0: it is none; -1 with *why */
static int take_option(enum access_key key, struct access_rule *r, const char *word, size_t n,
                       const char **why)
{
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    size_t head = strlen(options[i].word);
    if (n >= head && memcmp(word, options[i].word, head) == 0)
      return options[i].take(key, r, word + head, n - head, why) == 0 ? 1 : -1;
  }
  return 0;
}

/* ---- words that say what happens */

static const struct {
  const char *word;
  enum access_action action;
  enum access_fate fate;
} actions[] = {
  {"accept", ACCESS_ACCEPT, FATE_QUEUE}, {"relay", ACCESS_RELAY, FATE_QUEUE},
  {"reject", ACCESS_REJECT, FATE_QUEUE}, {"defer", ACCESS_DEFER, FATE_QUEUE},
  {"hold", ACCESS_NONE, FATE_HOLD},      {"discard", ACCESS_NONE, FATE_DISCARD},
};

static int is_refusal(const struct access_rule *r)
{
  return r->action == ACCESS_REJECT || r->action == ACCESS_DEFER;
}

static int take_action(enum access_key key, struct access_rule *r, const char *word, size_t n,
                       const char **why)
{
  size_t row = 0;

  *why = "expected one of accept, relay, reject TEXT and defer TEXT, and hold or discard, delay=, rate=";
  while (row < sizeof actions / sizeof *actions && !is(word, n, actions[row].word))
    row++;
  if (row == sizeof actions / sizeof *actions ||
      (actions[row].fate == FATE_QUEUE ? r->action != ACCESS_NONE : r->fate != FATE_QUEUE))
    return -1;
  if (actions[row].fate == FATE_QUEUE)
    r->action = actions[row].action;
  else
    r->fate = actions[row].fate;
  *why = "what is refused can be neither held nor discarded";
  if (r->fate != FATE_QUEUE && is_refusal(r))
    return -1;
  *why = "relay is not for helo:, sender: and tls: keys: any client can say a name, or STARTTLS";
  return r->action == ACCESS_RELAY && (key == ACCESS_HELO || key == ACCESS_SENDER || key == ACCESS_TLS) ? -1 : 0;
}

int access_parse(enum access_key key, const char *value, size_t len, struct access_rule *r,
                 const char **why)
{
  const char *word;
  size_t n, words = 0;

  *r = (struct access_rule){.action = ACCESS_NONE, .text = ""};
  while ((n = next_word(&value, &len, &word)) > 0) {
    int is_option = take_option(key, r, word, n, why);
    if (is_option < 0 || (is_option == 0 && take_action(key, r, word, n, why) != 0))
      return -1;
    words++;
    if (is_refusal(r) && is_option == 0)
      return take_text(r, value, len, why);
  }
  *why = "expected accept, relay, reject TEXT, defer TEXT, hold, discard, delay= or rate=";
  return words > 0 ? 0 : -1;
}
