/* ring_groups.c - the journal: groups of messages become durable
 *
 * Runs in the committing thread of heloise-intake. */
#include "queue/ring_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "common/write.h"

#define PART_OF_SEGMENT 4 /* a message takes at most a quarter */
#define IOVS 1000

static size_t length(const struct ring_message *m)
{
  size_t n = 0;

  for (int i = 0; i < RING_PIECES; i++)
    n += m->piece[i].iov_len;
  return n;
}

int ring_takes(size_t len)
{
  int yes;

  pthread_mutex_lock(&ring.lock);
  yes = ring.is_on && journal_record_size(len) <= (ring.size - 2 * JOURNAL_HEAD) / PART_OF_SEGMENT;
  pthread_mutex_unlock(&ring.lock);
  return yes;
}

/* finds a segment with room for len bytes of a group; one more stays free, for notes. 0, or -1 */
static int find_room(size_t len)
{
  if (!ring.is_on)
    return -1;
  if (ring_fits(len))
    return 0;
  return ring_is_free(ring_after(ring_after(ring.last))) && ring_make_next() == 0 && ring_go_on() == 0 && ring_fits(len) ? 0 : -1;
}

/* gives places to as many as fit into one segment; how many */
static size_t reserve(struct ring_message *m, size_t n)
{
  size_t i, size;

  for (i = 0; i < n; i++) {
    struct flight f = {.segment = (uint8_t)ring.current, .at = (uint32_t)ring.at,
                       .len = (uint32_t)length(&m[i])};
    size = journal_record_size(f.len);
    if (!ring_fits(size))
      break;
    memcpy(f.id, m[i].id, sizeof f.id);
    if (!flights_add(&ring.live, &f))
      break;
    m[i].place = f;
    ring.at += size;
  }
  return i;
}

/* writes records into their places, which lie one behind the other. 0, or the errno */
static int append(const struct ring_message *m, size_t n, const struct ring_segment *s, size_t flushed)
{
  enum { EACH = RING_PIECES + 2, AT_ONCE = IOVS / EACH };
  static char heads[AT_ONCE][JOURNAL_RECORD];
  static struct iovec v[AT_ONCE * EACH];
  static const char zeros[8];
  int error = 0;

  for (size_t i = 0; !error && i < n;) {
    off_t at = m[i].place.at;
    int k = 0;
    for (size_t h = 0; h < AT_ONCE && i < n; h++, i++) {
      struct journal_record r = {.type = JOURNAL_MESSAGE, .len = m[i].place.len,
                                 .flushed = (uint32_t)flushed};
      memcpy(r.id, m[i].id, sizeof r.id);
      journal_record_make(heads[h], &s->head, &r, m[i].piece, RING_PIECES);
      v[k++] = (struct iovec){heads[h], JOURNAL_RECORD};
      for (int p = 0; p < RING_PIECES; p++)
        v[k++] = m[i].piece[p];
      v[k++] = (struct iovec){(void *)(uintptr_t)zeros,
                              journal_record_size(r.len) - JOURNAL_RECORD - r.len};
    }
    error = write_pieces(s->fd, v, k, at) != 0 ? errno : 0;
  }
  return error;
}

/* a group that failed: its clients hear 4xx. What of it is whole on disk all the same is ended
 * by notes (receive.c). */
static void fail(struct ring_message *m, size_t n, int error)
{
  for (size_t i = 0; i < n; i++) {
    struct flight *f = flights_find(&ring.live, m[i].id);
    m[i].error = error;
    if (f)
      flights_drop(&ring.live, f);
  }
}

void ring_write(struct ring_message *m, size_t n)
{
  pthread_mutex_lock(&ring.lock);
  for (size_t some; n > 0; m += some, n -= some) {
    struct ring_segment s;
    size_t flushed;
    int error, i;
    some = find_room(journal_record_size(length(m))) == 0 ? reserve(m, n) : 0;
    if (some == 0)
      break;
    i = ring.current;
    s = ring.segment[i];
    flushed = ring.flushed;
    pthread_mutex_unlock(&ring.lock);
    error = append(m, some, &s, flushed);
    pthread_mutex_lock(&ring.lock);
    if (error)
      ring.is_broken |= ring.current == i;
    else
      error = ring_flush_with(i);
    for (size_t k = 0; k < some; k++)
      m[k].error = 0;
    if (error)
      fail(m, some, error);
  }
  for (size_t i = 0; i < n; i++)
    m[i].error = RING_FULL;
  pthread_mutex_unlock(&ring.lock);
}
