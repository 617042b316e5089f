/* filter.c - which messages a queue command means: --state --sender --rcpt --domain --older */
#include "queue/filter.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/units.h"

static const struct {
  const char *word;
  enum filter_state state;
} states[] = {{"new", FILTER_NEW},
              {"active", FILTER_ACTIVE},
              {"deferred", FILTER_DEFERRED},
              {"hold", FILTER_HOLD}};

const char *filter_state_word(enum filter_state s)
{
  for (size_t i = 0; i < sizeof states / sizeof *states; i++)
    if (states[i].state == s)
      return states[i].word;
  return "";
}

/* ---- reading */

static int set_states(struct filter *f, const char *value, const char **why)
{
  *why = "a state is new, active, deferred or hold; several are separated by commas";
  do {
    size_t len = strcspn(value, ","), i = 0;
    while (i < sizeof states / sizeof *states &&
           (strlen(states[i].word) != len || strncmp(states[i].word, value, len) != 0))
      i++;
    if (i == sizeof states / sizeof *states)
      return -1;
    f->states |= states[i].state;
    value += len;
  } while (*value++);
  return 0;
}

static int set_older(struct filter *f, const char *value, const char **why)
{
  *why = "an age is a number with units s m h d w, as in 5d or 1h30m";
  return units_duration(value, strlen(value), &f->older);
}

static int set_sender(struct filter *f, const char *value, const char **why)
{
  (void)why;
  f->sender = strcmp(value, "<>") == 0 ? "" : value;
  return 0;
}

static int set_rcpt(struct filter *f, const char *value, const char **why)
{
  *why = "a recipient is an address, @domain, or a pattern with * and ?";
  f->rcpt = value;
  return *value ? 0 : -1;
}

static int set_domain(struct filter *f, const char *value, const char **why)
{
  *why = "a domain is a name, or .name for all beneath it";
  f->domain = value;
  return *value ? 0 : -1;
}

int filter_set(struct filter *f, const char *name, const char *value, const char **why)
{
  static const struct {
    const char *name;
    int (*set)(struct filter *f, const char *value, const char **why);
  } options[] = {{"state", set_states},
                 {"sender", set_sender},
                 {"rcpt", set_rcpt},
                 {"domain", set_domain},
                 {"older", set_older}};

  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    if (strcmp(options[i].name, name) == 0)
      return options[i].set(f, value, why);
  return 1;
}

int filter_is_set(const struct filter *f)
{
  return f->states || filter_needs_envelope(f);
}

int filter_needs_envelope(const struct filter *f)
{
  return f->sender || f->rcpt || f->domain || f->older;
}

int filter_options(const struct filter *f,
                   int (*option)(void *arg, const char *name, const char *value), void *arg)
{
  char number[UNITS_DIGITS], words[64] = "";
  int r = 0;

  for (size_t i = 0; i < sizeof states / sizeof *states; i++)
    if (f->states & states[i].state)
      sprintf(words + strlen(words), "%s%s", *words ? "," : "", states[i].word);
  units_digits(number, f->older);
  if (*words)
    r = option(arg, "state", words);
  if (r == 0 && f->sender)
    r = option(arg, "sender", f->sender);
  if (r == 0 && f->rcpt)
    r = option(arg, "rcpt", f->rcpt);
  if (r == 0 && f->domain)
    r = option(arg, "domain", f->domain);
  return r == 0 && f->older ? option(arg, "older", number) : r;
}

/* ---- matching */

static int lower(char c)
{
  return c >= 'A' && c <= 'Z' ? c + 32 : (unsigned char)c;
}

/* * any text, ? any byte; in time proportional to the product of both lengths at most */
static int matches_pattern(const char *p, const char *s)
{
  const char *star = NULL, *retry = s;

  while (*s) {
    if (*p == '*') {
      star = p++;
      retry = s;
    } else if (*p == '?' || (*p && lower(*p) == lower(*s))) {
      p++;
      s++;
    } else if (star) {
      p = star + 1;
      s = ++retry;
    } else {
      return 0;
    }
  }
  while (*p == '*')
    p++;
  return *p == 0;
}

static int matches_address(const char *wanted, const char *address)
{
  if (strpbrk(wanted, "*?"))
    return matches_pattern(wanted, address);
  if (wanted[0] == '@')
    return strcasecmp(wanted + 1, envelope_domain(address)) == 0;
  return strcasecmp(wanted, address) == 0;
}

static int matches_domain(const char *wanted, const char *address)
{
  const char *own = envelope_domain(address);
  size_t len = strlen(own), want = strlen(wanted);

  if (wanted[0] == '.')
    return len > want && strcasecmp(own + len - want, wanted) == 0;
  return strcasecmp(own, wanted) == 0;
}

int filter_takes_state(const struct filter *f, enum filter_state s)
{
  return f->states == 0 || (f->states & s) != 0;
}

/* whether some recipient that is not finished is one that is meant */
static int takes_rcpt(const struct filter *f, const struct envelope *e)
{
  for (size_t i = 0; i < e->nrcpt; i++) {
    const struct envelope_rcpt *r = &e->rcpt[i];
    if (r->status != RCPT_TODO && r->status != RCPT_FAILED)
      continue;
    if ((!f->rcpt || matches_address(f->rcpt, r->address)) &&
        (!f->domain || matches_domain(f->domain, r->address)))
      return 1;
  }
  return 0;
}

int filter_takes(const struct filter *f, const struct envelope *e, uint64_t now)
{
  if (f->sender && !matches_address(f->sender, e->sender))
    return 0;
  if (f->older && (e->created > now || now - e->created < f->older))
    return 0;
  return (!f->rcpt && !f->domain) || takes_rcpt(f, e);
}
