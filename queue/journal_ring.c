/* journal_ring.c - writing the journal: the ring, opened and turned
 *
 * Runs in the main thread of heloise-intake, and in commands. */
#include "queue/journal_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"
#include "queue/journal_read.h"
#include "queue/ring_parts.h"
#include "queue/store.h"

#define SIZE_MAX_AUTOMATIC (64 * 1024 * 1024) /* of all segments */
#define SHARE_OF_FREE 8
#define FREE_AT_LEAST 2

struct ring_state ring = {.lock = PTHREAD_MUTEX_INITIALIZER, .current = -1, .last = JOURNAL_SEGMENTS - 1};

/* ---- settings */

/* what each segment should have: as those that are there, or a share of the free space */
static uint64_t automatic_size(void)
{
  uint64_t room = store_free(ring.queue_fd) / SHARE_OF_FREE;

  if (ring.segment[ring.last].head.size >= JOURNAL_SEGMENT_MIN)
    return ring.segment[ring.last].head.size;
  return (room < SIZE_MAX_AUTOMATIC ? room : SIZE_MAX_AUTOMATIC) / JOURNAL_SEGMENTS;
}

/* a disk so small that a segment would be tiny has no journal */
static void take_settings(void)
{
  uint64_t wanted = settings.queue_journal_size;

  if (ring.size_at == 0 || wanted != ring.size_wanted ||
      (ring.size == 0 && time(NULL) >= ring.size_at + RING_MAKE_AGAIN)) {
    ring.size_wanted = wanted;
    ring.size_at = time(NULL);
    ring.size = wanted ? wanted / JOURNAL_SEGMENTS : automatic_size();
    if (wanted && ring.size < JOURNAL_SEGMENT_MIN)
      ring.size = JOURNAL_SEGMENT_MIN;
    if (ring.size > JOURNAL_SEGMENT_MAX)
      ring.size = JOURNAL_SEGMENT_MAX;
    ring.size &= ~(uint64_t)(JOURNAL_HEAD - 1);
    if (ring.size < JOURNAL_SEGMENT_MIN)
      ring.size = 0;
  }
  ring.is_on = settings.queue_journal && ring.queue_fd >= 0 && ring.size > 0;
}

/* ---- the main thread's turn */

unsigned int ring_turn(void)
{
  unsigned int need = 0;

  pthread_mutex_lock(&ring.lock);
  take_settings();
  ring_pass_empty_notes();
  while (ring.written < ring.notes && ring_write_notes() == 0)
    ring_pass_empty_notes();
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++)
    need |= ring.segment[i].is_dirty ? RING_FLUSH : 0;
  if (ring_is_useless() || ring_wants_segment())
    need |= RING_TEND;
  pthread_mutex_unlock(&ring.lock);
  return need;
}

int ring_is_durable(void)
{
  int yes;

  pthread_mutex_lock(&ring.lock);
  yes = ring.durable == ring.notes;
  pthread_mutex_unlock(&ring.lock);
  return yes;
}

unsigned int ring_wanted(void)
{
  unsigned int bits = 0, i = ring.last;

  pthread_mutex_lock(&ring.lock);
  for (unsigned int k = 1; k < JOURNAL_SEGMENTS; k++) {
    i = ring_after(i);
    if (ring.live.in_segment[i] > 0 && (k <= FREE_AT_LEAST || !ring.is_on))
      bits |= 1U << i;
  }
  if (ring.live.in_segment[ring.last] > 0 && !ring.is_on)
    bits |= 1U << ring.last;
  pthread_mutex_unlock(&ring.lock);
  return bits;
}

int ring_is_live(const char *id)
{
  int yes;

  pthread_mutex_lock(&ring.lock);
  yes = flights_find(&ring.live, id) != NULL;
  pthread_mutex_unlock(&ring.lock);
  return yes;
}

void ring_hold(int is_held)
{
  pthread_mutex_lock(&ring.lock);
  ring.is_held = is_held;
  pthread_mutex_unlock(&ring.lock);
}

/* ---- opening */

/* keeps a copy of what the disk lost, once */
static void keep_lost(unsigned int segment, const struct journal_segment *head, size_t from,
                      const char *bytes, size_t len)
{
  char what[32], path[JOURNAL_LOST_NAME];
  int fd;

  snprintf(what, sizeof what, "journal/%u", segment);
  journal_lost_name(path, head, from);
  fd = openat(ring.queue_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 && errno == EEXIST)
    return;
  log_corrupt(what, "records that were durable are damaged",
              fd >= 0 && write(fd, bytes, len) == (ssize_t)len ? path : strerror(errno));
  if (fd >= 0)
    close(fd);
}

/* one segment, as the replay found it */
static void take_segment(unsigned int i, const struct journal_seen *seen)
{
  struct ring_segment *s = &ring.segment[i];
  char path[16];

  snprintf(path, sizeof path, "journal/%u", i);
  *s = (struct ring_segment){.fd = -1, .head = seen->head, .size = seen->size};
  s->is_unreadable = seen->state == JOURNAL_UNREADABLE;
  if (s->is_unreadable)
    log_failed("intake", path, "cannot be read; what lies there waits for a start that can");
  if (seen->is_from_copy)
    log_failed("intake", path, "its head is damaged; the copy at its end counts");
  if (seen->is_strange && store_put_aside(ring.queue_fd, path, "its head is damaged") == 0)
    s->size = 0;
  if (seen->is_cut)
    log_corrupt(path, "it is shorter than it was made: what is missing is lost", "");
  if (s->size > 0 && !s->is_unreadable && !seen->is_strange)
    s->fd = journal_open(ring.queue_fd, i, O_RDWR);
  if (seen->head.epoch > ring.epoch) {
    ring.epoch = seen->head.epoch;
    ring.last = i;
  }
}

static void reset(int queue_fd)
{
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS && ring.epoch > 0; i++)
    if (ring.segment[i].fd >= 0)
      close(ring.segment[i].fd);
  flights_free(&ring.live);
  ring.queue_fd = queue_fd;
  ring.current = -1;
  ring.last = JOURNAL_SEGMENTS - 1;
  ring.epoch = 0;
  ring.first = ring.notes = ring.written = ring.durable = 0;
  ring.is_held = ring.is_broken = 0;
  ring.size_at = ring.failed_at = 0;
}

static int open_ring(int queue_fd, struct journal_replay *r)
{
  reset(queue_fd);
  if ((mkdirat(queue_fd, "journal", 0700) != 0 && errno != EEXIST) ||
      store_flush_dir(queue_fd, ".") != 0 || store_flush_dir(queue_fd, "journal") != 0)
    return -1;
  journal_replay(queue_fd, r); /* what cannot be read is never written to */
  ring.live = r->live;
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++)
    take_segment(i, &r->segment[i]);
  return 0;
}

int ring_open(int queue_fd)
{
  static struct journal_replay r = {.lost = keep_lost};

  if (open_ring(queue_fd, &r) != 0) {
    ring.queue_fd = -1;
    return -1;
  }
  ring_turn();
  return 0;
}

/* ---- a command, while nothing runs */

/* the segment that was written last, or the next one */
static int find_room_now(void)
{
  if (ring_fits(JOURNAL_RECORD))
    return 0;
  return ring_is_free(ring_after(ring.last)) && ring_make_next() == 0 && ring_go_on() == 0 ? 0 : -1;
}

int ring_note_now(int queue_fd, enum journal_type type, const char *id)
{
  static struct journal_replay r;
  static int is_open;
  int result = -1;

  if (!is_open && open_ring(queue_fd, &r) != 0)
    return -1;
  pthread_mutex_lock(&ring.lock);
  if (!is_open && ring.epoch > 0 && ring.segment[ring.last].fd >= 0 &&
      ring.segment[ring.last].size == ring.segment[ring.last].head.size) {
    ring.current = (int)ring.last;
    ring.at = r.segment[ring.last].end; /* what is torn behind it was never acknowledged */
  }
  is_open = 1;
  take_settings();
  ring_add_note(type, id, 0);
  errno = ENOSPC;
  if (find_room_now() == 0 && ring_write_notes() == 0) {
    int error = ring_flush_with(-1);
    result = error ? -1 : 0;
    errno = error;
  }
  ring.written = ring.durable = ring.first = ring.notes; /* one that failed is the caller's again */
  pthread_mutex_unlock(&ring.lock);
  return result;
}
