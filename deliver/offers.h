/* offers.h - how peers were greeted last, and before that changed
 *
 * The file state/offers: a head, then cards of fixed size, hash-indexed by address and port.
 * heloise-deliver is its only writer; attempts and commands read it. It is for people: `heloise
 * peers report` tells what changed. Nothing is ever sent because of it (LADDER.md 8 rule 3), and a
 * lost or malformed file is an empty one. */
#ifndef DELIVER_OFFERS_H
#define DELIVER_OFFERS_H

#include <stddef.h>
#include <stdint.h>

#include "common/instance.h"
#include "common/ip.h"

#define OFFERS_HOST 64
#define OFFERS_SLOW 60000 /* ms: a banner that takes longer is slow (LADDER.md 8) */
#define OFFERS_DAY 86400

enum offers_rung { OFFERS_NONE, OFFERS_EHLO, OFFERS_HELO };

struct offers_seen {
  uint32_t at;       /* epoch; 0: never */
  uint32_t verbs;    /* enum verb_bit, as offered in clear */
  uint32_t banner;   /* ms until it came */
  uint32_t rung;     /* enum offers_rung: what worked */
};

struct offers_card {
  struct ip ip;
  uint16_t port; /* 0: the card is empty */
  uint32_t changed; /* epoch: when `before` became `now` */
  struct offers_seen now, before;
  char host[OFFERS_HOST]; /* under this name */
};

struct offers;

/* opens the file in the directory dirfd for writing, making it anew when it is missing or
 * malformed: NULL with errno. */
struct offers *offers_open(int dirfd);
/* opens it for reading; NULL with errno (ENOENT: nothing is known) */
struct offers *offers_read(int dirfd);
void offers_close(struct offers *o);
/* what a forked reader must keep open: it is read-only. -1 when o is NULL */
int offers_descriptor(const struct offers *o);

/* whether a greeting says something new: a change, or the first of its day. A NULL o knows
 * and wants nothing: 0. */
int offers_is_news(const struct offers *o, const struct offers_card *greeting);
/* remembers greeting->now: 1 when it is a change from *before (filled in), else 0. Of a farm
 * whose hosts differ, 1 only once a day (LADDER.md E32). */
int offers_note(struct offers *o, const struct offers_card *greeting, struct offers_seen *before);
/* calls f for each card until it returns non-zero; returns that or 0 */
int offers_each(const struct offers *o, int (*f)(void *arg, const struct offers_card *c), void *arg);

const char *offers_rung_word(enum offers_rung r);
int offers_rung_read(const char *s, size_t len, enum offers_rung *r);

/* `heloise peers report`: the exit code */
int offers_report(const struct instance *i, int is_json);

#endif
