/* ring_segments.c - the journal's segments: made, gone on with, flushed, cleared
 *
 * Runs in heloise-intake, in its two threads, and in commands. */
#include "queue/ring_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/settings.h"
#include "queue/journal_read.h"
#include "queue/store.h"

unsigned int ring_after(unsigned int i)
{
  return (i + 1) % JOURNAL_SEGMENTS;
}

int ring_is_free(unsigned int i)
{
  return !ring.segment[i].is_unreadable && ring.live.in_segment[i] == 0 &&
         (!ring.is_held || ring.segment[i].head.epoch == 0);
}

int ring_is_made(unsigned int i)
{
  return ring.segment[i].fd >= 0 && ring.segment[i].size == ring.size;
}

/* the last bytes are for the head's copy */
int ring_fits(size_t len)
{
  return ring.current >= 0 && !ring.is_broken &&
         ring.at + len + JOURNAL_HEAD <= ring.segment[ring.current].size;
}

/* the copy first: until the head is another one, the segment is what it was. 0, or -1 with errno */
static int write_head(const struct ring_segment *s, const struct journal_segment *head)
{
  const off_t at[] = {(off_t)(s->size - JOURNAL_HEAD), 0};
  char block[JOURNAL_HEAD];

  journal_head_make(block, head);
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    errno = ENOSPC; /* what a short write means */
    if (pwrite(s->fd, block, sizeof block, at[i]) != (ssize_t)sizeof block)
      return -1;
  }
  return 0;
}

int ring_go_on(void)
{
  unsigned int next = ring_after(ring.last);
  struct ring_segment *s = &ring.segment[next];
  struct journal_segment head = {.epoch = ring.epoch + 1, .size = s->size};

  if (getrandom(&head.salt, sizeof head.salt, 0) != sizeof head.salt || write_head(s, &head) != 0)
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
  return ring_is_free(ring_after(ring.last)) && ring.size > 0 &&
         (!ring.failed_at || time(NULL) >= ring.failed_at + RING_MAKE_AGAIN);
}

int ring_make_next(void)
{
  unsigned int i = ring_after(ring.last);
  uint64_t size = ring.size;
  int fd, old;

  if (ring_is_free(i) && ring_is_made(i))
    return 0;
  if (!may_make())
    return -1;
  old = ring.segment[i].fd;
  ring.segment[i] = (struct ring_segment){.fd = -1};
  pthread_mutex_unlock(&ring.lock);
  if (old >= 0)
    close(old);
  fd = make_file(i, size);
  if (fd < 0)
    log_failed("intake", "journal", strerror(errno));
  pthread_mutex_lock(&ring.lock);
  ring.segment[i] = (struct ring_segment){.fd = fd, .size = fd < 0 ? 0 : size};
  ring.failed_at = fd < 0 ? time(NULL) : 0;
  return fd < 0 ? -1 : 0;
}

/* ---- flushing */

int ring_flush_with(int also)
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
  error = ring_flush_with(-1);
  pthread_mutex_unlock(&ring.lock);
  if (error)
    log_failed("intake", "journal", strerror(error));
}

/* ---- tending */

int ring_wants_segment(void)
{
  if (ring_is_made(ring_after(ring.last)) || !may_make())
    return 0;
  if (ring.written < ring.notes && !ring_fits(JOURNAL_RECORD))
    return 1;
  return ring.is_on && ring.current >= 0 && ring.at > ring.segment[ring.current].size / 2;
}

/* a segment that cannot be read may have messages that notes in another one end */
static int is_all_readable(void)
{
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++)
    if (ring.segment[i].is_unreadable)
      return 0;
  return 1;
}

int ring_is_useless(void)
{
  return !ring.is_on && !ring.is_held && ring.live.count == 0 && ring.epoch > 0 &&
         ring.durable == ring.notes && is_all_readable() &&
         (!ring.failed_at || time(NULL) >= ring.failed_at + RING_MAKE_AGAIN);
}

/* a segment goes, durably. 0, or -1 with errno */
static int take_away(unsigned int i)
{
  char path[16];

  snprintf(path, sizeof path, "journal/%u", i);
  if (unlinkat(ring.queue_fd, path, 0) != 0 && errno != ENOENT)
    return -1;
  if (ring.segment[i].fd >= 0)
    close(ring.segment[i].fd);
  ring.segment[i] = (struct ring_segment){.fd = -1};
  return store_flush_dir(ring.queue_fd, "journal");
}

/* the oldest first: a message must not come back without the note that ended it */
static void clear(void)
{
  for (unsigned int i = ring_after(ring.last), n = 0; n < JOURNAL_SEGMENTS; i = ring_after(i), n++) {
    if (ring.current == (int)i)
      ring.current = -1;
    if (take_away(i) != 0) {
      log_failed("intake", "journal", strerror(errno));
      ring.failed_at = time(NULL); /* the rest later */
      return;
    }
  }
  ring.last = JOURNAL_SEGMENTS - 1;
  ring.epoch = 0;
  ring.failed_at = 0;
}

void ring_tend(void)
{
  pthread_mutex_lock(&ring.lock);
  if (ring_is_useless())
    clear();
  else if (ring_wants_segment())
    ring_make_next();
  pthread_mutex_unlock(&ring.lock);
}
