/* journal_read.c - reading the journal: all of it at a start, one message at a time later
 *
 * Segments are hostile until their sums are proved. */
#include "queue/journal_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int journal_open(int queue_fd, unsigned int segment, int flags)
{
  char path[16];
  struct stat st;
  int fd;

  snprintf(path, sizeof path, "journal/%u", segment);
  fd = openat(queue_fd, path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0)
    return -1;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
    return fd;
  close(fd);
  errno = EBADMSG;
  return -1;
}

/* reads len bytes; fewer only at the end of the file. How many, or -1 with errno */
static ssize_t read_at(int fd, char *buf, size_t len, size_t at)
{
  size_t done = 0;

  while (done < len) {
    ssize_t n = pread(fd, buf + done, len - done, (off_t)(at + done));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    if (n == 0)
      break;
    done += (size_t)n;
  }
  return (ssize_t)done;
}

/* ---- replay */

/* one segment in memory */
struct reading {
  struct journal_replay *r;
  unsigned int segment;
  const char *buf;
  int failed;
};

static void on_record(void *arg, const struct journal_record *rec, size_t at)
{
  struct reading *g = arg;
  struct flights *live = &g->r->live;
  struct flight f = {.segment = (uint8_t)g->segment, .at = (uint32_t)at, .len = rec->len}, *old;

  if (rec->type == JOURNAL_MESSAGE) {
    memcpy(f.id, rec->id, sizeof f.id);
    if (!flights_add(live, &f))
      g->failed = 1;
    return;
  }
  if ((old = flights_find(live, rec->id)))
    flights_drop(live, old);
  if (rec->type == JOURNAL_DONE && g->r->done)
    g->r->done(rec->id);
}

static void on_lost(void *arg, size_t from, size_t to)
{
  struct reading *g = arg;

  if (g->r->lost)
    g->r->lost(g->segment, &g->r->segment[g->segment].head, from, g->buf + from, to - from);
}

static int all_zero(const char *s, size_t len)
{
  for (size_t i = 0; i < len; i++)
    if (s[i])
      return 0;
  return 1;
}

/* reads the head of a segment of that size; where it is damaged or the disk does not give it, its copy. 0
 * with *seen->head; 1: neither is one; -1 with errno: it cannot be read */
static int read_head(int fd, struct journal_seen *seen)
{
  char head[JOURNAL_HEAD];
  ssize_t n = read_at(fd, head, sizeof head, 0);
  int saved = errno;

  seen->is_from_copy = 0;
  if (n == JOURNAL_HEAD && journal_head_read(head, &seen->head) == 0)
    return 0;
  seen->is_strange = n > 0 && !all_zero(head, (size_t)n);
  if (seen->size >= JOURNAL_SEGMENT_MIN &&
      read_at(fd, head, sizeof head, seen->size - JOURNAL_HEAD) == JOURNAL_HEAD &&
      journal_head_read(head, &seen->head) == 0 && seen->head.size == seen->size) {
    seen->is_strange = 0;
    seen->is_from_copy = 1;
    return 0;
  }
  memset(&seen->head, 0, sizeof seen->head);
  errno = saved;
  return n < 0 ? -1 : 1;
}

/* finds out what is there. 0, or -1 with errno: it cannot be read */
static int look(int queue_fd, unsigned int segment, struct journal_seen *seen)
{
  struct stat st;
  int fd = journal_open(queue_fd, segment, O_RDONLY), r = -1, saved;

  memset(seen, 0, sizeof *seen);
  if (fd < 0 && errno == ENOENT)
    return 0;
  seen->state = JOURNAL_UNREADABLE;
  if (fd >= 0 && fstat(fd, &st) == 0) {
    seen->size = (uint64_t)st.st_size;
    r = read_head(fd, seen);
  }
  saved = errno;
  if (fd >= 0)
    close(fd);
  errno = saved;
  if (r < 0)
    return -1;
  seen->state = r == 0 ? JOURNAL_GOOD : JOURNAL_ABSENT;
  seen->is_cut = r == 0 && seen->size < seen->head.size;
  return 0;
}

/* how much of it may be records: no more than was made, whatever the file became */
static size_t length_of(const struct journal_seen *seen)
{
  uint64_t n = seen->size < seen->head.size ? seen->size : seen->head.size;

  return n < JOURNAL_SEGMENT_MAX ? (size_t)n : JOURNAL_SEGMENT_MAX;
}

void journal_lost_name(char name[JOURNAL_LOST_NAME], const struct journal_segment *head, size_t from)
{
  snprintf(name, JOURNAL_LOST_NAME, "corrupt/journal.%llu.%zu", (unsigned long long)head->epoch, from);
}

static int read_segment(int queue_fd, unsigned int segment, struct journal_replay *r)
{
  struct journal_seen *seen = &r->segment[segment];
  struct reading g = {r, segment, NULL, 0};
  const struct journal_reader reader = {on_record, on_lost, &g};
  int fd = journal_open(queue_fd, segment, O_RDONLY), result = -1, saved;
  size_t len = length_of(seen);
  char *buf = fd < 0 || len < JOURNAL_HEAD ? NULL : malloc(len);
  /* the head was read, or the disk does not give it */
  ssize_t n = buf ? read_at(fd, buf + JOURNAL_HEAD, len - JOURNAL_HEAD, JOURNAL_HEAD) : -1;

  g.buf = buf;
  if (n >= 0) {
    seen->end = journal_parse(buf, JOURNAL_HEAD + (size_t)n, &seen->head, &reader);
    errno = ENOMEM;
    result = g.failed ? -1 : 0;
  }
  saved = errno;
  free(buf);
  if (fd >= 0)
    close(fd);
  errno = saved;
  if (result != 0)
    seen->state = JOURNAL_UNREADABLE;
  return result;
}

int journal_replay(int queue_fd, struct journal_replay *r)
{
  uint64_t done = 0;
  int result = 0, saved = 0;

  memset(&r->live, 0, sizeof r->live);
  for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++)
    if (look(queue_fd, i, &r->segment[i]) != 0)
      result = saved = errno;
  for (;;) { /* the next epoch */
    unsigned int next = JOURNAL_SEGMENTS;
    for (unsigned int i = 0; i < JOURNAL_SEGMENTS; i++)
      if (r->segment[i].head.epoch > done &&
          (next == JOURNAL_SEGMENTS || r->segment[i].head.epoch < r->segment[next].head.epoch))
        next = i;
    if (next == JOURNAL_SEGMENTS)
      break;
    done = r->segment[next].head.epoch;
    if (read_segment(queue_fd, next, r) != 0)
      result = saved = errno;
  }
  errno = saved;
  return result ? -1 : 0;
}

/* ---- one message */

/* a segment that was read from; one that was replaced is opened again */
struct handle {
  int is_open, fd;
  struct journal_segment head;
};

static int open_handle(int queue_fd, unsigned int segment, struct handle *h)
{
  struct journal_seen seen = {.state = JOURNAL_ABSENT};
  struct stat st;

  h->fd = journal_open(queue_fd, segment, O_RDONLY);
  if (h->fd < 0)
    return -1;
  h->is_open = 1;
  if (fstat(h->fd, &st) == 0) {
    seen.size = (uint64_t)st.st_size;
    read_head(h->fd, &seen);
  }
  h->head = seen.head; /* without one, no record will be proved by it */
  return 0;
}

static void close_handle(struct handle *h)
{
  int saved = errno;

  if (h->is_open)
    close(h->fd);
  h->is_open = 0;
  errno = saved;
}

/* 1: it is in buf; 0: it is not there; -1 with errno */
static int read_record(const struct handle *h, const struct flight *f, char *buf)
{
  size_t want = JOURNAL_RECORD + f->len;
  ssize_t n = read_at(h->fd, buf, want, f->at);
  struct journal_record r;

  if (n < 0)
    return -1;
  return (size_t)n == want && journal_record_read(buf, want, &h->head, &r) == 1 &&
         r.type == JOURNAL_MESSAGE && r.len == f->len && memcmp(r.id, f->id, STORE_ID_LEN) == 0;
}

int journal_load(int queue_fd, const struct flight *f, const char **image)
{
  static struct handle handle[JOURNAL_SEGMENTS];
  static char *buf; /* bound: the largest record */
  static size_t room;
  struct handle *h = &handle[f->segment];

  if (JOURNAL_RECORD + (size_t)f->len > room) {
    char *bigger = realloc(buf, JOURNAL_RECORD + (size_t)f->len);
    if (!bigger)
      return -1;
    buf = bigger;
    room = JOURNAL_RECORD + (size_t)f->len;
  }
  *image = buf + JOURNAL_RECORD;
  for (int tries = 0; tries < 2; tries++) { /* the segment may have been begun anew */
    int r = h->is_open || open_handle(queue_fd, f->segment, h) == 0 ? read_record(h, f, buf) : -1;
    if (r > 0)
      return 0;
    close_handle(h);
    if (r < 0)
      return -1;
  }
  errno = EBADMSG;
  return -1;
}
