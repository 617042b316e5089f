/* peers.c - peer memory: the file and its cards
 *
 * Written by heloise-deliver, or by `heloise peers forget` under the instance's lock. A reader
 * may see a card half-written, and a disk may lie: a card bears a checksum, every field is checked
 * where it is read, and all of it is advice. What is learned when: peers_learn.c. */
#include "deliver/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "deliver/cardfile.h"
#include "deliver/peers_file.h"

#define NEAR_CARDS 64 /* a card lies within so many places of its hash */
#define NEAR_TEXTS 8

struct disk_note {
  uint8_t fact, level; /* TRIED is a bit of level */
  uint16_t count;
  uint32_t last, until;
  char letter;         /* row E33: 'E', 33 */
  uint8_t number;
  uint16_t code;
};
#define TRIED 0x80

struct disk_card {
  uint8_t ip[16];
  uint8_t family, spare;
  uint16_t port; /* 0: nothing is here */
  uint32_t used;
  uint16_t rcpt_max, spare2;
  uint32_t sum;  /* of all but itself */
  struct disk_note note[PEERS_FACTS_EACH];
};

struct disk_text {
  uint8_t ip[16];
  uint8_t family, fact; /* fact 0: nothing is here */
  uint16_t port;
  uint32_t since;
  char text[PEERS_TEXT];
};

struct file {
  char magic[128];
  struct disk_card card[PEERS_CARDS];
  struct disk_text text[PEERS_TEXTS];
};
_Static_assert(sizeof(struct disk_card) == 128 && sizeof(struct disk_text) == 96, "cards stay small");
_Static_assert(sizeof(struct file) <= 20000000, "20 MB hold 100,000 peers");

/* written by pwrite(), never through a mapping: on a full disk that would be SIGBUS, not an error */
struct peers {
  struct cardfile file;
};

static const struct cardfile_format format = {"peers", "heloise-peers 2\n", sizeof(struct file)};
static const struct cardfile_ring cards = {offsetof(struct file, card), sizeof(struct disk_card),
                                           PEERS_CARDS};
static const struct cardfile_ring texts = {offsetof(struct file, text), sizeof(struct disk_text),
                                           PEERS_TEXTS};

/* ---- the file */

static struct peers *open_with(int dirfd,
                               int (*how)(struct cardfile *, int, const struct cardfile_format *))
{
  struct peers *p = malloc(sizeof *p);

  if (p && how(&p->file, dirfd, &format) == 0)
    return p;
  free(p);
  return NULL;
}

struct peers *peers_open(int dirfd)
{
  return open_with(dirfd, cardfile_open);
}

struct peers *peers_read(int dirfd)
{
  return open_with(dirfd, cardfile_read);
}

struct peers *peers_edit(int dirfd)
{
  return open_with(dirfd, cardfile_edit);
}

void peers_close(struct peers *p)
{
  if (p)
    cardfile_close(&p->file);
  free(p);
}

int peers_descriptor(const struct peers *p)
{
  return p ? p->file.read : -1;
}

/* ---- cards on the disk and in memory */

static size_t hash(const struct peers *p, const struct ip *ip, uint16_t port, uint8_t fact)
{
  unsigned char key[20];

  memcpy(key, ip->bytes, 16);
  key[16] = ip->family;
  key[17] = fact;
  memcpy(key + 18, &port, 2);
  return (size_t)XXH3_64bits_withSeed(key, sizeof key, p->file.seed);
}

static uint32_t sum_of(const struct disk_card *d)
{
  struct disk_card copy = *d;

  copy.sum = 0;
  return (uint32_t)XXH3_64bits(&copy, sizeof copy);
}

static void row_write(struct disk_note *d, const char *row)
{
  d->letter = row[0];
  d->number = 0;
  for (size_t i = 1; i < PEERS_EVIDENCE && row[i] >= '0' && row[i] <= '9'; i++)
    d->number = (uint8_t)(d->number * 10 + row[i] - '0');
}

static void row_read(const struct disk_note *d, char row[PEERS_EVIDENCE])
{
  char letter = d->letter >= 'A' && d->letter <= 'Z' ? d->letter : '?';

  snprintf(row, PEERS_EVIDENCE, d->number ? "%c%u" : "%c", letter, (unsigned int)d->number);
}

static void pack(const struct peers_card *c, struct disk_card *d)
{
  memset(d, 0, sizeof *d);
  memcpy(d->ip, c->ip.bytes, sizeof d->ip);
  d->family = c->ip.family;
  d->port = c->port;
  d->used = c->used;
  d->rcpt_max = c->rcpt_max;
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++) {
    const struct peers_note *n = &c->note[i];
    if (n->fact == FACT_NONE)
      continue;
    d->note[i] = (struct disk_note){.fact = n->fact, .count = n->count, .last = n->last,
                                    .until = n->until, .code = n->code};
    d->note[i].level = (uint8_t)(n->level | (n->is_tried ? TRIED : 0));
    row_write(&d->note[i], n->row);
  }
  d->sum = sum_of(d);
}

/* 0, or -1: it is none, or damaged */
static int unpack(const struct disk_card *d, struct peers_card *c)
{
  memset(c, 0, sizeof *c);
  if (d->port == 0 || (d->family != 4 && d->family != 6) || d->sum != sum_of(d))
    return -1;
  memcpy(c->ip.bytes, d->ip, sizeof d->ip);
  c->ip.family = d->family;
  c->port = d->port;
  c->used = d->used;
  c->rcpt_max = d->rcpt_max;
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++) {
    const struct disk_note *n = &d->note[i];
    if (n->fact == FACT_NONE || n->fact >= FACT_COUNT)
      continue;
    c->note[i] = (struct peers_note){.fact = n->fact, .level = n->level & (TRIED - 1),
                                     .is_tried = (n->level & TRIED) != 0, .count = n->count,
                                     .last = n->last, .until = n->until, .code = n->code};
    row_read(n, c->note[i].row);
  }
  return 0;
}

static int is_at(const struct disk_card *d, const struct ip *ip, uint16_t port)
{
  return d->port == port && d->family == ip->family && memcmp(d->ip, ip->bytes, sizeof d->ip) == 0;
}

/* when it was last of use; 0 for none, or a damaged one */
static uint32_t last_use(const struct disk_card *d, uint32_t now)
{
  return d->port && d->sum == sum_of(d) ? cardfile_used(d->used, now) : 0;
}

/* the place of a card; or, with `claims`, the time at which it is put there, one it may take: free,
 * or used longest ago. *d: what is there */
static size_t find(const struct peers *p, const struct ip *ip, uint16_t port, uint32_t claims,
                   struct disk_card *d)
{
  size_t from = hash(p, ip, port, 0) & (PEERS_CARDS - 1), best = NEAR_CARDS;
  struct disk_card near[NEAR_CARDS];

  cardfile_get(&p->file, &cards, from, NEAR_CARDS, near);
  for (size_t i = 0; i < NEAR_CARDS; i++) {
    if (is_at(&near[i], ip, port)) {
      best = i;
      break;
    }
    if (claims && (best == NEAR_CARDS ||
                   (near[best].port && (!near[i].port || last_use(&near[i], claims) <
                                                           last_use(&near[best], claims)))))
      best = i;
  }
  if (best == NEAR_CARDS)
    return PEERS_CARDS;
  *d = near[best];
  return (from + best) & (PEERS_CARDS - 1);
}

int peers_load(const struct peers *p, const struct ip *ip, uint16_t port, struct peers_card *card)
{
  struct disk_card d;

  if (p && find(p, ip, port, 0, &d) < PEERS_CARDS && unpack(&d, card) == 0)
    return 1;
  memset(card, 0, sizeof *card);
  card->ip = *ip;
  card->port = port;
  return 0;
}

static int is_empty(const struct peers_card *c)
{
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    if (c->note[i].fact != FACT_NONE)
      return 0;
  return 1;
}

int peers_store(struct peers *p, const struct peers_card *card)
{
  struct disk_card d;
  size_t at = find(p, &card->ip, card->port, is_empty(card) ? 0 : card->used, &d);

  if (at == PEERS_CARDS)
    return 0; /* there was none to be erased */
  pack(card, &d);
  if (is_empty(card))
    memset(&d, 0, sizeof d);
  return cardfile_put(&p->file, &cards, at, &d);
}

size_t peers_next(const struct peers *p, size_t i)
{
  return cardfile_next(&p->file, &cards, i);
}

int peers_at(const struct peers *p, size_t i, struct peers_card *card)
{
  struct disk_card d;

  cardfile_get(&p->file, &cards, i, 1, &d);
  return unpack(&d, card) == 0 && !is_empty(card);
}

int peers_card(const struct peers *p, const struct ip *ip, uint16_t port, struct peers_card *card)
{
  if (peers_load(p, ip, port, card))
    return 1;
  memset(card, 0, sizeof *card);
  return 0;
}

const struct peers_note *peers_note(const struct peers_card *card, enum peers_fact f)
{
  for (size_t i = 0; i < PEERS_FACTS_EACH; i++)
    if (card->note[i].fact == f)
      return &card->note[i];
  return NULL;
}

int peers_holds(const struct peers_card *card, enum peers_fact f, uint64_t now)
{
  const struct peers_note *n = peers_note(card, f);

  return n && n->until > now && n->until - now <= PEERS_LONGEST;
}

int peers_each(const struct peers *p, int (*f)(void *arg, const struct peers_card *c), void *arg)
{
  struct peers_card c;
  int r = 0;

  for (size_t i = 0; r == 0 && (i = peers_next(p, i)) < PEERS_CARDS; i++)
    if (peers_at(p, i, &c))
      r = f(arg, &c);
  return r;
}

/* ---- what taught it */

static int is_text_of(const struct disk_text *t, const struct peers_card *c, enum peers_fact f)
{
  return t->fact == f && t->port == c->port && t->family == c->ip.family &&
         memcmp(t->ip, c->ip.bytes, sizeof t->ip) == 0;
}

/* like find() */
static size_t find_text(const struct peers *p, const struct peers_card *c, enum peers_fact fact,
                        int claims, struct disk_text *t)
{
  size_t from = hash(p, &c->ip, c->port, (uint8_t)fact) & (PEERS_TEXTS - 1);
  size_t best = NEAR_TEXTS;
  struct disk_text near[NEAR_TEXTS];

  cardfile_get(&p->file, &texts, from, NEAR_TEXTS, near);
  for (size_t i = 0; i < NEAR_TEXTS; i++) {
    if (is_text_of(&near[i], c, fact)) {
      best = i;
      break;
    }
    if (claims && (best == NEAR_TEXTS ||
                   (near[best].fact && (!near[i].fact || cardfile_used(near[i].since, c->used) <
                                                           cardfile_used(near[best].since, c->used)))))
      best = i;
  }
  if (best == NEAR_TEXTS)
    return PEERS_TEXTS;
  *t = near[best];
  return (from + best) & (PEERS_TEXTS - 1);
}

void peers_evidence(const struct peers *p, const struct peers_card *card, enum peers_fact f,
                    struct peers_evidence *e)
{
  struct disk_text t;
  size_t n = 0;

  memset(e, 0, sizeof *e);
  if (!p || find_text(p, card, f, 0, &t) == PEERS_TEXTS)
    return;
  e->since = t.since;
  for (const char *s = t.text; n + 1 < PEERS_TEXT && s[n]; n++)
    e->text[n] = s[n] >= 0x20 && s[n] < 0x7f ? s[n] : '?';
}

void peers_keep_text(struct peers *p, const struct peers_card *card, enum peers_fact f,
                     uint32_t since, const char *text)
{
  struct disk_text t;
  size_t at = find_text(p, card, f, text != NULL, &t);

  if (at == PEERS_TEXTS)
    return;
  memset(&t, 0, sizeof t);
  if (text) {
    memcpy(t.ip, card->ip.bytes, sizeof t.ip);
    t.family = card->ip.family;
    t.fact = (uint8_t)f;
    t.port = card->port;
    t.since = since;
    snprintf(t.text, sizeof t.text, "%s", text);
  }
  cardfile_put(&p->file, &texts, at, &t);
}
