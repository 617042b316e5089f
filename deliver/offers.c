/* offers.c - how peers were greeted last, and before that changed
 *
 * Written by heloise-deliver. A reader may see a card half-written: what it reads is checked. */
#include "deliver/offers.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "common/verbs.h"
#include "deliver/cardfile.h"

#define CARDS 65536 /* a power of two; the file is sparse */
#define NEAR 16     /* a card lies within so many places of its hash */

struct file {
  char magic[sizeof(struct offers_card)];
  struct offers_card card[CARDS];
};
_Static_assert(sizeof(struct offers_card) <= 128, "cards stay small");

struct offers {
  struct cardfile file;
};

static const struct cardfile_format format = {"offers", "heloise-offers 1\n", sizeof(struct file)};
static const struct cardfile_ring ring = {offsetof(struct file, card), sizeof(struct offers_card),
                                          CARDS};

static const char *const rungs[] = {"none", "EHLO", "HELO"};

const char *offers_rung_word(enum offers_rung r)
{
  return rungs[r];
}

int offers_rung_read(const char *s, size_t len, enum offers_rung *r)
{
  for (int i = OFFERS_EHLO; i <= OFFERS_HELO; i++)
    if (strlen(rungs[i]) == len && memcmp(rungs[i], s, len) == 0) {
      *r = (enum offers_rung)i;
      return 0;
    }
  return -1;
}

/* ---- the file */

static struct offers *open_with(int dirfd,
                                int (*how)(struct cardfile *, int, const struct cardfile_format *))
{
  struct offers *o = malloc(sizeof *o);

  if (o && how(&o->file, dirfd, &format) == 0)
    return o;
  free(o);
  return NULL;
}

struct offers *offers_open(int dirfd)
{
  return open_with(dirfd, cardfile_open);
}

struct offers *offers_read(int dirfd)
{
  return open_with(dirfd, cardfile_read);
}

void offers_close(struct offers *o)
{
  if (o)
    cardfile_close(&o->file);
  free(o);
}

int offers_descriptor(const struct offers *o)
{
  return o ? o->file.read : -1;
}

/* ---- cards */

static size_t hash(const struct offers *o, const struct offers_card *c)
{
  char key[19];

  memcpy(key, c->ip.bytes, 16);
  key[16] = (char)c->ip.family;
  memcpy(key + 17, &c->port, 2);
  return (size_t)XXH3_64bits_withSeed(key, sizeof key, o->file.seed);
}

/* the peer's place, with what is known of it; else a free place near it, or the one that was
 * greeted longest ago, and an empty card */
static size_t find(const struct offers *o, const struct offers_card *peer, struct offers_card *known)
{
  struct offers_card near[NEAR];
  uint32_t now = peer->now.at;
  size_t from = hash(o, peer) & (CARDS - 1), best = 0;

  cardfile_get(&o->file, &ring, from, NEAR, near);
  memset(known, 0, sizeof *known);
  for (size_t i = 0; i < NEAR; i++) {
    if (near[i].port == peer->port && ip_equal(&near[i].ip, &peer->ip)) {
      *known = near[i];
      return (from + i) & (CARDS - 1);
    }
    if (near[best].port && (!near[i].port || cardfile_used(near[i].now.at, now) <
                                               cardfile_used(near[best].now.at, now)))
      best = i;
  }
  return (from + best) & (CARDS - 1);
}

static int is_changed(const struct offers_seen *a, const struct offers_seen *b)
{
  return a->verbs != b->verbs || a->rung != b->rung ||
         (a->banner >= OFFERS_SLOW) != (b->banner >= OFFERS_SLOW);
}

int offers_is_news(const struct offers *o, const struct offers_card *greeting)
{
  struct offers_card known;

  if (!o)
    return 0;
  find(o, greeting, &known);
  return known.port == 0 || is_changed(&known.now, &greeting->now) ||
         known.now.at / OFFERS_DAY != greeting->now.at / OFFERS_DAY;
}

int offers_note(struct offers *o, const struct offers_card *greeting, struct offers_seen *before)
{
  struct offers_card c = *greeting, known;
  size_t at = find(o, greeting, &known);
  int is_first = 1;

  memset(before, 0, sizeof *before);
  c.changed = c.now.at;
  memset(&c.before, 0, sizeof c.before);
  if (known.port) {
    *before = c.before = known.now;
    is_first = known.before.at == 0 || known.changed + OFFERS_DAY <= c.now.at;
    if (!is_changed(&known.now, &c.now)) {
      c.before = known.before;
      c.changed = known.changed;
    }
  }
  if (cardfile_put(&o->file, &ring, at, &c) != 0)
    return 0;
  return is_first && before->at != 0 && is_changed(before, &c.now);
}

/* makes a copy believable */
static void clean(struct offers_card *c)
{
  struct offers_seen *seen[] = {&c->now, &c->before};

  for (size_t i = 0; i < 2; i++) {
    seen[i]->verbs &= (1U << VERB_COUNT) - 1;
    if (seen[i]->rung > OFFERS_HELO)
      seen[i]->rung = OFFERS_NONE;
  }
  c->host[OFFERS_HOST - 1] = 0;
  for (char *s = c->host; *s; s++)
    if (*s < 33 || *s > 126)
      *s = '?';
}

int offers_each(const struct offers *o, int (*f)(void *arg, const struct offers_card *c), void *arg)
{
  int r = 0;

  for (size_t i = 0; r == 0 && (i = cardfile_next(&o->file, &ring, i)) < CARDS; i++) {
    struct offers_card c;
    cardfile_get(&o->file, &ring, i, 1, &c);
    if (c.port == 0 || (c.ip.family != 4 && c.ip.family != 6))
      continue;
    clean(&c);
    r = f(arg, &c);
  }
  return r;
}
