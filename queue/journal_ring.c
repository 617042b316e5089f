/* journal_ring.c - writing the journal: groups of messages, and notes that end them
 *
 * Runs in heloise-intake, in two threads; all that both touch is under ring.lock, but for the
 * bytes of a group, which only the committing thread writes, in a place it has reserved. A
 * write or flush that failed is never believed nor tried again: the segment is left behind,
 * its messages are refused, its notes are written again elsewhere. */
#include "queue/journal_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"
#include "queue/journal_read.h"
#include "queue/store.h"

#define SIZE_MAX_AUTOMATIC (64 * 1024 * 1024) /* of all segments */
#define SHARE_OF_FREE 8
#define PART_OF_SEGMENT 4 /* a message takes at most a quarter */
#define IOVS 1000
#define NOTES_AT_ONCE 1024
#define FREE_AT_LEAST 2
#define MAKE_AGAIN 10 /* seconds after a segment could not be made */

struct segment {
  int fd; /* -1: not open */
  struct journal_segment head;
  uint64_t size; /* of the file; 0: there is none */
  int is_unreadable;
  int is_dirty;  /* notes in it are not flushed */
};

/* a note that is not durable yet */
struct note {
  enum journal_type type; /* 0: nothing to write, only to confirm */
  char id[STORE_ID_LEN + 1];
  uint64_t seq;
};

static struct {
  pthread_mutex_t lock;
  int queue_fd;
  struct segment segment[JOURNAL_SEGMENTS];
  int current; /* that is appended to; -1: none yet */
  unsigned int last; /* the one with the greatest epoch */
  uint64_t epoch;
  size_t at, flushed; /* in the current one */
  int is_broken;      /* it is left behind */
  struct flights live;
  int is_on, is_held;
  uint64_t size;       /* that new segments get; 0: no room for a journal */
  uint64_t size_wanted; /* the setting it follows */
  time_t size_at;      /* when the free space was looked at */
  time_t failed_at;    /* making one */
  struct note *note; /* bound: what the manager sends, two for each live message */
  size_t notes_room;
  uint64_t first, notes, written, durable; /* counted since the start: note[0] is number `first`,
                                              and those numbered below the others are there,
                                              written, durable */
} ring = {.lock = PTHREAD_MUTEX_INITIALIZER, .current = -1, .last = JOURNAL_SEGMENTS - 1};

/* ---- segments; all with the lock held */

static unsigned int after(unsigned int i)
{
  return (i + 1) % JOURNAL_SEGMENTS;
}

static int is_free(unsigned int i)
{
  return !ring.segment[i].is_unreadable && ring.live.in_segment[i] == 0 &&
         (!ring.is_held || ring.segment[i].head.epoch == 0);
}

static int is_made(unsigned int i)
{
  return ring.segment[i].fd >= 0 && ring.segment[i].size == ring.size;
}

static int fits(size_t len)
{
  return ring.current >= 0 && !ring.is_broken &&
         len <= ring.segment[ring.current].size - ring.at;
}

/* goes on with the next segment, which is free and made. 0, or -1 with errno */
static int go_on(void)
{
  unsigned int next = after(ring.last);
  struct segment *s = &ring.segment[next];
  struct journal_segment head = {.epoch = ring.epoch + 1, .size = s->size};
  char block[JOURNAL_HEAD];

  if (getrandom(&head.salt, sizeof head.salt, 0) != sizeof head.salt)
    return -1;
  journal_head_make(block, &head);
  errno = ENOSPC; /* what a short write means */
  if (pwrite(s->fd, block, sizeof block, 0) != (ssize_t)sizeof block)
    return -1;
  s->head = head;
  ring.epoch = head.epoch;
  ring.last = next;
  ring.current = (int)next;
  ring.at = JOURNAL_HEAD;
  ring.flushed = 0;
  ring.is_broken = 0;
  return 0;
}

/* ---- making a segment: takes time, so without the lock; only the committing thread does it */

static int fill(int fd, uint64_t size)
{
  static char zeros[256 * 1024];

  for (uint64_t at = 0; at < size;) {
    size_t want = size - at < sizeof zeros ? (size_t)(size - at) : sizeof zeros;
    ssize_t n = pwrite(fd, zeros, want, (off_t)at);
    if (n <= 0)
      return -1;
    at += (uint64_t)n;
  }
  return fsync(fd);
}

/* a file of zeros, durable; what was in it is gone. A descriptor, or -1 with errno */
static int make_file(unsigned int i, uint64_t size)
{
  int fd = journal_open(ring.queue_fd, i, O_RDWR | O_CREAT), saved;
  struct stat st;

  if (fd < 0 || fstat(fd, &st) != 0)
    goto fail;
  if ((uint64_t)st.st_size == size)
    return fd;
  errno = ENOSPC;
  if (ftruncate(fd, 0) != 0 || store_free(ring.queue_fd) < size + settings.queue_min_free ||
      fill(fd, size) != 0 || store_flush_dir(ring.queue_fd, "journal") != 0)
    goto fail;
  return fd;
fail:
  saved = errno;
  if (fd >= 0) {
    if (ftruncate(fd, 0) != 0)
      log_failed("intake", "journal", strerror(errno));
    close(fd);
  }
  errno = saved;
  return -1;
}

static int may_make(void)
{
  return is_free(after(ring.last)) && ring.size > 0 &&
         (!ring.failed_at || time(NULL) >= ring.failed_at + MAKE_AGAIN);
}

/* makes the next segment ready. With the lock held, which it lets go meanwhile. 0, or -1 */
static int make_next(void)
{
  unsigned int i = after(ring.last);
  uint64_t size = ring.size;
  int fd, old;

  if (is_free(i) && is_made(i))
    return 0;
  if (!may_make())
    return -1;
  old = ring.segment[i].fd;
  ring.segment[i] = (struct segment){.fd = -1};
  pthread_mutex_unlock(&ring.lock);
  if (old >= 0)
    close(old);
  fd = make_file(i, size);
  if (fd < 0)
    log_failed("intake", "journal", strerror(errno));
  pthread_mutex_lock(&ring.lock);
  ring.segment[i] = (struct segment){.fd = fd, .size = fd < 0 ? 0 : size};
  ring.failed_at = fd < 0 ? time(NULL) : 0;
  return fd < 0 ? -1 : 0;
}

/* ---- flushing */

/* flushes notes, and segment `also` (-1: none), in which a group was written. With the lock
 * held, which it lets go meanwhile. 0, or the errno. */
static int flush(int also)
{
  int fd[JOURNAL_SEGMENTS], error = 0, current = ring.current;
  uint64_t written = ring.written;
  size_t at = ring.at;

  for (int i = 0; i < JOURNAL_SEGMENTS; i++) {
    fd[i] = ring.segment[i].is_dirty || i == also ? ring.segment[i].fd : -1;
    ring.segment[i].is_dirty = 0;
  }
  pthread_mutex_unlock(&ring.lock);
  for (int i = 0; i < JOURNAL_SEGMENTS; i++)
    if (fd[i] >= 0 && fdatasync(fd[i]) != 0)
      error = errno ? errno : EIO;
  pthread_mutex_lock(&ring.lock);
  if (!error) {
    ring.durable = written > ring.durable ? written : ring.durable;
    if (current >= 0 && ring.current == current && fd[current] >= 0)
      ring.flushed = at;
    return 0;
  }
  ring.written = ring.durable; /* all of them once more, elsewhere */
  ring.is_broken = 1;
  return error;
}

void ring_flush(void)
{
  int error;

  pthread_mutex_lock(&ring.lock);
  error = flush(-1);
  pthread_mutex_unlock(&ring.lock);
  if (error)
    log_failed("intake", "journal", strerror(error));
}

/* ---- groups */

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
  yes = ring.is_on && journal_record_size(len) <= (ring.size - JOURNAL_HEAD) / PART_OF_SEGMENT;
  pthread_mutex_unlock(&ring.lock);
  return yes;
}

/* finds a segment with room for len bytes of a group; one more stays free, for notes. 0, or -1 */
static int find_room(size_t len)
{
  if (!ring.is_on)
    return -1;
  if (fits(len))
    return 0;
  return is_free(after(after(ring.last))) && make_next() == 0 && go_on() == 0 && fits(len) ? 0 : -1;
}

/* gives places to as many as fit into one segment; how many */
static size_t reserve(struct ring_message *m, size_t n)
{
  size_t i, size;

  for (i = 0; i < n; i++) {
    struct flight f = {.segment = (uint8_t)ring.current, .at = (uint32_t)ring.at,
                       .len = (uint32_t)length(&m[i])};
    size = journal_record_size(f.len);
    if (!fits(size))
      break;
    memcpy(f.id, m[i].id, sizeof f.id);
    if (!flights_add(&ring.live, &f))
      break;
    m[i].place = f;
    ring.at += size;
  }
  return i;
}

/* writes all of it; 0, or the errno */
static int write_at(int fd, struct iovec *v, int n, off_t at)
{
  while (n > 0) {
    ssize_t w = pwritev(fd, v, n, at);
    if (w < 0 && errno == EINTR)
      continue;
    if (w <= 0)
      return w < 0 ? errno : ENOSPC;
    at += w;
    for (; n > 0 && (size_t)w >= v->iov_len; v++, n--)
      w -= (ssize_t)v->iov_len;
    if (n > 0) {
      v->iov_base = (char *)v->iov_base + w;
      v->iov_len -= (size_t)w;
    }
  }
  return 0;
}

/* writes records into their places, which lie one behind the other. 0, or the errno */
static int append(const struct ring_message *m, size_t n, const struct segment *s, size_t flushed)
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
    error = write_at(s->fd, v, k, at);
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
    struct segment s;
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
      error = flush(i);
    for (size_t k = 0; k < some; k++)
      m[k].error = 0;
    if (error)
      fail(m, some, error);
  }
  for (size_t i = 0; i < n; i++)
    m[i].error = RING_FULL;
  pthread_mutex_unlock(&ring.lock);
}

static int wants_segment(void)
{
  if (is_made(after(ring.last)) || !may_make())
    return 0;
  if (ring.written < ring.notes && !fits(JOURNAL_RECORD))
    return 1;
  return ring.is_on && ring.current >= 0 && ring.at > ring.segment[ring.current].size / 2;
}

/* switched off, and nothing in it is needed */
static int is_useless(void)
{
  return !ring.is_on && !ring.is_held && ring.live.count == 0 && ring.epoch > 0 &&
         ring.durable == ring.notes;
}

static void clear(void)
{
  char path[16];

  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++) {
    if (ring.segment[i].is_unreadable)
      continue;
    snprintf(path, sizeof path, "journal/%u", i);
    if (unlinkat(ring.queue_fd, path, 0) != 0 && errno != ENOENT)
      log_failed("intake", path, strerror(errno));
    if (ring.segment[i].fd >= 0)
      close(ring.segment[i].fd);
    ring.segment[i] = (struct segment){.fd = -1};
  }
  ring.current = -1;
  ring.last = JOURNAL_SEGMENTS - 1;
  ring.epoch = 0;
}

void ring_tend(void)
{
  pthread_mutex_lock(&ring.lock);
  if (is_useless())
    clear();
  else if (wants_segment())
    make_next();
  pthread_mutex_unlock(&ring.lock);
}

/* ---- notes */

static struct note *note_at(uint64_t number)
{
  return &ring.note[number - ring.first];
}

static void add_note(enum journal_type type, const char *id, uint64_t seq)
{
  struct note n = {.type = type, .seq = seq};

  if (ring.notes - ring.first == ring.notes_room) {
    size_t room = ring.notes_room ? ring.notes_room * 2 : 256;
    struct note *bigger = reallocarray(ring.note, room, sizeof *bigger);
    if (!bigger)
      return; /* not confirmed: said again to the next run */
    ring.note = bigger;
    ring.notes_room = room;
  }
  memcpy(n.id, id, STORE_ID_LEN);
  *note_at(ring.notes++) = n;
}

void ring_note(enum journal_type type, const char *id, uint64_t seq)
{
  struct flight *f;

  pthread_mutex_lock(&ring.lock);
  f = flights_find(&ring.live, id);
  if (f)
    flights_drop(&ring.live, f);
  /* of a message that is in no segment there is nothing to end; our own notes end what a
   * failed write may have left */
  add_note(f || seq == 0 ? type : (enum journal_type)0, id, seq);
  pthread_mutex_unlock(&ring.lock);
}

void ring_forget_seqs(void)
{
  pthread_mutex_lock(&ring.lock);
  for (uint64_t i = ring.first; i < ring.notes; i++)
    note_at(i)->seq = 0;
  pthread_mutex_unlock(&ring.lock);
}

/* writes the next notes, as many as fit into one segment. 0; -1: they have to wait */
static int write_notes(void)
{
  static char buf[NOTES_AT_ONCE][JOURNAL_RECORD];
  struct segment *s;
  uint64_t next = ring.written;
  size_t n = 0;

  if (!fits(JOURNAL_RECORD) &&
      (!is_free(after(ring.last)) || !is_made(after(ring.last)) || go_on() != 0))
    return -1;
  s = &ring.segment[ring.current];
  for (; next < ring.notes && n < NOTES_AT_ONCE && fits((n + 1) * JOURNAL_RECORD); next++) {
    const struct note *note = note_at(next);
    struct journal_record r = {.type = note->type, .flushed = (uint32_t)ring.flushed};
    if (!note->type)
      continue;
    memcpy(r.id, note->id, sizeof r.id);
    journal_record_make(buf[n++], &s->head, &r, NULL, 0);
  }
  if (n > 0 && pwrite(s->fd, buf, n * JOURNAL_RECORD, (off_t)ring.at) != (ssize_t)(n * JOURNAL_RECORD)) {
    ring.is_broken = 1;
    return -1;
  }
  ring.at += n * JOURNAL_RECORD;
  s->is_dirty |= n > 0;
  ring.written = next;
  return 0;
}

/* only to be confirmed: there is nothing to write, and nothing before it waits */
static void pass_empty_notes(void)
{
  while (ring.written < ring.notes && !note_at(ring.written)->type) {
    ring.durable += ring.durable == ring.written;
    ring.written++;
  }
}

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
      (ring.size == 0 && time(NULL) >= ring.size_at + MAKE_AGAIN)) {
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
  pass_empty_notes();
  while (ring.written < ring.notes && write_notes() == 0)
    pass_empty_notes();
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++)
    need |= ring.segment[i].is_dirty ? RING_FLUSH : 0;
  if (is_useless() || wants_segment())
    need |= RING_TEND;
  pthread_mutex_unlock(&ring.lock);
  return need;
}

uint64_t ring_settled(void)
{
  uint64_t seq = 0;

  pthread_mutex_lock(&ring.lock);
  for (uint64_t i = ring.first; i < ring.durable; i++)
    seq = note_at(i)->seq > seq ? note_at(i)->seq : seq;
  if (ring.durable > ring.first)
    memmove(ring.note, note_at(ring.durable), (ring.notes - ring.durable) * sizeof *ring.note);
  ring.first = ring.durable;
  pthread_mutex_unlock(&ring.lock);
  return seq;
}

unsigned int ring_wanted(void)
{
  unsigned int bits = 0, i = ring.last;

  pthread_mutex_lock(&ring.lock);
  for (unsigned int k = 1; k < JOURNAL_SEGMENTS; k++) {
    i = after(i);
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
  struct segment *s = &ring.segment[i];
  char path[16];

  snprintf(path, sizeof path, "journal/%u", i);
  *s = (struct segment){.fd = -1, .head = seen->head, .size = seen->size};
  s->is_unreadable = seen->state == JOURNAL_UNREADABLE;
  if (s->is_unreadable)
    log_failed("intake", path, "cannot be read; what lies there waits for a start that can");
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
  if (fits(JOURNAL_RECORD))
    return 0;
  return is_free(after(ring.last)) && make_next() == 0 && go_on() == 0 ? 0 : -1;
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
  add_note(type, id, 0);
  errno = ENOSPC;
  if (find_room_now() == 0 && write_notes() == 0) {
    int error = flush(-1);
    result = error ? -1 : 0;
    errno = error;
  }
  ring.written = ring.durable = ring.first = ring.notes; /* one that failed is the caller's again */
  pthread_mutex_unlock(&ring.lock);
  return result;
}
