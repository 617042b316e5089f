/* story.c - the attempts of a message, told in sentences
 *
 * Pure. Runs where the queue is looked at, and in heloise-bounce. The history is hostile. */
#include "queue/story.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "deliver/peers.h"

#define FIELDS 5
#define KINDS 4 /* of lines: s, l, o and r */
#define SENTENCE 8192

struct story_line {
  char kind;
  unsigned int attempt;
  uint64_t time;
  const char *field[FIELDS];
  char text[];
};

/* ---- collecting */

static struct story_line *copy(const struct history_line *l)
{
  size_t need = sizeof(struct story_line), len[FIELDS];
  struct story_line *c;
  char *at;

  for (size_t i = 0; i < FIELDS; i++)
    need += len[i] = strlen(l->field[i]) + 1;
  c = malloc(need);
  if (!c)
    return NULL;
  *c = (struct story_line){.kind = l->kind, .attempt = l->attempt, .time = l->time};
  at = c->text;
  for (size_t i = 0; i < FIELDS; i++) {
    c->field[i] = memcpy(at, l->field[i], len[i]);
    at += len[i];
  }
  return c;
}

int story_note(void *arg, const struct history_line *l)
{
  struct story *s = arg;
  struct story_line **grown;

  if (s->n % 16 == 0) {
    grown = reallocarray(s->line, s->n + 16, sizeof *grown);
    if (!grown)
      return -1;
    s->line = grown;
  }
  s->line[s->n] = copy(l);
  if (!s->line[s->n])
    return -1;
  s->n++;
  return 0;
}

void story_free(struct story *s)
{
  for (size_t i = 0; i < s->n; i++)
    free(s->line[i]);
  free(s->line);
  *s = (struct story){0};
}

/* ---- words */

/* what is known of a peer changes what the next attempt does there */
static const struct {
  const char *fact, *plan; /* "The next attempt " plan " " peer */
} plans[] = {
  {"helo-only", "says HELO instead of EHLO to"},
  {"needs-rset", "says RSET and HELO instead of EHLO to"},
  {"literal-name", "greets with our address instead of our name at"},
  {"ehlo-required", "says nothing but EHLO to"},
  {"no-8bitmime", "sends 7-bit text only to"},
  {"no-pipelining", "sends one command at a time to"},
  {"no-size", "leaves SIZE out at"},
  {"no-dsn", "leaves the parameters of delivery reports out at"},
  {"no-smtputf8", "leaves SMTPUTF8 out at"},
  {"no-starttls", "does not say STARTTLS to"},
  {"tls-broken", "goes without TLS, when it may, to"},
  {"ehlo-hang", "says HELO on a second connection, if EHLO is left unanswered again, to"},
  {"ehlo-4yz", "says HELO as well, if EHLO is put off again, to"},
  {"helo-failed", "says EHLO on a second connection, if HELO fails again, to"},
  {"down", "tries other addresses, if there are any, before"},
  {"not-smtp", "tries other addresses, if there are any, before"},
  {"rcptmax", "sends to fewer recipients at once at"},
};

/* rows of the greeting ladder as causes: "because at TIME " cause */
static const struct {
  const char *rows, *cause;
} causes[] = {
  {" E1 E2 E3 E4 E5 E6 ", "EHLO was refused"},
  {" E7 ", "EHLO was refused and the connection closed"},
  {" E9 ", "the connection was closed after EHLO"},
  {" E10 ", "the connection was reset after EHLO"},
  {" E11 ", "EHLO was not answered in time"},
  {" E12 ", "the connection was closed within the reply to EHLO"},
  {" E13 ", "the reply to EHLO was not finished in time"},
  {" E14 ", "the reply to EHLO had no end"},
  {" E21 E22 E26 ", "the reply to EHLO was garbled"},
  {" E27 ", "EHLO was put off"},
  {" E33 H6 N ", "our name was refused"},
  {" H4 ", "HELO was refused before RSET"},
  {" H8 ", "HELO was put off"},
  {" H11 ", "HELO was not answered in time"},
  {" H10 ", "HELO on the same connection failed"},
  {" H12 ", "mail after HELO was refused"},
  {" A1 ", "the connection was refused"},
  {" A2 ", "the connection was not answered"},
  {" B13 E23 ", "what answered was not SMTP"},
  {" T4 ", "STARTTLS was refused"},
  {" T5 ", "the connection was closed after STARTTLS"},
  {" T6 T7 T11 ", "the TLS handshake failed"},
  {" X1 ", "commands sent together were not answered"},
  {" X2 ", "the connection was closed when commands came together"},
  {" X3 ", "commands sent together were refused"},
  {" X5 ", "the replies to commands sent together were garbled"},
  {" X13 ", "SIZE was refused"},
  {" X15 X17 ", "BODY=8BITMIME was refused"},
  {" X16 ", "the connection was closed at BODY=8BITMIME"},
  {" X21 ", "SMTPUTF8 was refused"},
  {" X22 ", "the parameters of delivery reports were refused"},
  {" X26 ", "only some recipients were taken at once"},
};

/* "rcptmax=20" is the fact rcptmax */
static int is_fact(const char *fact, const char *word)
{
  size_t n = strlen(word);

  return strncmp(fact, word, n) == 0 && (fact[n] == 0 || fact[n] == '=');
}

static const char *plan_of(const char *fact)
{
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++)
    if (is_fact(fact, plans[i].fact))
      return plans[i].plan;
  return NULL;
}

static const char *help_of(const char *fact)
{
  static const struct {
    const char *word, *help;
  } facts[] = {
#define X(name, word, first, most, help) {word, help},
    PEERS_FACTS(X)
#undef X
  };

  for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
    if (is_fact(fact, facts[i].word))
      return facts[i].help;
  return fact;
}

/* the reply in evidence of the form "ROW", "ROW CODE" or "ROW CODE TEXT" (peers_news_read()),
 * whose code is 0 and whose text is no reply's when an event taught it; "" then */
static const char *reply_of(const char *evidence)
{
  const char *code = strchr(evidence, ' '), *text = code ? strchr(code + 1, ' ') : NULL;

  if (text && text[1] >= '1' && text[1] <= '9')
    return text + 1;
  return code && !text && code[1] >= '1' && code[1] <= '9' ? code + 1 : "";
}

static void put_cause(char *out, size_t room, const char *evidence)
{
  size_t n = strcspn(evidence, " ");
  const char *reply = reply_of(evidence), *cause = NULL;
  char row[16];

  snprintf(row, sizeof row, " %.*s ", (int)(n < 10 ? n : 10), evidence);
  for (size_t i = 0; i < sizeof causes / sizeof *causes && !cause; i++)
    if (strstr(causes[i].rows, row))
      cause = causes[i].cause;
  if (!cause)
    snprintf(out, room, "this was seen there: row%sof the ladder", row);
  else
    snprintf(out, room, *reply ? "%s (%.100s)" : "%s", cause, reply);
}

static const char *time_text(uint64_t epoch)
{
  static stralloc buf[2];
  static unsigned int turn;
  stralloc *b = &buf[turn++ % 2];

  if (!stralloc_copys(b, "") || units_format_time(b, epoch) != 0 || !stralloc_0(b))
    return "?";
  return b->s;
}

/* "a.example [192.0.2.1]: ", or one of them, or "" */
static void put_host(char *out, size_t room, const char *host, const char *address)
{
  if (*host && *address)
    snprintf(out, room, "%.300s [%.80s]: ", host, address);
  else
    snprintf(out, room, "%.300s%s", *host ? host : address, *host || *address ? ": " : "");
}

/* ---- a sentence for each kind of line; "" for one that is not told */

static void step_sentence(char *out, const struct story_line *l)
{
  char host[400];

  put_host(host, sizeof host, l->field[0], l->field[1]);
  snprintf(out, SENTENCE, "%s%s (rung %s)%s%s", host, l->field[3], l->field[2],
           *l->field[4] ? ": " : "", l->field[4]);
}

static uint64_t until_of(const struct story_line *l)
{
  uint64_t until = 0;

  return units_number(l->field[3], strlen(l->field[3]), &until) == 0 ? until : 0;
}

static void learned_sentence(char *out, const struct story_line *l)
{
  const char *what = l->field[0], *peer = l->field[1], *fact = l->field[2];

  if (strcmp(what, HISTORY_UNLEARNED) == 0)
    snprintf(out, SENTENCE, "no longer true of %s: %s (%s)", peer, help_of(fact), fact);
  else if (strcmp(what, HISTORY_LEARNED) == 0)
    snprintf(out, SENTENCE, "remembered about %s until %s: %s (%s)", peer, time_text(until_of(l)),
             help_of(fact), fact);
  else if (strcmp(what, HISTORY_UNKEPT) == 0)
    snprintf(out, SENTENCE, "seen at %s, but it could not be remembered: %s (%s)", peer,
             help_of(fact), fact);
  else if (plan_of(fact))
    snprintf(out, SENTENCE, "known of %s: %s (%s)", peer, help_of(fact), fact);
}

static void outcome_sentence(char *out, const struct story_line *l, const struct story_teller *t)
{
  stralloc address = {0};
  uint64_t i;

  if (units_number(l->field[0], strlen(l->field[0]), &i) != 0 || i >= t->e->nrcpt ||
      (t->is_wanted && !t->is_wanted(t->arg, i)))
    return;
  if (log_escape(&address, t->e->rcpt[i].address, strlen(t->e->rcpt[i].address)) == 0 &&
      stralloc_0(&address))
    snprintf(out, SENTENCE, "%s: %s, %s%s%s", address.s,
             strcmp(l->field[1], "ok") == 0     ? "delivered"
             : strcmp(l->field[1], "perm") == 0 ? "failed for good"
                                                : "deferred",
             l->field[2], *l->field[2] ? " " : "", l->field[4]);
  stralloc_free(&address);
}

static void told_sentence(char *out, const struct story_line *l)
{
  snprintf(out, SENTENCE, "at %s the sender was told: %s", time_text(l->time), l->field[0]);
}

static void sentence(char *out, const struct story_line *l, const struct story_teller *t)
{
  *out = 0;
  if (l->kind == 's')
    step_sentence(out, l);
  else if (l->kind == 'l')
    learned_sentence(out, l);
  else if (l->kind == 'o')
    outcome_sentence(out, l, t);
  else if (l->kind == 'r')
    told_sentence(out, l);
}

/* ---- telling */

/* where the next attempt's lines begin */
static size_t next_attempt(const struct story *s, size_t i)
{
  unsigned int attempt = s->line[i]->attempt;

  while (i < s->n && s->line[i]->attempt == attempt)
    i++;
  return i;
}

static size_t count_attempts(const struct story *s)
{
  size_t n = 0;

  for (size_t i = 0; i < s->n; i = next_attempt(s, i))
    n++;
  return n;
}

/* the lines from i to end are one attempt's */
static int tell_attempt(const struct story *s, size_t i, size_t end, const struct story_teller *t)
{
  char text[SENTENCE];
  int r;

  snprintf(text, sizeof text, "Attempt %u, %s:", s->line[i]->attempt, time_text(s->line[i]->time));
  r = t->say(t->arg, 0, text);
  for (; r == 0 && i < end; i++) {
    sentence(text, s->line[i], t);
    if (*text)
      r = t->say(t->arg, 1, text);
  }
  return r;
}

int story_tell(const struct story *s, const struct story_teller *t)
{
  size_t attempts = count_attempts(s), number = 0, from, next;
  char text[80];
  int r = 0;

  /* of too many the first and the last ones */
  from = t->attempts > 1 && attempts > t->attempts ? attempts - t->attempts + 1 : 0;
  for (size_t i = 0; r == 0 && i < s->n; i = next, number++) {
    next = next_attempt(s, i);
    if (number > 0 && number < from) {
      if (number > 1)
        continue;
      snprintf(text, sizeof text, "(%zu more attempts are left out here)", from - 1);
      r = t->say(t->arg, 0, text);
    } else
      r = tell_attempt(s, i, next, t);
  }
  return r;
}

/* whether a later line says something else of the same fact */
static int is_outdated(const struct story *s, size_t i)
{
  for (size_t k = i + 1; k < s->n; k++)
    if (s->line[k]->kind == 'l' && strcmp(s->line[k]->field[1], s->line[i]->field[1]) == 0 &&
        strcmp(s->line[k]->field[2], s->line[i]->field[2]) == 0)
      return 1;
  return 0;
}

/* when it was learned: the first line of an unbroken row about it */
static uint64_t learned_at(const struct story *s, size_t i)
{
  for (size_t k = i + 1; k-- > 0;)
    if (s->line[k]->kind == 'l' && strcmp(s->line[k]->field[0], HISTORY_LEARNED) == 0 &&
        strcmp(s->line[k]->field[1], s->line[i]->field[1]) == 0 &&
        strcmp(s->line[k]->field[2], s->line[i]->field[2]) == 0)
      return s->line[k]->time;
  return 0;
}

static int tell_plan(const struct story *s, size_t i, const struct story_teller *t)
{
  const struct story_line *l = s->line[i];
  uint64_t when = learned_at(s, i);
  char text[SENTENCE], cause[200];

  put_cause(cause, sizeof cause, l->field[4]);
  snprintf(text, sizeof text, "The next attempt %s %.80s, because %s%s %s.", plan_of(l->field[2]),
           l->field[1], when ? "at " : "earlier", when ? time_text(when) : "", cause);
  return t->say(t->arg, 0, text);
}

int story_plans(const struct story *s, uint64_t next, const struct story_teller *t)
{
  int n = 0;

  for (size_t i = 0; i < s->n; i++) {
    const struct story_line *l = s->line[i];
    if (l->kind != 'l' || strcmp(l->field[0], HISTORY_UNLEARNED) == 0 || until_of(l) <= next ||
        !plan_of(l->field[2]) || is_outdated(s, i))
      continue;
    if (tell_plan(s, i, t) != 0)
      return -1;
    n++;
  }
  return n;
}

uint64_t story_told(const struct story *s, const char *action)
{
  for (size_t i = s->n; i-- > 0;)
    if (s->line[i]->kind == 'r' && strcmp(s->line[i]->field[0], action) == 0)
      return s->line[i]->time;
  return 0;
}

/* ---- JSON */

/* as `heloise peers list --json` has it */
static void set_evidence(json_t *o, const char *evidence)
{
  size_t row = strcspn(evidence, " "), end;
  const char *code = evidence[row] ? evidence + row + 1 : "";
  uint64_t n = 0;

  end = strcspn(code, " ");
  if (units_number(code, end, &n) != 0 || n > 999)
    n = 0;
  json_object_set_new(o, "row", json_stringn(evidence, row));
  json_object_set_new(o, "code", n ? json_integer((json_int_t)n) : json_null());
  json_object_set_new(o, "evidence", json_bytes(code[end] ? code + end + 1 : ""));
}

json_t *story_json(const struct story *s)
{
  static const char *const names[KINDS][FIELDS + 1] = {
    {"s", "host", "address", "rung", "event", "reply"},
    {"l", "memory", "peer", "fact", "until", NULL},
    {"o", "recipient", "verdict", "status", "host", "reply"},
    {"r", "told"}};
  json_t *list = json_array();

  for (size_t i = 0; i < s->n; i++) {
    const struct story_line *l = s->line[i];
    json_t *o = json_object();
    json_object_set_new(o, "time", json_time(l->time));
    json_object_set_new(o, "attempt", json_integer(l->attempt));
    for (size_t k = 0; k < KINDS; k++)
      for (size_t f = 0; names[k][0][0] == l->kind && f < FIELDS && names[k][f + 1]; f++)
        json_object_set_new(o, names[k][f + 1],
                            k == 1 && f == 3 ? json_time(until_of(l)) : json_bytes(l->field[f]));
    if (l->kind == 'l')
      set_evidence(o, l->field[4]);
    json_array_append_new(list, o);
  }
  return list;
}
