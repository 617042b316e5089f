/* line.c - messages that wait for their destination, the oldest first
 *
 * Runs in the manager. Each line is a leftist heap by id, linked through the records of the
 * messages: ids grow with time. The first of a line is found by a hash table, chained through
 * `up`, which the first one of a heap does not need. */
#include "queue/line.h"

#include <stdlib.h>
#include <string.h>

#include "queue/waiting.h"

static uint32_t few[256];
static uint32_t *bucket = few; /* of handles + 1, so that zeroes are empty */
static uint32_t buckets = sizeof few / sizeof *few, lines;

static uint32_t *bucket_of(uint32_t hop, unsigned int kind)
{
  return &bucket[((hop >> 1) * 2654435761U + kind * 40503U) % buckets];
}

static uint32_t rank_of(uint32_t h)
{
  return h == WAITING_NONE ? 0 : waiting_at(h)->rank;
}

/* ---- heaps */

/* the longer side left, so that the way down on the right is short */
static void lean(struct waiting *w)
{
  if (rank_of(w->left) < rank_of(w->right)) {
    uint32_t x = w->left;
    w->left = w->right;
    w->right = x;
  }
  w->rank = (uint8_t)(rank_of(w->right) + 1);
}

static uint32_t meld(uint32_t a, uint32_t b)
{
  struct waiting *w;

  if (a == WAITING_NONE || b == WAITING_NONE)
    return a == WAITING_NONE ? b : a;
  if (memcmp(waiting_at(b)->id, waiting_at(a)->id, STORE_ID_LEN) < 0) {
    uint32_t x = a;
    a = b;
    b = x;
  }
  w = waiting_at(a);
  w->right = meld(w->right, b);
  waiting_at(w->right)->up = a;
  lean(w);
  return a;
}

/* ---- the first ones */

/* where the first of that line is written down; its end, when there is none */
static uint32_t *place_of(uint32_t hop, unsigned int kind)
{
  uint32_t *p = bucket_of(hop, kind);

  while (*p && (waiting_at(*p - 1)->line_hop != hop || waiting_at(*p - 1)->line != kind))
    p = &waiting_at(*p - 1)->up;
  return p;
}

/* h is the first there; rest: the next in the chain */
static void put_first(uint32_t *p, uint32_t h, uint32_t rest)
{
  waiting_at(h)->up = rest;
  waiting_at(h)->is_front = 1;
  *p = h + 1;
}

static void grow(void)
{
  uint32_t *old = bucket, n = buckets;
  uint32_t *more = calloc(n * 4, sizeof *more);

  if (!more)
    return; /* chains get longer */
  bucket = more;
  buckets = n * 4;
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t h = old[i], next; h; h = next) {
      struct waiting *w = waiting_at(h - 1);
      uint32_t *p = bucket_of(w->line_hop, w->line);
      next = w->up;
      w->up = *p;
      *p = h;
    }
  if (old != few)
    free(old);
}

void line_join(uint32_t handle, uint32_t hop, enum line_kind kind)
{
  struct waiting *w = waiting_at(handle);
  uint32_t *p, first, rest;

  line_leave(handle);
  if (lines >= buckets)
    grow();
  p = place_of(hop, kind);
  first = *p ? *p - 1 : WAITING_NONE;
  rest = *p ? waiting_at(first)->up : 0;
  lines += *p == 0;
  if (*p)
    waiting_at(first)->is_front = 0;
  w->line = (uint8_t)kind;
  w->line_hop = hop;
  w->left = w->right = WAITING_NONE;
  w->rank = 1;
  put_first(p, meld(first, handle), rest);
}

/* from there upwards, until nothing changes */
static void lean_up(uint32_t h)
{
  for (;;) {
    struct waiting *w = waiting_at(h);
    uint8_t before = w->rank;
    lean(w);
    if (w->rank == before || w->is_front)
      break;
    h = w->up;
  }
}

void line_leave(uint32_t handle)
{
  struct waiting *w = waiting_at(handle);
  uint32_t below, up = w->up, *p;

  if (w->line == LINE_NONE)
    return;
  below = meld(w->left, w->right);
  if (w->is_front) {
    p = place_of(w->line_hop, w->line);
    if (below != WAITING_NONE)
      put_first(p, below, up);
    else
      *p = up;
    lines -= below == WAITING_NONE;
  } else {
    if (below != WAITING_NONE)
      waiting_at(below)->up = up;
    *(waiting_at(up)->left == handle ? &waiting_at(up)->left : &waiting_at(up)->right) = below;
    lean_up(up);
  }
  w->line = LINE_NONE;
  w->is_front = 0;
}

uint32_t line_first(uint32_t hop, enum line_kind kind)
{
  uint32_t *p = place_of(hop, kind);

  return *p ? *p - 1 : WAITING_NONE;
}
