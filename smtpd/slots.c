/* slots.c - numbers for questions that are open on a channel. Pure. */
#include "smtpd/slots.h"

#include <stdlib.h>
#include <string.h>

static int grow(struct slots *s)
{
  size_t room = s->n ? s->n * 2 : 64;
  struct slot *bigger;

  if (room > SLOTS_MAX)
    return -1;
  bigger = reallocarray(s->slot, room, sizeof *bigger);
  if (!bigger)
    return -1;
  memset(bigger + s->n, 0, (room - s->n) * sizeof *bigger);
  s->slot = bigger;
  s->hint = s->n;
  s->n = room;
  return 0;
}

static size_t find_free(const struct slots *s)
{
  for (size_t k = 0; k < s->n; k++) {
    size_t i = (s->hint + k) % s->n;
    if (!s->slot[i].owner)
      return i;
  }
  return s->n;
}

int slots_take(struct slots *s, void *owner, uint64_t *number)
{
  size_t i = find_free(s);

  if (i == s->n && grow(s) != 0)
    return -1;
  s->turn++;
  s->slot[i].owner = owner;
  s->slot[i].number = *number = s->turn * SLOTS_MAX + i;
  s->hint = i + 1;
  return 0;
}

void *slots_find(const struct slots *s, uint64_t number)
{
  size_t i = number % SLOTS_MAX;

  return i < s->n && s->slot[i].number == number ? s->slot[i].owner : NULL;
}

void slots_free(struct slots *s, uint64_t number)
{
  if (slots_find(s, number))
    s->slot[number % SLOTS_MAX].owner = NULL;
}
