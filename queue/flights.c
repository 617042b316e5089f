/* flights.c - messages that are in the journal: a table of ids and places
 *
 * Open addressing with linear probing; what is dropped closes its gap. */
#include "queue/flights.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define FIRST_SLOTS 256

static uint32_t home(const struct flights *t, const char *id)
{
  return (uint32_t)XXH3_64bits(id, STORE_ID_LEN) & (t->slots - 1);
}

/* where id is, or would be */
static struct flight *place(const struct flights *t, const char *id)
{
  uint32_t i = home(t, id);

  while (t->slot[i].id[0] && memcmp(t->slot[i].id, id, STORE_ID_LEN) != 0)
    i = (i + 1) & (t->slots - 1);
  return &t->slot[i];
}

struct flight *flights_find(const struct flights *t, const char *id)
{
  struct flight *f = t->slots ? place(t, id) : NULL;

  return f && f->id[0] ? f : NULL;
}

static int grow(struct flights *t)
{
  struct flights bigger = *t;

  bigger.slots = t->slots ? t->slots * 2 : FIRST_SLOTS;
  bigger.slot = calloc(bigger.slots, sizeof *bigger.slot);
  if (!bigger.slot)
    return -1;
  for (uint32_t i = 0; i < t->slots; i++)
    if (t->slot[i].id[0])
      *place(&bigger, t->slot[i].id) = t->slot[i];
  free(t->slot);
  *t = bigger;
  return 0;
}

struct flight *flights_add(struct flights *t, const struct flight *f)
{
  struct flight *to;

  if (t->count >= t->slots / 2 && grow(t) != 0)
    return NULL;
  to = place(t, f->id);
  if (to->id[0])
    return to;
  *to = *f;
  t->count++;
  t->in_segment[f->segment]++;
  return to;
}

void flights_drop(struct flights *t, struct flight *f)
{
  uint32_t mask = t->slots - 1, gap = (uint32_t)(f - t->slot), i = gap;

  t->count--;
  t->in_segment[f->segment]--;
  for (;;) {
    i = (i + 1) & mask;
    if (!t->slot[i].id[0])
      break;
    /* it moves into the gap unless its home lies behind the gap */
    if (((i - home(t, t->slot[i].id)) & mask) >= ((i - gap) & mask)) {
      t->slot[gap] = t->slot[i];
      gap = i;
    }
  }
  t->slot[gap].id[0] = 0;
}

struct flight *flights_next(const struct flights *t, uint32_t *at)
{
  while (*at < t->slots) {
    struct flight *f = &t->slot[(*at)++];
    if (f->id[0])
      return f;
  }
  return NULL;
}

void flights_free(struct flights *t)
{
  free(t->slot);
  memset(t, 0, sizeof *t);
}
