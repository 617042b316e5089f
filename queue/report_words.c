/* report_words.c - the part of a report that is for people
 *
 * Pure. Runs in heloise-bounce. The words are in sentences.def. */
#include "queue/report_words.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/log.h"
#include "common/units.h"
#include "common/xtext.h"

static const struct {
  const char *subject, *one, *several;
} actions[NOTIFY_ACTIONS] = {
#define ACTION(name, subject, one, several) [NOTIFY_##name] = {subject, one, several},
#define SENTENCE(name, words)
#define ADVICE(detail, words)
#include "queue/sentences.def"
#undef ACTION
#undef SENTENCE
};

enum sentence {
#define ACTION(name, subject, one, several)
#define SENTENCE(name, words) SAY_##name,
#include "queue/sentences.def"
#undef SENTENCE
  SENTENCES
};

static const char *const sentences[SENTENCES] = {
#define SENTENCE(name, words) [SAY_##name] = words,
#include "queue/sentences.def"
#undef SENTENCE
#undef ADVICE
};

static const struct {
  const char *detail, *words;
} advices[] = {
#define SENTENCE(name, words)
#define ADVICE(detail, words) {detail, words},
#include "queue/sentences.def"
#undef ACTION
#undef SENTENCE
#undef ADVICE
};

#define INDENT "    "

static const char *number(char out[UNITS_DIGITS], uint64_t v)
{
  units_digits(out, v);
  return out;
}

static int cats0(stralloc *s)
{
  return stralloc_0(s) ? 0 : -1;
}

/* ---- a recipient */

static int is_bad(const struct report *r, size_t i)
{
  return r->outcome[i].action == NOTIFY_FAILED || r->outcome[i].action == NOTIFY_DELAYED;
}

/* subject.detail of a status code, behind its class */
static const char *advice_for(const char *status)
{
  const char *detail = status && strlen(status) > 2 ? status + 2 : "";
  size_t i = 0, n;

  for (; *advices[i].detail; i++) {
    n = strlen(advices[i].detail);
    if (strcmp(advices[i].detail, detail) == 0 ||
        (advices[i].detail[n - 1] == '.' && strncmp(advices[i].detail, detail, n) == 0))
      break;
  }
  return advices[i].words;
}

/* whole hours of days, whole minutes of hours */
static int cat_span(stralloc *out, uint64_t seconds)
{
  seconds -= seconds >= 86400 ? seconds % 3600 : seconds >= 3600 ? seconds % 60 : 0;
  return units_format_duration(out, seconds);
}

static void tell_tries(struct letter *l, const struct report *r, size_t i)
{
  const struct report_outcome *o = &r->outcome[i];
  unsigned int tries = r->e->rcpt[i].attempts;
  char digits[UNITS_DIGITS];
  stralloc span = {0};

  if (tries == 1)
    letter_say(l, INDENT, sentences[SAY_TRIED_ONCE], NULL);
  else if (tries > 1 && o->time > r->e->created &&
           cat_span(&span, o->time - r->e->created) == 0 && cats0(&span) == 0)
    letter_say(l, INDENT, sentences[SAY_TRIED], number(digits, tries), span.s, NULL);
  stralloc_free(&span);
}

static void tell_until(struct letter *l, const struct report_outcome *o)
{
  stralloc date = {0};

  if (units_format_date(&date, o->until) == 0 && cats0(&date) == 0)
    letter_say(l, INDENT, sentences[SAY_TRIED_UNTIL], date.s, NULL);
  stralloc_free(&date);
}

static void add_address(struct letter *l, const char *address)
{
  stralloc ascii = {0};

  if (l->is_utf8)
    letter_plain(l, address, strlen(address));
  else if (xtext_ascii(&ascii, address, strlen(address)) == 0)
    letter_plain(l, ascii.s, ascii.len);
  stralloc_free(&ascii);
}

/* the address that the sender wrote, when it is another */
static void tell_original(struct letter *l, const struct envelope_rcpt *rcpt)
{
  const char *semicolon = strchr(rcpt->orcpt, ';');
  stralloc plain = {0};

  if (semicolon && xtext_decode(semicolon + 1, strlen(semicolon + 1), &plain) == 0 &&
      cats0(&plain) == 0 && strcasecmp(plain.s, rcpt->address) != 0)
    letter_say(l, INDENT, sentences[SAY_WRITTEN_TO], plain.s, NULL);
  stralloc_free(&plain);
}

static void tell_recipient(struct letter *l, const struct report *r, size_t i)
{
  const struct report_outcome *o = &r->outcome[i];

  letter_add(l, "\r\n  <");
  add_address(l, r->e->rcpt[i].address);
  letter_line(l, ">");
  tell_original(l, &r->e->rcpt[i]);
  if (o->reply && *o->reply && report_tells_reply(o))
    letter_say(l, INDENT, "$", o->reply, NULL);
  else if (is_bad(r, i))
    letter_say(l, INDENT, sentences[SAY_NO_REASON], NULL);
  if (is_bad(r, i))
    tell_tries(l, r, i);
  if (o->action == NOTIFY_DELAYED)
    tell_until(l, o);
  if (o->action == NOTIFY_FAILED && !r->is_double)
    letter_say(l, INDENT, advice_for(o->status), r->hostname, NULL);
}

/* ---- all of one action */

static void tell_heading(struct letter *l, const struct report *r, enum notify_action a, size_t n)
{
  char digits[UNITS_DIGITS];
  stralloc date = {0};

  if (units_format_date(&date, r->e->created) != 0 || cats0(&date) != 0)
    l->failed = 1;
  else if (n == 1)
    letter_say(l, "", actions[a].one, date.s, NULL);
  else
    letter_say(l, "", actions[a].several, date.s, number(digits, n), NULL);
  stralloc_free(&date);
}

static void tell_action(struct letter *l, const struct report *r, enum notify_action a)
{
  size_t n = report_count(r, a), told = 0;
  char digits[UNITS_DIGITS];

  if (n == 0)
    return;
  letter_line(l, "");
  if (r->is_double)
    letter_say(l, "", sentences[SAY_DOUBLE], NULL);
  else
    tell_heading(l, r, a, n);
  for (size_t i = 0; i < r->e->nrcpt && told < REPORT_TOLD; i++)
    if (r->outcome[i].action == a) {
      tell_recipient(l, r, i);
      told++;
    }
  if (n > told) {
    letter_line(l, "");
    letter_say(l, "  ", sentences[SAY_MORE], number(digits, n - told), NULL);
  }
}

/* ---- the table of attempts, as `heloise queue why` shows it */

struct telling {
  struct letter *l;
  const struct report *r;
};

static int is_told(void *arg, size_t i)
{
  return is_bad(((struct telling *)arg)->r, i);
}

static int add_sentence(void *arg, int depth, const char *sentence)
{
  struct letter *l = ((struct telling *)arg)->l;
  const char *first = depth ? "    " : "  ", *rest = depth ? "      " : "  ";
  char *plain = strdup(sentence);

  if (!plain) {
    l->failed = 1;
    return -1;
  }
  log_unescape(plain);
  letter_add(l, first);
  letter_folded(l, strlen(first), rest, plain);
  free(plain);
  return 0;
}

static void tell_story(struct letter *l, const struct report *r)
{
  struct telling telling = {l, r};
  const struct story_teller teller = {.e = r->e, .is_wanted = is_told, .attempts = REPORT_ATTEMPTS,
                                      .say = add_sentence, .arg = &telling};

  if (!r->story || r->story->n == 0 ||
      report_count(r, NOTIFY_FAILED) + report_count(r, NOTIFY_DELAYED) == 0)
    return;
  letter_line(l, "");
  letter_say(l, "", sentences[SAY_STORY], NULL);
  letter_line(l, "");
  story_tell(r->story, &teller);
}

/* ---- all of it */

static void tell_end(struct letter *l, const struct report *r)
{
  int is_cut = report_count(r, NOTIFY_FAILED) > 0 && strcmp(r->e->ret, "HDRS") != 0;
  stralloc limit = {0};

  letter_line(l, "");
  letter_say(l, "", sentences[SAY_SAID], NULL);
  if (report_returns_all(r))
    letter_say(l, "", sentences[SAY_RETURNED], r->e->id, NULL);
  else if (!is_cut)
    letter_say(l, "", sentences[SAY_HEADER_RETURNED], r->e->id, NULL);
  else if (units_format_number(&limit, r->return_limit) == 0 && stralloc_cats(&limit, " bytes") &&
           cats0(&limit) == 0)
    letter_say(l, "", sentences[SAY_TOO_LARGE], r->e->id, limit.s, NULL);
  stralloc_free(&limit);
}

const char *report_words_subject(const struct report *r)
{
  for (int a = NOTIFY_NOTHING + 1; a < NOTIFY_ACTIONS && !r->is_double; a++)
    if (report_count(r, (enum notify_action)a) > 0)
      return actions[a].subject;
  return sentences[SAY_DOUBLE_SUBJECT];
}

void report_words(struct letter *l, const struct report *r)
{
  letter_say(l, "", sentences[SAY_WE], r->hostname, NULL);
  for (int a = NOTIFY_NOTHING + 1; a < NOTIFY_ACTIONS; a++)
    tell_action(l, r, (enum notify_action)a);
  tell_story(l, r);
  tell_end(l, r);
}
