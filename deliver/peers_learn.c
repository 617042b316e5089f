/* peers_learn.c - peer memory: what is learned, for how long, and what is forgotten
 *
 * Runs in heloise-deliver, on what attempts report; news of theirs is hostile. LADDER.md 8. */
#include <stdio.h>
#include <string.h>

#include "common/units.h"
#include "deliver/peers_file.h"

#define KEEP 7776000     /* seconds: a fact past its time counts as seen before for so long */
#define PROBATION 900    /* seconds one message has to try again without a fact */
#define HANGS_APART 120  /* seconds between two connections not answered (A2) */
#define CLOSES 3         /* in a row: the peer is down (A5) */

static const struct {
  const char *word;
  uint32_t first, most;
} facts[FACT_COUNT] = {
  {"none", 0, 0},
#define X(name, word, first, most, help) {word, first, most},
  PEERS_FACTS(X)
#undef X
};

/* rows that teach a fact for another time than usual */
static const struct {
  enum peers_fact fact;
  const char *row;
  uint32_t first, most;
} others[] = {
  {FACT_HELO_ONLY, "E7", 604800, 2592000}, /* seed 5's peers do not change */
  {FACT_DOWN, "A2", 900, 7200},
  {FACT_DOWN, "A5", 900, 900},
  {FACT_NO_PIPELINING, "X3", 2592000, 2592000},
  {FACT_NO_PIPELINING, "B12", 86400, 86400},
  {FACT_NO_PIPELINING, "E22", 86400, 86400},
};

const char *peers_fact_word(enum peers_fact f)
{
  return facts[f].word;
}

int peers_fact_read(const char *s, size_t len, enum peers_fact *f)
{
  for (int i = 1; i < FACT_COUNT; i++)
    if (strlen(facts[i].word) == len && memcmp(facts[i].word, s, len) == 0) {
      *f = (enum peers_fact)i;
      return 0;
    }
  return -1;
}

/* ---- news */

int peers_news_fact(const char *s, size_t len, struct peers_news *n)
{
  const char *equal = memchr(s, '=', len);
  size_t word = equal ? (size_t)(equal - s) : len;
  uint64_t value = 0;

  if (peers_fact_read(s, word, &n->fact) != 0 || (equal && n->fact != FACT_RCPT_MAX))
    return -1;
  if (equal && (units_number(equal + 1, len - word - 1, &value) != 0 || value > UINT16_MAX))
    return -1;
  n->value = (uint16_t)value;
  return 0;
}

static int is_row(const char *s, size_t len)
{
  if (len == 0 || len >= PEERS_EVIDENCE || *s < 'A' || *s > 'Z')
    return 0;
  for (size_t i = 1; i < len; i++)
    if (s[i] < '0' || s[i] > '9')
      return 0;
  return 1;
}

int peers_news_read(const char *evidence, size_t len, struct peers_news *n)
{
  const char *end = evidence + len, *space = memchr(evidence, ' ', len), *text = NULL;
  size_t row = space ? (size_t)(space - evidence) : len, kept = 0;
  uint64_t code = 0;

  if (!is_row(evidence, row))
    return -1;
  if (space) {
    text = memchr(space + 1, ' ', (size_t)(end - space - 1));
    if (units_number(space + 1, (size_t)((text ? text : end) - space - 1), &code) != 0 ||
        code > 999)
      return -1;
  }
  memset(n->row, 0, sizeof n->row);
  memcpy(n->row, evidence, row);
  n->code = (uint16_t)code;
  memset(n->text, 0, sizeof n->text);
  for (text = text ? text + 1 : end; text < end && kept + 1 < PEERS_TEXT; text++)
    n->text[kept++] = *text >= 0x20 && *text < 0x7f ? *text : '?';
  return 0;
}

void peers_news_format(const struct peers_news *n, char fact[PEERS_NEWS_FACT],
                       char evidence[PEERS_NEWS_EVIDENCE])
{
  const char *word = peers_fact_word(n->fact);

  if (n->value)
    snprintf(fact, PEERS_NEWS_FACT, "%s=%u", word, (unsigned int)n->value);
  else
    snprintf(fact, PEERS_NEWS_FACT, "%s", word);
  if (n->text[0])
    snprintf(evidence, PEERS_NEWS_EVIDENCE, "%s %u %s", n->row, (unsigned int)n->code, n->text);
  else if (n->code)
    snprintf(evidence, PEERS_NEWS_EVIDENCE, "%s %u", n->row, (unsigned int)n->code);
  else
    snprintf(evidence, PEERS_NEWS_EVIDENCE, "%s", n->row);
}

/* ---- learning */

static struct peers_note *claim_note(struct peers_card *c, enum peers_fact f)
{
  struct peers_note *n = (struct peers_note *)peers_note(c, f), *oldest = &c->note[0];

  if (n)
    return n;
  n = (struct peers_note *)peers_note(c, FACT_NONE);
  for (size_t i = 1; i < PEERS_FACTS_EACH; i++)
    if (c->note[i].until < oldest->until)
      oldest = &c->note[i];
  if (!n)
    n = oldest;
  memset(n, 0, sizeof *n);
  return n;
}

static uint64_t lasts(const struct peers_news *n, unsigned int level)
{
  uint64_t first = facts[n->fact].first, most = facts[n->fact].most;

  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (others[i].fact == n->fact && strcmp(others[i].row, n->row) == 0) {
      first = others[i].first;
      most = others[i].most;
    }
  while (level-- > 0 && first < most)
    first *= 2;
  return first < most ? first : most;
}

/* connections that hang at the same time are one hit, however many messages wait for the peer */
static int is_same_hang(const struct peers_news *n, const struct peers_note *note, uint64_t now)
{
  return n->fact == FACT_CONNECT_HANG && note->last <= now && note->last + HANGS_APART > now;
}

/* hits of some kinds add up to a peer that is down */
static int adds_up(const struct peers_news *n, const struct peers_note *note)
{
  if (n->fact == FACT_CONNECT_HANG)
    return note->count > 1;
  return n->fact == FACT_SOFT_HIT && strcmp(n->row, "A5") == 0 && note->count >= CLOSES;
}

uint64_t peers_learn(struct peers *p, const struct peers_news *n, uint64_t now)
{
  struct peers_evidence known;
  struct peers_note *note;
  struct peers_card c;
  uint64_t until;
  int is_new;

  peers_load(p, &n->ip, n->port, &c);
  note = claim_note(&c, n->fact);
  if (is_same_hang(n, note, now))
    return note->until;
  is_new = note->fact == FACT_NONE || note->last + KEEP < now;
  if (is_new)
    memset(note, 0, sizeof *note);
  else if ((note->is_tried || note->until <= now) && note->level < 16)
    note->level++; /* proved again after its time */
  if (n->fact == FACT_SOFT_HIT && strcmp(note->row, n->row) != 0)
    note->count = 0; /* in a row */
  note->fact = (uint8_t)n->fact;
  note->is_tried = 0;
  note->count = (uint16_t)(note->count < UINT16_MAX ? note->count + 1 : note->count);
  note->last = c.used = (uint32_t)now;
  note->until = (uint32_t)(now + lasts(n, note->level));
  note->code = n->code;
  memcpy(note->row, n->row, sizeof note->row);
  if (n->fact == FACT_RCPT_MAX)
    c.rcpt_max = n->value;
  peers_evidence(p, &c, n->fact, &known);
  peers_keep_text(p, &c, n->fact, is_new || !known.since ? (uint32_t)now : known.since, n->text);
  until = peers_store(p, &c) == 0 ? now + lasts(n, note->level) : 0;
  if (until && adds_up(n, note)) {
    struct peers_news down = *n;
    down.fact = FACT_DOWN;
    peers_learn(p, &down, now);
  }
  return until;
}

int peers_unlearn(struct peers *p, const struct peers_news *n)
{
  struct peers_note *note;
  struct peers_card c;

  peers_load(p, &n->ip, n->port, &c);
  note = (struct peers_note *)peers_note(&c, n->fact);
  if (!note)
    return 0;
  memset(note, 0, sizeof *note);
  if (peers_store(p, &c) != 0)
    return -1;
  peers_keep_text(p, &c, n->fact, 0, NULL);
  return 1;
}

int peers_probation(struct peers *p, const struct peers_news *n, uint64_t now)
{
  struct peers_note *note;
  struct peers_card c;

  peers_load(p, &n->ip, n->port, &c);
  note = (struct peers_note *)peers_note(&c, n->fact);
  if (!note || note->until > now)
    return 0;
  note->is_tried = 1;
  note->until = (uint32_t)(now + PROBATION);
  peers_store(p, &c);
  return 1;
}

/* ---- forgetting */

static void forget(struct peers *p, struct peers_card *c)
{
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++) {
    if (c->note[i].fact != FACT_NONE)
      peers_keep_text(p, c, (enum peers_fact)c->note[i].fact, 0, NULL);
    c->note[i].fact = FACT_NONE;
  }
  peers_store(p, c);
}

int peers_forget(struct peers *p, const char *key, size_t len)
{
  struct peers_card c;
  struct ip ip;
  uint16_t port = 0;
  int n = 0, all = len == 3 && memcmp(key, "all", 3) == 0;

  if (len > 2 && key[0] == '[' && key[len - 1] == ']') {
    key++;
    len -= 2;
  }
  if (!all && ip_parse(key, len, &ip) != 0 && ip_port_parse(key, len, &ip, &port) != 0)
    return -1;
  for (size_t i = 0; (i = peers_next(p, i)) < PEERS_CARDS; i++) {
    if (!peers_at(p, i, &c) ||
        !(all || (ip_equal(&c.ip, &ip) && (port == 0 || c.port == port))))
      continue;
    forget(p, &c);
    n++;
  }
  return n;
}
