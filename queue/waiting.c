/* waiting.c - every message in the queue, as the manager remembers it */
#include "queue/waiting.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "queue/clock.h"
#include "queue/line.h"

static struct waiting *slot; /* bound: one per message in the queue */
static uint32_t slots, room, unused = WAITING_NONE, count;
static uint32_t *heap, heap_len;
static uint32_t *bucket, buckets; /* a power of two */

struct waiting *waiting_at(uint32_t handle)
{
  return &slot[handle];
}

uint32_t waiting_count(void)
{
  return count;
}

uint32_t waiting_slots(void)
{
  return slots;
}

void waiting_name(uint32_t handle, struct store_name *n)
{
  const struct waiting *w = &slot[handle];

  memset(n, 0, sizeof *n);
  memcpy(n->id, w->id, sizeof n->id);
  n->state = (enum store_state)w->state;
  n->next = w->next;
  n->hop = w->hop;
}

void waiting_moved(uint32_t handle, const struct store_name *n)
{
  slot[handle].state = (uint8_t)n->state;
  slot[handle].next = n->next;
  slot[handle].hop = n->hop;
  slot[handle].named_at = clock_steps();
}

/* ---- by id */

static uint32_t *bucket_of(const char *id)
{
  return &bucket[XXH3_64bits(id, STORE_ID_LEN) & (buckets - 1)];
}

uint32_t waiting_find(const char *id)
{
  uint32_t h;

  if (buckets == 0)
    return WAITING_NONE;
  for (h = *bucket_of(id); h != WAITING_NONE; h = slot[h].chain)
    if (memcmp(slot[h].id, id, STORE_ID_LEN) == 0)
      return h;
  return WAITING_NONE;
}

static int grow_index(void)
{
  uint32_t want = buckets ? buckets * 2 : 1024;
  uint32_t *bigger = malloc(want * sizeof *bigger);

  if (!bigger)
    return -1;
  free(bucket);
  bucket = bigger;
  buckets = want;
  for (uint32_t i = 0; i < buckets; i++)
    bucket[i] = WAITING_NONE;
  for (uint32_t h = 0; h < slots; h++)
    if (slot[h].is_used) {
      uint32_t *b = bucket_of(slot[h].id);
      slot[h].chain = *b;
      *b = h;
    }
  return 0;
}

static int grow_slots(void)
{
  uint32_t want = room ? room + room / 2 : 1024;
  struct waiting *bigger = reallocarray(slot, want, sizeof *slot);
  uint32_t *taller;

  if (!bigger)
    return -1;
  slot = bigger;
  taller = reallocarray(heap, want, sizeof *heap);
  if (!taller)
    return -1;
  heap = taller;
  room = want;
  return 0;
}

/* ---- by time: ids grow with time, so equal times go oldest first */

static int before(uint32_t a, uint32_t b)
{
  if (slot[a].due != slot[b].due)
    return slot[a].due < slot[b].due;
  return memcmp(slot[a].id, slot[b].id, STORE_ID_LEN) < 0;
}

static void put(uint32_t i, uint32_t h)
{
  heap[i] = h;
  slot[h].place = i + 1;
}

static void sift(uint32_t i, uint32_t h)
{
  while (i > 0 && before(h, heap[(i - 1) / 2])) {
    put(i, heap[(i - 1) / 2]);
    i = (i - 1) / 2;
  }
  for (;;) {
    uint32_t c = 2 * i + 1;
    if (c >= heap_len)
      break;
    if (c + 1 < heap_len && before(heap[c + 1], heap[c]))
      c++;
    if (!before(heap[c], h))
      break;
    put(i, heap[c]);
    i = c;
  }
  put(i, h);
}

void waiting_take(uint32_t handle)
{
  uint32_t i = slot[handle].place, last;

  if (i == 0)
    return;
  slot[handle].place = 0;
  last = heap[--heap_len];
  if (last != handle)
    sift(i - 1, last);
}

void waiting_until(uint32_t handle, uint32_t due)
{
  waiting_take(handle);
  slot[handle].is_asleep = 0;
  slot[handle].due = due;
  sift(heap_len++, handle);
}

uint32_t waiting_first(void)
{
  return heap_len ? heap[0] : WAITING_NONE;
}

uint32_t waiting_add_asleep(const struct store_name *n)
{
  uint32_t h = waiting_find(n->id), *b;

  if (h != WAITING_NONE)
    return h;
  if ((count >= buckets && grow_index() != 0) ||
      (unused == WAITING_NONE && slots == room && grow_slots() != 0))
    return WAITING_NONE;
  if (unused != WAITING_NONE) {
    h = unused;
    unused = slot[h].chain;
  } else {
    h = slots++;
  }
  memset(&slot[h], 0, sizeof slot[h]);
  memcpy(slot[h].id, n->id, sizeof slot[h].id);
  slot[h].is_used = 1;
  slot[h].made_at = clock_steps();
  waiting_moved(h, n);
  b = bucket_of(n->id);
  slot[h].chain = *b;
  *b = h;
  count++;
  slot[h].is_asleep = 1;
  return h;
}

void waiting_wake(uint32_t handle)
{
  const struct waiting *w = &slot[handle];

  waiting_until(handle, w->state == STORE_HOLD || w->next == WAITING_NEVER
                          ? WAITING_NEVER
                          : (uint32_t)clock_to_steady(w->next));
}

uint32_t waiting_add(const struct store_name *n)
{
  uint32_t h = waiting_find(n->id);

  if (h != WAITING_NONE)
    return h;
  h = waiting_add_asleep(n);
  if (h != WAITING_NONE)
    waiting_wake(h);
  return h;
}

void waiting_drop(uint32_t handle)
{
  uint32_t *p = bucket_of(slot[handle].id);

  waiting_take(handle);
  line_leave(handle);
  while (*p != handle)
    p = &slot[*p].chain;
  *p = slot[handle].chain;
  slot[handle].is_used = 0;
  slot[handle].chain = unused;
  unused = handle;
  count--;
}
